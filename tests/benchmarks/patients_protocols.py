"""Protocols and choices that the trainings on patients compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from monai.losses import DiceFocalLoss, TverskyLoss
from torch import nn

from monai_attn.training.masked_loss import MaskedDiceCELoss
from tests.benchmarks.real_ct import IGNORE

OPTIONS = {"include_background": False, "to_onehot_y": True, "softmax": True}
WINDOW = "Dice of each window + cross-entropy"  # as in the bundles
BATCH = "Dice of the batch + cross-entropy"
LOSSES: dict[str, Callable[[], nn.Module]] = {
    WINDOW: partial(MaskedDiceCELoss, ignore=IGNORE, **OPTIONS),
    BATCH: partial(MaskedDiceCELoss, ignore=IGNORE, batch=True, **OPTIONS),
    # these know no ignored voxels; a window of a 2D network has none, since labels are of whole slices
    "Dice + focal": partial(DiceFocalLoss, batch=True, **OPTIONS),
    "Tversky": partial(TverskyLoss, alpha=0.3, beta=0.7, batch=True, **OPTIONS),
}


@dataclass(frozen=True)
class Protocol:
    """A training that two CPU cores can afford often."""

    spacing: tuple[float, ...]  # mm
    roi_size: tuple[int, ...]
    batch: int
    windows: int  # of each volume, in all trainings together
    slice_channels: int = 1
    intensity_range: tuple[float, float] = (0.0, 250.0)  # HU
    domain_randomization: bool = False
    variation: str = ""  # of the windows, in addition to the bundle's; see `patients_data`
    phantoms: str = ""  # "mixed in" with the patients, or "first", as many steps before them
    deep_supervision: int = 0
    average_steps: int = 0  # of the exponential average of the weights; 0 for the last weights
    channels: tuple[int, ...] = (8, 16, 32, 64)
    gate: Any = ("soft", {"grid": "gating"})
    norm: Any = "batch"
    loss: str = BATCH
    steps: int = 400
    learning_rate: float = 0.01


PROTOCOLS = {
    2: Protocol((4, 4, 3), (80, 80), batch=16, windows=48, slice_channels=3),
    3: Protocol((6, 6, 6), (48, 48, 16), batch=4, windows=16),
}
# name: fields of a protocol; the first is what others differ from
Variations = dict[str, dict[str, Any]]
COMPARED: dict[str, Variations] = {
    "gates": {
        "none": {"gate": None},
        "soft, gating grid": {},
        "soft, skip grid": {"gate": ("soft", {"grid": "skip"})},
        "hard, gating grid": {"gate": ("hard", {"estimator": "straight_through"})},
    },
    "norms": {
        "batch norm": {},
        "instance norm": {"norm": ("instance", {"affine": True})},
    },
    "choices": {  # of the 2D network
        "soft, gating grid": {},
        "one slice": {"slice_channels": 1},
        "five slices": {"slice_channels": 5},
        "Dice of each window": {"loss": WINDOW},
        "Dice + focal": {"loss": "Dice + focal"},
        "Tversky": {"loss": "Tversky"},
        "far beyond scans": {"domain_randomization": True},
        "elastic": {"variation": "elastic"},
        "thick slices": {"variation": "thick slices"},
        "lower edge": {"variation": "lower edge"},
        "larger windows": {"roi_size": (112, 112)},
        "phantoms first": {"phantoms": "first"},
        "twice as long": {"steps": 800},  # as many steps in all
        "phantoms mixed in": {"phantoms": "mixed in"},
        "deep supervision": {"deep_supervision": 2},
        "average of the weights": {"average_steps": 40},
        "from -100 HU": {"intensity_range": (-100.0, 250.0)},  # the volumes hold nothing below 0
    },
}
