"""Training of a bundle on labelled scans, through MONAI's own engines."""

from __future__ import annotations

import copy
import json
import logging
import math
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from torch import nn

from monai_attn.datasets.datalist import Case
from monai_attn.datasets.listed_splits import Split, names_in_split, read_split
from monai_attn.datasets.regions import Regions, read_regions
from monai_attn.datasets.splits import choose_split
from monai_attn.distributed.process_info import read_process_info
from monai_attn.io.channels import as_image
from monai_attn.io.errors import causes_of, collect_warnings, reason
from monai_attn.io.files import make_writable
from monai_attn.io.folder_lock import folder_lock
from monai_attn.networks.gates import hard_gates
from monai_attn.runs.output_paths import output_paths
from monai_attn.training.channel_configs import choose_channels, scaled
from monai_attn.training.checked_labels import check_labels, unlearned
from monai_attn.training.expected_labels import check_whole, expected_labels, measure_cases
from monai_attn.training.known_on_grid import check_known_on_grid
from monai_attn.training.overrides import Config
from monai_attn.training.pretrained import (
    InitialWeights,
    WeightFit,
    check_fit,
    fit_weights,
    open_initial_weights,
    other_heads,
)
from monai_attn.training.region_configs import check_settings
from monai_attn.training.request import Request
from monai_attn.training.run_folder import SPLIT, check_empty, create_run, read_configs
from monai_attn.training.tracking import check_tracking, tracking_settings
from monai_attn.transforms.cleaning import CleanLabelsd

CACHE = "cache"
LEAST = {
    "epochs": 1,
    "val_interval": 1,
    "patience": 1,
    "batch_size": 1,
    "num_samples": 1,
    "seed": 0,
}


def prepare(
    run: Path, request: Request, on_case: Callable[[int, Case | None], None] | None = None
) -> tuple[str, ...]:
    """Check a data set and make the folder of its training.

    Args:
        run: the training's folder.
        request: options of the training.
        on_case: called with the number of all readings, before the first one and after each: every case
            is read, and then the label maps of the training cases once more.

    Returns:
        Doubts about the cases, a line each.

    Raises:
        ValueError: if the training cannot begin; it names the file and the remedy.
        Faults: a line for each fault of the data set.
    """
    check_empty(run)
    check_settings(request.settings)
    check_whole(request.settings)
    configs = read_configs(request)
    train = configs["train.json"]
    _check_values(train)
    _check_cache(request.settings.get("cache_dir", ""))
    _check_cleaning(configs["inference.json"])
    network = _check_network(train)
    initial = _open_initial_weights(request, train)
    with collect_warnings() as split_warnings:
        split = _choose_split(request)
    channels, channel_doubts = choose_channels(request, configs, split)
    if channels:
        network = _check_network(train)
    elif train.get("intensity_range") is None:
        raise ValueError("intensity_range (=None) must be 2 numbers, since the images are CT")
    if initial:
        _fit(initial, network, request, read_regions(train.get("regions")))
    # finds two cases of one name before hours are spent
    validation = [as_image(case["image"]) for case in split["validation"]]
    output_paths(validation, run / "eval", names_in_split(split))
    readings = sum(len(cases) for cases in split.values()) + len(split["training"])

    def on_reading(case: Case | None) -> None:
        if on_case:
            on_case(readings, case)

    labels = check_labels(request, configs, split, on_reading, channels)
    if not _is_expression(train["spacing"]):
        cases = [one for one in labels.checked.cases if one.case in split["training"]]
        check_known_on_grid(cases, train["spacing"], labels.ignore)
    if labels.classes:
        network = _check_network({**train, "num_classes": labels.classes.channels})
    _check_sizes(split, train["batch_size"], Path(request.data))
    measures = measure_cases(
        split["training"],
        labels.label_map,
        ignore=labels.ignore,
        regions=labels.regions,
        on_case=on_reading,
    )
    create_run(
        run,
        request,
        split,
        labels.classes,
        weights=(initial, _fit(initial, network, request, labels.regions)) if initial else None,
        ignore=labels.ignore,
        expected=expected_labels(measures, labels.numbers),
        channels=scaled(channels, labels.checked, train),
    )
    return (
        *split_warnings,
        *channel_doubts,
        *labels.doubts,
        *labels.checked.doubts,
        *unlearned(labels, split),
    )


