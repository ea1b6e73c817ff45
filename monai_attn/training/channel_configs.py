"""Channels in a training's configs: those of its data set, written where the bundle is read from."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from monai_attn.datasets.channels import (
    Channel,
    is_ct,
    name_channels,
    read_channels,
    scale_channels,
)
from monai_attn.datasets.checked_cases import CheckedCases
from monai_attn.datasets.listed_splits import Split
from monai_attn.training.overrides import Config
from monai_attn.training.request import Request

BODY_MASKS = ("inferer", "validate#inferer")  # ids of inferers that may have a mask of the body


def choose_channels(
    request: Request, configs: Mapping[str, Config], split: Split
) -> tuple[tuple[Channel, ...], tuple[str, ...]]:
    """Choose the channels of a training, and write them into its configs, in place.

    Returns:
        The channels, none for a single CT; those without a scaling get one when the images were read. And
        doubts about them, a line each.

    Raises:
        ValueError: if there are more or fewer than in the images, their order is not the bundle's, a CT has
            no window, or the configs cannot have channels.
    """
    train, settings = configs["train.json"], request.settings
    given = read_channels(settings.get("channels"))
    own = () if given else read_channels(train.get("channels"))
    cases = [case for part in split.values() for case in part]
    channels, doubts = name_channels(request.data, cases, given, own)
    open_ct = [one.name for one in channels if one.scaling is None and is_ct(one.name)]
    if open_ct and not train["intensity_range"]:
        raise ValueError(
            f"channel {open_ct[0]}: no window in HU, and the bundle has none. Write it like "
            f"{open_ct[0]}=-100,300."
        )
    if channels and "intensity_range" in settings and not open_ct:
        raise ValueError(
            "intensity_range: no channel takes it "
            f"({', '.join(map(str, channels))}). Leave out the setting, or set the window of a channel, like "
            "CT=-100,300."
        )
    set_channels(configs, scale_channels(channels, (), train["intensity_range"]), settings)
    return channels, doubts


def scaled(
    channels: Sequence[Channel], checked: CheckedCases, train: Config
) -> tuple[Channel, ...]:
    """Choose the scaling of the channels that have none, from their names and the images that were read."""
    filled = [case.filled for case in checked.cases]
    return scale_channels(channels, filled, train["intensity_range"])


def set_channels(
    configs: Mapping[str, Config], channels: Sequence[Channel], settings: Mapping[str, Any]
) -> None:
    """Write the channels of a training into its configs, in place.

    Args:
        configs: the configs by their file names.
        channels: each with its scaling; none leaves the configs of a single CT as they are.
        settings: the settings of the training, which come first.

    Raises:
        ValueError: if the configs cannot have channels.
    """
    if not channels:
        return
    train, inference = configs["train.json"], configs["inference.json"]
    if any("channels" not in config for config in (train, inference)):
        raise ValueError(
            f"channels ({', '.join(channel.name for channel in channels)}): the bundle's train.json or "
            "inference.json has no id channels (it was made by an earlier version). Choose a bundle that has "
            "it."
        )
    window = next((channel.scaling for channel in channels if channel.is_hu), None)
    inputs = len(channels) * int(train.get("slice_channels", 1))
    for config in (train, inference):
        config["channels"] = [channel.content() for channel in channels]
        config["intensity_range"] = list(window) if isinstance(window, tuple) else None
        if "network_def#in_channels" not in settings:
            config["network_def"]["in_channels"] = inputs
    if window is None:  # in other images the body is not brighter than 0
        for config in configs.values():
            for name in BODY_MASKS:
                inferer = config.get(name)
                if isinstance(inferer, MutableMapping) and "body_mask" in inferer:
                    inferer["body_mask"] = None


def describe_channels(
    metadata: Config, channels: Sequence[Channel], slice_channels: int = 1
) -> None:
    """Describe the network's input in a bundle's metadata, in place; a single CT stays as it is described."""
    if not channels:
        return
    image = metadata["network_data_format"]["inputs"]["image"]
    names = [channel.name for channel in channels]
    if slice_channels > 1:
        steps = range(-(slice_channels // 2), slice_channels // 2 + 1)
        names = [f"{name}, {_slice(step)}" for step in steps for name in names]
    hu = [channel.is_hu for channel in channels]
    image["num_channels"] = len(names)
    image["channel_def"] = {str(number): name for number, name in enumerate(names)}
    image["format"] = "hounsfield" if all(hu) else "magnitude"
    image["modality"] = ", ".join(dict.fromkeys(channel.name for channel in channels))
    bounded = all(channel.is_hu or channel.scaling == "percentiles" for channel in channels)
    image["value_range"] = [0, 1] if bounded else []
    count = "single channel" if len(channels) == 1 else f"{len(channels)} channels"
    metadata["image_classes"] = f"{count} data: {', '.join(map(str, channels))}"


def _slice(step: int) -> str:
    if step == 0:
        return "slice"
    words = "below" if step < 0 else "above"
    return f"slice {words}" if abs(step) == 1 else f"{abs(step)} slices {words}"
