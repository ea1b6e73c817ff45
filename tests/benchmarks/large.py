"""A folder of large scans in one process, and the memory that very large ones take.

python -m tests.benchmarks.large folder [COUNT]      512 x 512 x 200 phantoms, against MONAI's pipeline on one
python -m tests.benchmarks.large memory X Y Z MM     one phantom of that size, network grid of MM mm; a
                                                     table of seconds and peak memory
"""

import json
import shutil
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import nibabel as nib
import numpy as np
from rich.console import Console
from rich.table import Table

from monai_attn import DEFAULT_BUNDLE
from monai_attn.bundle.find import find_bundle
from monai_attn.phantom import write_phantoms
from tests.benchmarks.process import machine, measure, ours, peer

CONSOLE = Console(width=120)
TALLEST = 408  # slices of a phantom; a scan with more goes on as it ends


def apart(function, *arguments):
    """The result of a function in a process of its own: the peak of a process counts for its children."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def phantoms(folder, count):
    write_phantoms(folder, count, seed=3000, shape=(512, 512, 200), spacing=(0.8, 0.8, 2.0))


def tall_phantom(folder, shape):
    """The path of a phantom of any height."""
    height = min(shape[2], TALLEST)
    write_phantoms(folder, 1, seed=4000, shape=(*shape[:2], height), spacing=(0.8, 0.8, 1.0))
    scan = str(next(Path(folder, "imagesTr").iterdir()))
    if height < shape[2]:
        image = nib.load(scan)
        above = (shape[2] - height) // 2
        slices = ((0, 0), (0, 0), (above, shape[2] - height - above))
        whole = np.pad(np.asarray(image.dataobj), slices, mode="edge")
        nib.save(nib.Nifti1Image(whole, image.affine), scan)
    return scan


def folder(count):
    with tempfile.TemporaryDirectory() as made:
        apart(phantoms, made, count)
        scans = sorted(Path(made, "imagesTr").iterdir())
        measure(ours(str(scans[0]), f"{made}/warm"))
        theirs, _ = measure(peer(str(scans[0]), f"{made}/peer"))
        table = Table("mode", "s per scan", "times faster than MONAI's pipeline", "MiB")
        table.add_row("MONAI's pipeline, one scan", f"{theirs:.1f}", "", "")
        for mode in ("full", "focus"):
            seconds, mib = measure(ours(str(Path(made)), f"{made}/{mode}", "--mode", mode))
            each = seconds / count
            table.add_row(mode, f"{each:.1f}", f"{theirs / each:.1f}", f"{mib:.0f}")
    CONSOLE.print(table)


def memory(shape, spacing, *options):
    with tempfile.TemporaryDirectory() as made:
        scan = apart(tall_phantom, made, shape)
        bundle = Path(made, "bundle")
        shutil.copytree(find_bundle(DEFAULT_BUNDLE), bundle)
        config = bundle / "configs" / "inference.json"
        content = json.loads(config.read_text())
        content["spacing"] = [spacing] * 3
        config.write_text(json.dumps(content))
        table = Table("mode", "s", "MiB", "windows")
        for mode in ("focus",) if shape[2] > TALLEST else ("focus", "full"):
            out = Path(made, mode)
            arguments = ("--mode", mode, "--bundle", str(bundle), *options)
            seconds, mib = measure(ours(scan, str(out), *arguments), f"{made}/log")
            manifest = json.loads(next(out.glob("*.json")).read_text())
            run = manifest["windows"]
            windows = f"{run['run']} of {run['in_all']} {manifest['fallback']}"
            table.add_row(mode, f"{seconds:.1f}", f"{mib:.0f}", windows)
    CONSOLE.print(table)


def main():
    if sys.argv[1] == "folder":
        folder(int(sys.argv[2]) if len(sys.argv) > 2 else 10)
    else:
        x, y, z, mm = sys.argv[2:6]
        memory((int(x), int(y), int(z)), float(mm), *sys.argv[6:])
    CONSOLE.print(machine())


if __name__ == "__main__":  # a process started apart imports this file
    main()
