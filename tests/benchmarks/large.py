"""A folder of large scans in one process, and the memory that very large ones take.

python -m tests.benchmarks.large folder [COUNT]      512 x 512 x 200 phantoms, against MONAI's pipeline on one
python -m tests.benchmarks.large memory X Y Z MM     one phantom of that size, network grid of MM mm; a
                                                     table of seconds and peak memory, full and focus
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from monai_attn import DEFAULT_BUNDLE
from monai_attn.bundle import find_bundle
from monai_attn.data.phantom import write_phantoms
from tests.benchmarks.process import machine, measure, ours, peer

CONSOLE = Console(width=120)


def folder(count):
    with tempfile.TemporaryDirectory() as made:
        write_phantoms(made, count, seed=3000, shape=(512, 512, 200), spacing=(0.8, 0.8, 2.0))
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
        voxel = (0.8, 0.8, 1.0)
        write_phantoms(made, 1, seed=4000, shape=shape, spacing=voxel)
        scan = str(next(Path(made, "imagesTr").iterdir()))
        bundle = Path(made, "bundle")
        shutil.copytree(find_bundle(DEFAULT_BUNDLE), bundle)
        config = bundle / "configs" / "inference.json"
        content = json.loads(config.read_text())
        content["spacing"] = [spacing] * 3
        config.write_text(json.dumps(content))
        table = Table("mode", "s", "MiB", "windows")
        for mode in ("focus", "full"):
            out = Path(made, mode)
            arguments = ("--mode", mode, "--bundle", str(bundle), *options)
            seconds, mib = measure(ours(scan, str(out), *arguments), f"{made}/log")
            manifest = json.loads(next(out.glob("*.json")).read_text())
            run = manifest["windows"]
            windows = f"{run['run']} of {run['in_all']} {manifest['fallback']}"
            table.add_row(mode, f"{seconds:.1f}", f"{mib:.0f}", windows)
    CONSOLE.print(table)


if sys.argv[1] == "folder":
    folder(int(sys.argv[2]) if len(sys.argv) > 2 else 10)
else:
    x, y, z, mm = sys.argv[2:6]
    memory((int(x), int(y), int(z)), float(mm), *sys.argv[6:])
CONSOLE.print(machine())
