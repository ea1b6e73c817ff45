"""A plan of nnU-Net (version 2) with this package's network, for a training by nnU-Net itself."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from pydoc import locate
from typing import Any

import torch

from monai_attn.io.files import atomic_write
from monai_attn.networks import NnUNetAttentionUNet
from monai_attn.planning.nnunet_file import PlansFile

CLASS_NAME = "monai_attn.networks.NnUNetAttentionUNet"
PLAIN = "PlainConvUNet"  # the architecture whose arguments the class has


def write_nnunet_plans(path: str | Path, output: str | Path) -> Path:
    """Write a copy of nnU-Net's plans in which `NnUNetAttentionUNet` takes the place of its network.

    All else stays: grid, window, batch, features, strides and kernels, and the name of the preprocessed data,
    which nnU-Net therefore uses again. The name of the new plans is that of the file, as nnU-Net expects it.

    Args:
        path: `nnUNetPlans.json` of nnU-Net 2.4 or later, made by its default planner.
        output: the new file, in the same folder for nnU-Net to find it, such as `nnUNetAttentionPlans.json`.

    Returns:
        The new file.

    Raises:
        ValueError: if the file is no such plan, or plans a network that the class cannot be.
    """
    file, target = PlansFile.read(Path(path)), Path(output)
    if target.absolute() == file.path.absolute():
        raise ValueError(f"{target}: is the plan to copy. Give another name.")
    if target.exists() and CLASS_NAME not in target.read_text(errors="replace"):
        raise ValueError(f"{target}: is another file, so it is not replaced. Give another name.")
    configurations = {
        name: _with_attention(file, name, part)
        for name, part in file.content["configurations"].items()
    }
    plans = {**file.content, "plans_name": target.stem, "configurations": configurations}
    with atomic_write(target) as written:
        written.write(f"{json.dumps(plans, indent=4)}\n".encode())
    return target


def _with_attention(file: PlansFile, name: str, part: Any) -> Any:
    """Return a configuration with the class in its place; one that only inherits a network stays."""
    inherits = isinstance(part, dict) and "inherits_from" in part
    if inherits and "architecture" not in part:
        return part
    architecture = part.get("architecture") if isinstance(part, dict) else None
    if not isinstance(architecture, dict):
        raise file.wrong("architecture", architecture, "an object, as since nnU-Net 2.4")
    kind = str(architecture.get("network_class_name")).rsplit(".", 1)[-1]
    if kind not in (PLAIN, CLASS_NAME.rsplit(".", 1)[-1]):
        raise ValueError(
            f"{file.path}: {name} plans another network (got {kind}, expected {PLAIN}). Plan with nnU-Net's "
            "default planner."
        )
    changed = {**architecture, "network_class_name": CLASS_NAME}
    try:
        _build(changed)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{file.path}: {name} cannot be built as an Attention U-Net ({error}). Change its arch_kwargs."
        ) from error
    return {**part, "architecture": changed}


def _build(architecture: Mapping[str, Any]) -> None:
    """Build the network without memory for its weights, from what nnU-Net would give to it.

    Raises:
        TypeError: if arguments are unknown or missing.
        ValueError: if an argument is out of range, or names no class of torch.
    """
    arguments = dict(architecture.get("arch_kwargs") or {})
    for name in architecture.get("_kw_requires_import") or ():
        value = arguments.get(name)
        if value is not None:
            is_torch = isinstance(value, str) and value.startswith("torch.nn.")
            arguments[name] = locate(value) if is_torch else None
            if not inspect.isclass(arguments[name]):
                raise ValueError(f"{name} (={value!r:.60}) must name a class of torch.nn")
    with torch.device("meta"):
        NnUNetAttentionUNet(input_channels=1, num_classes=2, **arguments)
