"""Segment one scan with MONAI's own pipeline and with ours, by turns, and compare the whole processes.

python -m tests.benchmarks [SCAN] [REPEATS]

Both use 96^3 windows at 2 mm with overlap 0.5 and channels 16 to 256, from start to exit. Without a
scan a phantom is made. MONAI's network has random weights: its time does not depend on them.
"""

import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import monai
import torch
from rich.console import Console
from rich.table import Table

from monai_attn.data.phantom import write_phantoms


def measure(command):
    """Seconds from start to exit, and the peak resident memory in MiB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main():
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            scan = sys.argv[1]
        else:
            write_phantoms(folder, 1, seed=0)
            scan = str(next(Path(folder, "imagesTr").iterdir()))
        peer = [sys.executable, "-m", "tests.benchmarks.monai_pipeline", scan, f"{folder}/peer"]
        ours = [sys.executable, "-m", "monai_attn.cli", "segment", scan, "-o", f"{folder}/ours"]
        commands = {"MONAI AttentionUnet, SlidingWindowInferer": peer, "monai-attn segment": ours}
        runs = {name: [] for name in commands}
        for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 3):
            for name, command in commands.items():
                runs[name].append(measure(command))

    table = Table("pipeline", "median s", "ratio", "peak MiB")
    slowest = median(seconds for seconds, _ in next(iter(runs.values())))
    for name, figures in runs.items():
        seconds, mib = median(s for s, _ in figures), max(m for _, m in figures)
        table.add_row(name, f"{seconds:.1f}", f"{slowest / seconds:.2f}", f"{mib:.0f}")
    console = Console(width=110)
    console.print(table)
    console.print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()},"
        f" torch {torch.__version__}, MONAI {monai.__version__}"
    )


main()
