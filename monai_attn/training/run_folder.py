"""Folder of a training: a bundle of its own from the start, with a record of how it was made.

| path | what |
|---|---|
| `configs/` | those of its bundle, with this run's values |
| `models/model.pt` | the best weights |
| `split.json` | the cases that train, and those that validate |
| `run.json` | the request: data, options, values; the weights it started from |
| `training/` | `last.pt`; `progress.csv`, `attention.csv` and their curves; events for TensorBoard |
| `training/pretrained.pt` | a copy of the weights it started from, if any |
| `eval/` | labels and scores of the validation cases, in the end |
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from monai_attn.bundle.find import find_bundle
from monai_attn.datasets.channels import Channel
from monai_attn.datasets.label_classes import LabelClasses
from monai_attn.datasets.listed_splits import Split, write_split
from monai_attn.inference.result_checks import Expected
from monai_attn.io.files import atomic_write, make_writable, sha256_of
from monai_attn.training.channel_configs import describe_channels, set_channels
from monai_attn.training.config_files import read_config, write_config, write_text
from monai_attn.training.overrides import Config, override
from monai_attn.training.pretrained import InitialWeights, WeightFit
from monai_attn.training.region_configs import set_regions
from monai_attn.training.request import Request
from monai_attn.training.run_description import describe_run, run_readme

# overlays of the template: a training has its gate's and its recipe's merged, and trains no locator
TEMPLATE_ONLY = ("baseline", "hard", "reinforce", "locator", "nnunet")
RUN, SPLIT, TRAINING = "run.json", "split.json", "training"
SCORES = "eval/scores.json"
PRETRAINED = f"{TRAINING}/pretrained.pt"
SETTABLE = ("train.json", "inference.json", "evaluate.json")
UNCALIBRATED: Config = {"temperature": 1.0, "interval": {}}


def create_run(
    run: Path,
    request: Request,
    split: Split,
    classes: LabelClasses | None,
    *,
    weights: tuple[InitialWeights, WeightFit] | None = None,
    ignore: int | None = None,
    expected: Mapping[int, Expected] | None = None,
    channels: Sequence[Channel] = (),
) -> None:
    """Create the folder of a new training. `run.json` is written last: a folder that has it is complete.

    Args:
        run: the folder; created if needed, and empty so far.
        request: options of the training.
        split: its cases.
        classes: the chosen classes; None for those of the bundle.
        weights: weights that it starts from, and how far they fit its network; copied into the folder.
        ignore: value of voxels in the label files that count nowhere; None if every voxel counts.
        expected: expectations of the labels it will write, by class; none by default.
        channels: the channels of the images, each with its scaling; none for a single CT.

    Raises:
        ValueError: if the folder holds anything or cannot be written to, or a setting fits no config.
    """
    check_empty(run)
    configs = read_configs(request)
    train, inference = configs["train.json"], configs["inference.json"]
    if classes:
        values = {str(value): number for value, number in classes.label_map.items()}
        override([train, inference], {"num_classes": classes.channels, "label_map": values})
        set_regions(configs, classes.regions, request.bundle)
    if ignore is not None or "ignore" in train:
        override([train], {"ignore": ignore})
    set_channels(configs, channels, request.settings)
    train["dataset_dir"] = request.data
    train["split"] = {
        "_target_": "monai_attn.datasets.read_split",
        "path": f"$@bundle_root + '/{SPLIT}'",
    }
    train["val_interval"] = min(train["val_interval"], train["epochs"])
    _leave_out_locator(inference)
    inference |= UNCALIBRATED
    _expect([inference, configs.get("evaluate.json", {})], request, classes, expected or {})
    if "pretrained" in train:
        train["pretrained"] = f"$@bundle_root + '/{PRETRAINED}'" if weights else None
        if weights and weights[1].anew:
            train["initial_network"]["anew"] = list(weights[1].anew)
    initial = weights[0] if weights else None
    describe_run(configs["metadata.json"], request, split, train, classes, initial)
    describe_channels(configs["metadata.json"], channels, train.get("slice_channels", 1))
    template = find_bundle(request.bundle)
    make_writable(run)
    (run / "configs").mkdir(exist_ok=True)
    for name, config in configs.items():
        write_config(run / "configs" / name, config)
    for name in ("LICENSE", "configs/logging.conf"):
        shutil.copyfile(template / name, run / name)
    write_split(run / SPLIT, split)
    if initial:
        _copy_weights(initial, run / PRETRAINED)
    write_text(run / "docs" / "README.md", run_readme(run, request, split, initial))
    write_text(run / "docs" / "data_license.txt", f"Data: {request.data}. Its licence applies.\n")
    write_config(
        run / RUN, {**asdict(request), "weights": weights and weights[0].record(weights[1])}
    )


def read_configs(request: Request) -> dict[str, Config]:
    """Read the configs of the bundle that a training is made from, with the requested settings.

    Raises:
        ValueError: if there is no such bundle or overlay, or a setting fits none of its configs.
    """
    folder = find_bundle(request.bundle) / "configs"
    files = [file for file in sorted(folder.glob("*.json")) if file.stem not in TEMPLATE_ONLY]
    configs = {file.name: read_config(file) for file in files}
    for overlay in filter(None, (request.overlay, request.recipe)):
        _lay_over(configs, folder / f"{overlay}.json")
    override([configs[name] for name in SETTABLE if name in configs], request.settings)
    return configs


def _lay_over(configs: dict[str, Config], path: Path) -> None:
    """Merge an overlay into train.json by MONAI's rules, and the shared ids into inference.json too."""
    if not path.is_file():
        raise ValueError(
            f"{path}: the bundle has no such overlay. Choose another gate, recipe or bundle."
        )
    overlay = read_config(path)
    for name in ("train.json", "inference.json"):
        config = ConfigParser(configs[name])
        for key, value in overlay.items():
            if name == "train.json" or key in config:
                merge_kv(config, key, copy.deepcopy(value))
        configs[name] = config.get()


def check_empty(run: Path) -> None:
    """Check that the folder of a new training is empty or does not exist.

    Raises:
        ValueError: if it holds anything, or is a file.
    """
    if run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise ValueError(f"{run}: is not empty. Resume its training, or choose another folder.")


def _copy_weights(initial: InitialWeights, path: Path) -> None:
    """Copy the weights that a training starts from: the source may be gone when it is resumed."""
    with atomic_write(path) as file, initial.file.open("rb") as source:
        shutil.copyfileobj(source, file)
    if sha256_of(path) != initial.sha256:
        raise ValueError(
            f"{initial.file}: changed while it was read. Start again when nothing writes to it."
        )


def _leave_out_locator(inference: Config) -> None:
    """Remove the template's locator, which was made for the template's weights."""
    if "locator" in inference:
        inference["locator"] = None
        inference.pop("locator_def", None)
        inference["displayable_configs"]["focus"] = False


def _expect(
    configs: Sequence[Config],
    request: Request,
    classes: LabelClasses | None,
    expected: Mapping[int, Expected],
) -> None:
    """Set what is expected of the labels in configs that have these ids, unless the request sets it."""
    values: Config = {
        "expected": {str(label): one.content() for label, one in expected.items()},
        "keep_largest": [label for label, one in expected.items() if one.pieces == 1],
    }
    if classes:
        values["fill_holes"] = []  # it is not known which of them are hollow
    for config in configs:
        config |= {
            name: value
            for name, value in values.items()
            if name in config and name not in request.settings
        }
