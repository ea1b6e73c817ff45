"""MONAI imported without the packages that a segmentation does not need."""

from __future__ import annotations

import sys
from importlib import import_module

from monai_attn.inference.missing_packages import missing_packages

# for MONAI: notebooks, web pages, engines, schemas, plots, trackers, tables and ultrasound. Some take seconds
UNUSED = (
    "IPython",
    "bs4",
    "ignite",
    "jsonschema",
    "matplotlib",
    "mlflow",
    "pandas",
    "scipy.signal",
    "sklearn",
    "tensorboardX",
)


def import_monai() -> None:
    """Import MONAI as if the `UNUSED` packages were not installed, unless it is imported already.

    `import monai` imports all its modules, with each optional package that they can use. What was left out
    can be imported afterwards, by this package or by a bundle's code; only MONAI's own functions that
    need it say that it is missing.
    """
    if "monai" in sys.modules:
        return
    with missing_packages(*(name for name in UNUSED if name not in sys.modules)):
        import_module("monai.bundle")
