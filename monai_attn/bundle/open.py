"""Opening of a bundle: its configs are read, its network is built and its weights are loaded."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path

from monai.bundle import ConfigParser
from monai.inferers import Inferer
from monai.transforms import Compose

from monai_attn import DEFAULT_BUNDLE
from monai_attn.bundle.bundle import Bundle, is_fitted_for
from monai_attn.bundle.find import find_bundle, find_device, is_shipped
from monai_attn.bundle.gate_mismatch import gate_mismatch
from monai_attn.bundle.trust import check_shipped
from monai_attn.inference.backends.backend import check_known
from monai_attn.inference.inferer import AttentionWindowInferer
from monai_attn.inference.inferer_windows import windows_of
from monai_attn.inference.result_checks import Expected, read_expected
from monai_attn.inference.weights import load_weights
from monai_attn.io.errors import reason
from monai_attn.metrics.calibration import Confidence
from monai_attn.transforms.grids import decoding_of

# named by their full paths: looking for them in short would import all of this package
EXCLUDES = ("monai_attn",)


def open_bundle(
    name_or_dir: str | Path = DEFAULT_BUNDLE,
    device: str = "auto",
    *,
    mode: str | None = None,
    backend: str = "auto",
    precision: str = "auto",
    memory: int | None = None,
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

    Raises:
        ValueError: if the bundle, a file of it or the device is missing, the weights do not fit, the
            weights of a shipped bundle have been changed, or an option is unknown.
    """
    check_known(backend, precision)
    if memory is not None and memory <= 0:
        raise ValueError(f"memory (={memory}) must be above 0 bytes")
    root, where = find_bundle(name_or_dir), find_device(device)
    if is_shipped(name_or_dir):
        check_shipped(root)
    parser = ConfigParser(excludes=EXCLUDES)
    try:
        parser.read_config(root / "configs" / "inference.json")
        parser["bundle_root"], parser["device"] = str(root), where
        metadata = json.loads((root / "configs" / "metadata.json").read_text(encoding="utf-8"))
        parts = [
            parser.get_parsed_content(part)
            for part in ("network", "preprocessing", "inferer", "postprocessing")
        ]
        dims = len(metadata["network_data_format"]["inputs"]["image"]["spatial_shape"])
        labels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
        classes = 1 + max(map(int, labels))
        _check_decoding(parts[2], parts[3], labels)
    except Exception as error:  # a config can run code, and code can raise anything
        raise ValueError(f"{root}: its configs do not make a bundle ({reason(error)})") from error
    network, preprocessing, inferer, postprocessing = parts
    weights = root / "models" / "model.pt"
    confidence = _confidence(root, parser, classes, dims)
    expected = _expected(root, parser, classes)
    _set_mode(root, inferer, mode)
    load_weights(network, weights, where, explain=gate_mismatch)
    return Bundle(
        root=root,
        metadata=metadata,
        network=network.eval(),
        preprocessing=preprocessing,
        inferer=inferer,
        postprocessing=postprocessing,
        device=where,
        backend=backend,
        precision=precision,
        memory=memory,
        confidence=confidence if is_fitted_for(weights, metadata) else Confidence(),
        expected=expected,
        intensity_range=parser.get("intensity_range"),
    )


def _check_decoding(inferer: Inferer, postprocessing: Compose, labels: Iterable[str]) -> None:
    """Check that windows, postprocessing and metadata agree on the regions.

    Raises:
        ValueError: if they do not.
    """
    regions = decoding_of(postprocessing).regions
    if isinstance(inferer, AttentionWindowInferer) and inferer.decoding.regions != regions:
        raise ValueError(
            "inferer and postprocessing have different regions. Correct inference.json."
        )
    if regions and {int(label) for label in labels} - {0} != set(regions.labels):
        raise ValueError("channel_def in metadata.json does not name the labels of its regions")


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
            f"{root / 'configs' / 'inference.json'}: invalid temperature or interval (got "
            f"{temperature!r:.40} and {found!r:.80}, expected the values that calibrate writes). Delete "
            "both, and run calibrate."
        )
    return own


def _expected(root: Path, parser: ConfigParser, classes: int) -> dict[int, Expected]:
    """Read the expected measures of each label from a bundle's config."""
    try:
        return read_expected(parser.get("expected", {}), classes)
    except ValueError as error:
        raise ValueError(f"{root / 'configs' / 'inference.json'}: {error}") from None


def _set_mode(root: Path, inferer: Inferer, mode: str | None) -> None:
    if mode not in (None, "full", "focus"):
        raise ValueError(f"mode (={mode!r}) must be full or focus")
    windows = windows_of(inferer)
    if mode == "focus" and not windows.has_locator:
        raise ValueError(f"{root}: has no locator to focus with; use mode full")
    if mode == "focus" and windows.locator_fault:
        raise ValueError(f"{root}: {windows.locator_fault}")
    if mode:
        windows.choose_mode(mode)
