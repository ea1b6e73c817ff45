"""Finding and opening of MONAI bundles, and all parts that segmenting a scan needs."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.inferers import Inferer, SlidingWindowInferer
from monai.utils import ensure_tuple_rep

import monai_attn
from monai_attn import DEFAULT_BUNDLE
from monai_attn.datasets.ignore import check_ignore
from monai_attn.datasets.label_classes import mapped_labels
from monai_attn.inference.backends import load_backend
from monai_attn.inference.inferer import AttentionWindowInferer
from monai_attn.inference.locator import Locator
from monai_attn.inference.result_checks import Expected, read_expected
from monai_attn.inference.segmenter import Segmenter
from monai_attn.inference.slice_inferer import SliceWindowInferer
from monai_attn.inference.views import further_views
from monai_attn.inference.weights import load_weights
from monai_attn.io.errors import reason
from monai_attn.io.files import sha256_of
from monai_attn.metrics.calibration import Confidence
from monai_attn.networks.attention_output import WithAttention
from monai_attn.networks.gate_ablation import open_gates

PACKAGE = Path(monai_attn.__file__).parent
SHIPPED = (PACKAGE / "_bundles", PACKAGE.parent / "bundles")  # installed; in a checkout
MODELS, SLICE_MODELS = f"{DEFAULT_BUNDLE}/models", f"{DEFAULT_BUNDLE}_2d/models"
SHIPPED_WEIGHTS = {  # the SHA-256 of each file
    f"{MODELS}/model.pt": "04d1770a7ccc32d7b45b0650fec3e916d8b0edb752c02e341b719da5611e4783",
    f"{SLICE_MODELS}/model.pt": "322fb06f8cb58004f566d6e95a0498338dbee0b8693a4270fb2042180d9708a9",
    f"{MODELS}/locator.pt": "e9a4b0a00485d5b5fe5c5b595f1bf050873909695d58793d437f753f5794c173",
}


@dataclass(frozen=True)
class Bundle:
    """An opened bundle.

    Attributes:
        root: folder of the bundle.
        metadata: the content of `configs/metadata.json`.
        network: the network with its weights.
        segmenter: the network as a backend runs it, with preprocessing and postprocessing.
        settings: the settings that a manifest records.
    """

    root: Path
    metadata: dict[str, Any]
    network: torch.nn.Module
    segmenter: Segmenter
    settings: dict[str, Any]

    @property
    def label_names(self) -> dict[int, str]:
        """The names of the labels that the bundle writes, without the background."""
        channels = self.metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
        return {int(index): name for index, name in channels.items() if int(index) > 0}

    @property
    def classes(self) -> dict[int, int]:
        """The label of each value in the label files of the training, as far as it is known.

        Raises:
            ValueError: if `label_map` in `configs/train.json` does not map values to labels.
        """
        path, label_map = self._train_json, self._train.get("label_map", {})
        try:
            return mapped_labels(1 + len(self.label_names), label_map)
        except (TypeError, ValueError, AttributeError):
            raise ValueError(
                f"{path}: label_map is {label_map!r:.40}; values and labels expected: correct it"
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


def find_bundle(name_or_dir: str | Path) -> Path:
    """Find the folder of a bundle: a shipped bundle by its name, or any bundle by its path.

    A bare name means the shipped bundle, even if a folder in the working directory has the same name:
    write `./NAME` for the folder.

    Raises:
        ValueError: if there is no bundle; the error lists the shipped ones.
    """
    is_name = isinstance(name_or_dir, str) and Path(name_or_dir).name == name_or_dir
    folders = [folder / name_or_dir for folder in SHIPPED] if is_name else []
    for root in (*folders, Path(name_or_dir)):
        if (root / "configs" / "inference.json").is_file():
            return root.resolve()
    shipped = sorted(p.name for folder in SHIPPED if folder.is_dir() for p in folder.iterdir())
    raise ValueError(
        f"{name_or_dir}: no bundle there (configs/inference.json is missing);"
        f" name a bundle's folder or one of {shipped}"
    )


def is_shipped(name_or_dir: str | Path) -> bool:
    """Return whether this is the bare name of a bundle shipped with the package; False for a path."""
    if Path(name_or_dir).name != str(name_or_dir):
        return False
    return any((folder / name_or_dir / "configs").is_dir() for folder in SHIPPED)


def find_device(name: str) -> torch.device:
    """Find a device by its name: `auto` is the current GPU of torch if there is one, else the CPU.

    Raises:
        ValueError: if the device is unknown or not available.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device (={name!r}) must be auto, cpu or cuda") from None
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"device (={name!r}) must be auto, cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ValueError(
            f"device (={name!r}) is not there: torch sees {count} GPUs; use cpu or auto"
        )
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def open_bundle(
    name_or_dir: str | Path = DEFAULT_BUNDLE,
    device: str = "auto",
    *,
    mode: str | None = None,
    backend: str = "auto",
    precision: str = "auto",
    memory: int | None = None,
    attention: bool = False,
    open_levels: Sequence[int] = (),
    uncertainty: bool = False,
    interval: bool = False,
    volume: int | None = None,
    series: str | None = None,
) -> Bundle:
    """Open a bundle with its `configs/inference.json` and load its `models/model.pt`.

    A config can run code: only open bundles that you trust.

    Args:
        name_or_dir: as for `find_bundle`.
        device: as for `find_device`.
        mode: "full" runs every window of the body, "focus" only those that the bundle's locator selects;
            by default the mode set in the bundle.
        backend: as for `load_backend`.
        precision: as for `load_backend`.
        memory: bytes that the process may use; by default the memory of the machine.
        attention: whether the segmenter also returns the attention of the network's gates.
        open_levels: levels whose gate is held open, as in `open_gates`; the locator is not changed.
        uncertainty: whether the segmenter also returns the entropy of the probabilities.
        interval: whether the segmenter runs several views of each scan, for an interval of each volume.
        volume: index of the volume, from 0, in a scan that holds several.
        series: the SeriesInstanceUID of the series, in a DICOM folder that holds several.

    Raises:
        ValueError: if the bundle, a file of it, the device or the backend is missing, the weights do not
            fit, or the weights of a shipped bundle have been changed.
    """
    root, where = find_bundle(name_or_dir), find_device(device)
    if is_shipped(name_or_dir):
        check_shipped(root)
    parser = ConfigParser()
    try:
        parser.read_config(root / "configs" / "inference.json")
        parser["bundle_root"], parser["device"] = str(root), where
        metadata = json.loads((root / "configs" / "metadata.json").read_text(encoding="utf-8"))
        parts = [
            parser.get_parsed_content(part)
            for part in ("network", "preprocessing", "inferer", "postprocessing")
        ]
        image = metadata["network_data_format"]["inputs"]["image"]
        channels, dims = image["num_channels"], len(image["spatial_shape"])
        labels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
    except Exception as error:  # a config can run code, and code can raise anything
        raise ValueError(f"{root}: its configs do not make a bundle ({reason(error)})") from error
    network, preprocessing, inferer, postprocessing = parts
    weights = root / "models" / "model.pt"
    confidence = _confidence(root, parser, len(labels), dims)
    expected = _expected(root, parser, len(labels))
    if not _is_for(weights, metadata):
        confidence = Confidence()
    if uncertainty or interval:
        check_confidence(root, metadata)
    _set_mode(root, inferer, mode)
    load_weights(network, weights, where)
    network.eval()
    if open_levels:
        network = open_gates(network, open_levels)
    levels = _gated_levels(root, network) if attention else ()
    if attention:
        network = WithAttention(network)
    run: Callable[..., Any] = network
    used = {"backend": "eager", "precision": "float32"}
    is_slice = isinstance(inferer, SliceWindowInferer)
    roi_size = inferer.slice_size if is_slice else getattr(inferer, "roi_size", -1)
    roi = ensure_tuple_rep(roi_size, dims)
    if isinstance(inferer, SlidingWindowInferer) and min(roi) > 0:
        window = (channels, *roi)
        run = load_backend(network, window, name=backend, precision=precision, device=where)
        used = {"backend": run.name, "precision": run.precision}
    segmenter = Segmenter(
        preprocessing=preprocessing,
        inferer=inferer,
        network=run,
        postprocessing=postprocessing,
        device=where,
        channels=len(labels),
        levels=levels,
        uncertainty=uncertainty,
        views=further_views(confidence.flip_axes) if interval else (),
        confidence=confidence,
        expected=expected,
        memory=memory,
        volume=volume,
        series=series,
    )
    located = isinstance(inferer, AttentionWindowInferer) and inferer.locator is not None
    focus = located and inferer.focus
    settings = {
        "monai_attn": monai_attn.__version__,
        "bundle": {"name": root.name, "version": metadata.get("version", "")},
        "intended_use": metadata.get("intended_use", ""),
        "labels": {number: name for number, name in labels.items() if int(number) > 0},
        "intensity_range": parser.get("intensity_range"),
        "bundle_sha256": sha256_of(*sorted(_parts(root))),
        "weights_sha256": sha256_of(weights),
        "device": where.type,  # the labels do not depend on which of several GPUs is used
        **used,
        "mode": "focus" if focus else "full",
        "attention": attention,
        **({"open_levels": sorted(open_levels)} if open_levels else {}),
        "uncertainty": uncertainty,
        "interval": interval,
        "volume": volume,
        "series": series,
    }
    return Bundle(root, metadata, network, segmenter, settings)


