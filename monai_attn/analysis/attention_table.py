"""Numbers of the attention maps of a run, compared with its own labels or with other label maps.

A run that writes attention maps leaves them next to its labels. They can be compared with any label map
on the same grid: the labels of the run, a reference, or the organs that another program found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from monai_attn.datasets.folders import label_maps_in
from monai_attn.datasets.pairs import references_among
from monai_attn.datasets.references import check_on_grid
from monai_attn.io.labels import labels_of
from monai_attn.io.map_encoding import to_bytes
from monai_attn.io.names import MAP, attention_path, case_name, check_name
from monai_attn.io.reorder import reordered
from monai_attn.io.scan import read_grid, read_volume
from monai_attn.io.tables import write_table
from monai_attn.io.volume import Volume
from monai_attn.metrics.attention_numbers import NUMBERS, GateNumbers, gate_numbers
from monai_attn.runs.manifest import read_manifest

LEVELS = range(16)  # a scan that is halved that often is one voxel
ELSEWHERE = "no label"
KEYS = ("gates",)  # of the JSON of such a table
COLUMNS = ("case", "gate", *NUMBERS, "label", "name", "share", "volume_share", "enrichment")


@dataclass(frozen=True)
class GateInCase:
    """The numbers of one gate in one case.

    Attributes:
        case: the case's name.
        level: level of the gate; 0 is the finest.
        numbers: its numbers.
    """

    case: str
    level: int
    numbers: GateNumbers


def attention_of_run(
    run: str | Path,
    labels: str | Path | None = None,
    *,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> list[GateInCase]:
    """Compute the numbers of every gate in every case of a run.

    Args:
        run: the folder of a run that wrote attention maps, or one label map in it.
        labels: label maps to compare with: a folder, in which `references_among` finds them by the cases'
            names, or one file if there is one case; by default the labels of the run.
        on_case: called after each case with the number of cases done and the number of all cases.

    Raises:
        ValueError: one line that names the file, if a map or a label map is missing or not valid, or
            two of them lie on different grids.
    """
    cases = _cases(Path(run), labels)
    gates: list[GateInCase] = []
    for done, case in enumerate(cases, 1):
        gates += _gates(*case)
        on_case(done, len(cases))
    return gates


def read_map(path: Path) -> tuple[Volume, NDArray[np.uint8]]:
    """Read a map of fractions as it is stored: its volume, and a byte for each voxel.

    Raises:
        ValueError: if it cannot be read, or holds anything but -1/254 and 0 to 1 in steps of 1/254.
    """
    volume = read_volume(path, fill=None)
    stored = np.empty(volume.shape, np.uint8, order="F")
    for layer, out in zip(np.moveaxis(volume.data, -1, 0), np.moveaxis(stored, -1, 0), strict=True):
        layer_bytes = to_bytes(layer)
        if layer_bytes is None:
            raise ValueError(
                f"{path}: no attention map (expected 0 to 1, and -1/254 where the network did not run). "
                "Segment the scan again, with attention."
            )
        out[...] = layer_bytes
    return volume, stored


def attention_rows(
    gates: Iterable[GateInCase], names: Mapping[int, str] | None = None
) -> list[dict[str, Any]]:
    """Return a row for each case, gate and label; in each gate the label with most attention first.

    Args:
        gates: the numbers of gates, of any number of cases.
        names: the names of the labels; a label without a name is shown by its number.

    Returns:
        The numbers of the gate and of the label, as plain values for JSON. Label 0 stands for the voxels
        without a label.
    """
    label_names = {0: ELSEWHERE, **(names or {})}
    return [
        {
            "case": gate.case,
            "gate": gate.level,
            **{name: getattr(gate.numbers, name) for name in NUMBERS},
            "label": label,
            "name": label_names.get(label, str(label)),
            "share": gate.numbers.shares[label],
            "volume_share": gate.numbers.volume_shares[label],
            "enrichment": gate.numbers.enrichment(label),
        }
        for gate in gates
        for label in _ordered(gate.numbers)
    ]


def write_attention(
    gates: Iterable[GateInCase], path: str | Path, names: Mapping[int, str] | None = None
) -> Path:
    """Write `attention_rows` as JSON or CSV, by the suffix of the path.

    Raises:
        ValueError: if the file name ends in neither .json nor .csv.
    """
    rows = attention_rows(gates, names)
    return write_table(path, {"gates": rows}, COLUMNS, rows)


def attention_table(
    gates: Sequence[GateInCase], names: Mapping[int, str] | None = None
) -> tuple[Table, Table]:
    """Lay out two tables for the terminal: the numbers of each gate, and its attention by label."""
    numbers = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    numbers.add_column("case", overflow="fold")  # a shortened name could be that of another case
    numbers.add_column("gate", justify="right")
    for name in NUMBERS:
        heading = {"entropy": "entropy\nbits", "saturated": "satu-\nrated"}.get(name, name)
        numbers.add_column(heading, justify="right", no_wrap=True)
    for gate in gates:
        cells = [_cell(getattr(gate.numbers, name), ".3f") for name in NUMBERS]
        numbers.add_row(Text(gate.case), str(gate.level), *cells)
    shares = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    shares.add_column("case", overflow="fold")
    shares.add_column("gate", justify="right")
    shares.add_column("looks at", overflow="fold")
    for heading in ("attention", "volume", "enrichment"):
        shares.add_column(heading, justify="right", no_wrap=True)
    for row in attention_rows(gates, names):
        shares.add_row(
            *(Text(row["case"]), str(row["gate"]), Text(row["name"])),
            *(_percent(row["share"]), _percent(row["volume_share"])),
            _cell(row["enrichment"], ".2f"),
        )
    return numbers, shares


def _cases(run: Path, labels: str | Path | None) -> list[tuple[str, Path, Path]]:
    """Return each case's name, its label map in the run, and the label map to compare with."""
    if not run.exists():
        raise ValueError(
            f"{run}: no such file or folder (expected the output of a run with attention). Check the path."
        )
    if not run.is_dir():
        check_name(run)
    files = label_maps_in(run) if run.is_dir() else [run]
    targets = [file for file in files if not MAP.search(case_name(file))]
    if not targets:
        raise ValueError(
            f"{run}: no label map, only maps that belong to one (expected the output of a run). Give its "
            "folder or a label map."
        )
    cases = [(case_name(file).removesuffix("_seg"), file) for file in targets]
    if labels is None:
        return [(case, file, file) for case, file in cases]
    references = references_among([case for case, _ in cases], labels)
    unpaired = [str(file) for case, file in cases if case not in references]
    if unpaired:
        raise ValueError(
            f"{labels}: no labels for {', '.join(unpaired)} (expected a label map with each case's name). "
            "Add or rename label maps, and write several organs as one label map."
        )
    return [(case, file, references[case]) for case, file in cases]


def _gates(case: str, target: Path, labels: Path) -> Iterator[GateInCase]:
    maps = {level: attention_path(target, level) for level in LEVELS}
    maps = {level: path for level, path in maps.items() if path.is_file()}
    if not maps:
        raise ValueError(
            f"{target}: no attention map next to it (expected one such as "
            f"{attention_path(target, 1).name}). Segment the scan again, with attention."
        )
    reference = read_volume(labels, fill=None)
    check_on_grid(reference, read_grid(target))
    values = labels_of(reordered(reference, read_grid(target)))
    del reference
    regions = read_manifest(target)[0].regions if labels == target else None
    for level, path in maps.items():
        volume, stored = read_map(path)
        check_on_grid(volume.grid, read_grid(target))
        yield GateInCase(case, level, gate_numbers(stored, values, regions))


def _ordered(numbers: GateNumbers) -> list[int]:
    return sorted(numbers.shares, key=lambda label: (-(numbers.shares[label] or 0), label))


def _percent(value: float | None) -> str:
    """Format a fraction as per cent: one decimal, or two significant digits below 0.1 %."""
    if value is not None and 0 < value < 0.001:
        return f"{100 * value:.2g}%"
    return _cell(value, ".1%")


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"
