from .open import Bundle, find_bundle, is_shipped, open_bundle

__all__ = [
    "Bundle",
    "find_bundle",
    "is_shipped",
    "open_bundle",
]
