"""Measure what a GPU gives: a scan to labels, the peers, the network, training, labels, copies, and memory.

    python -m tests.benchmarks.gpu -o gpu.json
    python -m tests.benchmarks.gpu -o cpu.json --device cpu --quick      to test the script

It needs the package with what it depends on, and nothing else; nnU-Net only runs with `--nnunet ENV/bin`.
Each part runs in a process of its own with a time limit, and all together end within `--limit` seconds, to
which the limits of the parts are proportional. A part that fails, or does not end, becomes a row with its
reason. The table goes to the terminal and all figures to one JSON file.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from tests.benchmarks.gpu_network import network_part
from tests.benchmarks.gpu_rows import Job, Row
from tests.benchmarks.gpu_scan import (
    cold_part,
    labels_part,
    memory_part,
    monai_cpu_part,
    monai_gpu_part,
    nnunet_part,
    scan_part,
    training_part,
    warm_part,
)
from tests.benchmarks.gpu_trace import trace_part
from tests.benchmarks.process import PYTHON, machine

LIMIT = 465  # seconds in all: below 8 minutes
START = 5  # seconds in which no part can do anything


@dataclass(frozen=True)
class Part:
    """A part of the measurement.

    Attributes:
        run: yields its rows.
        limit: seconds after which it is ended, if all have `LIMIT`.
    """

    run: Callable[[Job], Iterator[Row]]
    limit: float


# the most important first: what comes last is left out if the time is over
PARTS = {
    "scan": Part(scan_part, 60),
    "warm": Part(warm_part, 60),
    "cold": Part(cold_part, 90),
    "network": Part(network_part, 120),
    "MONAI on the GPU": Part(monai_gpu_part, 90),
    "trace": Part(trace_part, 45),
    "memory": Part(memory_part, 40),
    "labels": Part(labels_part, 90),
    "training": Part(training_part, 90),
    "MONAI on the CPU": Part(monai_cpu_part, 120),
    "nnU-Net": Part(nnunet_part, 120),
}
# name, own figure, figure of the peer, how many times it should be
MONAI_CPU, MONAI_GPU, HALF = "MONAI on the CPU", "MONAI on the GPU", "MONAI on the GPU, float16"
RATIOS = (
    ("warm against MONAI on the CPU", "full, warm", f"{MONAI_CPU}, after imports", ">= 20"),
    ("cold against MONAI on the CPU", "full, cold", f"{MONAI_CPU}, cold", ">= 20"),
    ("warm against MONAI on the GPU", "full, warm", f"{MONAI_GPU}, warm", ">= 3"),
    ("warm against MONAI on the GPU in float16", "full, warm", f"{HALF}, warm", ">= 3"),
    ("cold against MONAI on the GPU", "full, cold", f"{MONAI_GPU}, cold", ">= 3"),
    ("cold against nnU-Net", "full, cold", "nnU-Net, cold", ">= 6"),
    ("focus, cold against nnU-Net", "focus, cold", "nnU-Net, cold", ">= 15"),
)


def run_part(name: str, job: Job, options: Sequence[str], limit: float) -> list[Row]:
    """Run a part in a process of its own; return its rows, and the reason if it did not end well."""
    rows_file, log = job.folder / f"{name}.jsonl", job.folder / f"{name}.log"
    words = [PYTHON, "-m", "tests.benchmarks.gpu", "--part", name, "--folder", str(job.folder)]
    words += ["--device", job.device, *options]
    env = {**os.environ, **({} if job.on_gpu else {"CUDA_VISIBLE_DEVICES": ""})}
    with log.open("w") as out:
        process = subprocess.Popen(
            words,
            stdout=out,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            env=env,
            preexec_fn=os.setpgrp,
        )
        try:
            status = process.wait(limit)
            fault = f"failed: {last_line(log)}" if status else ""
        except subprocess.TimeoutExpired:
            fault = f"stopped after {limit:.0f} s"
        finally:
            end_group(process)
    rows = read_rows(rows_file)
    return [*rows, Row(name, None, "", fault)] if fault else rows


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    with suppress(ProcessLookupError):  # all of them have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def read_rows(path: Path) -> list[Row]:
    """Return the rows that a part wrote; none without a file."""
    if not path.is_file():
        return []
    return [Row(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def last_line(log: Path) -> str:
    """Return the last line of a log that says anything."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no output"


def ratios(rows: Iterable[Row]) -> list[Row]:
    """Return how many times faster the package is, for pairs of which both were measured."""
    found = {row.measure: row.value for row in rows}
    several = []
    for name, own, other, target in RATIOS:
        ours, theirs = found.get(own), found.get(other)
        if ours and theirs:
            several.append(Row(name, theirs / ours, "times faster", "", target))
    return several


def work(name: str, job: Job) -> None:
    """Run a part in this process and write each row at once, so that none is lost if the part is ended."""
    with (job.folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
        for row in PARTS[name].run(job):
            file.write(json.dumps(row.as_json()) + "\n")
            file.flush()


def table(rows: dict[str, list[Row]]) -> Table:
    """Return the table of all rows."""
    shown = Table("part", "measure", "figure", "unit", "target", "note")
    for part, several in rows.items():
        for row in several:
            figure = "" if row.value is None else f"{row.value:.4g}"
            shown.add_row(part, row.measure, figure, row.unit, row.target, row.note)
    return shown


def describe(job: Job) -> dict[str, object]:
    """Return what the figures were measured on."""
    found: dict[str, object] = {"machine": machine(), "device": job.device, "quick": job.quick}
    if job.on_gpu:
        properties = torch.cuda.get_device_properties(0)
        found |= {"gpu": properties.name, "gpu_gib": properties.total_memory / 2**30}
        found |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    return found


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, help="JSON file of all figures")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="small sizes, to test the script")
    parser.add_argument("--nnunet", type=Path, help="folder bin of an environment with nnU-Net")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds in all")
    parser.add_argument("--only", nargs="+", choices=[*PARTS], default=[*PARTS])
    parser.add_argument("--part", choices=[*PARTS], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Run all parts, or one of them in a process that was started for it."""
    given = arguments()
    if given.part:
        warnings.simplefilter("ignore")
        work(given.part, Job(given.device, given.folder, given.quick, given.nnunet))
        return
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("error: torch sees no GPU. Use --device cpu, or install torch for CUDA.")
    start, rows = time.perf_counter(), {}
    options = [*(["--quick"] if given.quick else [])]
    options += ["--nnunet", str(given.nnunet.absolute())] if given.nnunet else []
    with tempfile.TemporaryDirectory() as folder:
        job = Job(given.device, Path(folder), given.quick, given.nnunet)
        names = [name for name in PARTS if name in ("scan", *given.only)]
        for name in names:
            left = given.limit - (time.perf_counter() - start)
            if left < START:
                rows[name] = [Row(name, None, "", f"left out: {given.limit:.0f} s were over")]
                continue
            print(f"{name} ...", file=sys.stderr, flush=True)
            limit = PARTS[name].limit * given.limit / LIMIT
            rows[name] = run_part(name, job, options, min(limit, left))
    rows["ratios"] = ratios(row for several in rows.values() for row in several)
    seconds = time.perf_counter() - start
    Console(width=180).print(table(rows))
    about = {**describe(job), "seconds": seconds}
    print(json.dumps(about))
    if given.output:
        several = [{"part": part, **row.as_json()} for part, found in rows.items() for row in found]
        text = json.dumps({**about, "rows": several}, indent=1)
        given.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
