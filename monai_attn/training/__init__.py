"""Training with MONAI's engines, plus a cache, checkpoints, curves, and runs that can be resumed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
