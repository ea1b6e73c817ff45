"""Checks of the machine, a bundle and scans that show warnings and errors before a long run."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
import torch
from nibabel.orientations import aff2axcodes
from platformdirs import user_cache_path

import monai_attn
from monai_attn.bundle.bundle import Bundle
from monai_attn.bundle.find import find_bundle, is_shipped
from monai_attn.bundle.open import open_bundle
from monai_attn.datasets.cases import find_cases, find_images
from monai_attn.datasets.channels import Channel, name_channels
from monai_attn.datasets.checked_cases import check_values, count_labels, read_image
from monai_attn.datasets.datalist import Case, first_file, read_datalist
from monai_attn.datasets.folder_layouts import find_layout
from monai_attn.datasets.label_classes import BACKGROUND, LabelClasses
from monai_attn.datasets.label_rules import LabelRules, read_label_rules
from monai_attn.datasets.masks import mask_choices, uses_masks
from monai_attn.datasets.pancreas_ct import has_pancreas_ct
from monai_attn.datasets.splits import choose_split
from monai_attn.datasets.trees import ALL
from monai_attn.inference.backends import installed_backends
from monai_attn.inference.backends.eager import has_bfloat16
from monai_attn.inference.inferer_windows import windows_of
from monai_attn.inference.memory import format_memory, free_memory
from monai_attn.inference.segmenter import Segmenter
from monai_attn.io.affine import spaced
from monai_attn.io.dicom.series_path import folder_of
from monai_attn.io.dicom.source import read_source
from monai_attn.io.errors import Faults, case_error, collect_warnings, one_line, remedy_of
from monai_attn.io.grid import Grid
from monai_attn.io.scan import Scan

LIBRARIES = ("torch", "monai", "nibabel", "numpy", "SimpleITK", "isal")
EXPECTED = (  # files of a bundle that its clients expect
    "LICENSE",
    "configs/inference.json",
    "configs/logging.conf",
    "configs/metadata.json",
    "configs/train.json",
    "docs/README.md",
    "models/model.pt",
)


@dataclass(frozen=True)
class Finding:
    """The result of checking a scan or a bundle.

    Attributes:
        subject: the scan or the bundle.
        facts: a short description.
        doubts: the doubts about it, one line each.
        refused: the reason why it cannot be used, in one line, or empty.
        remedy: the option in `refused` that remedies it, such as `volume=N`, or empty.
    """

    subject: str
    facts: str = ""
    doubts: tuple[str, ...] = ()
    refused: str = ""
    remedy: str = ""

    @property
    def verdict(self) -> str:
        """The result in one word."""
        return "refused" if self.refused else "doubtful" if self.doubts else "sound"


def machine_facts() -> dict[str, str]:
    """Return the versions, devices, backends, memory and cache of this machine."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    bfloat16 = "with" if has_bfloat16(torch.device("cpu")) else "without"
    total = psutil.virtual_memory().total
    cache = user_cache_path("monai-attn", appauthor=False)
    cache_bytes = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    return {
        "monai-attn": f"{monai_attn.__version__}, in {Path(monai_attn.__file__).parent}",
        "Python": f"{platform.python_version()}, {sys.executable}",
        **{name: version(name) for name in LIBRARIES},
        "CPU": f"{os.cpu_count()} threads, {bfloat16} bfloat16 units",
        "GPU": ", ".join(gpus) or "none that torch sees",
        "backends": ", ".join(installed_backends()),
        "memory": f"{format_memory(free_memory())} free of {format_memory(total)}",
        "cache": f"{cache}, {format_memory(cache_bytes)}",
    }


def check_bundle(name_or_dir: str | Path, device: str = "auto") -> Finding:
    """Check that a bundle is complete and opens, and that the weights of a shipped one are unchanged."""
    subject = str(name_or_dir)
    try:
        root = find_bundle(name_or_dir)
        opened = open_bundle(name_or_dir, device, backend="eager", precision="float32")
    except Exception as error:  # a bundle's config can run code, and code can raise anything
        return Finding(subject, refused=one_line(error))
    doubts = [f"{root / name}: is missing" for name in EXPECTED if not (root / name).is_file()]
    if fault := windows_of(opened.inferer).locator_fault:
        doubts.append(f"{root}: {fault}; all windows run")
    weights = "as shipped" if is_shipped(name_or_dir) else opened.weights_sha256[:12]
    labels = ", ".join(opened.label_names.values())
    return Finding(subject, f"labels {labels}; weights {weights}; in {root}", tuple(doubts))


def check_data(
    source: str | Path,
    bundle: Bundle,
    *,
    labels: Sequence[str] = (),
    ignore: int | None = None,
    volume: int | None = None,
    series: str | None = None,
) -> Iterator[Finding]:
    """Check each scan as segmenting it would, and label maps and the data set as a training would.

    Args:
        source: a scan, a folder of scans, a data set or a datalist. All sections of the last two are
            checked, with their label maps if they have any.
        bundle: the bundle to segment or train with.
        labels: the choice of classes that a training would be given; by default the bundle's classes.
        ignore: value that marks ignored voxels in label maps; by default the one that the data set declares,
            or else that of the bundle's training, if the value is not a label here.
        volume: as for `open_scan`.
        series: as for `find_images`.

    Yields:
        A finding for each scan; then one for each fault or doubt of the data set as a whole.

    Raises:
        ValueError: if there is no scan, or the ignore value is malformed.
    """
    labels = mask_choices(source, labels)
    cases = _cases(Path(source), labels, bundle.channels, series)
    segmenter = bundle.segmenter(volume=volume, series=None if series == ALL else series)
    if not any("label" in case for case in cases):
        for case in cases:
            yield _check_case(case, segmenter, None)
        return
    names = (BACKGROUND, *bundle.label_names.values())
    own = LabelClasses(names, bundle.classes, bundle.decoding.regions)
    rules = read_label_rules(source, own, labels, ignore, bundle.ignore)
    channels = _other_channels(source, bundle, cases)
    values: set[int] = set()
    complete = True
    for case in cases:
        finding = _check_case(case, segmenter, rules, channels, values)
        complete &= not finding.refused
        yield finding
    yield from _check_data_set(Path(source), rules, values if complete else None)