def check_folds(request: Request, folds: Iterable[int]) -> None:
    """Check that every fold of a cross-validation has enough cases, before the first one is trained.

    Raises:
        ValueError: if one has not.
    """
    batch_size = read_configs(request)["train.json"]["batch_size"]
    for fold in folds:
        split = _choose_split(replace(request, fold=fold))
        _check_sizes(split, batch_size, Path(request.data))


def check_processes(run: Path) -> None:
    """Check that a training can be resumed in the current number of processes.

    Raises:
        ValueError: if it cannot.
    """
    train = json.loads((run / "configs" / "train.json").read_text(encoding="utf-8"))
    _check_sizes(read_split(run / SPLIT), train["batch_size"], run)


def train_run(
    run: Path, *, resume: bool = False, device: str = "auto", tracking: str | None = None
) -> None:
    """Run the training that `prepare` made; call it in every process, if there are several.

    Args:
        run: the training's folder.
        resume: resume from its last checkpoint.
        device: "auto" for a GPU if there is one, else "cpu" or "cuda".
        tracking: `mlflow` to track parameters, losses and metrics, or None.

    Raises:
        ValueError: if a checkpoint does not fit, memory does not suffice, the loss is not finite, or another
            process trains in the folder.
    """
    # workers of a process that was killed hold its lock for some seconds
    first = read_process_info().rank == 0
    with folder_lock(run, patience=10) if first else nullcontext():
        _train(run, resume, device, tracking)


