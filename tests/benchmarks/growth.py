"""Measure how time and memory of `monai-attn segment` grow: with slices, with classes, with scans.

    OMP_NUM_THREADS=1 taskset -c 1 python -m tests.benchmarks.growth WORK [--only NAME...] [--repeats N]

Every run is a process of its own: its processor seconds, and its peak resident memory. It is a fork of this
process, which has imported torch and MONAI, so that its time begins after the imports. WORK gets the scans,
the label maps and `growth.json`, to which each run is added at once, so that an interrupted measurement goes
on. `growth_plot` draws the figures.

- `slices`: one scan of 256 x 256 x 64 to 1500 voxels, slices of 1 mm, in both modes. For `full` the outermost
  slices of a phantom are repeated, so that every window holds body, and voxels of 0.875 mm leave four
  windows side by side, to spare the CPU; for `focus` the region of the organ stays as it is, with air above
  and below.
- `classes`: a phantom of 256 slices, and bundles with the shipped network, random weights and 2 to 20
  classes, each of which is cleaned. Labels of random weights lie all over the body.
- `scans`: 1 to 1000 scans of 48 x 48 x 32 voxels in one folder and one process, with a bundle whose window
  and grid are theirs, so that the network takes little of the time.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray

from monai_attn import DEFAULT_BUNDLE, AttentionUNet
from monai_attn.bundle.find import find_bundle
from monai_attn.phantom import write_phantoms
from tests.benchmarks.large import apart
from tests.benchmarks.process import machine, measure_fork, ours

SLICES = (64, 256, 512, 1024, 1500)
CLASSES = (2, 5, 10, 20)
SCANS = (1, 10, 100, 1000)
SEED, SHAPE, SPACING = 4001, (256, 256, 256), (1.5, 1.5, 1.0)
NARROW = (0.875, 0.875, 1.0)  # mm: two windows along x and along y
KEPT = 64  # slices in the middle of the phantom, around the organ, that focus mode looks at
CLASSES_SLICES = 256
PARTS = ("monai_attn.cli.segment", "monai_attn.api.model", "monai_attn.runs.run", "openvino")
SMALL_SEED, SMALL_SHAPE, SMALL_SPACING, SMALL_PHANTOMS = 6000, (48, 48, 32), (7.0, 7.0, 5.0), 10
AIR = -1000  # HU
Commands = dict[tuple[str, int], list[str]]  # by the name of the curve and the point on it


def with_slices(voxels: NDArray[Any], count: int, fill: int | None = None) -> NDArray[Any]:
    """Return the middle slices of a volume (X, Y, Z), or the volume with more slices at both ends.

    Args:
        voxels: (X, Y, Z).
        count: number of slices in the result.
        fill: value of the further slices; None repeats the outermost ones.
    """
    more = count - voxels.shape[2]
    if more < 0:
        first = -more // 2
        return voxels[..., first : first + count]
    ends = ((0, 0), (0, 0), (more // 2, more - more // 2))
    if fill is None:
        return np.pad(voxels, ends, mode="edge")
    return np.pad(voxels, ends, constant_values=fill)


def write_tall_scans(folder: Path) -> None:
    """Write a scan for each mode and number of slices: `full_64.nii.gz`, and so on."""
    write_phantoms(folder / "phantom", 1, seed=SEED, shape=SHAPE, spacing=SPACING)
    image = nib.load(next((folder / "phantom" / "imagesTr").iterdir()))
    voxels, organ = np.asarray(image.dataobj), with_slices(np.asarray(image.dataobj), KEPT)
    narrow = image.affine @ np.diag([*np.divide(NARROW, SPACING), 1])
    for count in SLICES:
        tall = nib.Nifti1Image(with_slices(voxels, count), narrow)
        nib.save(tall, folder / f"full_{count}.nii.gz")
        tall = nib.Nifti1Image(with_slices(organ, count, AIR), image.affine)
        nib.save(tall, folder / f"focus_{count}.nii.gz")


def write_many_scans(folder: Path) -> None:
    """Write a folder for each number of scans: a few phantoms over and over, under names of their own."""
    options: dict[str, Any] = {"shape": SMALL_SHAPE, "spacing": SMALL_SPACING}
    write_phantoms(folder / "phantoms", SMALL_PHANTOMS, seed=SMALL_SEED, **options)
    phantoms = sorted((folder / "phantoms" / "imagesTr").iterdir())
    for count in SCANS:
        (folder / str(count)).mkdir()
        for number in range(count):
            source = phantoms[number % len(phantoms)]
            shutil.copyfile(source, folder / str(count) / f"scan_{number:04d}.nii.gz")


def write_light_bundle(folder: Path) -> Path:
    """Write the shipped bundle with the window and the grid of the small scans; return its folder."""
    shutil.copytree(find_bundle(DEFAULT_BUNDLE), folder, dirs_exist_ok=True)
    _edit_config(folder, {"roi_size": SMALL_SHAPE, "spacing": SMALL_SPACING})
    return folder


def write_bundle(folder: Path, classes: int) -> Path:
    """Write the shipped bundle with another number of classes and random weights; return its folder."""
    shutil.copytree(find_bundle(DEFAULT_BUNDLE), folder, dirs_exist_ok=True)
    every = [*range(1, classes)]
    changes = {"num_classes": classes, "keep_largest": every, "fill_holes": every, "expected": {}}
    content = _edit_config(folder, {**changes, "locator": None, "interval": None})
    metadata = folder / "configs" / "metadata.json"
    described = json.loads(metadata.read_text(encoding="utf-8"))
    output = described["network_data_format"]["outputs"]["pred"]
    output["num_channels"] = classes
    output["channel_def"] = {str(label): f"class {label}" for label in range(classes)}
    metadata.write_text(json.dumps(described, indent=4), encoding="utf-8")
    torch.manual_seed(SEED)
    network = content["network_def"]
    options = {key: value for key, value in network.items() if not key.startswith("_")}
    weights = AttentionUNet(**{**options, "out_channels": classes}).state_dict()
    torch.save(weights, folder / "models" / "model.pt")
    return folder


def _edit_config(folder: Path, changes: dict[str, Any]) -> dict[str, Any]:
    config = folder / "configs" / "inference.json"
    content: dict[str, Any] = {**json.loads(config.read_text(encoding="utf-8")), **changes}
    config.write_text(json.dumps(content, indent=4), encoding="utf-8")
    return content


def slices_commands(work: Path) -> Commands:
    """Return the runs over scans of more and more slices, in both modes."""
    folder = _once(work / "tall", lambda path: apart(write_tall_scans, path))
    return {
        (mode, count): ours(
            str(folder / f"{mode}_{count}.nii.gz"), str(work / "out" / mode), "--mode", mode
        )
        for count in SLICES
        for mode in ("full", "focus")
    }


def classes_commands(work: Path) -> Commands:
    """Return the runs with more and more classes."""
    folder = _once(work / "tall", lambda path: apart(write_tall_scans, path))
    scan = str(folder / f"full_{CLASSES_SLICES}.nii.gz")
    commands = {}
    for count in CLASSES:
        bundle = _once(work / f"bundle_{count}", lambda path, n=count: write_bundle(path, n))
        # random weights do not always agree in bfloat16
        options = ("--mode", "full", "--precision", "float32", "--bundle", str(bundle))
        commands["full", count] = ours(scan, str(work / "out" / f"classes_{count}"), *options)
    return commands


def scans_commands(work: Path) -> Commands:
    """Return the runs over folders of more and more scans."""
    folder = _once(work / "many", lambda path: apart(write_many_scans, path))
    bundle = _once(work / "bundle_light", write_light_bundle)
    options = ("--mode", "full", "--bundle", str(bundle))
    return {
        ("full", count): ours(
            str(folder / str(count)), str(work / "out" / f"scans_{count}"), *options
        )
        for count in SCANS
    }


GROWTHS = {"slices": slices_commands, "classes": classes_commands, "scans": scans_commands}


def measure_growth(work: Path, name: str, repeats: int) -> None:
    """Run what is missing, by turns, and add each figure to the record at once."""
    record = work / "growth.json"
    figures = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    figures["machine"] = machine()
    curves = figures.setdefault(name, {})
    commands = GROWTHS[name](work)
    first = {_bundle_of(command): command for command in reversed(commands.values())}
    for command in first.values():
        measure_fork(command, work / "log")  # not counted: it compiles what is kept
    for turn in range(repeats):
        for (curve, count), command in commands.items():
            runs = curves.setdefault(curve, {}).setdefault(str(count), [])
            if len(runs) > turn:
                continue
            runs.append(measure_fork(command, work / "log")._asdict())
            record.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
            print(f"{name} {curve} {count}: {runs[-1]}", flush=True)


def _bundle_of(command: list[str]) -> str:
    return command[command.index("--bundle") + 1] if "--bundle" in command else ""


def _once(path: Path, write: Callable[[Path], Any]) -> Path:
    """Return a folder that a function writes, unless it is there."""
    if not path.is_dir():
        draft = path.with_name(path.name + ".part")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        write(draft)
        draft.rename(path)
    return path


def main() -> None:
    """Measure each growth."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path, help="folder for scans, label maps and growth.json")
    parser.add_argument("--only", nargs="+", choices=[*GROWTHS], default=[*GROWTHS])
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    for part in PARTS:
        import_module(part)  # before the forks
    for name in given.only:
        measure_growth(given.work.absolute(), name, given.repeats)


if __name__ == "__main__":  # a process started apart imports this file
    main()