def _confidence(root: Path, parser: ConfigParser, classes: int, dims: int) -> Confidence:
    """Read the temperature and the intervals that `monai-attn calibrate` wrote into a bundle's config."""
    temperature, found = parser.get("temperature", 1.0), parser.get("interval") or {}
    try:
        factors = {int(label): float(factor) for label, factor in found.get("factors", {}).items()}
        own = Confidence(float(temperature), tuple(found.get("flip_axes", ())), factors)
        sound = (
            0 < own.temperature < math.inf
            and all(0 < label < classes and 0 <= factors[label] < math.inf for label in factors)
            and set(own.flip_axes) <= set(range(dims))
        )
    except (TypeError, ValueError, AttributeError):
        sound = False
    if not sound:
        raise ValueError(
            f"{root / 'configs' / 'inference.json'}: temperature is {temperature!r:.40} and interval "
            f"{found!r:.80}; what calibrate writes expected: delete both, and run calibrate"
        )
    return own


def _expected(root: Path, parser: ConfigParser, classes: int) -> dict[int, Expected]:
    """Read the expected measures of each label from a bundle's config."""
    try:
        return read_expected(parser.get("expected", {}), classes)
    except ValueError as error:
        raise ValueError(f"{root / 'configs' / 'inference.json'}: {error}") from None


