"""A model: an opened bundle that segments scans, from files or from memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from monai_attn import DEFAULT_BUNDLE
from monai_attn.api.extra_files import extra_files
from monai_attn.api.result import Result
from monai_attn.bundle.bundle import Bundle
from monai_attn.bundle.ensemble import open_bundles
from monai_attn.datasets.trees import ALL
from monai_attn.inference.memory import parse_memory
from monai_attn.inference.result_checks import check_words
from monai_attn.inference.segmentation import ResourceEstimate
from monai_attn.inference.watched_network import OnWindow
from monai_attn.io.errors import case_error, collect_warnings
from monai_attn.io.images import as_volume
from monai_attn.io.names import REPORT
from monai_attn.io.volume import Volume
from monai_attn.runs.batch import CaseResult
from monai_attn.runs.output_paths import find_targets, summary_folder
from monai_attn.runs.run import segment_targets


def load(
    bundle: str | Path | Sequence[str | Path] = DEFAULT_BUNDLE,
    device: str = "auto",
    *,
    mode: str | None = None,
    backend: str = "auto",
    precision: str = "auto",
    memory: str | int | None = None,
) -> Model:
    """Open a bundle to segment scans with it, or several bundles as an ensemble.

    The probabilities of an ensemble are averaged in each window, each with its own temperature.
    A bundle's config can run code: only open bundles that you trust.

    Args:
        bundle: name of a shipped bundle, or a bundle's folder, such as that of a training; or a list of them,
            of which the first one's locator and cleaning of labels are used.
        device: `auto` (the GPU, if there is one), `cpu`, `cuda` or `cuda:N`.
        mode: `full` runs every window of the body, `focus` only those that the bundle's locator selects; by
            default the mode set in the bundle.
        backend: `auto`, `eager`, `compile`, `openvino`, `onnxruntime` or `tensorrt`.
        precision: `auto`, `float32`, `bfloat16`, or `int8` for a bundle that `monai-attn quantize` changed.
        memory: memory that the process may use, such as `"4GiB"`, or in bytes, of the host and as much of a
            GPU; by default the free memory.

    Returns:
        The model, which can segment any number of scans.

    Raises:
        ValueError: if the bundle, a file of it, the device or the backend is missing, the weights do not
            fit, or the bundles of an ensemble were not trained alike.
        TypeError: if `bundle` is none of these.

    Example:
        >>> model = monai_attn.load()  # doctest: +SKIP
        >>> model.segment("scan.nii.gz").volumes_ml  # doctest: +SKIP
        {'pancreas': 71.3}
    """
    budget = parse_memory(memory) if isinstance(memory, str) else memory
    if not isinstance(bundle, (str, Path, Sequence)):
        kind = type(bundle).__name__
        raise TypeError(f"bundle of type {kind}: a name, a folder, or a list of them expected")
    names = [bundle] if isinstance(bundle, (str, Path)) else [*bundle]
    return Model(
        open_bundles(names, device, mode=mode, backend=backend, precision=precision, memory=budget)
    )


class Model:
    """An opened bundle that segments scans.

    Args:
        bundle: the bundle, as `open_bundle` returns it.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def __repr__(self) -> str:
        names = ", ".join(self.label_names.values())
        return f"Model({self.bundle.name!r}, labels: {names}, {self.bundle.device})"

    @property
    def label_names(self) -> dict[int, str]:
        """The name of each label, without the background."""
        return self.bundle.label_names

    @property
    def notice(self) -> str:
        """The intended use, as the bundle's metadata states it."""
        return self.bundle.notice

    def segment(
        self,
        scan: Any,
        *,
        name: str = "",
        attention: bool = False,
        uncertainty: bool = False,
        interval: bool = False,
        probabilities: bool = False,
        open_levels: Sequence[int] = (),
        volume: int | None = None,
        series: str | None = None,
        strict: bool = False,
        on_window: OnWindow | None = None,
    ) -> Result:
        """Segment one scan.

        Args:
            scan: a CT in Hounsfield units: a NIfTI file, a folder with a DICOM series, or an image in memory,
                as a nibabel, SimpleITK or ITK image, a `MetaTensor`, a `Volume`, or a pair of array (X, Y, Z)
                and affine (4, 4) to RAS+ mm. For a bundle of several channels a list with one of these for
                each, in the bundle's order, or a file with four dimensions.
            name: name of a scan in memory, for messages and file names.
            attention: also compute the attention of each gate.
            uncertainty: also compute the entropy of the probabilities.
            interval: also compute an interval for each volume; takes 5 to 8 times as long.
            probabilities: also return the probability of each class or region.
            open_levels: levels whose gate is held open, so that its attention is 1 everywhere.
            volume: index of the volume, from 0, in a file that holds several.
            series: the SeriesInstanceUID, in a DICOM folder that holds several.
            strict: raise an error instead of a warning if anything about the scan is doubtful.
            on_window: called with the number of windows done, and the number of all windows or None if it is
                not known.

        Returns:
            The labels, the volumes, the warnings, and the maps and intervals that were asked for.

        Raises:
            ValueError: if the scan cannot be read, needs more memory than allowed, or the network has no
                gates for `attention`; one line that names the scan or the bundle.
            TypeError: if `scan` is not an image at all.
        """
        segmenter = self.bundle.segmenter(
            attention=attention,
            uncertainty=uncertainty,
            interval=interval,
            probabilities=probabilities,
            open_levels=open_levels,
            volume=volume,
            series=series,
        )
        with collect_warnings(strict) as warnings:
            image = _source(scan, name)
            path = _path(image)
            try:
                opened = segmenter.open(image)
                digest = opened.sha256
                segmentation = segmenter(opened, on_window)
            except Exception as error:  # a scan, or a bundle's code, can raise anything
                raise ValueError(case_error(path, error)) from error
        plan = segmentation.plan
        if plan and plan.fallback:
            warnings.append(f"{path}: full mode: {plan.fallback}")
        first = image[0] if isinstance(image, list) else image
        return Result(
            Path(first) if isinstance(first, str) else first,
            segmentation,
            segmenter.settings,
            tuple(warnings),
            check_words(segmentation.failed_checks, self.label_names),
            digest,
        )

    def segment_folder(
        self,
        scans: str | Path | Sequence[str | Path],
        output: str | Path,
        *,
        attention: bool = False,
        uncertainty: bool = False,
        interval: bool = False,
        probabilities: bool = False,
        resume: bool = False,
        strict: bool = False,
        dicom_seg: bool = False,
        rtstruct: bool = False,
        report: bool = False,
        preview: bool = False,
        scene: bool = False,
        statistics: bool = False,
        series: str | None = None,
        name: str | None = None,
        on_case: Callable[[CaseResult], None] | None = None,
        on_window: OnWindow | None = None,
    ) -> list[CaseResult]:
        """Segment many scans into a folder; an error in one does not stop the others.

        Args:
            scans: NIfTI scans, DICOM folders, folder trees of either, or datalists.
            output: folder for label maps, manifests and the summary; or, for one scan, the path of its label
                map (.nii.gz).
            attention: also write the attention map of each gate.
            uncertainty: also write a map of the entropy of the probabilities.
            interval: also compute an interval for each volume; takes 5 to 8 times as long.
            probabilities: also write the probability of each class or region.
            resume: keep label maps that are complete and up to date.
            strict: treat warnings about a scan as errors.
            dicom_seg: also write the labels as DICOM SEG; for DICOM series only.
            rtstruct: also write the labels as contours, in a DICOM RTSTRUCT; for DICOM series only.
            report: also write `report.html`, a page to check the results by.
            preview: also write a picture of each case, `NAME_preview.png`.
            scene: also write a scene for 3D Slicer, `NAME.mrml`, and for ITK-SNAP, `NAME.itksnap`.
            statistics: also write the statistics of each label, `NAME_statistics.json`, and a table of them.
            series: the DICOM series to take from folders: a SeriesInstanceUID, or "all" for every CT series;
                by default one of each study, by the rule of `monai_attn.datasets.series_choice`.
            name: pattern for the names of DICOM cases, such as `{patient}_{description}`; also `{pseudonym}`,
                `{date}` and `{number}`. By default the names come from the paths.
            on_case: called with the result of each scan.
            on_window: as for `segment`.

        Returns:
            The result of each scan, in the order of the scans; `error` says why a scan failed.

        Raises:
            ValueError: if no scan is found, or the output cannot be written.
        """
        several = [scans] if isinstance(scans, (str, Path)) else [*scans]
        output = Path(output)
        names = [channel.name for channel in self.bundle.channels]
        targets = find_targets(several, output, names, series=series, pattern=name)
        folder = summary_folder(targets, output)
        page = (folder or output.parent) / REPORT
        if report:  # its libraries are imported only then
            from monai_attn.reporting.page import check_replaceable

            check_replaceable(page)
        segmenter = self.bundle.segmenter(
            attention=attention,
            uncertainty=uncertainty,
            interval=interval,
            probabilities=probabilities,
            series=None if series == ALL else series,
        )
        results = {}
        for result in segment_targets(
            segmenter,
            targets,
            folder,
            resume=resume,
            strict=strict,
            dicom_seg=dicom_seg,
            extras=extra_files(
                preview=preview, scene=scene, statistics=statistics, rtstruct=rtstruct
            ),
            on_window=on_window,
        ):
            results[result.target] = result
            if on_case:
                on_case(result)
        if report and any(not result.error for result in results.values()):
            from monai_attn.api.report import report as write_report_page

            write_report_page(page.parent)
        return [results[target] for target in targets.values()]

    def estimate(self, scan: Any, *, interval: bool = False) -> ResourceEstimate:
        """Estimate the windows, memory and time that segmenting a scan would take.

        Args:
            scan: as for `segment`.
            interval: as for `segment`.

        Returns:
            The windows, the peak memory in bytes, and the seconds.

        Raises:
            ValueError: as for `segment`, and if the bundle's inferer does not plan its windows.
        """
        segmenter = self.bundle.segmenter(interval=interval)
        return segmenter.estimate(_source(scan))


def _source(scan: Any, name: str = "") -> Path | Volume | list[Path | Volume]:
    """Return a scan, or each channel of a list, as a path or a volume."""
    if isinstance(scan, list):
        if not scan:
            raise ValueError("scan (=[]): no channels; pass a scan, or one for each channel")
        return [
            one for channel in scan for one in [_source(channel, name)] if not isinstance(one, list)
        ]
    return Path(scan) if isinstance(scan, (str, Path)) else as_volume(scan, name)


def _path(source: Path | Volume | list[Path | Volume]) -> Path:
    first = source[0] if isinstance(source, list) else source
    return first if isinstance(first, Path) else first.path
