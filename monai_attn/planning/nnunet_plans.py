"""Import of a plan that nnU-Net (version 2) made, as far as this package has the same parts.

nnU-Net stores axes in the order of its arrays, slices first, and may transpose them before a training. A plan
here has the order left-right, back-front, foot-head: the reverse, for scans that are stored slice by slice.
Source of the format: the file `nnUNetPlans.json` that nnU-Net 2.8 writes, and its documentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_attn.datasets.label_classes import declared_ignore, declared_labels
from monai_attn.datasets.region_choice import chosen_texts, declared_regions
from monai_attn.planning.nnunet_channels import read_intensities
from monai_attn.planning.nnunet_file import CONVOLUTIONS, PlansFile, Values, positive

CONFIGURATIONS = {2: "2d", 3: "3d_fullres"}  # by dimensions of the network
NORMS = {"InstanceNorm": "instance", "BatchNorm": "batch"}  # by the beginning of torch's name
ACTIVATIONS = {"LeakyReLU": ["leakyrelu", {"negative_slope": 0.01}], "ReLU": "relu"}
ALIKE = (
    "PlainConvUNet",
    "Generic_UNet",
    "NnUNetAttentionUNet",
)  # two plain convolutions in each block
UNSUPERVISED = 2  # coarsest outputs that count nowhere in nnU-Net's loss


@dataclass(frozen=True)
class ImportedPlan:
    """Values for a bundle's configs that come from another program's plan.

    Attributes:
        overrides: plain values, by config id.
        reasons: a sentence for each, by config id.
        left_out: a line for each thing that cannot be taken over.
        labels: the choice of classes, as `choose_classes` takes it; empty if the data set is not described.
    """

    overrides: Mapping[str, Any]
    reasons: Mapping[str, str]
    left_out: tuple[str, ...]
    labels: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the overlay: the overrides, with `labels` and `reasons`."""
        return {
            **self.overrides,
            **({"labels": list(self.labels)} if self.labels else {}),
            "reasons": dict(self.reasons),
        }


def read_nnunet_plans(
    path: str | Path, spatial_dims: int = 3, configuration: str | None = None
) -> ImportedPlan:
    """Read nnU-Net's plans file, and translate one of its configurations.

    A `dataset.json` next to the file, as nnU-Net puts it there, gives the classes and the ignore value.

    Args:
        path: the file, such as `nnUNet_preprocessed/Dataset007_Pancreas/nnUNetPlans.json`.
        spatial_dims: dimensions of the network that is trained, 2 or 3.
        configuration: name of the configuration; by default `2d` or `3d_fullres`, by the dimensions.

    Raises:
        ValueError: if the file is no such plan, has no such configuration, or holds unusable values.
    """
    file = PlansFile.read(Path(path))
    chosen = configuration or CONFIGURATIONS[spatial_dims]
    part = file.configuration(chosen)
    left_out: list[str] = []
    axes = _Axes.of(file, part, spatial_dims, chosen, left_out)
    values = {
        **_grid(file, part, axes),
        **read_intensities(file, part, left_out),
        **_network(file, part, axes, left_out),
        **_batch(file, part),
    }
    labels = _labels(file.path.parent, values, left_out)
    left_out += _differences(part)
    return ImportedPlan(
        overrides={name: value for name, (value, _) in values.items()},
        reasons={name: f"{chosen}: {reason}" for name, (_, reason) in values.items()},
        left_out=tuple(left_out),
        labels=labels,
    )


@dataclass(frozen=True)
class _Axes:
    """The order of axes in a plan, and how it becomes the order here.

    Attributes:
        order: place in the plan of each axis here.
    """

    order: tuple[int, ...]

    @classmethod
    def of(
        cls,
        file: PlansFile,
        part: Mapping[str, Any],
        spatial_dims: int,
        chosen: str,
        left_out: list[str],
    ) -> _Axes:
        dims = len(file.numbers(part, "patch_size", None, whole=True))
        if dims != spatial_dims:
            raise ValueError(
                f"{file.path}: {chosen} has windows of {dims} axes (the bundle's has {spatial_dims}). "
                "Choose another bundle or configuration."
            )
        moved = file.content.get("transpose_forward", [0, 1, 2])
        if not isinstance(moved, list) or sorted(map(repr, moved)) != ["0", "1", "2"]:
            raise file.wrong("transpose_forward", moved, "an order of 0, 1 and 2")
        if dims == 2 and moved[0] != 0:
            raise ValueError(
                f"{file.path}: {chosen} cuts slices along axis {moved[0]} of the files (expected axial "
                "slices, axis 0). Import 3d_fullres into a 3D bundle, or plan here."
            )
        if moved != [0, 1, 2]:
            left_out.append(
                "transpose_forward: the axes are turned back, because here they are those of the patient"
            )
        # axis i of the plan is axis moved[i] of the array, which begins with the slices
        place = {axis: i for i, axis in enumerate(moved)}
        if dims == 2:
            return cls((place[2] - 1, place[1] - 1))
        return cls((place[2], place[1], place[0]))

    def turn(self, values: Sequence[Any]) -> list[Any]:
        """Return values of a plan, one for each axis, in the order here."""
        return [values[i] for i in self.order]


