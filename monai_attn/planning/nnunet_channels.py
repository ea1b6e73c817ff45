"""The channels in a plan of nnU-Net (version 2): their names, and how each is scaled.

Source of the names of normalizations: nnU-Net's documentation, `explanation_normalization.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_attn.datasets.channels import (
    NONE,
    NONZERO,
    PERCENTILES,
    ZSCORE,
    Channel,
    declared_channels,
)
from monai_attn.planning.nnunet_file import PlansFile, Values, is_number

CT, RESCALE = "CTNormalization", "RescaleTo01Normalization"
SCALINGS = {"ZScoreNormalization": ZSCORE, "NoNormalization": NONE, RESCALE: PERCENTILES}


def read_intensities(file: PlansFile, part: Mapping[str, Any], left_out: list[str]) -> Values:
    """Return the window of a single CT; or the channels, each with its scaling.

    The names of the channels are those that the `dataset.json` next to the file declares.

    Args:
        file: the plans file.
        part: a configuration.
        left_out: gets a line for each thing that cannot be taken over.

    Raises:
        ValueError: if a scaling is missing that the plan names.
    """
    schemes = part.get("normalization_schemes")
    if not isinstance(schemes, list) or not schemes:
        raise file.wrong("normalization_schemes", schemes, "a name for each channel")
    if CT in schemes:
        left_out.append(
            "mean and std of the foreground: HU are clipped to the same range, but scaled to 0 to 1"
        )
    if schemes == [CT]:
        reason = "0.5th to 99.5th percentile of the foreground"
        return {"intensity_range": (list(_window(file, 0)), reason)}
    masked = part.get("use_mask_for_norm")
    masked = masked if isinstance(masked, list) else []
    names = _names(file, len(schemes), left_out)
    channels = []
    for i, (name, scheme) in enumerate(zip(names, schemes, strict=True)):
        scaling: Any = _window(file, i) if scheme == CT else SCALINGS.get(str(scheme), ZSCORE)
        if scaling == ZSCORE and i < len(masked) and masked[i]:
            scaling = NONZERO
        if scheme == RESCALE:
            left_out.append(
                f"normalization_schemes: {name} is scaled by its 0.5th and 99.5th percentile, not by its "
                "lowest and highest value"
            )
        elif scheme != CT and scheme not in SCALINGS:
            left_out.append(
                f"normalization_schemes: {scheme!s:.60} of {name} is not known; a z-score stands in for it"
            )
        channels.append(Channel(name, scaling))
    reason = "; ".join(
        f"{channel}: {scheme}" for channel, scheme in zip(names, schemes, strict=True)
    )
    return {"channels": ([channel.content() for channel in channels], reason)}


def _names(file: PlansFile, count: int, left_out: list[str]) -> tuple[str, ...]:
    """Return the names that the data set declares, or numbers."""
    try:
        names = declared_channels(file.path.parent)
    except ValueError as error:
        names = ()
        left_out.append(f"channels: {error}")
    if len(names) == count:
        return names
    left_out.append(
        f"channels: no dataset.json next to the file names {count}; they are named by their number"
    )
    return tuple(f"channel {number}" for number in range(count))


def _window(file: PlansFile, number: int) -> tuple[float, float]:
    properties = file.content.get("foreground_intensity_properties_per_channel")
    found = properties.get(str(number)) if isinstance(properties, dict) else None
    if not isinstance(found, dict):
        raise file.wrong(
            "foreground_intensity_properties_per_channel", properties, f"channel {number}"
        )
    low, high = (found.get(name, "none") for name in ("percentile_00_5", "percentile_99_5"))
    if not (is_number(low) and is_number(high) and low < high):
        raise file.wrong(
            "percentile_00_5 and percentile_99_5", [low, high], "a lower and a higher HU"
        )
    return round(float(low), 1), round(float(high), 1)
