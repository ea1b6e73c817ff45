"""Cost of the checks of a scan: reading against nibabel's plain read, and all of them against a run.

python -m tests.benchmarks.checks SCAN [REPEATS]
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import nibabel as nib
import numpy as np

from monai_attn.io.scan import open_scan, read_grid, read_volume
from monai_attn.transforms.checks import CheckScand
from monai_attn.transforms.monai_io import as_tensor
from tests.benchmarks.process import by_turns, machine, ours


def seconds(calls, repeats):
    """The median time of each call, taken in turns."""
    taken = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - start)
    return {name: median(times) for name, times in taken.items()}


def main():
    scan, repeats = sys.argv[1], int((*sys.argv[2:], "9")[0])
    image = as_tensor(read_volume(scan))[None]
    calls = {
        "nibabel: plain read": lambda: np.asanyarray(nib.load(scan).dataobj),
        "nibabel: read as float32": lambda: nib.load(scan).get_fdata(dtype=np.float32),
        "ours: read as float32, to the end": lambda: read_volume(scan),
        "header, before the read": lambda: read_grid(scan),
        "hash, for the manifest": lambda: open_scan(scan).sha256,
        "HU and extent": lambda: CheckScand("image")({"image": image}),
    }
    found = seconds(calls, repeats)
    with tempfile.TemporaryDirectory() as folder:
        ((run, _),) = by_turns({"run": ours(scan, Path(folder, "out"))}, 3).values()
    print(machine())
    for name, value in found.items():
        print(f"{name:36} {value * 1000:8.1f} ms")
    plain, read = found["nibabel: plain read"], found["ours: read as float32, to the end"]
    checks = sum(list(found.values())[3:])
    print(f"reading: {read / plain:.2f} of nibabel's plain read")
    print(f"checks besides reading: {checks * 1000:.1f} ms of {run:.2f} s, {checks / run:.2%}")


if __name__ == "__main__":
    main()
