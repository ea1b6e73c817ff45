"""The windows and volumes of patients and phantoms, as the trainings on patients see them."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai import transforms as T
from torch import Tensor, nn

from monai_attn.transforms import pipelines
from monai_attn.transforms.grids import NeighbourSlicesd
from tests.benchmarks.patients_protocols import PROTOCOLS, Protocol
from tests.benchmarks.real_ct import IGNORE, WHOLE, Case

KEYS, MODES = ("image", "label"), ("bilinear", "nearest")
HIGHEST_EDGE = 60.0  # HU that become 0 at most where the lower edge is random


class RandLowerEdged(T.RandomizableTransform):
    """A transform of half of the windows: all up to a random intensity becomes 0, the rest spreads to 1."""

    def __init__(self, highest: float) -> None:
        super().__init__(prob=0.5)
        self.highest = highest

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Change `image`, 0..1."""
        self.randomize(None)
        edge = self.R.uniform(0, self.highest) if self._do_transform else 0.0
        return {**data, "image": ((data["image"] - edge) / (1 - edge)).clamp(min=0)}


def thicken(image: Tensor) -> Tensor:
    """Mix each slice of a volume (C, X, Y, Z) with its neighbours: a quarter, a half and a quarter."""
    ends = nn.functional.pad(image, (1, 1, 0, 0), mode="replicate")
    return ends[..., :-2] / 4 + ends[..., 1:-1] / 2 + ends[..., 2:] / 4


def further_steps(protocol: Protocol) -> tuple[list[T.Transform], list[T.Transform]]:
    """Return the transforms that a protocol adds, before the slices are stacked and at the end."""
    low, high = protocol.intensity_range
    edge = RandLowerEdged(HIGHEST_EDGE / (high - low))
    elastic = T.Rand2DElasticd(  # knots 32 mm apart, which move by some millimetres
        KEYS,
        spacing=(8, 8),
        magnitude_range=(0.5, 1.5),
        prob=0.5,
        mode=MODES,
        padding_mode="border",
    )
    thick = T.RandLambdad("image", func=thicken, prob=0.5)
    return {
        "": ([], []),
        "elastic": ([], [elastic, T.EnsureTyped("label", dtype=torch.uint8)]),
        "lower edge": ([], [edge]),
        "thick slices": ([thick], []),
    }[protocol.variation]


def patients(work: Path) -> dict[str, tuple[int, list[Case]]]:
    """The fold of each patient and the volumes with the pancreas, which start a millimetre apart."""
    cases = json.loads((work / "dataset.json").read_text(encoding="utf-8"))["training"]
    found: dict[str, tuple[int, list[Case]]] = {}
    for case in cases:
        if "fold" in case and (
            case["group"] not in WHOLE or "_pancreas_" in Path(case["image"]).name
        ):
            found.setdefault(case["group"], (case["fold"], []))[1].append(case)
    return found


def phantoms(work: Path) -> dict[str, list[Case]]:
    """The volumes of the phantoms, one of each."""
    cases = json.loads((work / "dataset.json").read_text(encoding="utf-8"))["training"]
    return {Path(case["image"]).name.split(".")[0]: [case] for case in cases if "group" not in case}


def load_or_make(path: Path, make: Callable[[], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Load a file, which is made first if it is not there."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(make(), path)
    images, labels = torch.load(path)
    return images, labels


def settings(protocol: Protocol) -> dict[str, Any]:
    """Return the arguments that the transforms of training and validation share."""
    return {
        "spacing": protocol.spacing,
        "intensity_range": protocol.intensity_range,
        "slice_channels": protocol.slice_channels,
        "label_map": {"0": 0, "1": 1},
        "ignore": IGNORE,
    }


def windows_of(cases: list[Case], protocol: Protocol) -> tuple[Tensor, Tensor]:
    """Windows of some volumes, images (N, C, *roi) in float16 and labels (N, 1, *roi)."""
    cut = pipelines.training(
        roi_size=protocol.roi_size,
        num_samples=protocol.windows,
        domain_randomization=protocol.domain_randomization,
        **settings(protocol),
    )
    of_volumes, of_windows = further_steps(protocol)
    steps = [*cut.transforms, *of_windows]
    stacked = (i for i, step in enumerate(steps) if isinstance(step, NeighbourSlicesd))
    place = next(stacked, len(steps))
    cut = T.Compose([*steps[:place], *of_volumes, *steps[place:]])
    cut.set_random_state(0)
    found = [window for case in cases for window in cut(dict(case))]
    images, labels = (torch.stack([window[key] for window in found]) for key in KEYS)
    return images.half(), labels.byte()


def volume_of(case: Case, protocol: Protocol) -> tuple[Tensor, Tensor]:
    """A volume on the network's grid, image (C, X, Y, Z) and label (1, X, Y, Z)."""
    loaded = pipelines.validation(**settings(protocol))(dict(case))
    return loaded["image"], loaded["label"]


def data_folder(work: Path, dims: int, protocol: Protocol) -> Path:
    """The folder of the windows and volumes of a protocol, named by what makes them differ."""
    low, high = protocol.intensity_range
    words = [f"{protocol.slice_channels}_slices_{low:.0f}_to_{high:.0f}"]
    words += ["beyond"] * protocol.domain_randomization
    words += [protocol.variation.replace(" ", "_")] * bool(protocol.variation)
    words += [f"{protocol.roi_size[0]}_wide"] * (protocol.roi_size != PROTOCOLS[dims].roi_size)
    return work / f"small_{dims}d" / "_".join(words)
