"""The network's input of one scan: checked on the host, then resampled and scaled on the device."""

from __future__ import annotations

from typing import Any

import torch
from monai.data.meta_tensor import MetaTensor
from monai.transforms import Compose, LoadImaged

from monai_attn.transforms.checks import CheckScand
from monai_attn.transforms.pipelines import without


def network_input(
    image: MetaTensor, preprocessing: Compose, device: torch.device
) -> dict[str, Any]:
    """Run the preprocessing of a scan that was read already.

    The steps up to the check of the scan run on the host: the check looks at every voxel there, so a scan on
    a GPU would be copied back for it.

    Args:
        image: the scan (X, Y, Z), or (C, X, Y, Z), in host memory.
        preprocessing: from `image` to the network's input; transforms that load are left out.
        device: device of the network.

    Returns:
        The network's input (C, *spatial) on the device, under `image`, and what the steps added.
    """
    checks, steps = _parted(without(preprocessing, LoadImaged))
    data = checks({"image": image})
    data["image"] = on_device(data["image"], device)
    data = steps(data)
    data["image"] = data["image"].to(device)
    return data


def on_device(image: MetaTensor, device: torch.device) -> MetaTensor:
    """Return the scan on the device; to a GPU it goes through page-locked memory."""
    if device.type != "cuda":
        return image
    return image.pin_memory().to(device, non_blocking=True)


def _parted(steps: Compose) -> tuple[Compose, Compose]:
    """Return the steps up to the last check of the scan, and those after it."""
    several = [*steps.transforms]
    last = max((i for i, step in enumerate(several, 1) if isinstance(step, CheckScand)), default=0)
    return Compose(several[:last]), Compose(several[last:])
