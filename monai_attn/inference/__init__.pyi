from .autocast import AutocastInferer
from .body import BodyMask
from .inferer import AttentionWindowInferer
from .label_statistics import LabelStatistics, label_statistics
from .locator import Locator
from .segmentation import Segmentation
from .segmenter import Segmenter
from .slice_inferer import SliceWindowInferer

__all__ = [
    "AttentionWindowInferer",
    "AutocastInferer",
    "BodyMask",
    "LabelStatistics",
    "Locator",
    "Segmentation",
    "Segmenter",
    "SliceWindowInferer",
    "label_statistics",
]
