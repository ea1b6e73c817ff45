"""Whole processes, measured from outside."""

import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import monai
import torch

PYTHON = sys.executable


def measure(command, log=None):
    """Seconds from start to exit, and the peak resident memory in MiB."""
    start = time.perf_counter()
    with Path(log or os.devnull).open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        said = Path(log).read_text()[-2000:] if log else ""
        raise SystemExit(f"{' '.join(map(str, command))}: failed\n{said}")
    return seconds, usage.ru_maxrss / 1024


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