def _train(run: Path, resume: bool, device: str, tracking: str | None) -> None:
    configs = [run / "configs" / "train.json"]
    several = read_process_info().size > 1
    if several:
        configs.append(run / "configs" / "multi_gpu_train.json")
    options: dict[str, Any] = {}
    if device != "auto" and not (several and device.startswith("cuda")):  # each has its own GPU
        options = {"device": f"$torch.device('{device}')"}
    if tracking:
        check_tracking(tracking)
        options["tracking"] = tracking_settings(run)
    # they would complain of a missing logging file, and report errors twice
    logging.getLogger("monai.bundle.workflows").setLevel(logging.ERROR)
    logging.getLogger("ignite").setLevel(logging.CRITICAL)
    workflow = ConfigWorkflow(
        config_file=[str(config) for config in configs],
        meta_file=str(run / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        bundle_root=str(run),
        resume=resume,
        **options,
    )
    try:
        workflow.initialize()
        workflow.run()
        workflow.finalize()
    except Exception as error:  # MONAI wraps errors in the config's expressions
        for cause in causes_of(error):
            if isinstance(cause, torch.OutOfMemoryError):
                raise ValueError(
                    f"{run}: the memory of the GPU is full. Begin in another folder with a batch_size of 1, "
                    "fewer num_samples or a smaller roi_size."
                ) from error
            if isinstance(cause, (ValueError, OSError)):
                raise cause from None
        raise


def drop_cache(run: Path) -> None:
    """Delete the cache of a finished training: it is large, and quickly made again."""
    shutil.rmtree(run / CACHE, ignore_errors=True)


def _choose_split(request: Request) -> Split:
    return choose_split(
        request.data,
        validation=request.validation,
        fold=request.fold,
        folds=request.folds,
        group=request.group,
        labels=request.labels,
    )


def _open_initial_weights(request: Request, train: Config) -> InitialWeights | None:
    """Read the weights to start from, if any, and check that the training's configs load them."""
    if "pretrained" in request.settings:
        raise ValueError(
            "pretrained: not a setting. Name the bundle, run or file whose weights the training starts from."
        )
    if request.pretrained is None:
        return None
    if "pretrained" not in train:
        raise ValueError(
            f"{request.bundle}: configs/train.json has no id pretrained, so that no weights would be "
            "loaded (it was made by an earlier version). Choose a bundle that has it."
        )
    return open_initial_weights(request.pretrained)


def _fit(
    initial: InitialWeights, network: nn.Module, request: Request, regions: Regions | None
) -> WeightFit:
    anew = other_heads(initial.source, network, regions)
    fit = fit_weights(network, initial.state, anew)
    check_fit(fit, initial.name, f"that of this training (bundle {request.bundle})")
    return fit


def _check_network(train: Config) -> nn.Module:
    """Build the network of the settings, before a folder is made for it."""
    try:
        network = ConfigParser(copy.deepcopy(train)).get_parsed_content("network_def")
    except Exception as error:  # a network's constructor can raise anything
        raise ValueError(
            f"network_def: no network can be built ({reason(error)}). Correct the settings."
        ) from error
    hard = "HardAttentionLoss" in str(train["loss"])
    if hard != bool(hard_gates(network)):
        gate, loss = train["network_def"].get("gate"), "" if hard else "not "
        raise ValueError(
            f"network_def#gate is {gate!r}, but the loss is {loss}for hard gates. Choose a hard gate by its "
            "name, which sets both, leave out the setting, or choose another bundle."
        )
    return network


def _check_values(train: Mapping[str, Any]) -> None:
    """Refuse values that would fail, or be misread, when training begins."""
    for name, least in LEAST.items():
        if train[name] < least:
            raise ValueError(f"{name} (={train[name]}) must be {least} or more")
    network = train["network_def"]
    dims = network.get("spatial_dims") if isinstance(network, dict) else None
    _check_numbers(train, "spacing", (3,), least=0)
    _check_numbers(train, "roi_size", (dims,) if isinstance(dims, int) else (2, 3), least=0)
    ends = train.get("intensity_range")
    if ends is not None:  # it is None for other images than CT
        _check_numbers(train, "intensity_range", (2,))
        if not _is_expression(ends) and not ends[0] < ends[1]:
            raise ValueError(f"intensity_range (={ends}) must begin below its end")
    rate = train.get("learning_rate")
    if isinstance(rate, (int, float)) and not 0 <= rate < math.inf:
        raise ValueError(f"learning_rate (={rate}) must be 0 or more")


def _check_numbers(
    train: Mapping[str, Any], name: str, lengths: tuple[int, ...], least: float = -math.inf
) -> None:
    """Refuse a value that is not a list of so many numbers above `least`; those of `roi_size` are whole."""
    values = train.get(name)
    if _is_expression(values):
        return
    if not isinstance(values, (list, tuple)) or len(values) not in lengths:
        raise ValueError(f"{name} (={values}) must be {' or '.join(map(str, lengths))} numbers")
    kinds = int if name == "roi_size" else (int, float)
    if any(isinstance(one, bool) or not isinstance(one, kinds) for one in values):
        whole = "whole numbers" if kinds is int else "numbers"
        raise ValueError(f"{name} (={values}) must be {whole}")
    if not min(values) > least:
        raise ValueError(f"{name} (={values}) must be above {least:g}")


def _is_expression(value: Any) -> bool:
    return isinstance(value, str) and value[:1] in ("$", "@", "%")


def _check_cache(folder: Any) -> None:
    """Refuse a folder for the cache that cannot be written to, before hours of work."""
    if not isinstance(folder, str):
        raise ValueError(f"cache_dir (={folder!r}) must be a folder")
    if folder and not _is_expression(folder):
        make_writable(Path(folder))


def _check_cleaning(inference: Mapping[str, Any]) -> None:
    """Refuse settings that would otherwise fail only when the trained network is scored."""
    names = ("keep_largest", "fill_holes", "keep_pieces_from")
    CleanLabelsd("pred", **{name: inference[name] for name in names if name in inference})


def _check_sizes(split: Split, batch_size: int, data: Path) -> None:
    """Check that each process has a case in every batch, and one to validate."""
    processes = read_process_info().size
    if batch_size % processes:
        raise ValueError(
            f"batch_size (={batch_size}) must be a multiple of the {processes} processes that share it. "
            f"Set batch_size to {-(-batch_size // processes) * processes}."
        )
    shared = f" in {processes} processes" if processes > 1 else ""
    for part, least in (("training", batch_size), ("validation", processes)):
        if len(split[part]) < least:
            raise ValueError(
                f"{data}: too few cases for {part} (got {len(split[part])}, expected {least} or more for a "
                f"batch_size of {batch_size}{shared}). Add cases, or choose another "
                "validation fraction or batch_size."
            )
