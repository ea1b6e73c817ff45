"""monai-attn: Attention U-Net for 2D and 3D medical image segmentation, as MONAI bundles."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai_attn.networks import AttentionUNet, HardGate, SoftGate

__version__ = "0.1.0"
DEFAULT_BUNDLE = "pancreas_ct_attention_segmentation"
__all__ = ["DEFAULT_BUNDLE", "AttentionUNet", "HardGate", "SoftGate", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the networks, and torch with them, on first use only."""
    if name in ("AttentionUNet", "HardGate", "SoftGate"):
        return getattr(import_module("monai_attn.networks"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
