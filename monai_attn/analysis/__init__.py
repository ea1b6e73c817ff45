"""Analyses of opened bundles and of runs: ablation of gates, tables of attention, the doctor."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
