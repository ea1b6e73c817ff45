"""Scores of a trained bundle on its validation cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from monai_attn.bundle.bundle import Bundle
from monai_attn.bundle.open import open_bundle
from monai_attn.datasets.listed_splits import Split, names_in_split, read_split
from monai_attn.inference.segmenter import Segmenter
from monai_attn.io.channels import as_image
from monai_attn.io.errors import warn_of
from monai_attn.io.names import case_name
from monai_attn.metrics.evaluation import evaluate_pairs
from monai_attn.metrics.scores import CaseScore, summarize, write_summary
from monai_attn.runs.batch import segment_files
from monai_attn.runs.output_paths import output_paths
from monai_attn.training.run_description import record_scores
from monai_attn.training.run_folder import SPLIT

NOTHING = 5e-4  # mean Dice that is shown as 0.000


def score_run(
    run: Path, device: str = "auto", on_case: Callable[[int, int], None] = lambda done, total: None
) -> list[CaseScore]:
    """Segment and score the validation cases; labels, `scores.json` and `scores.csv` go to `eval/`.

    Args:
        run: the folder of a training that has ended.
        device: as for `open_bundle`.
        on_case: called after each case with the number of cases segmented and the total.

    Returns:
        The scores, on the scans' own grids.

    A label that was not found at all causes a `ScanWarning`.

    Raises:
        ValueError: if a case cannot be segmented.
    """
    opened = open_bundle(run, device)
    numbers = opened.label_names
    scores = score_split(opened, opened.segmenter(), read_split(run / SPLIT), run / "eval", on_case)
    for suffix in ("json", "csv"):
        write_summary(scores, run / "eval" / f"scores.{suffix}")
    means = summarize(scores)["mean"]
    dices = {f"mean_dice_of_{name}": means[str(n)]["dice"] for n, name in numbers.items()}
    record_scores(run, {name: dice for name, dice in dices.items() if dice is not None})
    warn_of(missed_labels(run, means, numbers))
    return scores


def score_split(
    opened: Bundle,
    segmenter: Segmenter,
    split: Split,
    folder: Path,
    on_case: Callable[[int, int], None] = lambda done, total: None,
) -> list[CaseScore]:
    """Segment the validation cases of a split into a folder, and score the labels.

    Raises:
        ValueError: if a case cannot be segmented.
    """
    cases = split["validation"]
    images = [as_image(case["image"]) for case in cases]
    targets = output_paths(images, folder, names_in_split(split))
    for done, result in enumerate(segment_files(segmenter, targets, resume=True, own=True), 1):
        if result.error:
            raise ValueError(result.error)
        on_case(done, len(cases))
    labels = [Path(case["label"]) for case in cases]
    pairs = [*zip(score_names(split), targets.values(), labels, strict=True)]
    return evaluate_pairs(
        pairs,
        labels=opened.label_names,
        classes=opened.classes,
        ignore=opened.ignore,
        regions=opened.decoding.regions,
    )


def score_names(split: Split) -> list[str]:
    """Return the names of the validation cases in the scores: their label maps', or those of their scans.

    Where label maps of several cases have one name, such as `segmentations/pancreas.nii.gz`, they name no
    case, even if only one of them validates.
    """
    every = [case_name(case["label"]) for part in split.values() for case in part]
    by_scan = names_in_split(split)
    unique = len(set(every)) == len(every)
    return [
        case_name(case["label"]) if unique else by_scan[as_image(case["image"])]
        for case in split["validation"]
    ]


def missed_labels(
    run: Path, means: Mapping[str, Mapping[str, float | None]], names: Mapping[int, str]
) -> Iterator[str]:
    """Yield a line for each label that was found in no validation case: its bundle is of no use yet.

    Args:
        run: the folder of the training.
        means: the means of `summarize`, by label.
        names: label to name.
    """
    for label, name in names.items():
        dice, cases = means[str(label)]["dice"], means[str(label)]["n"]
        if dice is not None and dice < NOTHING:
            yield (
                f"{run}: {name} was not found in the validation cases (mean Dice {dice:.4f} of {cases}). Do "
                "not use this bundle: train it longer, or check labels and windows."
            )
