"""The channels that a bundle's network takes, from its config alone: torch is not imported."""

from __future__ import annotations

import json
from pathlib import Path

from monai_attn.bundle.find import find_bundle
from monai_attn.bundle.folds import members_of
from monai_attn.datasets.channels import Channel, read_channels


def bundle_channels(name_or_dir: str | Path) -> tuple[Channel, ...]:
    """Read the channels of a bundle, or of the folds of a cross-validation; none for a single CT.

    Raises:
        ValueError: if there is no bundle, or its `channels` are malformed.
    """
    file = find_bundle(members_of(name_or_dir)[0]) / "configs" / "inference.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()  # opening the bundle says what is wrong with it
    try:
        return read_channels(content.get("channels") if isinstance(content, dict) else None)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def channel_names(name_or_dir: str | Path) -> tuple[str, ...]:
    """Return the names of a bundle's channels; none for one that takes a single CT."""
    return tuple(channel.name for channel in bundle_channels(name_or_dir))
