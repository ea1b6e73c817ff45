"""What computes a network's logits: torch, or a compiled form of it that agrees with torch."""

from monai_attn.inference.backends.backend import (
    BACKENDS,
    PRECISIONS,
    Backend,
    installed_backends,
    load_backend,
)

__all__ = ["BACKENDS", "PRECISIONS", "Backend", "installed_backends", "load_backend"]
