"""The colours of labels and maps, the same in the report, in pictures and in the scenes of other viewers."""

from __future__ import annotations

# after Okabe and Ito, told apart by colour-blind readers; their sky blue is the reference's
LABEL_COLOURS = ("#ffa51f", "#12c48b", "#f0e442", "#f07ab8", "#ff6a3d", "#b79bff")
REFERENCE_COLOUR = "#56c8ff"
MAP_COLOURS = {"attention": "viridis", "entropy": "inferno"}  # names of matplotlib


def label_colour(label: int) -> str:
    """Return the colour of a label, which is the same in every picture."""
    return LABEL_COLOURS[(label - 1) % len(LABEL_COLOURS)]


def rgb_of(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue of a colour, 0 to 255.

    Example:
        >>> rgb_of("#ffa51f")
        (255, 165, 31)
    """
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
