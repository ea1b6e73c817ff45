"""monai-attn: Attention U-Net for 2D and 3D medical image segmentation, as MONAI bundles."""

import lazy_loader

__version__ = "0.1.0"
DEFAULT_BUNDLE = "pancreas_ct_attention_segmentation"

__getattr__, _, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = ["DEFAULT_BUNDLE", "__version__", *_names]


def __dir__() -> list[str]:
    return __all__
