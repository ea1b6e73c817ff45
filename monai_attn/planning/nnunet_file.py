"""The file of a plan that nnU-Net (version 2) made: what it holds, checked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONVOLUTIONS = 2  # of each level, in nnU-Net by default and here
Values = dict[
    str, tuple[Any, str]
]  # what a part of the plan becomes: by config id, with the reason


@dataclass(frozen=True)
class PlansFile:
    """A plans file.

    Attributes:
        path: the file.
        content: its JSON object, which has `configurations`.
    """

    path: Path
    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> PlansFile:
        """Read a file.

        Raises:
            ValueError: if it is no plan of nnU-Net 2.
        """
        if path.suffix.lower() in (".pkl", ".pickle"):
            raise ValueError(
                f"{path}: is a plan of nnU-Net 1 (expected nnUNetPlans.json of version 2). Plan "
                "with version 2."
            )
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(
                f"{path}: not readable as JSON ({error}; expected nnUNetPlans.json). Give that file."
            ) from error
        if not isinstance(content, dict) or not isinstance(content.get("configurations"), dict):
            raise ValueError(
                f"{path}: no plan of nnU-Net (no object configurations in it; expected nnUNetPlans.json of "
                "version 2). Give that file."
            )
        return cls(path, content)

    def configuration(self, name: str) -> dict[str, Any]:
        """Return a configuration, with what it inherits.

        Raises:
            ValueError: if there is no such configuration.
        """
        parts, seen = self.content["configurations"], set()
        merged: dict[str, Any] = {}
        wanted: Any = name
        while wanted is not None:
            part = parts.get(wanted) if isinstance(wanted, str) else None
            if not isinstance(part, dict) or wanted in seen:
                there = ", ".join(map(str, parts)) or "none"
                raise ValueError(
                    f"{self.path}: no configuration {wanted!r:.40} (expected one of {there}). "
                    "Choose one of them."
                )
            seen.add(wanted)
            merged = {**part, **merged}
            wanted = part.get("inherits_from")
        return merged

    def numbers(
        self, part: Mapping[str, Any], name: str, length: int | None, *, whole: bool = False
    ) -> list[Any]:
        """Return a list of positive numbers, `length` of them unless that is None.

        Raises:
            ValueError: if it is missing or not such a list.
        """
        found = part.get(name)
        good = (
            isinstance(found, list)
            and len(found) == (length or len(found)) > 0
            and all(positive(number, whole) for number in found)
        )
        if not good:
            kind = "whole numbers" if whole else "numbers"
            count = f"{length} " if length else ""
            raise self.wrong(name, found, f"{count}positive {kind}")
        assert isinstance(found, list)
        return found

    def wrong(self, name: str, found: Any, expected: str) -> ValueError:
        """Return the error for a value that cannot be used."""
        return ValueError(
            f"{self.path}: invalid {name} (got {found!r:.60}, expected {expected}). Make the plan again with "
            "nnU-Net."
        )

    def architecture(self, part: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of the network, also of plans before nnU-Net 2.4, which have other names."""
        architecture = part.get("architecture")
        if isinstance(architecture, dict):
            arguments = architecture.get("arch_kwargs")
            if not isinstance(arguments, dict):
                raise self.wrong("architecture", architecture, "arch_kwargs")
            return {**arguments, "network_class_name": architecture.get("network_class_name")}
        strides = part.get("pool_op_kernel_sizes")
        first, most = part.get("UNet_base_num_features"), part.get("unet_max_num_features")
        if not (isinstance(strides, list) and positive(first, True) and positive(most, True)):
            raise self.wrong("architecture", architecture, "an object with arch_kwargs")
        return {
            "features_per_stage": [min(first * 2**i, most) for i in range(len(strides))],
            "strides": strides,
            "kernel_sizes": part.get("conv_kernel_sizes"),
            "n_conv_per_stage": part.get("n_conv_per_stage_encoder", CONVOLUTIONS),
            "n_conv_per_stage_decoder": part.get("n_conv_per_stage_decoder", CONVOLUTIONS),
            "network_class_name": part.get("UNet_class_name", "PlainConvUNet"),
            "norm_op": "InstanceNorm",
            "nonlin": "LeakyReLU",
        }

    def steps(self, found: Mapping[str, Any], name: str, levels: int, dims: int) -> list[list[int]]:
        """Return a stride or kernel for each stage and axis; one number stands for all axes."""
        steps = found.get(name)
        if isinstance(steps, list) and len(steps) == levels:
            each = [step if isinstance(step, list) else [step] * dims for step in steps]
            if all(len(step) == dims and all(positive(n, True) for n in step) for step in each):
                return each
        raise self.wrong(name, steps, f"{levels} entries of {dims} positive whole numbers")


def is_number(value: Any) -> bool:
    """Return whether a value of a JSON file is a number, and no infinity."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def positive(value: Any, whole: bool) -> bool:
    """Return whether a value is a number above 0, and a whole one if `whole`."""
    return (isinstance(value, int) if whole else True) and is_number(value) and value > 0
