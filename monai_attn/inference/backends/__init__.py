"""Backends that compute a network's outputs: torch, or a compiled form that agrees with torch."""

from monai_attn.inference.backends.backend import (
    BACKENDS,
    PRECISIONS,
    Backend,
    installed_backends,
    load_backend,
)

__all__ = ["BACKENDS", "PRECISIONS", "Backend", "installed_backends", "load_backend"]
