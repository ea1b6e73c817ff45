from .autocast import AutocastInferer
from .body import BodyMask
from .inferer import AttentionWindowInferer
from .locator import Locator
from .segmentation import Segmentation
from .segmenter import Segmenter
from .slice_inferer import SliceWindowInferer

__all__ = [
    "AttentionWindowInferer",
    "AutocastInferer",
    "BodyMask",
    "Locator",
    "Segmentation",
    "Segmenter",
    "SliceWindowInferer",
]
