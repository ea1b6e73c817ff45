"""The bundles of a cross-validation, which its folder lists."""

from __future__ import annotations

import json
from pathlib import Path

FOLDS_JSON = "folds.json"


def fold_folder(run: Path, fold: int) -> Path:
    """Return the folder of one fold in that of a cross-validation."""
    return run / f"fold_{fold}"


def members_of(name_or_dir: str | Path) -> list[str | Path]:
    """Return the bundles of all folds for the folder of a cross-validation; else the bundle itself.

    Raises:
        ValueError: if a fold has not been trained to its end, or the list of folds is damaged.
    """
    run = Path(name_or_dir)
    listed = run / FOLDS_JSON
    if (run / "configs" / "inference.json").is_file() or not listed.is_file():
        return [name_or_dir]
    try:
        content = json.loads(listed.read_text(encoding="utf-8"))
        folds = [int(fold) for fold in content["folds"]]
        missing = [fold for fold in folds if str(fold) not in content["complete"]]
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"{listed}: no list of folds. Name the bundles of the folds one by one."
        ) from error
    gone = [
        fold for fold in folds if not (fold_folder(run, fold) / "models" / "model.pt").is_file()
    ]
    if missing or gone:
        raise ValueError(
            f"{fold_folder(run, (missing or gone)[0])}: not trained to its end, as {len(folds)} folds of "
            f"{run} should be. Resume the training with --fold all, or name the bundles of finished folds."
        )
    return [fold_folder(run, fold) for fold in folds]
