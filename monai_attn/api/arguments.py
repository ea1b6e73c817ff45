"""Arguments in the forms that callers of the Python API use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Texts = str | Iterable[str] | Mapping[int, str]


def listed(given: Texts) -> list[str]:
    """Return texts, such as choices of labels, as a list.

    Args:
        given: several texts, or one; or a mapping from a value to its name.

    Example:
        >>> listed("1=pancreas"), listed({1: "pancreas"})
        (['1=pancreas'], ['1=pancreas'])
    """
    if isinstance(given, str):
        return [given]
    if isinstance(given, Mapping):
        return [f"{value}={name}" for value, name in given.items()]
    return [str(one) for one in given]
