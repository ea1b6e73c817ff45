from .bundle import Bundle
from .ensemble import open_bundles
from .find import find_bundle, is_shipped
from .open import open_bundle

__all__ = ["Bundle", "find_bundle", "is_shipped", "open_bundle", "open_bundles"]
