"""Options that several commands share."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from monai_attn import DEFAULT_BUNDLE


def path_of(text: str) -> Path:
    """Parse a path; refuse an empty one, which would stand for the current folder."""
    if not text:
        raise typer.BadParameter("an empty path. Check whether a variable in the command is unset.")
    return Path(text)


ScansArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="INPUT",
        parser=path_of,
        help="Scans, folders with a DICOM series, folder trees of scans, or datalists (JSON).",
    ),
]
DataArgument = Annotated[
    Path,
    typer.Argument(
        metavar="DATA", parser=path_of, help="Labelled scans: a folder, or a datalist (JSON)."
    ),
]
OptionalDataArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="DATA", parser=path_of, help="Labelled scans: a folder, or a datalist (JSON)."
    ),
]
TrainedBundleArgument = Annotated[
    str,
    typer.Argument(
        metavar="BUNDLE",
        help="Folder of a bundle, such as that of a training. Only use bundles you trust: they can run code.",
    ),
]
BundleOption = Annotated[
    str,
    typer.Option(
        "--bundle",
        help="Name of a shipped bundle, or a bundle's folder. Only use bundles you trust: they can run code.",
    ),
]
BundlesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--bundle",
        help="Name of a shipped bundle, or a bundle's folder; repeat it for an ensemble, whose probabilities "
        f"are averaged. By default {DEFAULT_BUNDLE}. Only use bundles you trust: they can run code.",
    ),
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="Device to compute on: auto, cpu, cuda or cuda:N.")
]
ModeOption = Annotated[
    str | None,
    typer.Option(
        "--mode",
        help="Windows to run: full for the whole body, focus for the region that the locator selects; "
        "by default the bundle's own.",
    ),
]
BackendOption = Annotated[
    str,
    typer.Option(
        "--backend",
        help="Library that runs the network: auto, eager, compile, openvino, onnxruntime or tensorrt.",
    ),
]
PrecisionOption = Annotated[
    str,
    typer.Option(
        "--precision",
        help="Number format of the network: auto, float32, bfloat16, or int8 after monai-attn quantize.",
    ),
]
LabelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        metavar="VALUE=NAME",
        help="Value in the label files and the name of its class (repeatable), or several values, such as "
        "1,2=whole, for a structure that overlaps others. All other values become background.",
    ),
]
ChannelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--channel",
        metavar="NAME[=SCALING]",
        help="Name of a channel of the images, in their order (repeatable), such as CT or T1=zscore; by "
        "default as the data set names them.",
    ),
]
IgnoreOption = Annotated[
    int | None,
    typer.Option(
        "--ignore",
        metavar="VALUE",
        help="Value in the label files that marks unlabelled voxels, which are left out everywhere.",
    ),
]
MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="VALUE=LABEL",
        help="Value in the references and the label that it stands for (repeatable). All other values "
        "become background.",
    ),
]
RegionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        metavar="VALUES=NAME",
        help="Values of a structure that overlaps others, such as 1,2=whole (repeatable); or a data set "
        "whose dataset.json declares regions. Each is scored with all that is within it, under its first "
        "value.",
    ),
]
TablesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--output",
        "-o",
        parser=path_of,
        metavar="PATH",
        help="Also write the table to this .json or .csv file (repeatable).",
    ),
]
VolumeOption = Annotated[
    int | None,
    typer.Option("--volume", help="Index of the volume in a 4D file, from 0.", metavar="N"),
]
SeriesOption = Annotated[
    str | None,
    typer.Option(
        "--series",
        metavar="UID",
        help="SeriesInstanceUID of the DICOM series, or all for every CT series; by default one of each "
        "study.",
    ),
]


def labels_by_value(texts: list[str] | None) -> dict[int, int] | None:
    """Parse the texts of `--map` to the label of each value; return None if there are none.

    Raises:
        ValueError: if a text is not a pair of whole numbers.
    """
    labels = {}
    for text in texts or []:
        value, _, label = text.partition("=")
        if not (value.isdecimal() and label.isdecimal()):
            raise ValueError(f"--map {text}: two whole numbers expected, such as 7=1")
        labels[int(value)] = int(label)
    return labels or None


def values_by_name(texts: list[str] | None) -> dict[str, list[int]] | str | None:
    """Parse the texts of `--region` to the values of each name, or to a data set; None if there are none.

    Raises:
        ValueError: if a text is neither, or a name occurs twice.
    """
    if texts and len(texts) == 1 and Path(texts[0]).exists():
        return texts[0]
    regions: dict[str, list[int]] = {}
    for text in texts or []:
        values, _, name = text.partition("=")
        parts = [part.strip() for part in values.split(",")]
        if not name.strip() or not all(part.isdecimal() for part in parts):
            raise ValueError(
                f"--region {text}: neither values with a name, such as 1,2=whole, nor an existing data set. "
                "Correct it."
            )
        if name.strip() in regions:
            raise ValueError(f"--region {text}: the name is given twice. Choose another.")
        regions[name.strip()] = [int(part) for part in parts]
    return regions or None


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
