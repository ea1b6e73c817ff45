"""Find a MONAI bundle, open it, build what segmenting a scan needs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser

import monai_attn
from monai_attn import DEFAULT_BUNDLE
from monai_attn.data.errors import reason
from monai_attn.inference.segment import Segmenter
from monai_attn.weights import load_weights

PACKAGE = Path(monai_attn.__file__).parent
SHIPPED = (PACKAGE / "_bundles", PACKAGE.parent / "bundles")  # installed; in a checkout


@dataclass(frozen=True)
class Bundle:
    """An opened bundle.

    Attributes:
        root: its folder.
        metadata: the content of `configs/metadata.json`.
        segmenter: its parts, with the weights in place.
    """

    root: Path
    metadata: dict[str, Any]
    segmenter: Segmenter

    @property
    def label_names(self) -> dict[int, str]:
        """The names of the labels it writes, background left out."""
        channels = self.metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
        return {int(index): name for index, name in channels.items() if int(index) > 0}

    @property
    def notice(self) -> str:
        """What the bundle says it is for."""
        return str(self.metadata.get("intended_use", ""))


def find_bundle(name_or_dir: str | Path) -> Path:
    """The folder of a bundle: one shipped with the package, by name, or any, by its path.

    A bare name stands for the shipped bundle, also where a folder here has that name: write `./NAME`
    for the folder.

    Raises:
        ValueError: if there is none, naming those that are shipped.
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


def find_device(name: str) -> torch.device:
    """`auto` is the first GPU if there is one, else the CPU.

    Raises:
        ValueError: if the device is unknown or not there.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
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
    return device


def open_bundle(name_or_dir: str | Path = DEFAULT_BUNDLE, device: str = "auto") -> Bundle:
    """Open a bundle by its own `configs/inference.json` and load `models/model.pt`.

    A bundle's config is code: open only bundles you trust.

    Raises:
        ValueError: if the bundle, a file of it or the device is missing, or the weights do not fit.
    """
    root, where = find_bundle(name_or_dir), find_device(device)
    parser = ConfigParser()
    try:
        parser.read_config(root / "configs" / "inference.json")
        parser["bundle_root"], parser["device"] = str(root), where
        metadata = json.loads((root / "configs" / "metadata.json").read_text(encoding="utf-8"))
        network = parser.get_parsed_content("network")
        segmenter = Segmenter(
            preprocessing=parser.get_parsed_content("preprocessing"),
            inferer=parser.get_parsed_content("inferer"),
            network=network.eval(),
            postprocessing=parser.get_parsed_content("postprocessing"),
            device=where,
        )
        bundle = Bundle(root, metadata, segmenter)
        _ = bundle.label_names
    except Exception as error:  # a config is code: it can raise anything
        raise ValueError(f"{root}: its configs do not make a bundle ({reason(error)})") from error
    load_weights(network, root / "models" / "model.pt", where)
    return bundle
