"""Data sets: cases in folders and lists, label classes, groups of patients and splits; without torch."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
