from .networks import AttentionUNet, HardGate, SoftGate

__version__: str
DEFAULT_BUNDLE: str
__all__ = ["DEFAULT_BUNDLE", "AttentionUNet", "HardGate", "SoftGate", "__version__"]