def _check_data_set(source: Path, rules: LabelRules, values: set[int] | None) -> Iterator[Finding]:
    """Check what a training checks beyond single files: names, ignore value, classes and the split.

    The last two are only known when every file was read: `values` in all label maps, or None.
    """

    def classes() -> tuple[str, ...]:
        return (*rules.check(), *(() if values is None else rules.choose(values)[1]))

    def split() -> tuple[str, ...]:
        if values is not None:
            choose_split(source, labels=rules.chosen)
        return ()

    for check in (classes, split):
        try:
            with collect_warnings() as doubts:
                doubts += check()
        except Faults as error:
            for line, remedy in zip(error.lines, error.remedies, strict=True):
                yield Finding(str(source), refused=line, remedy=remedy)
        except ValueError as error:
            yield Finding(str(source), refused=case_error(source, error), remedy=remedy_of(error))
        else:
            if doubts:
                yield Finding(str(source), "the data set as a whole", tuple(doubts))


def _cases(
    source: Path, labels: Sequence[str], channels: Sequence[Channel], series: str | None
) -> list[Case]:
    layout = find_layout(source)
    listed = source.suffix == ".json" or (source / "dataset.json").is_file()
    masks = bool(labels) and uses_masks(source)
    if (layout and layout.labels.is_dir()) or masks or (not listed and has_pancreas_ct(source)):
        return find_cases(source, labels)
    if listed:
        return [case for cases in read_datalist(source).values() for case in cases]
    return [{"image": image} for image in find_images(source, channels or None, series)]


def _check_case(
    case: Case,
    segmenter: Segmenter,
    rules: LabelRules | None,
    channels: Sequence[Channel] | None = None,
    values: set[int] | None = None,
) -> Finding:
    """Check a scan and, by the rules, its label map; add the values of the map to `values`.

    The images have `channels` if they are others than those of the bundle.
    """
    image = first_file(case)
    subject = Path(image)
    doubts: list[str] = []
    try:
        with collect_warnings() as doubts:
            if channels is not None:
                grid, *_ = read_image(case, channels)
            else:
                scan = segmenter.open(case["image"])
                grid = segmenter.check(scan)
            facts = _facts(grid)
            if channels is None and "label" not in case and folder_of(subject)[0].is_dir():
                facts += _dicom_output(scan, doubts)
            if "label" in case and rules:
                subject = Path(case["label"])
                voxels, ignored = count_labels(subject, grid, rules.ignore)
                check_values(subject, voxels, rules.allowed, rules.declared)
                facts += f"; {_labels_in(voxels, ignored, grid)}"
                if values is not None:
                    values.update(voxels)
    except Exception as error:  # as in a run, the other cases are still checked
        return Finding(
            str(subject),
            doubts=tuple(doubts),
            refused=case_error(subject, error),
            remedy=remedy_of(error),
        )
    return Finding(image, facts, tuple(doubts))


def _dicom_output(scan: Scan, doubts: list[str]) -> str:
    """Return the kinds of DICOM files that can refer to a series; add a doubt if none can."""
    try:
        doubts += read_source(scan.files, scan.grid).doubts
    except ValueError as error:
        doubts.append(f"{scan.path}: no DICOM SEG and no RTSTRUCT can refer to it ({error})")
        return ""
    if not find_spec("highdicom"):
        return '; as DICOM: RTSTRUCT; SEG needs pip install "monai-attn[dicom]"'
    return "; as DICOM: SEG, RTSTRUCT"


def _other_channels(
    source: str | Path, bundle: Bundle, cases: Sequence[Case]
) -> tuple[Channel, ...] | None:
    """Return the channels with which a training would replace the bundle's; None if it would keep those."""
    try:
        channels, _ = name_channels(source, cases, (), bundle.channels)
    except ValueError:  # each file is checked in its turn
        return None
    return None if channels == bundle.channels else channels


def _facts(grid: Grid) -> str:
    sizes = np.linalg.norm(grid.affine[:3, :3], axis=0)
    shape = " x ".join(str(n) for n in grid.shape)
    return f"{shape} voxels of {spaced(sizes)} mm, {''.join(aff2axcodes(grid.affine))}"


def _labels_in(voxels: Mapping[int, int], ignored: int, grid: Grid) -> str:
    """Describe the labels in a label map by their voxels, and how many are ignored."""
    values = [value for value in voxels if value > 0]
    labels = f"labels {', '.join(map(str, values[:20]))}" if values else "no voxel is labelled"
    return f"{labels}; {100 * ignored / np.prod(grid.shape):.0f} % ignored" if ignored else labels
