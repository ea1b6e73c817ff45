"""The time of one window through each backend, beside MONAI's AttentionUnet, and what the gates cost.

python -m tests.benchmarks.network [REPEATS]

All take a 96^3 window through 16 to 256 channels, by turns, so that a busy machine slows all alike.
The weights are random: the time does not depend on them.
"""

import os
import platform
import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median

import monai
import torch
from monai.networks.nets import AttentionUnet
from rich.console import Console
from rich.table import Table

from monai_attn import AttentionUNet
from monai_attn.inference.backends import load_backend

WINDOW = (1, 96, 96, 96)
CHOICES = [
    ("eager", "float32"),
    ("eager", "bfloat16"),
    ("onnxruntime", "float32"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
]


def seconds(network, x):
    start = time.perf_counter()
    with torch.inference_mode():
        network(x)
    return time.perf_counter() - start


def load(network, name, precision, cache):
    """The backend and the seconds to get it first and from the cache, or None with the reason."""
    took = []
    for _ in range(2):
        start = time.perf_counter()
        try:
            backend = load_backend(network, WINDOW, name=name, precision=precision, cache=cache)
        except ValueError as error:
            return None, str(error)
        took.append(time.perf_counter() - start)
    return backend, took


def main():
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    console = Console(width=110)
    torch.manual_seed(0)
    peer = AttentionUnet(3, 1, 2, (16, 32, 64, 128, 256), (2, 2, 2, 2)).eval()
    gated, plain = (AttentionUNet(3, 1, 2, gate=gate).eval() for gate in ("soft", None))
    networks, loads = {("MONAI AttentionUnet eager", "float32", "soft"): peer}, {}
    with tempfile.TemporaryDirectory() as cache:
        for choice in CHOICES:
            for gate, network in (("soft", gated), ("none", plain)):
                backend, took = load(network, *choice, Path(cache))
                if backend is None:
                    console.print(f"{' '.join(choice)} left out: {took}")
                    continue
                networks[(*choice, gate)], loads[(*choice, gate)] = backend, took

    x = torch.rand(1, *WINDOW, generator=torch.Generator().manual_seed(0))
    runs = {key: [] for key in networks}
    pairs = [
        [key for key in networks if key[:2] == which]
        for which in dict.fromkeys(k[:2] for k in networks)
    ]
    for turn in range(repeats):
        for pair in pairs:
            seconds(
                networks[pair[0]], x
            )  # not counted: the threads of the library before may still spin
            for key in pair if turn % 2 else reversed(pair):
                runs[key].append(seconds(networks[key], x))

    table = Table(
        "network", "precision", "median s", "best s", "ratio", "gates %", "first s", "cached s"
    )
    slowest = median(next(iter(runs.values())))
    for key, times in runs.items():
        name, precision, gate = key
        if gate == "none":
            continue
        without = runs.get((name, precision, "none"))
        # by turns: of each round its own ratio, and of those the median
        cost = without and median(a / b - 1 for a, b in zip(times, without, strict=True))
        first, cached = (f"{s:.1f}" for s in loads[key]) if key in loads else ("", "")
        table.add_row(
            name,
            precision,
            f"{median(times):.2f}",
            f"{min(times):.2f}",
            f"{slowest / median(times):.2f}",
            "" if cost is None else f"{100 * cost:+.1f}",
            first,
            cached,
        )
    console.print(table)
    console.print(
        f"{torch.get_num_threads()} threads of {os.cpu_count()} cores, {platform.machine()},"
        f" Python {platform.python_version()}, torch {torch.__version__}, MONAI {monai.__version__}"
    )


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main()
