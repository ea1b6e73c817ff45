"""A synthetic abdominal CT with labels, for tests, examples and negatives."""

from monai_attn.phantom.scanner import ORGANS, Phantom, abdominal_phantom, write_phantoms

__all__ = ["ORGANS", "Phantom", "abdominal_phantom", "write_phantoms"]
