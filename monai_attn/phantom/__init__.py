"""A synthetic abdominal CT with labels, for tests, examples and negatives."""

from monai_attn.phantom.anatomy import ORGANS
from monai_attn.phantom.dataset import write_phantoms
from monai_attn.phantom.scanner import Phantom, abdominal_phantom
from monai_attn.phantom.sequences import mr_sequences

__all__ = ["ORGANS", "Phantom", "abdominal_phantom", "mr_sequences", "write_phantoms"]
