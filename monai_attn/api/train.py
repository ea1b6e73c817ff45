"""Training of a bundle on labelled scans, from the check of the data to scores and calibration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from inspect import signature
from pathlib import Path
from typing import Any

from monai_attn import DEFAULT_BUNDLE
from monai_attn.api.arguments import Texts, listed
from monai_attn.bundle.bundle import Bundle
from monai_attn.bundle.channels import bundle_channels
from monai_attn.bundle.find import find_device
from monai_attn.datasets.channels import read_channels
from monai_attn.datasets.masks import mask_choices
from monai_attn.distributed.work_queue import WorkQueue
from monai_attn.io.errors import warn_of
from monai_attn.io.folder_lock import folder_lock
from monai_attn.metrics.scores import CaseScore
from monai_attn.training.calibration import Calibration, calibrate
from monai_attn.training.expected_intensities import add_expected_intensities
from monai_attn.training.overrides import read_plan
from monai_attn.training.pretrained import names_file
from monai_attn.training.request import Request
from monai_attn.training.resume import describe_weights, resume_run
from monai_attn.training.run import check_processes, drop_cache, prepare, train_run
from monai_attn.training.scoring import score_run
from monai_attn.training.tracking import check_tracking

GATES = {"soft": "soft", "none": None}
OVERLAYS = ("hard", "reinforce")  # gates that need more settings than their name
RECIPES = ("nnunet",)
OnStage = Callable[[str, int, int | None], None]


def training_request(
    data: str | Path,
    *,
    fold: int | None = None,
    folds: int | None = None,
    group: str | None = None,
    validation: float = 0.2,
    labels: Texts = (),
    ignore: int | None = None,
    gate: str | None = None,
    recipe: str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    plan: str | Path | None = None,
    channels: Texts = (),
    settings: Mapping[str, Any] | None = None,
    cache: str | Path | None = None,
    weights: str | Path | None = None,
    bundle: str | Path | None = None,
) -> Request:
    """Collect the options of a training; they are described at `train`.

    Raises:
        ValueError: if the gate or the recipe is unknown, or the plan cannot be read.
    """
    values, planned = read_plan(Path(plan)) if plan else ({}, ())
    if gate is not None and gate not in (*GATES, *OVERLAYS):
        raise ValueError(f"gate (={gate!r}) must be one of {', '.join((*GATES, *OVERLAYS))}")
    if recipe is not None and recipe not in RECIPES:
        raise ValueError(f"recipe (={recipe!r}) must be {' or '.join(RECIPES)}")
    values |= {"network_def#gate": GATES[gate]} if gate in GATES else {}
    values |= {"cache_dir": str(Path(cache).absolute())} if cache else {}
    given = {"epochs": epochs, "seed": seed, "ignore": ignore}
    values |= {name: value for name, value in given.items() if value is not None}
    if channels:
        values |= {"channels": [one.content() for one in read_channels(listed(channels))]}
    values |= settings or {}
    start = None if weights is None else str(weights)
    if bundle is None:  # only the name decides: in a training that is resumed the file may be gone
        bundle = start if start and not names_file(start) else DEFAULT_BUNDLE
    return Request(
        bundle=str(bundle),
        data=str(Path(data).absolute()),
        labels=tuple(mask_choices(data, listed(labels) or planned)),
        fold=fold,
        folds=folds,
        validation=validation,
        group=group,
        overlay=gate if gate in OVERLAYS else "",
        recipe=recipe or "",
        settings=values,
        pretrained=start,
    )


def train(
    data: str | Path,
    output: str | Path,
    *,
    resume: bool = False,
    device: str = "auto",
    tracking: str | None = None,
    **options: Any,
) -> list[CaseScore]:
    """Train a bundle on labelled scans, and evaluate and calibrate it on the validation cases.

    The folder of the training becomes a bundle: `monai_attn.load(output)` opens it.

    Args:
        data: the labelled scans: a folder, or a datalist.
        output: folder for the training.
        resume: resume the training in `output`; `epochs` may differ, but not be below those that are done.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        tracking: `mlflow` to track the training with MLflow; nothing by default.
        options: the options of `monai-attn train`:
            - fold: number of the fold for validation, from 0, or "all" for a training of each fold in a
              folder of its own; folds: number of folds; group: a regular
              expression whose first `(...)` finds the patient in a case's name; validation: fraction of the
              cases for validation, if there are no folds;
            - labels: values in the label files and their classes, such as `["1=pancreas"]` or
              `{1: "pancreas"}`; ignore: the value that marks unlabelled voxels, which are left out;
            - channels: the channels of the images in their order, such as `["CT", "T2=percentiles"]`, if the
              data set does not name them or their scaling is not to follow from the names;
            - bundle: bundle to train, by name or folder; weights: bundle, run or file whose weights the
              training starts from (`--from`); gate: `soft`, `hard`, `reinforce` or `none`; recipe:
              `nnunet` for nnU-Net's optimiser, schedule, sampling and augmentation, with mirrored windows;
            - epochs: passes over the training cases; seed: random seed; plan: a file that `write_plan` or
              `monai-attn plan -o` wrote; settings: values of `train.json` by id (`--set`), such as
              `{"batch_size": 4}`; cache: folder for preprocessed cases, which several trainings can share.

    Returns:
        The scores of the validation cases, on the scans' own grids; of all cases with `fold="all"`.

    Raises:
        ValueError: if the training cannot begin; it names the file and the remedy.
        Faults: a `ValueError` with a line for each fault of the data set.

    Example:
        >>> train("DATA", "runs/a", epochs=50, weights=monai_attn.DEFAULT_BUNDLE)  # doctest: +SKIP
    """
    run = Path(output)
    find_device(device)
    check_tracking(tracking)
    unknown = options.keys() - signature(training_request).parameters.keys()
    if unknown:
        raise TypeError(f"train: there is no option {min(unknown)}. See help(monai_attn.train).")
    if options.get("fold") == "all":
        if tracking:
            raise ValueError(
                f"tracking (={tracking}): one training only. Leave it out, or train each fold by its number."
            )
        from monai_attn.api.cross_validation import train_folds

        request = training_request(data, **{**options, "fold": None})
        return train_folds(run, request, resume=resume, device=device).scores
    start_training(run, training_request(data, **options), resume=resume)
    train_run(run, resume=resume, device=device, tracking=tracking)
    scores, _ = finish_training(run, device)
    return scores


def start_training(
    run: Path,
    request: Request,
    *,
    resume: bool = False,
    queue: WorkQueue | None = None,
    on_case: OnStage = lambda stage, done, total: None,
) -> dict[str, str]:
    """Check the data and make the folder of a training, or check that it can be resumed.

    Returns:
        Where the weights come from, and what a resumed training changes: a line each, by its topic.

    Raises:
        ValueError: as `train`.
    """
    queue, notes, done = queue or WorkQueue(), {}, 0

    def on_reading(total: int, case: object) -> None:
        nonlocal done
        done += case is not None
        on_case("checking", done, total)

    if queue.first and resume:
        with folder_lock(run, patience=10) if run.is_dir() else nullcontext():
            notes = resume_run(run, request)
        check_processes(run)
    elif queue.first:
        warn_of(prepare(run, request, on_reading))
        notes = {"weights": describe_weights(run)}
        if channels := bundle_channels(run):
            notes["channels"] = ", ".join(map(str, channels))
    queue.agree({"the training's folder": str(run.absolute())})
    return notes


def finish_training(
    run: Path, device: str = "auto", on_case: OnStage = lambda stage, done, total: None
) -> tuple[list[CaseScore], tuple[Bundle, Calibration] | None]:
    """Score the validation cases of a training that has ended, and calibrate its bundle on them.

    Returns:
        The scores; and the bundle with its calibration, or None with a warning if it cannot be calibrated.
    """
    add_expected_intensities(run)
    drop_cache(run)
    scores = score_run(run, device, lambda done, total: on_case("validation cases", done, total))
    try:
        calibrated = calibrate(
            run, device=device, on_case=lambda done, total: on_case("calibration", done, total)
        )
    except ValueError as error:  # the training and its scores are complete without it
        warn_of([f"not calibrated: {error}"])
        return scores, None
    return scores, calibrated
