"""`monai-attn train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from monai_attn import DEFAULT_BUNDLE
from monai_attn.cli.bundle_opening import without_collection
from monai_attn.cli.console import complain, err, out, progress_bars
from monai_attn.cli.options import (
    DebugOption,
    DeviceOption,
    IgnoreOption,
    LabelOption,
    path_of,
)
from monai_attn.cli.parallel_run import together

GATES = {"soft": "soft", "none": None}
OVERLAYS = ("hard", "reinforce")  # gates that need more settings than their name


def train(
    data: Annotated[
        Path, typer.Argument(parser=path_of, help="The labelled scans: a folder, or a datalist.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", parser=path_of, metavar="RUN", help="Folder for the training."
        ),
    ],
    fold: Annotated[
        int | None, typer.Option("--fold", metavar="K", help="Which fold validates, from 0.")
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option("--folds", metavar="N", help="How many folds; the datalist's own, or 5."),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            metavar="REGEX",
            help="Pattern whose first (...) names the patient in a case's name; "
            "all cases of a patient train, or all validate.",
        ),
    ] = None,
    validation: Annotated[
        float, typer.Option("--validation", help="Part of the cases that validates, without folds.")
    ] = 0.2,
    label: LabelOption = None,
    ignore: IgnoreOption = None,
    gate: Annotated[
        str | None,
        typer.Option(
            "--gate",
            help="soft, hard (straight-through), reinforce (hard) or none; the bundle's by default.",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Passes over the cases.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of weights and windows.")] = None,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", parser=path_of, metavar="FILE", help="Values that `plan` wrote."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="ID=VALUE", help="A value of train.json (repeatable)."),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            "--cache", parser=path_of, metavar="PATH", help="A cache that several trainings share."
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
        typer.Option("--resume", help="Go on where RUN ended; --epochs may name more than before."),
    ] = False,
    bundle: Annotated[
        str | None,
        typer.Option(
            "--bundle",
            show_default=f"that of --from, or {DEFAULT_BUNDLE}",
            help="Bundle to train, by name or folder. Its weights are not used without --from. Only use "
            "bundles you trust: they can run code.",
        ),
    ] = None,
    device: DeviceOption = "auto",
    debug: DebugOption = False,
) -> None:
    """Train a bundle on labelled scans, and evaluate it; torchrun starts it on several GPUs."""
    with together(patience=10) as queue:
        with err.status("looking"), without_collection():
            from monai_attn.bundle.open import find_device
            from monai_attn.metrics.scores import score_table
            from monai_attn.training.overrides import parse_settings, read_plan
            from monai_attn.training.pretrained import names_file
            from monai_attn.training.run import check_processes, drop_cache, train_run
            from monai_attn.training.run_folder import Request, describe_weights, go_on
            from monai_attn.training.scoring import score_run

        find_device(device)
        settings, planned = read_plan(plan) if plan else ({}, ())
        if gate is not None and gate not in (*GATES, *OVERLAYS):
            raise ValueError(f"--gate {gate}: {', '.join((*GATES, *OVERLAYS))} expected")
        settings |= {"network_def#gate": GATES[gate]} if gate in GATES else {}
        settings |= {"cache_dir": str(cache.absolute())} if cache else {}
        given = {"epochs": epochs, "seed": seed, "ignore": ignore}
        settings |= {name: value for name, value in given.items() if value is not None}
        settings |= parse_settings(setting or [])
        if bundle is None:  # only the name decides: on --resume the file may be gone
            bundle = start if start and not names_file(start) else DEFAULT_BUNDLE
        request = Request(
            bundle=bundle,
            data=str(data.absolute()),
            labels=tuple(label or planned),
            fold=fold,
            folds=folds,
            validation=validation,
            group=group,
            overlay=gate if gate in OVERLAYS else "",
            settings=settings,
            pretrained=start,
        )
        if queue.first:
            if resume:
                said = go_on(output, request)
                check_processes(output)
            else:
                _prepare(output, request)
                said = {"weights": describe_weights(output)}
            for kind, line in said.items():
                complain(kind, line)
        queue.agree({"the training's folder": str(output.absolute())})
        train_run(output, resume=resume, device=device)
        if queue.first:
            drop_cache(output)
            with progress_bars() as progress:
                task = progress.add_task("validation cases", total=None)
                scores = score_run(
                    output,
                    device,
                    lambda done, total: progress.update(task, completed=done, total=total),
                )
            out.print(score_table(scores))
            _calibrate(output, device)
            out.print(f"bundle: {output}", highlight=False, markup=False, soft_wrap=True)


def _calibrate(output: Path, device: str) -> None:
    from monai_attn.cli.calibrate import show
    from monai_attn.training.calibration import calibrate

    with progress_bars() as progress:
        task = progress.add_task("calibration", total=None)
        try:
            found = calibrate(
                output,
                device=device,
                on_case=lambda done, total: progress.update(task, completed=done, total=total),
            )
        except ValueError as error:  # the training and its scores are complete without it
            complain("warning", f"not calibrated: {error}")
            return
    show(*found)


def _prepare(output: Path, request: Any) -> None:
    from monai_attn.training.run import prepare

    with progress_bars() as progress:
        task = progress.add_task("checking")
        doubts = prepare(
            output,
            request,
            lambda total, case: progress.update(
                task, total=total, advance=0 if case is None else 1
            ),
        )
    for doubt in doubts:
        complain("warning", doubt)
