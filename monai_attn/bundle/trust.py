"""Trust in a bundle: the digests of the shipped weights, and of the files on which labels depend."""

from __future__ import annotations

from pathlib import Path

from monai_attn import DEFAULT_BUNDLE
from monai_attn.io.digests import file_sha256

MODELS, SLICE_MODELS = f"{DEFAULT_BUNDLE}/models", f"{DEFAULT_BUNDLE}_2d/models"
SHIPPED_WEIGHTS = {  # the SHA-256 of each file
    f"{MODELS}/model.pt": "04d1770a7ccc32d7b45b0650fec3e916d8b0edb752c02e341b719da5611e4783",
    f"{SLICE_MODELS}/model.pt": "6d14ec54bdbe7ef82774700625fd2b0ec687c83a2cdb8ade64f7496ba672f9cd",
    f"{MODELS}/locator.pth": "e9a4b0a00485d5b5fe5c5b595f1bf050873909695d58793d437f753f5794c173",
}


def check_shipped(root: Path) -> None:
    """Refuse changed weights of a shipped bundle, before they are opened.

    Raises:
        ValueError: if a file was changed; the error names it.
    """
    for name, digest in SHIPPED_WEIGHTS.items():
        file = root.parent / name
        if file.parent.parent == root and file.is_file() and file_sha256(file) != digest:
            raise ValueError(
                f"{file}: not the weights that were shipped. Install the package again, or, if you trained "
                f"them, name the bundle by its path {root}."
            )
