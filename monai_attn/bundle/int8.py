"""The quantised network of a bundle: its file, and the measured Dice without which it does not run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_attn.io.digests import file_sha256

INT8 = "model_int8.xml"  # next to the weights, with a .bin of the same name
ALLOWED = 0.003  # of mean Dice, above or below that of float32


def find_int8(root: Path, metadata: Mapping[str, Any]) -> Path:
    """Return the file of a bundle's quantised network, if it is as good as float32.

    Args:
        root: folder of the bundle.
        metadata: the bundle's metadata, where `quantize` wrote the measured difference of Dice.

    Raises:
        ValueError: if it is missing, was made from other weights, was never measured, or lost too much.
    """
    file = root / "models" / INT8
    measured = metadata.get("int8")
    again = "Run monai-attn quantize, or choose another precision."
    if not file.is_file() or not isinstance(measured, Mapping):
        raise ValueError(f"{root}: has no measured int8 network. {again}")
    if measured.get("weights_sha256") != file_sha256(root / "models" / "model.pt"):
        raise ValueError(f"{file}: was made from other weights. {again}")
    difference = measured.get("dice_difference")
    if not isinstance(difference, float) or not abs(difference) <= ALLOWED:
        raise ValueError(
            f"{file}: mean Dice differs too much from float32 (got {difference!r:.20}, at most {ALLOWED} "
            "either way). Choose another precision."
        )
    return file