def check_confidence(root: Path, metadata: dict[str, Any]) -> None:
    """Warn if a bundle's temperature and intervals were fitted for other weights."""
    weights = root / "models" / "model.pt"
    if not _is_for(weights, metadata):
        warnings.warn(
            f"{weights}: its temperature and intervals were fitted for other weights, and are left "
            "out; run calibrate",
            stacklevel=3,
        )


def _is_for(weights: Path, metadata: dict[str, Any]) -> bool:
    """Return whether the calibration is for these weights; True if the metadata does not name any."""
    calibration = metadata.get("calibration")
    fitted = calibration.get("weights_sha256") if isinstance(calibration, dict) else None
    return fitted is None or not weights.is_file() or sha256_of(weights) == fitted


def _parts(root: Path) -> set[Path]:
    """Return the files of a bundle on which its labels can depend."""
    patterns = ("configs/*.json", "models/*.pt", "**/*.py")
    return {file for pattern in patterns for file in root.glob(pattern)}


def _gated_levels(root: Path, network: torch.nn.Module) -> tuple[int, ...]:
    levels = tuple(getattr(network, "gated_levels", ()))
    if not levels:
        raise ValueError(f"{root}: its network has no gates, and so no attention; leave it out")
    return levels


def check_shipped(root: Path) -> None:
    """Refuse changed weights of a shipped bundle, before they are opened.

    Raises:
        ValueError: if a file was changed; the error names it.
    """
    for name, digest in SHIPPED_WEIGHTS.items():
        file = root.parent / name
        if file.parent.parent == root and file.is_file() and sha256_of(file) != digest:
            raise ValueError(
                f"{file}: not the weights that were shipped; install the package again, or name the "
                f"bundle by its path if you trained them: --bundle {root}"
            )


def _set_mode(root: Path, inferer: Inferer, mode: str | None) -> None:
    if mode not in (None, "full", "focus"):
        raise ValueError(f"mode (={mode!r}) must be full or focus")
    has_locator = isinstance(inferer, AttentionWindowInferer) and inferer.locator is not None
    if mode == "focus" and not has_locator:
        raise ValueError(f"{root}: has no locator to focus with; use mode full")
    if mode == "focus" and isinstance(inferer.locator, Locator) and inferer.locator.fault:
        raise ValueError(f"{root}: {inferer.locator.fault}")
    if mode and has_locator:
        inferer.focus = mode == "focus"
