"""Quantisation of a bundle to int8, from training cases, and its Dice on validation cases."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from monai_attn.bundle.bundle import Bundle
from monai_attn.bundle.find import is_shipped
from monai_attn.bundle.int8 import ALLOWED, INT8
from monai_attn.bundle.open import open_bundle
from monai_attn.datasets.datalist import Case
from monai_attn.datasets.listed_splits import read_split
from monai_attn.inference.backends import load_backend
from monai_attn.inference.backends import quantize as backend
from monai_attn.inference.segmenter import Segmenter
from monai_attn.io.channels import as_image
from monai_attn.io.errors import ScanWarning
from monai_attn.io.files import atomic_write, make_writable
from monai_attn.metrics.scores import CaseScore, summarize
from monai_attn.networks import WithAttention
from monai_attn.training.config_files import read_config, write_config
from monai_attn.training.run_folder import SPLIT
from monai_attn.training.scoring import score_split

WINDOWS = 40  # at most, each from another case
SEED = 0
OnCase = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Quantization:
    """The measured quality of an int8 network.

    Attributes:
        float32: mean Dice of each label in float32.
        int8: mean Dice of each label in int8.
        cases: number of cases scored.
        windows: number of windows from which the ranges were measured.
    """

    float32: dict[str, float]
    int8: dict[str, float]
    cases: int
    windows: int

    @property
    def difference(self) -> float:
        """The mean Dice in int8 minus that in float32, of the label in which they differ most."""
        differences = [self.int8[label] - self.float32[label] for label in self.float32]
        return max(differences, key=abs)


def quantize(
    bundle: str | Path,
    data: str | Path | None = None,
    *,
    on_case: OnCase = lambda stage, done, total: None,
) -> tuple[Bundle, Quantization]:
    """Quantise a bundle's network to int8, measure its Dice, and store both in the bundle.

    The quantised network goes to `models/model_int8.xml` and `.bin`, the measured Dice to
    `configs/metadata.json`. Nothing is stored if the mean Dice of a label differs by more than 0.003.

    Args:
        bundle: folder of a bundle, such as that of a training.
        data: a datalist with labelled cases in `training`, from which the ranges of the layers are
            measured, and in `validation`, which are scored; by default the bundle's own split.
        on_case: called after each case with the stage, the number of cases done and the total.

    Raises:
        ValueError: if a shipped bundle is named and not found by its path, packages are missing, the
            bundle has no split, a case cannot be segmented, or the Dice differs too much.
    """
    if is_shipped(bundle):
        raise ValueError(
            f"{bundle}: a shipped bundle cannot be changed. Quantise a copy, given by its path."
        )
    backend.check_installed()
    opened = open_bundle(bundle, "cpu", backend="openvino", precision="float32")
    models = opened.root / "models"
    make_writable(models)
    window = opened.window
    if window is None:
        raise ValueError(f"{opened.root}: its windows vary in size, so that it cannot be quantised")
    source = Path(data) if data else opened.root / SPLIT
    if data is None and not source.is_file():
        raise ValueError(
            f"{opened.root}: not the folder of a training, so that it has no split. Name a datalist with "
            "training and validation."
        )
    split = read_split(source)
    segmenter = opened.segmenter()
    seen = collect_windows(segmenter, split["training"], partial(on_case, "calibration"))
    if not seen:
        raise ValueError(f"{source}: no training case has a window. Check the scans.")
    gated = getattr(opened.network, "gated_levels", ())
    network = WithAttention(opened.network) if gated else opened.network
    with TemporaryDirectory(prefix="monai-attn-") as name:
        folder = Path(name)
        file = folder / INT8
        backend.quantize(network, seen, file)
        run = load_backend(opened.network, window, precision="int8", cache=folder, int8=file)
        float32, int8 = (
            mean_dice(score_split(opened, one, split, folder / stage, partial(on_case, stage)))
            for stage, one in (("float32", segmenter), ("int8", replace(segmenter, network=run)))
        )
        found = Quantization(float32, int8, len(split["validation"]), len(seen))
        if not abs(found.difference) <= ALLOWED:
            raise ValueError(
                f"{opened.root}: mean Dice in int8 differs by {found.difference:+.4f} from float32 (at most "
                f"{ALLOWED} either way), so that it was not stored. Use bfloat16 or float32."
            )
        for made in (file, file.with_suffix(".bin")):
            with atomic_write(models / made.name) as stored:
                stored.write(made.read_bytes())
    _record(opened, found)
    return opened, found


def collect_windows(
    segmenter: Segmenter, cases: Sequence[Case], on_case: Callable[[int, int], None]
) -> list[Tensor]:
    """Return one window (1, C, *roi) of each case, at most of 40 cases, drawn with a fixed seed.

    They are drawn from the windows that the segmenter runs, and the network is not needed.
    """
    rng = np.random.default_rng(SEED)
    chosen = rng.permutation(len(cases))[:WINDOWS]
    windows: list[Tensor] = []
    for done, index in enumerate(chosen, 1):
        drawn = _WindowDraw(segmenter.channels, rng)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ScanWarning)  # the training has warned of this case
            replace(segmenter, network=drawn)(as_image(cases[index]["image"]))
        windows += drawn.drawn
        on_case(done, len(chosen))
    return windows


class _WindowDraw:
    """A network that draws one of the windows it is given, each with the same chance; it finds nothing."""

    def __init__(self, channels: int, rng: np.random.Generator) -> None:
        self.channels, self.rng, self.count = channels, rng, 0
        self.drawn: list[Tensor] = []

    def __call__(self, windows: Tensor) -> Tensor:
        for i in range(len(windows)):
            self.count += 1
            if self.rng.random() * self.count < 1:
                self.drawn = [windows[i : i + 1].as_subclass(Tensor).float().clone()]
        return torch.zeros(len(windows), self.channels, *windows.shape[2:])


def mean_dice(scores: Sequence[CaseScore]) -> dict[str, float]:
    """Return the mean Dice of each label that occurs in a reference."""
    means = summarize(scores)["mean"]
    return {label: mean["dice"] for label, mean in means.items() if mean["dice"] is not None}


def _record(opened: Bundle, found: Quantization) -> None:
    path = opened.root / "configs" / "metadata.json"
    metadata = read_config(path)
    metadata["int8"] = {
        "weights_sha256": opened.weights_sha256,
        "dice_difference": round(found.difference, 5),
        "dice_float32": {label: round(dice, 5) for label, dice in found.float32.items()},
        "dice_int8": {label: round(dice, 5) for label, dice in found.int8.items()},
        "cases": found.cases,
        "windows": found.windows,
    }
    write_config(path, metadata)
