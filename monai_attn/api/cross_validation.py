"""Cross-validation: all folds are trained, and their scores pooled."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from monai_attn.api.train import OnStage, finish_training, start_training
from monai_attn.bundle.open import open_bundle
from monai_attn.metrics.scores import CaseScore, read_scores, summarize
from monai_attn.training.cleaning_choice import (
    OPTIONS,
    CleaningChoice,
    can_choose,
    choose_cleaning,
    set_cleaning,
    try_cleaning,
)
from monai_attn.training.cross_validation import CrossValidation
from monai_attn.training.request import Request
from monai_attn.training.run import train_run
from monai_attn.training.run_folder import RUN, SCORES, SPLIT
from monai_attn.training.scoring import score_run

# entries of a training's folder before it is complete
UNFINISHED = {"configs", "docs", "models", "training", "LICENSE", SPLIT}


@contextmanager
def _quietly() -> Iterator[OnStage]:
    yield lambda stage, done, total: None


@dataclass(frozen=True)
class CrossValidated:
    """Results of a cross-validation.

    Attributes:
        scores: scores of all cases, each by the fold that had not seen it.
        choices: the chosen cleaning of each class; empty if it was not chosen.
        label_names: the name of each class.
        bundles: the bundle of each fold.
    """

    scores: list[CaseScore]
    choices: list[CleaningChoice]
    label_names: dict[int, str]
    bundles: list[Path]


def train_folds(
    run: Path,
    request: Request,
    *,
    resume: bool = False,
    device: str = "auto",
    stages: Callable[[], AbstractContextManager[OnStage]] = _quietly,
    on_note: Callable[[str, str], None] = lambda topic, line: None,
) -> CrossValidated:
    """Train every fold in a folder of its own, choose their cleaning together, and pool their scores.

    Args:
        run: folder for all of them.
        request: options of the trainings; its fold does not matter.
        resume: resume what is not complete in `run`.
        device: as for `train_run`.
        stages: context in which a function shows the progress of the stages before and after a training.
        on_note: called with a topic and a line about each fold.

    Raises:
        ValueError: as `start_training` and `train_run`; the folds before are kept, and can be resumed.
    """
    validated = CrossValidation(run, request, resume=resume)
    for fold in validated.folds:
        _train_fold(validated, fold, resume, device, stages, on_note)
    validated.write()
    with stages() as on_stage:
        choices = _choose(validated, device, on_stage, on_note)
    validated.write(choices)
    names = open_bundle(validated.folder(validated.folds[0]), "cpu").label_names
    bundles = [validated.folder(fold) for fold in validated.folds]
    return CrossValidated(validated.pool_scores(), choices, names, bundles)


def segment_command(run: Path) -> str:
    """Return the command that segments with all folds of a cross-validation."""
    return f"monai-attn segment SCANS -o out --bundle {shlex.quote(str(run))}"


def _train_fold(
    validated: CrossValidation,
    fold: int,
    resume: bool,
    device: str,
    stages: Callable[[], AbstractContextManager[OnStage]],
    on_note: Callable[[str, str], None],
) -> None:
    """Train and score one fold, unless it is complete."""
    folder, request = validated.folder(fold), validated.request_of(fold)
    begun = resume and (folder / RUN).is_file()
    if (
        resume
        and not begun
        and folder.is_dir()
        and {one.name for one in folder.iterdir()} <= UNFINISHED
    ):
        shutil.rmtree(folder)  # it was interrupted while it was made
    with stages() as on_stage:
        notes = start_training(folder, request, resume=begun, on_case=on_stage)
    if begun and validated.is_complete(fold):
        on_note(folder.name, f"complete: {_dice(folder)}")
        return
    validated.complete.pop(str(fold), None)
    validated.write()
    for topic, line in notes.items():
        on_note(folder.name, f"{topic}: {line}")
    train_run(folder, resume=begun, device=device)
    with stages() as on_stage:
        finish_training(folder, device, on_stage)
    validated.record(fold)
    on_note(folder.name, _dice(folder))


def _dice(folder: Path) -> str:
    means = summarize(read_scores(folder / SCORES))["mean"]
    names = open_bundle(folder, "cpu").label_names
    known = {label: row["dice"] for label, row in means.items() if row["dice"] is not None}
    found = [f"{names.get(int(label), label)} {dice:.3f}" for label, dice in known.items()]
    return f"mean Dice of {max((row['n'] for row in means.values()), default=0)} cases: " + (
        ", ".join(found) or "none"
    )


def _choose(
    validated: CrossValidation,
    device: str,
    on_stage: OnStage,
    on_note: Callable[[str, str], None],
) -> list[CleaningChoice]:
    """Choose the cleaning for all folds together, and score again where it changed."""
    fixed = [option for option in OPTIONS if option in validated.request.settings]
    folders = [validated.folder(fold) for fold in validated.folds]
    if len(fixed) == len(OPTIONS):
        on_note("cleaning", "as the settings say")
        return []
    if not can_choose(open_bundle(folders[0], "cpu")):
        on_note("cleaning", "as it was: it is not chosen for regions that overlap")
        return []
    trials = []
    for folder in folders:
        trials += try_cleaning(folder, device, partial(on_stage, f"{folder.name}: cleaning"))
    choices = choose_cleaning(trials)
    for folder in folders:
        if set_cleaning(folder, choices, fixed=fixed):
            score_run(folder, device, partial(on_stage, f"{folder.name}: scores after cleaning"))
    return choices
