"""An opened bundle, which makes the segmenter for any options of a call."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from monai.inferers import Inferer
from monai.transforms import Compose

import monai_attn
from monai_attn.bundle.int8 import find_int8
from monai_attn.datasets.channels import CT, Channel
from monai_attn.datasets.ignore import check_ignore
from monai_attn.datasets.label_classes import mapped_labels
from monai_attn.inference.backends import load_backend
from monai_attn.inference.inferer_windows import windows_of
from monai_attn.inference.result_checks import Expected
from monai_attn.inference.scan_opening import channels_of
from monai_attn.inference.segmenter import Segmenter
from monai_attn.inference.views import further_views
from monai_attn.io.digests import file_sha256
from monai_attn.metrics.calibration import Confidence
from monai_attn.networks import WithAttention, open_gates
from monai_attn.transforms.decoding import Decoding
from monai_attn.transforms.grids import decoding_of

Run = Callable[..., Any]


@dataclass(frozen=True)
class Bundle:
    """An opened bundle.

    Attributes:
        root: folder of the bundle.
        metadata: the content of `configs/metadata.json`.
        network: the network with its weights, in eval mode.
        preprocessing: transforms from `image` to the network's input.
        inferer: the bundle's inferer.
        postprocessing: transforms from logits to labels on the scan's grid.
        device: device of the network.
        backend: as for `load_backend`.
        precision: as for `load_backend`.
        memory: bytes that the process may use; None for the memory of the machine.
        confidence: temperature and intervals, if they were fitted for these weights.
        expected: expected measures of each label.
        intensity_range: the lowest and the highest HU that the network distinguishes, if the config says.
        members: the bundles of an ensemble, of which this one is made; empty for a single bundle.
    """

    root: Path
    metadata: dict[str, Any]
    network: torch.nn.Module
    preprocessing: Compose
    inferer: Inferer
    postprocessing: Compose
    device: torch.device
    backend: str = "auto"
    precision: str = "auto"
    memory: int | None = None
    confidence: Confidence = field(default_factory=Confidence)
    expected: Mapping[int, Expected] = field(default_factory=dict)
    intensity_range: Any = None
    members: tuple[Bundle, ...] = ()
    _loaded: dict[Any, tuple[Run, dict[str, str]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def segmenter(
        self,
        *,
        attention: bool = False,
        uncertainty: bool = False,
        interval: bool = False,
        probabilities: bool = False,
        open_levels: Sequence[int] = (),
        volume: int | None = None,
        series: str | None = None,
    ) -> Segmenter:
        """Return the segmenter for some options; networks that are already loaded are used again.

        Args:
            attention: whether it also returns the attention of the network's gates.
            uncertainty: whether it also returns the entropy of the probabilities.
            interval: whether it runs several views of each scan, for an interval of each volume.
            probabilities: whether it also returns the probability of each class or region.
            open_levels: levels whose gate is held open, as in `open_gates`; the locator is not changed.
            volume: index of the volume, from 0, in a scan that holds several.
            series: the SeriesInstanceUID of the series, in a DICOM folder that holds several.

        Raises:
            ValueError: if the network has no gates for `attention` or at `open_levels`, or the backend
                cannot run it.
        """
        if uncertainty or interval or probabilities:
            self.check_confidence()
        levels = self._gated_levels() if attention else ()
        run, used = self._load(attention, tuple(sorted(open_levels)))
        regions = self.decoding.regions
        settings = {
            "monai_attn": monai_attn.__version__,
            "bundle": {"name": self.name, "version": self.metadata.get("version", "")},
            "intended_use": self.notice,
            "labels": {str(number): name for number, name in self.label_names.items()},
            "intensity_range": self._window,
            **({"channels": [one.content() for one in self.channels]} if self.channels else {}),
            "bundle_sha256": self.sha256,
            "weights_sha256": self.weights_sha256,
            **({"members": [_record(one) for one in self.members]} if self.members else {}),
            "device": self.device.type,  # the labels do not depend on which of several GPUs is used
            **used,
            "mode": self.mode,
            "attention": attention,
            **({"open_levels": sorted(open_levels)} if open_levels else {}),
            **({"regions": regions.content()} if regions else {}),
            "uncertainty": uncertainty,
            "interval": interval,
            **({"probabilities": True} if probabilities else {}),
            "volume": volume,
            "series": series,
        }
        return Segmenter(
            preprocessing=self.preprocessing,
            inferer=self.inferer,
            network=run,
            postprocessing=self.postprocessing,
            device=self.device,
            channels=len(regions.labels) if regions else len(self._channels),
            levels=levels,
            uncertainty=uncertainty,
            views=further_views(self.confidence.flip_axes) if interval else (),
            confidence=self.confidence,
            expected=self.expected,
            memory=self.memory,
            volume=volume,
            series=series,
            settings=settings,
            members=max(1, len(self.members)),
            probabilities=probabilities,
        )

    @property
    def name(self) -> str:
        """The name of the bundle's folder; of an ensemble, those of its members."""
        return " + ".join(one.root.name for one in self.members or (self,))

    @property
    def _channels(self) -> dict[str, str]:
        return self.metadata["network_data_format"]["outputs"]["pred"]["channel_def"]

    @property
    def decoding(self) -> Decoding:
        """The way from the network's logits to probabilities and labels: a softmax, or a sigmoid."""
        return decoding_of(self.postprocessing)

    @property
    def mode(self) -> str:
        """The mode of inference: focus or full."""
        return windows_of(self.inferer).mode

    @property
    def window(self) -> tuple[int, ...] | None:
        """The channels and voxels (C, *roi) of one window; None if windows vary in size."""
        image = self.metadata["network_data_format"]["inputs"]["image"]
        roi = windows_of(self.inferer).shape(len(image["spatial_shape"]))
        return (image["num_channels"], *roi) if roi else None

    @property
    def weights(self) -> Path:
        """The file of the network's weights."""
        return self.root / "models" / "model.pt"

    @property
    def weights_sha256(self) -> str:
        """The SHA-256 of the file of the network's weights; of an ensemble, of its members' digests."""
        if self.members:
            return _digest(one.weights_sha256 for one in self.members)
        return file_sha256(self.weights)

    @cached_property
    def sha256(self) -> str:
        """A digest of all files of the bundle on which its labels can depend."""
        if self.members:
            return _digest(one.sha256 for one in self.members)
        patterns = (
            "configs/*.json",
            "models/*.pt",
            "models/*.pth",
            "models/model_int8.*",
            "**/*.py",
        )
        files = {file for pattern in patterns for file in self.root.glob(pattern)}
        lines = [f"{file.relative_to(self.root)} {file_sha256(file)}\n" for file in sorted(files)]
        return _digest(lines)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels of a scan; none for a single CT that `intensity_range` scales."""
        channels = channels_of(self.preprocessing)
        return () if channels == (CT,) else channels

    @property
    def _window(self) -> Any:
        """The lowest and the highest HU that the network distinguishes in the channel that pictures show."""
        if not self.channels:
            return self.intensity_range
        first = self.channels[0].scaling
        return list(first) if isinstance(first, tuple) else None

    @property
    def label_names(self) -> dict[int, str]:
        """The names of the labels that the bundle writes, without the background."""
        return {int(index): name for index, name in self._channels.items() if int(index) > 0}

    @property
    def classes(self) -> dict[int, int]:
        """The label of each value in the label files of the training, as far as it is known.

        Raises:
            ValueError: if `label_map` in `configs/train.json` does not map values to labels.
        """
        path, label_map = self._train_json, self._train.get("label_map", {})
        try:
            return mapped_labels(1 + len(self.label_names), label_map, self.decoding.regions)
        except (TypeError, ValueError, AttributeError):
            raise ValueError(
                f"{path}: invalid label_map (got {label_map!r:.40}, expected values and their labels). "
                "Correct it."
            ) from None

    @property
    def ignore(self) -> int | None:
        """The value that marked ignored voxels in the label files of the training, if there was one.

        Raises:
            ValueError: if `ignore` in `configs/train.json` is not a valid value, or also a label.
        """
        ignore = self._train.get("ignore")
        try:
            check_ignore(ignore, self.classes)
        except ValueError as error:
            raise ValueError(f"{self._train_json}: {error}") from None
        return ignore

    @property
    def _train_json(self) -> Path:
        return self.root / "configs" / "train.json"

    @property
    def _train(self) -> dict[str, Any]:
        path = self._train_json
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    @property
    def notice(self) -> str:
        """The intended use, as the bundle's metadata states it."""
        return str(self.metadata.get("intended_use", ""))

    def check_confidence(self) -> None:
        """Warn if the temperature and the intervals were fitted for other weights."""
        for one in self.members or (self,):
            if not is_fitted_for(one.weights, one.metadata):
                warnings.warn(
                    f"{one.weights}: its temperature and intervals were fitted for other weights, and are "
                    "left out; run calibrate",
                    stacklevel=3,
                )

    def _gated_levels(self) -> tuple[int, ...]:
        levels = tuple(getattr(self.network, "gated_levels", ()))
        if self.members and not levels:
            self._check_member_gates()
        if not levels:
            raise ValueError(
                f"{self.root}: its network has no gates. Leave out the attention, or choose another bundle."
            )
        return levels

    def _check_member_gates(self) -> None:
        first, *others = self.members
        expected = list(getattr(first.network, "gated_levels", ()))
        for one in others:
            got = list(getattr(one.network, "gated_levels", ()))
            if got != expected:
                raise ValueError(
                    f"{one.root}: gates at other levels than {first.root} (got {got}, expected {expected}), "
                    "so that their attention has no mean. Leave out the attention, or the bundle."
                )

    def _load(self, attention: bool, open_levels: tuple[int, ...]) -> tuple[Run, dict[str, str]]:
        """Return the network as a backend runs it, and the names of backend and precision."""
        if self.precision == "int8" and (open_levels or self.members):
            what = "a network with open gates" if open_levels else "an ensemble"
            raise ValueError(f"{self.root}: {what} cannot run in int8. Choose another precision.")
        key = attention, open_levels
        if key not in self._loaded:
            network = open_gates(self.network, open_levels) if open_levels else self.network
            network = WithAttention(network) if attention else network
            self._loaded[key] = self._on_backend(network)
        return self._loaded[key]

    def _on_backend(self, network: torch.nn.Module) -> tuple[Run, dict[str, str]]:
        if self.window is None:
            return network, {"backend": "eager", "precision": "float32"}
        run = load_backend(
            network,
            self.window,
            name=self.backend,
            precision=self.precision,
            device=self.device,
            int8=find_int8(self.root, self.metadata) if self.precision == "int8" else None,
        )
        return run, {"backend": run.name, "precision": run.precision}


def _record(member: Bundle) -> dict[str, Any]:
    """Return what a manifest says of a member of an ensemble."""
    return {
        "name": member.name,
        "version": member.metadata.get("version", ""),
        "bundle_sha256": member.sha256,
        "weights_sha256": member.weights_sha256,
        "temperature": member.confidence.temperature,
    }


def _digest(lines: Iterable[str]) -> str:
    return sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def is_fitted_for(weights: Path, metadata: Mapping[str, Any]) -> bool:
    """Return whether a calibration is for these weights; True if the metadata does not name any."""
    calibration = metadata.get("calibration")
    fitted = calibration.get("weights_sha256") if isinstance(calibration, dict) else None
    return fitted is None or not weights.is_file() or file_sha256(weights) == fitted
