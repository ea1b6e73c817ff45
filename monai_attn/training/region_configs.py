"""The parts of a training's configs that differ between classes and regions: loss and metrics.

Everything else takes the id `regions`, which is null for classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from monai_attn.datasets.regions import Regions
from monai_attn.training.overrides import Config

CLASS_LOSS = "monai_attn.training.MaskedDiceCELoss"
REGION_LOSS = "monai_attn.training.RegionDiceBCELoss"
OF_CLASSES = {"include_background": False, "to_onehot_y": True, "softmax": True}  # of the loss
NOT_OF_REGIONS = (*OF_CLASSES, "sigmoid", "weight", "label_smoothing")
METRIC = "MeanDice"


def set_regions(configs: Mapping[str, Config], regions: Regions | None, bundle: str) -> None:
    """Make a training's configs those of regions, or of classes, in place.

    Args:
        configs: `train.json`, `inference.json` and others, as read.
        regions: the regions; None for classes.
        bundle: the bundle that they come from, named in an error.

    Raises:
        ValueError: if the configs cannot train regions: they were made by an earlier version, or their loss
            or metrics are others.
    """
    train, inference = configs["train.json"], configs["inference.json"]
    if regions is None and not train.get("regions"):
        return
    if "regions" not in train or "regions" not in inference:
        raise ValueError(
            f"{bundle}: its configs have no id regions, so that it cannot train structures that overlap (it "
            "was made by an earlier version). Choose a shipped bundle."
        )
    for config in (train, inference):
        config["regions"] = regions.content() if regions else None
    train["loss"] = _changed(train["loss"], lambda part: _loss(part, regions))
    for part in ("train", "validate"):
        metric = _changed(train[part]["key_metric"], lambda one: _metric(one, regions))
        train[part]["key_metric"] = metric
        if METRIC not in str(metric):
            raise ValueError(
                f"{bundle}: {part}#key_metric in train.json is no {METRIC}. Correct it."
            )
    wanted = REGION_LOSS if regions else CLASS_LOSS
    if wanted not in str(train["loss"]):
        raise ValueError(
            f"{bundle}: its loss cannot be used for structures that overlap (expected {CLASS_LOSS} in "
            "train.json). Choose a shipped bundle."
        )


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse regions among a training's settings.

    Raises:
        ValueError: if there are any.
    """
    if any(name.partition("#")[0] == "regions" for name in settings):
        raise ValueError(
            "regions: not a setting, since the loss depends on them. Declare them in dataset.json, or choose "
            "labels such as 1,2=whole."
        )


def _changed(node: Any, change: Callable[[Config], Config]) -> Any:
    """Return a config with each of its objects changed, from the innermost on."""
    if isinstance(node, dict):
        return change({name: _changed(value, change) for name, value in node.items()})
    if isinstance(node, list):
        return [_changed(value, change) for value in node]
    return node


def _loss(part: Config, regions: Regions | None) -> Config:
    if part.get("_target_") == CLASS_LOSS and regions:
        kept = {name: value for name, value in part.items() if name not in NOT_OF_REGIONS}
        return {**kept, "_target_": REGION_LOSS, "regions": "@regions"}
    if part.get("_target_") == REGION_LOSS and not regions:
        kept = {name: value for name, value in part.items() if name != "regions"}
        return {**kept, "_target_": CLASS_LOSS, **OF_CLASSES}
    return part


def _metric(part: Config, regions: Regions | None) -> Config:
    if part.get("_target_") != METRIC:
        return part
    changed = {**part, "include_background": regions is not None}
    if regions:
        changed.pop("num_classes", None)
        return changed | {
            "output_transform": {
                "_target_": "monai_attn.transforms.metric_outputs",
                "regions": "@regions",
            }
        }
    return changed | {
        "num_classes": "@num_classes",
        "output_transform": "$monai.handlers.from_engine(['pred', 'label'])",
    }
