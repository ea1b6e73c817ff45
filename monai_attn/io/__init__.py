"""Scans in, label maps out: volumes on their grids, checked files, names and tables; without torch."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
