"""Segment one scan with the pipelines of others and with ours, by turns, and compare whole processes.

python -m tests.benchmarks [SCAN] [REPEATS] [--nnunet ENV/bin]

The others are MONAI's own parts and, where an environment with it is given, nnU-Net's prediction. All have
the grid, the range and the windows of the shipped bundle, and a network with its channels, and are measured
from start to exit. Without a scan a phantom is made. What is compiled once and kept is compiled before the
clock starts.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
from rich.console import Console
from rich.table import Table

from monai_attn.io.names import case_name
from tests.benchmarks.body import body_voxels
from tests.benchmarks.nnunet_predict import prediction
from tests.benchmarks.process import PYTHON, by_turns, machine, measure, ours, peer


def agreement(scan, ours, theirs):
    """The share of the scan's body voxels that have the same label in two files."""
    body = body_voxels(scan)
    same = np.asarray(nib.load(ours).dataobj) == np.asarray(nib.load(theirs).dataobj)
    return float(same[body].mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scan", nargs="?")
    parser.add_argument("repeats", nargs="?", type=int, default=3)
    parser.add_argument("--nnunet", type=Path, help="folder bin of an environment with nnU-Net")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scan = given.scan
        if scan is None:
            subprocess.run(
                [PYTHON, "-m", "monai_attn.cli", "phantom", folder, "-n", "1"], check=True
            )
            scan = str(next(Path(folder, "imagesTr").iterdir()))
        name = case_name(scan)
        modes = ("full", "focus")
        for mode in modes:
            measure(ours(scan, f"{folder}/{mode}", "--mode", mode))
        measure(peer(scan, f"{folder}/same", "--same-network"))
        commands = {"MONAI's pipeline": peer(scan, f"{folder}/peer")}
        if given.nnunet:
            commands["nnU-Net"] = prediction(given.nnunet, Path(scan), Path(folder, "nnunet"))
        commands |= {mode: ours(scan, f"{folder}/{mode}", "--mode", mode) for mode in modes}
        figures = by_turns(commands, given.repeats)

        _, log = measure(peer(scan, f"{folder}/peer"), f"{folder}/log"), Path(folder, "log")
        stages = json.loads(log.read_text().splitlines()[-1])
        outside = {"MONAI's pipeline": stages["before"] + stages["after"]}
        inside = {"MONAI's pipeline": sum(stages.values())}
        windows, same = {"MONAI's pipeline": ""}, {"MONAI's pipeline": ""}
        for mode in modes:
            manifest = json.loads(Path(folder, mode, f"{name}_seg.manifest.json").read_text())
            seconds = manifest["seconds"]
            inside[mode] = sum(seconds.values())
            outside[mode] = inside[mode] - seconds["network"]
            run = manifest["windows"]
            windows[mode] = f"{run['run']} of {run['in_all']}"
            if manifest["fallback"]:
                windows[mode] += f" ({manifest['fallback']})"
            labels = [f"{folder}/{which}/{name}_seg.nii.gz" for which in (mode, "same")]
            labels[1] = str(next(Path(folder, "same").glob("*.nii.gz")))
            same[mode] = f"{agreement(scan, *labels):.4%}"

    columns = ("s", "ratio", "s after imports", "ratio", "s outside network", "ratio", "MiB")
    table = Table("", *columns, "windows", "same labels")
    first = "MONAI's pipeline"
    for name, (seconds, mib) in figures.items():
        row = [f"{seconds:.1f}", f"{figures[first][0] / seconds:.2f}"]
        for part, digits in ((inside, 1), (outside, 2)):
            known = name in part
            row += [f"{part[name]:.{digits}f}" if known else ""]
            row += [f"{part[first] / part[name]:.2f}" if known else ""]
        table.add_row(name, *row, f"{mib:.0f}", windows.get(name, ""), same.get(name, ""))
    console = Console(width=140)
    console.print(table)
    console.print(machine())


main()
