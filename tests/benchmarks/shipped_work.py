"""The work of the shipped bundle, which a program that is compared with it does too."""

import json
from typing import Any

from monai_attn import DEFAULT_BUNDLE
from monai_attn.bundle.find import find_bundle


def shipped_work() -> dict[str, Any]:
    """Return the grid, range and windows of the bundle, and the channels and strides of its network.

    `spacing` is in mm, `intensity_range` in HU, `roi_size` in voxels; `overlap` is a fraction of a window.
    """
    config = json.loads(
        (find_bundle(DEFAULT_BUNDLE) / "configs" / "inference.json").read_text(encoding="utf-8")
    )
    work = {key: config[key] for key in ("spacing", "intensity_range", "roi_size")}
    network = {key: config["network_def"][key] for key in ("channels", "strides")}
    return {**work, "overlap": config["displayable_configs"]["sw_overlap"], **network}
