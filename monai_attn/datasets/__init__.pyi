from .cases import find_cases, find_images
from .checked_cases import check_cases
from .datalist import read_datalist
from .deferred_split import DeferredSplit
from .label_classes import LabelClasses, choose_classes
from .listed_splits import read_split
from .merged_masks import merge_masks
from .splits import choose_split, split_cases

__all__ = [
    "DeferredSplit",
    "LabelClasses",
    "check_cases",
    "choose_classes",
    "choose_split",
    "find_cases",
    "find_images",
    "merge_masks",
    "read_datalist",
    "read_split",
    "split_cases",
]
