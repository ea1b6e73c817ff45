"""Options that several commands share."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer


def path_of(text: str) -> Path:
    """Parse a path; refuse an empty one, which would stand for the current folder."""
    if not text:
        raise typer.BadParameter("an empty path; is a variable unset?")
    return Path(text)


ScansArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="INPUT...",
        parser=path_of,
        help="NIfTI scans, DICOM folders, folders of either, or datalists.",
    ),
]
BundleOption = Annotated[
    str,
    typer.Option(
        "--bundle", help="A shipped bundle's name, or a bundle's folder (its config is code)."
    ),
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
ModeOption = Annotated[
    str | None,
    typer.Option(
        "--mode", help="full: every window of the body; focus: those the locator points to."
    ),
]
BackendOption = Annotated[
    str,
    typer.Option("--backend", help="auto, eager, compile, openvino, onnxruntime or tensorrt."),
]
PrecisionOption = Annotated[str, typer.Option("--precision", help="auto, float32 or bfloat16.")]
LabelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        metavar="VALUE=NAME",
        help="A value in the label files and its class (repeatable); the rest is background.",
    ),
]
IgnoreOption = Annotated[
    int | None,
    typer.Option(
        "--ignore",
        metavar="VALUE",
        help="Value of voxels in the label files that count nowhere, because nobody has labelled them.",
    ),
]
MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="VALUE=LABEL",
        help="The label that a value in the references stands for (repeatable); the rest is background.",
    ),
]
TablesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--output",
        "-o",
        parser=path_of,
        metavar="PATH",
        help="Also write it to this .json or .csv file (repeatable).",
    ),
]
VolumeOption = Annotated[
    int | None, typer.Option("--volume", help="Which volume of a 4D file, from 0.", metavar="N")
]
SeriesOption = Annotated[
    str | None, typer.Option("--series", help="Which series of a DICOM folder.", metavar="UID")
]


def labels_by_value(texts: list[str] | None) -> dict[int, int] | None:
    """Parse the texts of `--map` to the label of each value; return None if there are none.

    Raises:
        ValueError: if a text is not a pair of whole numbers.
    """
    found = {}
    for text in texts or []:
        value, _, label = text.partition("=")
        if not (value.isdecimal() and label.isdecimal()):
            raise ValueError(f"--map {text}: two whole numbers expected, such as 7=1")
        found[int(value)] = int(label)
    return found or None


def _show_debug(wanted: bool) -> None:
    if wanted:
        logging.basicConfig(format="%(name)s: %(message)s")
        logging.getLogger("monai_attn").setLevel(logging.DEBUG)


DebugOption = Annotated[
    bool,
    typer.Option(
        "--debug", callback=_show_debug, is_eager=True, help="Show where an error comes from."
    ),
]
