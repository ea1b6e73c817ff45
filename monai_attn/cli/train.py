"""`monai-attn train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_attn import DEFAULT_BUNDLE
from monai_attn.cli.bundle_opening import without_collection
from monai_attn.cli.calibrate import show
from monai_attn.cli.console import complain, err, out, progress_of_stages, written
from monai_attn.cli.options import (
    DataArgument,
    DebugOption,
    DeviceOption,
    IgnoreOption,
    LabelOption,
    path_of,
)
from monai_attn.cli.parallel_run import together


def train(
    data: DataArgument,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", parser=path_of, metavar="RUN", help="Folder for the training."
        ),
    ],
    fold: Annotated[
        int | None,
        typer.Option("--fold", metavar="K", help="Number of the fold for validation, from 0."),
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
    gate: Annotated[
        str | None,
        typer.Option(
            "--gate",
            help="Attention gate: soft, hard (straight-through), reinforce (hard) or none; the bundle's "
            "own by default.",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", help="Number of passes over the training cases.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", help="Random seed for weight initialisation and patch sampling."),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="How it trains: nnunet for nnU-Net's optimiser, schedule, sampling and augmentation; the "
            "bundle's own by default.",
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
            show_default=f"that of --from, or {DEFAULT_BUNDLE}",
            help="Bundle to train, by name or folder; its weights are used only with --from. Only use "
            "bundles you trust: they can run code.",
        ),
    ] = None,
    device: DeviceOption = "auto",
    debug: DebugOption = False,
) -> None:
    """Train a bundle on labelled scans, and evaluate it; use torchrun for several GPUs."""
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

        find_device(device)
        if gate is not None and gate not in (*GATES, *OVERLAYS):
            raise ValueError(f"--gate {gate}: {', '.join((*GATES, *OVERLAYS))} expected")
        if recipe is not None and recipe not in RECIPES:
            raise ValueError(f"--recipe {recipe}: {', '.join(RECIPES)} expected")
        request = training_request(
            data,
            fold=fold,
            folds=folds,
            group=group,
            validation=validation,
            labels=label or (),
            ignore=ignore,
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
        with progress_of_stages() as on_case:
            notes = start_training(output, request, resume=resume, queue=queue, on_case=on_case)
        for topic, line in notes.items():
            hint = f" with --from {request.bundle}" if line.endswith(UNUSED_WEIGHTS) else ""
            complain(topic, line + hint)
        train_run(output, resume=resume, device=device)
        if queue.first:
            with progress_of_stages() as on_case:
                scores, calibrated = finish_training(output, device, on_case)
            out.print(score_table(scores))
            if calibrated:
                show(*calibrated)
            written("bundle", output)
