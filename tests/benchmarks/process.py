"""Whole processes, measured from outside."""

import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import monai
import torch

PYTHON = sys.executable


class Run(NamedTuple):
    """The cost of a process: seconds from start to exit, processor seconds, peak resident memory in MiB."""

    seconds: float
    processor: float
    mib: float


def measure_process(command, log=None):
    """Run a command to its end, and return its `Run`."""
    start = time.perf_counter()
    with Path(log or os.devnull).open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        return _cost(process.pid, start, command, log)


def measure_fork(command, log=None):
    """Run an `ours` command in a fork of this process, and return its `Run`: imports are not in its time."""
    start = time.perf_counter()
    pid = os.fork()
    if not pid:
        out = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout = sys.stderr = os.fdopen(out, "w")
        _run_command(command)
    return _cost(pid, start, command, log)


def _cost(pid, start, command, log):
    """Wait for a process, and return its `Run`; stop with the end of its log if it failed."""
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - start
    if status:
        said = Path(log).read_text()[-2000:] if log else ""
        raise SystemExit(f"{' '.join(map(str, command))}: failed\n{said}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def _run_command(command):
    """Run the command line in this process, and end it."""
    from monai_attn.cli import main

    code = 1
    sys.argv = [str(word) for word in command[2:]]  # without the interpreter and -m
    try:
        main()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def measure(command, log=None):
    """Seconds from start to exit, and the peak resident memory in MiB."""
    run = measure_process(command, log)
    return run.seconds, run.mib


def by_turns(commands, repeats):
    """Run every command, then every command again; the measures of each by name."""
    runs = {name: [] for name in commands}
    for _ in range(repeats):
        for name, command in commands.items():
            runs[name].append(measure(command))
    return {
        name: (median(s for s, _ in figures), max(m for _, m in figures))
        for name, figures in runs.items()
    }


def ours(scan, out, *options):
    """`monai-attn segment`."""
    return [PYTHON, "-m", "monai_attn.cli", "segment", scan, "-o", out, *options]


def peer(scan, out, *options):
    """The pipeline of MONAI's own parts."""
    return [PYTHON, "-m", "tests.benchmarks.monai_pipeline", scan, out, *options]


def machine():
    """Describe the machine and the versions behind the figures."""
    versions = (
        f"Python {platform.python_version()}, torch {torch.__version__}, MONAI {monai.__version__}"
    )
    try:
        import openvino

        versions += f", OpenVINO {openvino.__version__.split('-')[0]}"
    except ImportError:
        versions += ", no OpenVINO"
    return f"{os.cpu_count()} cores, {_processor()}, {versions}"


def _processor():
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
