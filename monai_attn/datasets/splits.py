"""Splits into training and validation: random from a seed, in folds, or by the folds of a datalist.

A random split depends on the seed and on the cases,
not on the order in which they were found. Cases of one patient, as far as `groups` knows, are in one part.
Folds that a datalist gives are kept, whatever the seed.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monai_attn.datasets.cases import find_cases
from monai_attn.datasets.datalist import Case, first_file
from monai_attn.datasets.groups import check_sides, complete, group_by_name, patients_of
from monai_attn.datasets.listed_splits import Split, given_split, without_split_keys
from monai_attn.io.errors import ScanWarning

FOLDS = 5


def choose_split(
    source: str | Path,
    *,
    validation: float = 0.2,
    fold: int | None = None,
    folds: int | None = None,
    group: str | None = None,
    labels: Sequence[str] = (),
) -> Split:
    """Choose the split of a data set: its own, a fold, or a random one with a fixed seed.

    Args:
        source: as for `find_cases`.
        validation: fraction of the cases for validation, if the data set has no split or folds.
        fold: the fold that validates; without it, the first of the folds that a datalist gives.
        folds: number of folds; by default as many as the datalist gives, or else 5.
        group: a regular expression that finds the patient in a case's name.
        labels: as for `find_cases`.

    Raises:
        ValueError: if the arguments do not fit the data set or each other.
        Faults: a line for each fault of the data set, and each patient in several parts.
    """
    given = given_split(source, group=group)
    if given:
        if fold is not None or folds is not None:
            raise ValueError(
                f"{source}: defines its own validation cases, so that no fold can be chosen. Leave out the "
                "fold and the number of folds, or its section validation."
            )
        return given
    cases = find_cases(source, labels)
    if group is not None:
        cases = group_by_name(cases, group)
    if fold is None and not complete(cases, "fold"):
        if folds is not None:
            raise ValueError(
                f"{source}: {folds} folds, but none is chosen for validation. Choose a fold from 0 to "
                f"{folds - 1}."
            )
        return split_cases(cases, validation=validation)
    if fold is None:
        fold = _first_fold(cases)
    return fold_cases(cases, folds=folds, fold=fold)


def fold_numbers(
    source: str | Path,
    *,
    folds: int | None = None,
    group: str | None = None,
    labels: Sequence[str] = (),
) -> tuple[int, ...]:
    """Return the numbers of all folds of a data set: those that it gives, or from 0 on.

    Args:
        source: as for `find_cases`.
        folds: as for `choose_split`.
        group: as for `choose_split`.
        labels: as for `find_cases`.

    Raises:
        ValueError: as `choose_split` for one of them.
    """
    cases = [] if given_split(source, group=group) else find_cases(source, labels)
    numbers: Sequence[int] = range(FOLDS if folds is None else folds)
    if cases and complete(cases, "fold"):
        numbers = sorted({int(case["fold"]) for case in cases})
    choose_split(source, fold=next(iter(numbers), 0), folds=folds, group=group, labels=labels)
    return tuple(numbers)


def split_cases(cases: Sequence[Case], *, validation: float = 0.2, seed: int = 0) -> Split:
    """Hold out a random fraction of the cases for validation, or the first fold if a datalist has folds.

    Args:
        cases: as found.
        validation: the fraction, at least one case. If patients have several cases, as many patients as fit
            into the fraction, or else the one with the fewest cases.
        seed: seed of the shuffle.

    Returns:
        The parts, each sorted by image, without groups.

    Raises:
        ValueError: if fewer than two cases or patients are given, or `validation` is not between 0 and 1.
    """
    if len(cases) < 2:
        raise ValueError(
            f"cases (={len(cases)}) must be two or more: one part trains, one validates. Add cases."
        )
    if not 0 < validation < 1:
        raise ValueError(f"validation (={validation}) must lie between 0 and 1")
    if complete(cases, "fold"):
        return fold_cases(cases, folds=None, fold=_first_fold(cases))
    cases = _ordered(cases)
    patients = _patients(cases, seed)
    if len(patients) < 2:
        raise ValueError(
            f"{first_file(cases[0])}: all {len(cases)} cases are of one patient (expected two patients or "
            "more: one part trains, one validates). Add patients, or choose another group pattern."
        )
    wanted = min(len(cases) - 1, max(1, round(validation * len(cases))))
    held_out: list[int] = []
    for patient in patients:
        if len(held_out) + len(patient) <= wanted:
            held_out += patient
    return _held_out(cases, held_out or min(patients, key=len))


def fold_cases(
    cases: Sequence[Case], *, folds: int | None = None, fold: int = 0, seed: int = 0
) -> Split:
    """Return one fold of a cross-validation: over all folds, each case validates once.

    Cases with folds from a datalist keep them; otherwise they are dealt to the folds at random.

    Args:
        cases: as found.
        folds: number of folds; by default 5. Their sizes differ by one at most, unless patients have
            several cases: the largest are dealt first, each to the smallest fold.
        fold: the fold that validates, from 0; the others train.
        seed: seed of the shuffle, the same for all folds.

    Returns:
        The parts, each sorted by image, without groups.

    Raises:
        ValueError: if there are fewer cases or patients than folds, fewer than two folds, no such fold,
            or the number of folds differs from the datalist's.
        Faults: a line for each patient who is in several folds of a datalist.

    Example:
        >>> cases = [{"image": f"{i}.nii", "label": f"{i}_seg.nii"} for i in range(4)]
        >>> sorted(
        ...     case["image"]
        ...     for fold in range(2)
        ...     for case in fold_cases(cases, folds=2, fold=fold)["validation"]
        ... )
        ['0.nii', '1.nii', '2.nii', '3.nii']
    """
    cases = _ordered(cases)
    if complete(cases, "fold"):
        return _listed_fold(cases, folds, fold)
    folds = FOLDS if folds is None else folds
    patients = _patients(cases, seed)
    if not 2 <= folds <= len(patients):
        several = len(patients) < len(cases)
        raise ValueError(
            f"folds (={folds}) must be 2 or more, and at most the {len(patients)} "
            f"{'patients' if several else 'cases'}, since each fold validates at least one "
            f"{'patient' if several else 'case'}. Choose another number of folds."
        )
    if not 0 <= fold < folds:
        raise ValueError(f"fold (={fold}) must be 0 to {folds - 1}: there are {folds} folds")
    members: list[list[int]] = [[] for _ in range(folds)]
    for patient in sorted(patients, key=len, reverse=True):
        min(members, key=len).extend(patient)
    return _held_out(cases, members[fold])


def _first_fold(cases: Sequence[Case]) -> int:
    """Return the first of the folds that a datalist gives, and warn that it validates."""
    folds = sorted({int(case["fold"]) for case in cases})
    warnings.warn(
        f"{first_file(cases[0])}: its datalist gives the folds {', '.join(map(str, folds))}, and none was "
        f"chosen. Fold {folds[0]} validates.",
        ScanWarning,
        stacklevel=3,
    )
    return folds[0]


def _listed_fold(cases: list[Case], folds: int | None, fold: int) -> Split:
    """Return the split by a fold that a datalist gives."""
    numbers = [int(case["fold"]) for case in cases]
    known = sorted(set(numbers))
    listed = ", ".join(map(str, known))
    fault = f"{first_file(cases[0])}: its datalist gives {len(known)} folds ({listed})"
    if folds is not None and folds != len(known):
        raise ValueError(f"{fault}, not {folds}. Leave out the number of folds, or correct it.")
    if len(known) < 2:
        raise ValueError(f"{fault}, but one must validate and another train. Correct it.")
    if fold not in known:
        raise ValueError(f"{fault}, but not fold {fold}. Choose one of them.")
    check_sides(cases, [f"fold {number}" for number in numbers])
    return _held_out(cases, [i for i, number in enumerate(numbers) if number == fold])


def _ordered(cases: Sequence[Case]) -> list[Case]:
    return sorted(cases, key=lambda case: (first_file(case), case.get("label", "")))


def _patients(cases: Sequence[Case], seed: int) -> list[list[int]]:
    """Return the indices of each patient's cases, with the patients shuffled."""
    patients = patients_of(cases)
    return [patients[i] for i in np.random.default_rng(seed).permutation(len(patients))]


def _held_out(ordered: Sequence[Case], held_out: Sequence[int]) -> Split:
    """Split into the cases at these indices, for validation, and the others, in the given order."""
    chosen = set(held_out)
    return without_split_keys(
        {
            "training": [case for i, case in enumerate(ordered) if i not in chosen],
            "validation": [case for i, case in enumerate(ordered) if i in chosen],
        }
    )
