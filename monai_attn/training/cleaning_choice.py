"""Choice of a bundle's cleaning by the Dice of cases that did not train it.

For each class it is tried whether keeping only the largest component, and filling holes, raise the mean Dice
of label maps that were not cleaned. nnU-Net's `find_best_configuration` does so with the largest component.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np
from monai.transforms import Compose
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

from monai_attn.bundle.bundle import Bundle
from monai_attn.bundle.open import open_bundle
from monai_attn.datasets.datalist import first_file
from monai_attn.datasets.ignore import IGNORED
from monai_attn.datasets.listed_splits import read_split
from monai_attn.datasets.references import read_reference
from monai_attn.io.names import case_name
from monai_attn.metrics.label_scores import dice_of
from monai_attn.training.config_files import read_config, write_config
from monai_attn.training.run_folder import SCORES, SPLIT
from monai_attn.transforms.components import clean_labels
from monai_attn.transforms.grids import LabelsOnScanGridd

MEASURED = "eval/cleaning.json"
OPTIONS = ("keep_largest", "fill_holes")
TRIALS: dict[str, tuple[str, ...]] = {
    "as_it_is": (),
    "keep_largest": ("keep_largest",),
    "fill_holes": ("fill_holes",),
    "both": OPTIONS,
}
ROUNDING = 1e-9  # a mean that rises by less has not risen
OnCase = Callable[[int, int], None]


@dataclass(frozen=True)
class CleaningTrial:
    """The Dice of one class in one case, after each way to clean it.

    Attributes:
        case: the name of the case.
        label: the class.
        as_it_is: without cleaning.
        keep_largest: with its largest component only.
        fill_holes: with its holes filled.
        both: with both.
    """

    case: str
    label: int
    as_it_is: float
    keep_largest: float
    fill_holes: float
    both: float


@dataclass(frozen=True)
class CleaningChoice:
    """The cleaning that is chosen for one class.

    Attributes:
        label: the class.
        cases: number of cases that have it, in the reference or in the label map.
        dice: the mean Dice of each way to clean it, by the names of `CleaningTrial`.
        chosen: the options that are set for it, of `keep_largest` and `fill_holes`.
    """

    label: int
    cases: int
    dice: Mapping[str, float]
    chosen: tuple[str, ...]


def try_cleaning(
    run: Path, device: str = "auto", on_case: OnCase = lambda done, total: None
) -> list[CleaningTrial]:
    """Try each way to clean the labels of a training's validation cases.

    The cases are segmented again, without any cleaning. The result is stored in the folder, and read from
    there as long as the weights are the same.

    Args:
        run: the folder of a training that has ended.
        device: as for `open_bundle`.
        on_case: called after each case with the number of cases done and the total.

    Raises:
        ValueError: if a case cannot be segmented.
    """
    opened = open_bundle(run, device)
    pieces_from = _pieces_from(run)
    basis = {"weights_sha256": opened.weights_sha256, "keep_pieces_from": pieces_from}
    stored = _stored(run / MEASURED, basis)
    if stored is not None:
        return stored
    raw = replace(opened.segmenter(), postprocessing=Compose([LabelsOnScanGridd("pred")]))
    cases = read_split(run / SPLIT)["validation"]
    trials: list[CleaningTrial] = []
    for done, case in enumerate(cases, 1):
        result = raw(case["image"])
        reference = read_reference(case["label"], result.scan, opened.classes, ignore=opened.ignore)
        trials += trials_of(
            result.labels,
            reference,
            opened.label_names,
            case=case_name(first_file(case)),
            keep_pieces_from=pieces_from,
        )
        on_case(done, len(cases))
    write_config(run / MEASURED, {**basis, "trials": [asdict(trial) for trial in trials]})
    return trials


def trials_of(
    labels: NDArray[np.integer],
    reference: NDArray[np.integer],
    classes: Iterable[int],
    *,
    case: str = "",
    keep_pieces_from: float = 1.0,
) -> list[CleaningTrial]:
    """Score each way to clean a label map; classes that are in neither map are left out.

    Args:
        labels: (X, Y, Z), not cleaned.
        reference: (X, Y, Z) on the same grid; voxels that are `IGNORED` count nowhere.
        classes: the classes.
        case: the name of the case.
        keep_pieces_from: as for `clean_labels`.
    """
    classes = sorted(classes)
    dices: dict[str, list[float | None]] = {}
    for name, options in TRIALS.items():
        cleaned = labels.copy(order="K")
        clean_labels(
            cleaned,
            keep_pieces_from=keep_pieces_from,
            **dict.fromkeys(options, classes),
        )
        dices[name] = _dices(cleaned, reference, classes)
    found = []
    for index, label in enumerate(classes):
        values = {name: dice[index] for name, dice in dices.items()}
        known = {name: value for name, value in values.items() if value is not None}
        if len(known) == len(TRIALS):
            found.append(CleaningTrial(case, label, **known))
    return found


def choose_cleaning(trials: Sequence[CleaningTrial]) -> list[CleaningChoice]:
    """Choose the cleaning of each class: an option is set only if it raises the mean Dice of all cases.

    The largest component is tried first, and then the holes of what is left.
    """
    choices = []
    for label in sorted({trial.label for trial in trials}):
        own = [trial for trial in trials if trial.label == label]
        dice = {name: fmean(getattr(trial, name) for trial in own) for name in TRIALS}
        largest = dice["keep_largest"] > dice["as_it_is"] + ROUNDING
        before, after = ("keep_largest", "both") if largest else ("as_it_is", "fill_holes")
        holes = dice[after] > dice[before] + ROUNDING
        chosen = [
            option for option, is_set in zip(OPTIONS, (largest, holes), strict=True) if is_set
        ]
        choices.append(CleaningChoice(label, len(own), dice, tuple(chosen)))
    return choices


def set_cleaning(
    run: Path, choices: Sequence[CleaningChoice], *, fixed: Iterable[str] = ()
) -> bool:
    """Write the chosen cleaning into a training's configs.

    Where it changes the label maps, the scores are deleted first: a fold without scores is scored again by
    whatever resumes it.

    Args:
        run: its folder.
        choices: the choice for each class; classes without one keep their options.
        fixed: options that stay as they are.

    Returns:
        True if that changed the cleaning of the label maps that it writes.
    """
    changed = False
    for name in ("inference.json", "evaluate.json"):
        path = run / "configs" / name
        config = read_config(path) if path.is_file() else {}
        values = {
            option: _with_choices(config[option], option, choices)
            for option in OPTIONS
            if option in config and option not in fixed
        }
        if any(sorted(config[option]) != value for option, value in values.items()):
            if name == "inference.json":
                (run / SCORES).unlink(missing_ok=True)
                changed = True
            write_config(path, {**config, **values})
    return changed


def choice_table(choices: Sequence[CleaningChoice], names: Mapping[int, str]) -> Table:
    """Lay out the mean Dice of each way to clean a class, and what is chosen, for the terminal."""
    table = Table("class", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for heading in ("cases", "Dice,\nnot cleaned", "largest\ncomponent", "holes\nfilled", "both"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("chosen")
    for choice in choices:
        words = ", ".join(choice.chosen) or "no cleaning"
        table.add_row(
            names.get(choice.label, str(choice.label)),
            str(choice.cases),
            *[f"{choice.dice[name]:.4f}" for name in TRIALS],
            words,
        )
    return table


def can_choose(opened: Bundle) -> bool:
    """Return whether the cleaning of a bundle can be chosen: regions that overlap are not tried."""
    return opened.decoding.regions is None


def _with_choices(now: Sequence[int], option: str, choices: Sequence[CleaningChoice]) -> list[int]:
    judged = {choice.label for choice in choices}
    kept = set(now) - judged
    return sorted(kept | {choice.label for choice in choices if option in choice.chosen})


def _dices(
    labels: NDArray[np.integer], reference: NDArray[np.integer], classes: Sequence[int]
) -> list[float | None]:
    """Return the Dice of each class; None if neither map has it."""
    known = reference != IGNORED
    size = max(classes, default=0) + 1
    predicted, expected = labels[known], reference[known]
    one, other, both = (
        np.bincount(values, minlength=size)
        for values in (predicted, expected, predicted[predicted == expected])
    )
    return [
        dice_of(int(both[label]), int(one[label]), int(other[label]))
        if one[label] or other[label]
        else None
        for label in classes
    ]


def _pieces_from(run: Path) -> float:
    return float(read_config(run / "configs" / "inference.json").get("keep_pieces_from", 1.0))


def _stored(path: Path, basis: Mapping[str, object]) -> list[CleaningTrial] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if any(content[name] != value for name, value in basis.items()):
            return None
        return [CleaningTrial(**trial) for trial in content["trials"]]
    except (OSError, ValueError, LookupError, TypeError):
        return None  # it is measured again
