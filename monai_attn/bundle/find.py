"""Finding of a bundle by name or folder, and of a device by its name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import monai_attn

if TYPE_CHECKING:
    import torch

PACKAGE = Path(monai_attn.__file__).parent
SHIPPED = (PACKAGE / "_bundles", PACKAGE.parent / "bundles")  # installed; in a checkout


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
    folds = sorted(
        path.parents[1] for path in Path(name_or_dir).glob("fold_*/configs/inference.json")
    )
    if folds:
        raise ValueError(
            f"{name_or_dir}: a cross-validation (expected one bundle). Name the bundle of one fold, such as "
            f"{folds[0]}."
        )
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
    import torch  # late: a bundle is found without it

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
