"""What an error says to a user."""

from __future__ import annotations


def reason(error: BaseException) -> str:
    """What lies at the root of an error, in one line: libraries wrap what goes wrong inside them."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()) or type(error).__name__
