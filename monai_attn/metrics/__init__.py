"""Scores of labels, comparison of models, calibration and intervals, and numbers of attention."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