def _grid(file: PlansFile, part: Mapping[str, Any], axes: _Axes) -> Values:
    dims = len(axes.order)
    spacing = [
        float(mm) for mm in axes.turn(file.numbers(part, "spacing", dims, whole=False)[-dims:])
    ]
    if dims == 2:  # slices are not resampled: their distance is the median's
        middle = file.numbers(file.content, "original_median_spacing_after_transp", 3)
        spacing.append(float(middle[0]))
    return {
        "spacing": (spacing, "its spacing, left-right, back-front, foot-head"),
        "roi_size": (
            axes.turn(file.numbers(part, "patch_size", dims, whole=True)),
            "its patch_size",
        ),
    }


def _network(file: PlansFile, part: Mapping[str, Any], axes: _Axes, left_out: list[str]) -> Values:
    dims = len(axes.order)
    found = file.architecture(part)
    features = file.numbers(found, "features_per_stage", None, whole=True)
    levels = len(features)
    if levels < 2:
        raise file.wrong("features_per_stage", features, "two stages or more")
    strides, kernels = (
        [axes.turn(step) for step in file.steps(found, name, levels, dims)]
        for name in ("strides", "kernel_sizes")
    )
    if set(strides[0]) != {1}:
        raise file.wrong("strides", strides, "1 along every axis at the first stage")
    values: Values = {
        "network_def#channels": (features, "its features_per_stage"),
        "network_def#strides": (strides[1:], "its strides, after the first stage"),
        "network_def#kernel_size": (kernels, "its kernel_sizes"),
        "network_def#deep_supervision": (
            max(0, levels - 1 - UNSUPERVISED),
            "the coarser outputs that count in its loss",
        ),
    }
    kind = str(found.get("network_class_name", "PlainConvUNet")).rsplit(".", 1)[-1]
    if kind not in ALIKE:
        left_out.append(
            f"network_class_name: {kind} has other blocks; two plain convolutions stand in for each"
        )
    for name in ("n_conv_per_stage", "n_conv_per_stage_decoder", "n_blocks_per_stage"):
        counts = found.get(name, CONVOLUTIONS)
        several = set(counts) if isinstance(counts, list) else {counts}
        if several - {CONVOLUTIONS}:
            left_out.append(f"{name}: {counts} (here each level has {CONVOLUTIONS} convolutions)")
    for name, known, target in (("norm_op", NORMS, "norm"), ("nonlin", ACTIVATIONS, "act")):
        op = str(found.get(name)).rsplit(".", 1)[-1]
        match = next((key for key in known if op.startswith(key)), None)
        if match is None:
            left_out.append(f"{name}: {op} is not known; the bundle's stays")
            continue
        value: Any = known[match]
        if value == "instance":
            value = ["instance", {"affine": True}]
        values[f"network_def#{target}"] = (value, f"its {name}")
    if found.get("dropout_op"):
        left_out.append("dropout_op: not taken over; set network_def#dropout")
    return values


def _batch(file: PlansFile, part: Mapping[str, Any]) -> Values:
    size = part.get("batch_size")
    if not positive(size, True):
        raise file.wrong("batch_size", size, "a positive whole number")
    return {
        "batch_size": (size, "its batch_size"),
        "num_samples": (1, "each of its windows comes from a case of its own"),
        "loss#loss#batch": (bool(part.get("batch_dice", False)), "its batch_dice"),
    }


def _labels(folder: Path, values: Values, left_out: list[str]) -> tuple[str, ...]:
    """Return the choice of classes of the `dataset.json` in a folder, and note its ignore value."""
    if not (folder / "dataset.json").is_file():
        left_out.append(
            "labels: there is no dataset.json next to the file; choose the labels when you train"
        )
        return ()
    try:
        names, ignore = declared_labels(folder), declared_ignore(folder)
        regions = declared_regions(folder)
    except ValueError as error:
        left_out.append(f"labels: {error}")
        return ()
    if ignore is not None:
        values["ignore"] = (ignore, "the ignore label of its dataset.json")
    if regions:
        return chosen_texts(regions)
    return tuple(f"{value}={name}" for value, name in sorted(names.items()) if value > 0)


def _differences(part: Mapping[str, Any]) -> list[str]:
    """Return a line for each thing that this package does otherwise, or not at all."""
    lines = []
    for key, name in (("resampling_fn_data", "images"), ("resampling_fn_probabilities", "results")):
        options = part.get(f"{key}_kwargs")
        order = options.get("order") if isinstance(options, dict) else None
        if order is not None and order > 1:
            lines.append(f"{key}: {name} are interpolated linearly here, not with order {order}")
    if part.get("previous_stage") or part.get("previous_stage_name"):
        lines.append(
            "previous_stage: there is no cascade; the input of the stage before is missing"
        )
    lines.append("250 steps in an epoch: an epoch here shows each case once; set epochs")
    return lines
