"""Folder of a cross-validation: a training for each fold, and what all of them give together.

| path | what |
|---|---|
| `folds.json` | the folds, those that are complete, and the chosen cleaning |
| `fold_0/`, `fold_1/`, ... | the training of each fold |
| `scores.json`, `scores.csv` | scores of all cases, each by the fold that had not seen it |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from monai_attn.bundle.folds import FOLDS_JSON, fold_folder
from monai_attn.datasets.splits import fold_numbers
from monai_attn.distributed.process_info import read_process_info
from monai_attn.io.tables import write_table
from monai_attn.metrics.scores import COLUMNS, CaseScore, read_scores, summarize
from monai_attn.training.cleaning_choice import CleaningChoice
from monai_attn.training.config_files import read_config, write_config
from monai_attn.training.request import Request
from monai_attn.training.run import check_folds
from monai_attn.training.run_folder import RUN, SCORES, check_empty


class CrossValidation:
    """The folder of a cross-validation.

    Args:
        run: the folder.
        request: options of the trainings; its fold does not matter.
        resume: whether it was begun before.

    Raises:
        ValueError: if several processes share it, the folder is not empty or holds no cross-validation, the
            data set has too few cases for the folds, or its folds changed.
    """

    def __init__(self, run: Path, request: Request, *, resume: bool = False) -> None:
        self.run, self.request = run, request
        processes = read_process_info().size
        if processes > 1:
            raise ValueError(
                f"{run}: all folds are trained by one process, one after the other (got {processes} "
                f"processes). Train each fold with torchrun into {fold_folder(run, 0).name} and so on, and "
                "then resume all of them without it."
            )
        self.folds = fold_numbers(
            request.data, folds=request.folds, group=request.group, labels=request.labels
        )
        self.complete: dict[str, int] = {}
        if resume:
            self._read()
        else:
            check_empty(run)
            check_folds(request, self.folds)

    def _read(self) -> None:
        path = self.run / FOLDS_JSON
        if path.is_file():
            content = read_config(path)
            listed = content.get("folds")
            if listed != [*self.folds]:
                raise ValueError(
                    f"{path}: other folds than at its start (got {[*self.folds]}, expected {listed}). Resume "
                    "it with the same data and options, or begin in another folder."
                )
            self.complete = dict(content.get("complete", {}))
        elif not any((self.folder(fold) / RUN).is_file() for fold in self.folds):
            raise ValueError(
                f"{self.run}: no cross-validation to resume (no {FOLDS_JSON}). Leave out the resumption, or "
                "name the folder of one."
            )

    def folder(self, fold: int) -> Path:
        """Return the folder of a fold's training."""
        return fold_folder(self.run, fold)

    def request_of(self, fold: int) -> Request:
        """Return the options of a fold's training."""
        return replace(self.request, fold=fold)

    def is_complete(self, fold: int) -> bool:
        """Return whether a fold was trained for its present number of epochs, and scored."""
        folder = self.folder(fold)
        done = self.complete.get(str(fold))
        return (
            done is not None
            and (folder / SCORES).is_file()
            and read_config(folder / "configs" / "train.json")["epochs"] == done
        )

    def record(self, fold: int, choices: Sequence[CleaningChoice] | None = None) -> None:
        """Record that a fold is complete."""
        train = read_config(self.folder(fold) / "configs" / "train.json")
        self.complete[str(fold)] = train["epochs"]
        self.write(choices)

    def write(self, choices: Sequence[CleaningChoice] | None = None) -> None:
        """Write the list of folds, and the chosen cleaning."""
        content = {"folds": [*self.folds], "complete": self.complete}
        if choices is not None:
            content["cleaning"] = [asdict(choice) for choice in choices]
        self.run.mkdir(parents=True, exist_ok=True)
        write_config(self.run / FOLDS_JSON, content)

    def pool_scores(self) -> list[CaseScore]:
        """Write the scores of all cases, each by the fold that had not seen it.

        Raises:
            ValueError: if a fold has no scores.
        """
        by_fold = {fold: read_scores(self.folder(fold) / SCORES) for fold in self.folds}
        names = [{score.case for score in scores} for scores in by_fold.values()]
        if sum(map(len, names)) > len(
            set().union(*names)
        ):  # label maps of one name in several folders
            by_fold = {
                fold: [replace(one, case=f"fold_{fold}/{one.case}") for one in scores]
                for fold, scores in by_fold.items()
            }
        fold_of = {score.case: fold for fold, scores in by_fold.items() for score in scores}
        scores = sorted(
            (score for some in by_fold.values() for score in some),
            key=lambda score: (score.case, score.label),
        )
        summary = summarize(scores)
        for row in summary["cases"]:
            row["fold"] = fold_of[row["case"]]
        columns = [*COLUMNS, "volume_error_ml", "fold"]
        for suffix in ("json", "csv"):
            write_table(self.run / f"scores.{suffix}", summary, columns, summary["cases"])
        return scores
