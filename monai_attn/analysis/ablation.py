"""Ablation of gates: comparison of the labels with a gate at work and with it held open.

An attention map shows where a gate lets the skip pass, but not whether that matters. A gate that is held
open (alpha = 1 everywhere) decides nothing any more: the change in the labels is the effect of the gate.
The rest of the network is not trained again, and focus mode runs the same windows, since the locator
does not change.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from monai_attn.bundle.bundle import Bundle
from monai_attn.bundle.open import open_bundle
from monai_attn.datasets.ignore import IGNORED
from monai_attn.datasets.references import check_reference, read_reference
from monai_attn.datasets.regions import Regions, region_volumes_ml
from monai_attn.inference.segmenter import Segmenter
from monai_attn.io.channels import Image, files_of, open_image
from monai_attn.io.errors import ScanWarning
from monai_attn.io.grid import voxel_ml
from monai_attn.io.names import case_name
from monai_attn.io.tables import write_table
from monai_attn.metrics.label_scores import dice_of

ALL = "all"
MEASURES = ("dice", "plain_ml", "open_ml", "change_ml")
AGAINST_REFERENCE = ("plain_reference_dice", "open_reference_dice", "reference_dice_change")
COLUMNS = ("case", "open", "label", *MEASURES, *AGAINST_REFERENCE)
KEYS = ("settings", "cases", "mean")  # of the JSON of an ablation


@dataclass(frozen=True)
class OpenedLabel:
    """Change of one label of one case when a gate is held open.

    Attributes:
        case: the case's name.
        open: the gate's level, or "all".
        label: the number of the label.
        dice: Dice of the label with the gate open against the plain label; 1 if both are empty.
        plain_ml: volume of the plain label, in ml.
        open_ml: volume with the gate open, in ml.
        plain_reference_dice: Dice of the plain label against the reference, if there is one.
        open_reference_dice: Dice of the label with the gate open against the reference.
    """

    case: str
    open: str
    label: int
    dice: float
    plain_ml: float
    open_ml: float
    plain_reference_dice: float | None = None
    open_reference_dice: float | None = None

    @property
    def change_ml(self) -> float:
        """The change in volume, in ml: above 0 if the gate kept something out."""
        return self.open_ml - self.plain_ml

    @property
    def reference_dice_change(self) -> float | None:
        """The change in Dice against the reference: below 0 if the gate was useful."""
        if self.plain_reference_dice is None or self.open_reference_dice is None:
            return None
        return self.open_reference_dice - self.plain_reference_dice

    def row(self) -> dict[str, Any]:
        """Return the fields and both changes as plain values."""
        changes = {"change_ml": self.change_ml, "reference_dice_change": self.reference_dice_change}
        return {**asdict(self), **changes}


@dataclass(frozen=True)
class Ablation:
    """The segmenters of one bundle: unchanged, and with gates held open.

    Attributes:
        bundle: the bundle.
        plain: the unchanged segmenter.
        opened: the segmenter with one gate open, by the gate's level; if there are several, also "all".
    """

    bundle: Bundle
    plain: Segmenter
    opened: dict[str, Segmenter]

    def __call__(
        self,
        scan: Image,
        reference: Path | None = None,
        classes: Mapping[int, int] | None = None,
        ignore: int | None = None,
        *,
        name: str = "",
    ) -> list[OpenedLabel]:
        """Segment a scan with each segmenter and compare the labels; memory holds the labels of one case.

        Args:
            scan: a NIfTI file, or a DICOM folder; a tuple has a file for each channel.
            reference: a label map on its grid.
            classes: the label of each value in the reference, if the values differ from those that the
                bundle was trained with.
            ignore: the value that marks ignored voxels in the reference. By default, without `classes`,
                the one that the bundle was trained with.
            name: the case's name; by default that of the scan's file.

        Raises:
            ValueError: one line that names the file, if it cannot be segmented, or the reference does
                not lie on its grid or holds a value without a label.
        """
        expected = None
        if reference is not None:
            check_reference(reference, scan)
            if ignore is None and not classes:
                ignore = self.bundle.ignore
            grid = open_image(scan).grid
            expected = read_reference(reference, grid, self.bundle.classes, classes, ignore)
        plain, path = self.plain(scan), files_of(scan)[0]
        if plain.plan and plain.plan.fallback:
            warnings.warn(f"{path}: full mode: {plain.plan.fallback}", ScanWarning, stacklevel=2)
        voxel, numbers = voxel_ml(plain.scan.affine), self.bundle.label_names
        regions = self.bundle.decoding.regions
        present = {n for n in numbers if expected is not None and _mask(expected, n, regions).any()}
        before = None if expected is None else _dices(plain.labels, expected, numbers, regions)
        rows = []
        for gate, segmenter in self.opened.items():
            labels = segmenter(scan).labels
            dices = _dices(labels, plain.labels, numbers, regions)
            after = None if expected is None else _dices(labels, expected, numbers, regions)
            plain_ml, open_ml = (
                region_volumes_ml(one, voxel, regions) for one in (plain.labels, labels)
            )
            rows += [
                OpenedLabel(
                    name or case_name(path),
                    gate,
                    label,
                    dice=dices[label],
                    plain_ml=plain_ml.get(label, 0.0),
                    open_ml=open_ml.get(label, 0.0),
                    plain_reference_dice=before[label] if before and label in present else None,
                    open_reference_dice=after[label] if after and label in present else None,
                )
                for label in numbers
            ]
        return rows


def open_ablation(name_or_dir: str | Path, device: str = "auto", **options: Any) -> Ablation:
    """Open a bundle, unchanged, with each gate held open, and, if there are several, with all open.

    All of them compute in float32 with the same backend, so that no difference is due to rounding.

    Args:
        name_or_dir: as for `open_bundle`.
        device: as for `open_bundle`.
        options: as for `open_bundle`, except the precision.

    Raises:
        ValueError: as `open_bundle`, and if its network has no gates.
    """
    options = {**options, "precision": "float32"}
    bundle = open_bundle(name_or_dir, device, **options)
    plain = bundle.segmenter()
    bundle = replace(bundle, backend=plain.settings["backend"])
    levels = list(getattr(bundle.network, "gated_levels", ()))
    if not levels:
        raise ValueError(f"{bundle.root}: its network has no gates. Choose another bundle.")
    sets = {str(level): [level] for level in levels}
    if len(levels) > 1:
        sets[ALL] = levels
    opened = {gate: bundle.segmenter(open_levels=chosen) for gate, chosen in sets.items()}
    return Ablation(bundle, plain, opened)


def mean_rows(rows: Sequence[OpenedLabel]) -> list[dict[str, Any]]:
    """Return the means over cases: a row for each gate and label, with the number of cases `n`."""
    groups = {(row.open, row.label): [] for row in rows}  # type: dict[tuple[str, int], list[dict]]
    for row in rows:
        groups[row.open, row.label].append(row.row())
    return [
        {
            "open": gate,
            "label": label,
            "n": len(group),
            **{name: _mean(row[name] for row in group) for name in (*MEASURES, *AGAINST_REFERENCE)},
        }
        for (gate, label), group in groups.items()
    ]


def write_ablation(
    rows: Sequence[OpenedLabel], path: str | Path, settings: Mapping[str, Any]
) -> Path:
    """Write the rows as JSON, with their means and the settings, or as CSV, by the suffix of the path.

    Raises:
        ValueError: if the file name ends in neither .json nor .csv.
    """
    cases = [row.row() for row in rows]
    content = {"settings": dict(settings), "cases": cases, "mean": mean_rows(rows)}
    return write_table(path, content, COLUMNS, cases)


def ablation_table(rows: Sequence[OpenedLabel], names: dict[int, str]) -> Table:
    """Lay out rows for the terminal: one for each case, gate and label, then the means over cases."""
    referenced = any(row.open_reference_dice is not None for row in rows)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("case", overflow="fold")  # a shortened name could be that of another case
    table.add_column("open", justify="right")
    table.add_column("label", overflow="fold")
    for heading in ("Dice\nto plain", "plain\nml", "change\nml"):
        table.add_column(heading, justify="right", no_wrap=True)
    if referenced:
        for heading in ("ref.\nDice", "change"):
            table.add_column(heading, justify="right", no_wrap=True)
    lines = [(row.case, row.row()) for row in rows]
    means = [(f"mean of {row['n']}", row) for row in mean_rows(rows) if row["n"] > 1]
    for i, (case, row) in enumerate([*lines, *means]):
        if i == len(lines):
            table.add_section()
        cells = [f"{row['dice']:.3f}", f"{row['plain_ml']:.1f}", _signed(row["change_ml"], 1)]
        if referenced:
            change = _signed(row["reference_dice_change"], 3)
            cells += [f"{row['plain_reference_dice']:.3f}", change]
        name = names.get(row["label"], str(row["label"]))
        table.add_row(Text(case), row["open"], Text(name), *cells)
    return table


def _mask(labels: NDArray[np.integer], label: int, regions: Regions | None) -> NDArray[np.bool_]:
    return labels == label if regions is None else regions.mask(labels, label)


def _dices(
    labels: NDArray[np.integer],
    others: NDArray[np.integer],
    numbers: Iterable[int],
    regions: Regions | None = None,
) -> dict[int, float]:
    """Return the Dice of each label in two label maps, over the voxels that the second does not ignore."""
    dices = {}
    known = others != IGNORED
    for number in numbers:
        one = _mask(labels, number, regions) & known
        other = _mask(others, number, regions)
        counts = [int(np.count_nonzero(mask)) for mask in (one & other, one, other)]
        dices[number] = dice_of(*counts)
    return dices


def _signed(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0:+.{digits}f}"  # + 0 removes the minus of a zero


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
