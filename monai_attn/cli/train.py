"""`monai-attn train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_attn import DEFAULT_BUNDLE
from monai_attn.cli.bundle_opening import without_collection
from monai_attn.cli.calibrate import show
from monai_attn.cli.console import complain, err, note_layout, out, progress_of_stages, written
from monai_attn.cli.options import (
    ChannelOption,
    DataArgument,
    DebugOption,
    DeviceOption,
    IgnoreOption,
    LabelOption,
    path_of,
)
from monai_attn.cli.parallel_run import together

if TYPE_CHECKING:
    from monai_attn.training.request import Request


ALL = "all"  # of the folds


def train(
    data: DataArgument,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", parser=path_of, metavar="RUN", help="Folder for the training."
        ),
    ],
    fold: Annotated[
        str | None,
        typer.Option(
            "--fold",
            metavar="K",
            help="Number of the fold for validation, from 0; or all, for a training of each fold in a folder "
            "of its own.",
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            "--folds", metavar="N", help="Number of folds; by default that of the datalist, or 5."
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            metavar="REGEX",
            help="Regular expression whose first (...) finds the patient in a case's name. All cases of a "
            "patient are used for training, or all for validation.",
        ),
    ] = None,
    validation: Annotated[
        float,
        typer.Option(
            "--validation", help="Fraction of the cases for validation, if there are no folds."
        ),
    ] = 0.2,
    label: LabelOption = None,
    ignore: IgnoreOption = None,
    channel: ChannelOption = None,
    gate: Annotated[
        str | None,
        typer.Option(
            "--gate",
            help="Attention gate: soft, hard (straight-through), reinforce (hard) or none; by default "
            "the bundle's own.",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs",
            help="Number of passes over the training cases; by default the bundle's own.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            help="Random seed for weight initialisation and patch sampling; by default the bundle's own.",
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="Training recipe: nnunet for nnU-Net's optimiser, schedule, sampling and augmentation; by "
            "default the bundle's own.",
        ),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan", parser=path_of, metavar="FILE", help="File that `monai-attn plan -o` wrote."
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="ID=VALUE",
            help="Change a value of the bundle's train.json by its id, such as batch_size=4 (repeatable).",
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache",
            parser=path_of,
            metavar="PATH",
            help="Folder for preprocessed cases, which several trainings can share.",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="WEIGHTS",
            help="Start from the weights of a bundle, a run or a .pt file. The configs of that bundle or "
            "run are used too, unless --bundle is given.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Resume the training in RUN; --epochs may differ from before."
        ),
    ] = False,
    bundle: Annotated[
        str | None,
        typer.Option(
            "--bundle",
            help="Bundle to train, by name or folder; its weights are used only with --from. By default that "
            f"of --from, or {DEFAULT_BUNDLE}. Only use bundles you trust: they can run code.",
        ),
    ] = None,
    device: DeviceOption = "auto",
    tracking: Annotated[
        str | None,
        typer.Option(
            "--tracking",
            metavar="TRACKER",
            help="Track parameters, losses and metrics with this tracker: mlflow.",
        ),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Train a bundle on labelled scans, and evaluate it; use torchrun for several GPUs."""
    number = _fold_number(fold, validation)
    with together(patience=10) as queue:
        with err.status("importing torch"), without_collection():
            from monai_attn.api.train import (
                GATES,
                OVERLAYS,
                RECIPES,
                finish_training,
                start_training,
                training_request,
            )
            from monai_attn.bundle.find import find_device
            from monai_attn.metrics.scores import score_table
            from monai_attn.training.overrides import parse_settings
            from monai_attn.training.resume import UNUSED_WEIGHTS
            from monai_attn.training.run import train_run
            from monai_attn.training.tracking import check_tracking

        find_device(device)
        check_tracking(tracking)
        if tracking and fold == ALL:
            raise ValueError(
                f"--tracking {tracking}: tracks one training. Leave it out, or train each fold by its number."
            )
        if gate is not None and gate not in (*GATES, *OVERLAYS):
            raise ValueError(f"--gate {gate}: {', '.join((*GATES, *OVERLAYS))} expected")
        if recipe is not None and recipe not in RECIPES:
            raise ValueError(f"--recipe {recipe}: {', '.join(RECIPES)} expected")
        request = training_request(
            data,
            fold=number,
            folds=folds,
            group=group,
            validation=validation,
            labels=label or (),
            ignore=ignore,
            channels=channel or (),
            gate=gate,
            recipe=recipe,
            epochs=epochs,
            seed=seed,
            plan=plan,
            settings=parse_settings(setting or []),
            cache=cache,
            weights=start,
            bundle=bundle,
        )
        if queue.first and not resume:
            note_layout(data)
        if fold == ALL:
            _train_all(output, request, resume=resume, device=device)
            return
        with progress_of_stages() as on_case:
            notes = start_training(output, request, resume=resume, queue=queue, on_case=on_case)
        for topic, line in notes.items():
            hint = f" with --from {request.bundle}" if line.endswith(UNUSED_WEIGHTS) else ""
            complain(topic, line + hint)
        train_run(output, resume=resume, device=device, tracking=tracking)
        if queue.first:
            with progress_of_stages() as on_case:
                scores, calibrated = finish_training(output, device, on_case)
            out.print(score_table(scores, out.width))
            if calibrated:
                show(*calibrated)
            written("bundle", output)


def _fold_number(fold: str | None, validation: float) -> int | None:
    """Return the number of the fold; None for all, or without one.

    Raises:
        ValueError: if it is neither, or all folds are to be trained and a fraction validates.
    """
    if fold == ALL and validation != 0.2:
        raise ValueError(
            "--fold all: each fold validates once, so that no fraction of the cases does. Leave out "
            "--validation, or --fold."
        )
    if fold is None or fold == ALL:
        return None
    if not fold.isdecimal():
        raise ValueError(f"--fold {fold}: no fold (expected a number from 0, or all). Correct it.")
    return int(fold)


def _train_all(output: Path, request: Request, *, resume: bool, device: str) -> None:
    """Train every fold, and print the pooled scores and how to segment with all of them."""
    from monai_attn.api.cross_validation import segment_command, train_folds
    from monai_attn.metrics.scores import score_table
    from monai_attn.training.cleaning_choice import choice_table

    found = train_folds(
        output,
        request,
        resume=resume,
        device=device,
        stages=progress_of_stages,
        on_note=complain,
    )
    if found.choices:
        out.print(choice_table(found.choices, found.label_names))
    out.print(score_table(found.scores, out.width))
    for bundle in found.bundles:
        written("bundle", bundle)
    written("scores", output / "scores.json")
    written("segment with all folds", segment_command(output))
