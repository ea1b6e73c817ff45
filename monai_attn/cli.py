"""The command line: each command a few lines that call the package, and torch imported late."""

from __future__ import annotations

import gc
import logging
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from monai_attn import DEFAULT_BUNDLE

if TYPE_CHECKING:
    from monai_attn.bundle import Bundle

app = typer.Typer(
    name="monai-attn",
    help="Attention U-Net for medical image segmentation, as MONAI bundles.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out, err = Console(), Console(stderr=True)
INTERRUPTED, TERMINATED = 130, 143  # the exit codes shells give to SIGINT and SIGTERM


def _path(text: str) -> Path:
    """A path; an empty one would stand for the folder one is in."""
    if not text:
        raise typer.BadParameter("an empty path; is a variable unset?")
    return Path(text)


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


@app.command()
def segment(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            parser=_path,
            help="NIfTI scans, DICOM folders, folders of either, or datalists.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            parser=_path,
            metavar="PATH",
            help="A folder, or a .nii.gz path for one input.",
        ),
    ],
    bundle: BundleOption = DEFAULT_BUNDLE,
    device: DeviceOption = "auto",
    mode: ModeOption = None,
    backend: BackendOption = "auto",
    precision: PrecisionOption = "auto",
    memory: Annotated[
        str | None,
        typer.Option(help="Memory the process may hold, such as 4GiB; by default what is free."),
    ] = None,
    attention: Annotated[
        bool, typer.Option("--attention", help="Also write the attention of each gate.")
    ] = False,
    volume: Annotated[
        int | None, typer.Option(help="Which volume of a 4D file, from 0.", metavar="N")
    ] = None,
    series: Annotated[
        str | None, typer.Option(help="Which series of a DICOM folder.", metavar="UID")
    ] = None,
    dicom_seg: Annotated[
        bool, typer.Option("--dicom-seg", help="Also write labels as DICOM SEG, of DICOM series.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a scan about which anything is doubtful.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep label maps that are complete and up to date.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would run, and write nothing.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Segment CT scans: a label map on each scan's own grid, and volumes in ml."""
    from monai_attn.data.cases import find_images, output_paths
    from monai_attn.data.files import make_writable

    scans = [Path(scan) for source in inputs for scan in find_images(source)]
    targets = output_paths(scans, output)
    opened = _open(
        bundle,
        device,
        memory,
        mode=mode,
        backend=backend,
        precision=precision,
        attention=attention,
        volume=volume,
        series=series,
    )
    if dry_run:
        _outlooks(opened, scans)
        return

    folder = output if targets and output not in targets.values() else None
    for parent in {target.parent for target in targets.values()}:
        make_writable(parent)
    seg = opened.label_names if dicom_seg else None
    failed = _segment(opened, targets, folder, resume=resume, strict=strict, dicom_seg=seg)
    out.print(f"bundle: {opened.root}", highlight=False, soft_wrap=True)
    out.print(opened.notice, style="yellow")
    if failed:
        raise typer.Exit(1)


def _segment(opened: Bundle, targets: dict[Path, Path], folder: Path | None, **options: Any) -> int:
    """Segment the scans, with a bar, a table and, in a folder, a summary; how many failed."""
    from monai_attn.inference.batch import segment_files
    from monai_attn.inference.summary import CSV, Summary

    names = opened.label_names
    table = Table("case", *[f"{name} (ml)" for name in names.values()], "labels")
    counts: Counter[str] = Counter()
    with (
        Summary(folder, targets, names, opened.settings) if folder else nullcontext() as summary,
        _progress() as progress,
    ):
        cases = progress.add_task("cases", total=len(targets))
        windows = progress.add_task("windows", total=None)

        def on_window(done: int, total: int | None) -> None:
            progress.update(windows, completed=done, total=total)

        for result in segment_files(
            opened.segmenter, targets, on_window, opened.settings, **options
        ):
            progress.advance(cases)
            counts[result.status] += 1
            if summary:
                summary.add(result)
            for warning in result.warnings:
                _complain("warning", warning)
            if result.fallback:
                _complain("warning", f"{result.scan}: all windows ran: {result.fallback}")
            if result.error:
                _complain("error", result.error)
            else:
                volumes = [f"{result.volumes_ml.get(label, 0.0):.1f}" for label in names]
                table.add_row(escape(result.name), *volumes, escape(str(result.target)))
    if table.row_count:
        out.print(table)
    if folder:
        said = ", ".join(f"{count} {status}" for status, count in counts.items())
        out.print(f"summary: {folder / CSV}: {said}", highlight=False, soft_wrap=True)
    return counts["failed"]


@app.command()
def evaluate(
    prediction: Annotated[
        Path, typer.Argument(parser=_path, help="A label map, or a folder of them.")
    ],
    reference: Annotated[
        Path, typer.Argument(parser=_path, help="The reference for each: a file, or a folder.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            parser=_path,
            metavar="PATH",
            help="Also write the scores to this JSON file.",
        ),
    ] = None,
    debug: DebugOption = False,
) -> None:
    """Score label maps against references: Dice, precision, recall, volumes."""
    from monai_attn.evaluation import evaluate_files, score_table, write_summary

    scores = evaluate_files(prediction, reference)
    out.print(score_table(scores) if scores else "no case has a label above 0, on either side")
    if output:
        out.print(f"scores: {write_summary(scores, output)}")


@app.command()
def doctor(
    target: Annotated[
        Path | None,
        typer.Argument(parser=_path, help="A scan, a folder, a data set, a datalist or a bundle."),
    ] = None,
    bundle: BundleOption = DEFAULT_BUNDLE,
    device: DeviceOption = "auto",
    debug: DebugOption = False,
) -> None:
    """Show what would be warned about or refused, before hours are spent; write nothing."""
    with err.status("looking"), _without_collection():
        from monai_attn.doctor import check_bundle, check_data, machine_facts

    if target is None:
        facts = Table(show_header=False)
        for name, text in machine_facts().items():
            facts.add_row(name, escape(text))
        out.print(facts)
    if target is None or _is_bundle(target):
        named = str(target or bundle)
        _note_code(named)
        findings = iter([check_bundle(named, device)])
    else:
        options = {"backend": "eager", "precision": "float32"}
        findings = check_data(target, _open(bundle, device, **options))
    counts: Counter[str] = Counter()
    for found in findings:
        counts[found.verdict] += 1
        for doubt in found.doubts:
            _complain("warning", doubt)
        if found.refused:
            _complain("error", found.refused)
        else:
            line = f"{found.verdict}: {found.subject}: {found.facts}"
            out.print(line, markup=False, highlight=False, soft_wrap=True)
    out.print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    if counts["refused"]:
        raise typer.Exit(1)


def _is_bundle(path: Path) -> bool:
    from monai_attn.bundle import is_shipped

    return (path / "configs").is_dir() or is_shipped(str(path))


@app.command()
def phantom(
    output: Annotated[Path, typer.Argument(parser=_path, help="Folder to write the data set to.")],
    count: Annotated[int, typer.Option("--count", "-n", help="Number of cases.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of the first case; the next ones count up.")] = 0,
    all_organs: Annotated[
        bool, typer.Option(help="Label every organ, not the pancreas alone.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Write synthetic abdominal CT scans with labels, as a Decathlon data set."""
    from monai_attn.data.phantom import write_phantoms

    with _progress() as progress:
        task = progress.add_task("phantoms", total=count)
        dataset = write_phantoms(
            output,
            count,
            seed=seed,
            all_organs=all_organs,
            on_case=lambda done, total: progress.update(task, completed=done, total=total),
        )
    out.print(f"data set: {dataset}")


@app.command()
def demo(
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", parser=_path, metavar="PATH", help="Folder for everything it makes."
        ),
    ] = Path("demo"),
    count: Annotated[int, typer.Option("--count", "-n", help="Number of phantoms.")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of the first phantom.")] = 0,
    bundle: BundleOption = DEFAULT_BUNDLE,
    device: DeviceOption = "auto",
    debug: DebugOption = False,
) -> None:
    """Make phantoms, segment and evaluate them, and draw a picture of each."""
    from monai_attn.data.cases import find_cases
    from monai_attn.data.names import case_name
    from monai_attn.data.volume import read_volume
    from monai_attn.evaluation import evaluate_files, score_table, write_summary
    from monai_attn.report.figures import case_figure, save_figure

    phantom(output / "phantoms", count, seed, all_organs=False)
    segment([output / "phantoms"], output / "labels", bundle, device)
    scores = []
    for case in find_cases(output / "phantoms"):
        image, reference = Path(case["image"]), Path(case["label"])
        labels = output / "labels" / f"{case_name(image)}_seg.nii.gz"
        scores += evaluate_files(labels, reference)
        scan = read_volume(image)
        figure = case_figure(
            scan.data,
            read_volume(labels).data.astype(int),
            scan.affine,
            title=f"{case_name(image)}, a phantom",
            reference=read_volume(reference).data.astype(int),
        )
        picture = save_figure(figure, output / "pictures" / f"{case_name(image)}.png")
        out.print(f"picture: {picture}", highlight=False, soft_wrap=True)
    out.print(score_table(scores))
    summary = write_summary(scores, output / "scores.json")
    out.print(f"scores: {summary}", highlight=False, soft_wrap=True)


def _open(bundle: str, device: str = "auto", memory: str | None = None, **options: Any) -> Bundle:
    """Open a bundle while a spinner turns: importing torch takes seconds."""
    with err.status(f"opening {bundle}"), _without_collection():
        from monai_attn.bundle import find_bundle, is_shipped, open_bundle
        from monai_attn.inference.plan import parse_memory

        find_bundle(bundle)
        if not is_shipped(bundle):
            _complain(
                "note", f"{bundle}: a bundle's config is code, and runs; open those you trust"
            )
        budget = parse_memory(memory) if memory else None
        return open_bundle(bundle, device, memory=budget, **options)


def _note_code(bundle: str) -> None:
    """Say of a bundle that is none of ours, if it is one, what opening it means."""
    from monai_attn.bundle import find_bundle, is_shipped

    find_bundle(bundle)
    if not is_shipped(bundle):
        _complain("note", f"{bundle}: a bundle's config is code, and runs; open those you trust")


@contextmanager
def _without_collection() -> Iterator[None]:
    """No search for garbage among what stays.

    torch and MONAI are a million objects. Looking through them while they are imported, and again when
    the program ends, takes two seconds.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()


def _outlooks(opened: Bundle, scans: list[Path]) -> None:
    """What each scan would take, as a table of its own."""
    from monai_attn.data.errors import case_error
    from monai_attn.inference.plan import format_memory

    used = opened.settings
    failed = 0
    for scan in scans:
        try:
            outlook = opened.segmenter.outlook(scan)
        except Exception as error:  # as in a run: the others are shown
            failed += 1
            _complain("error", case_error(scan, error))
            continue
        plan = outlook.plan
        skipped = ", ".join(f"{count} {why}" for why, count in plan.skipped.items())
        out.print(str(scan), markup=False, highlight=False, soft_wrap=True)
        table = Table(show_header=False)
        table.add_row("network's grid", " x ".join(str(n) for n in plan.grid))
        table.add_row("mode", f"{plan.mode} ({plan.fallback})" if plan.fallback else plan.mode)
        table.add_row("windows", f"{len(plan.windows)} of {plan.total}, {plan.batch} at once")
        table.add_row("skipped", skipped or "none")
        table.add_row("slabs", str(plan.slabs))
        table.add_row("memory", format_memory(outlook.memory))
        if opened.segmenter.device.type == "cuda":
            table.add_row("memory of the GPU", format_memory(plan.device_bytes))
        table.add_row("backend", f"{used['backend']}, {used['precision']}, {used['device']}")
        table.add_row("time of the windows", f"{outlook.seconds:.1f} s, from one that was timed")
        out.print(table)
    if failed:
        raise typer.Exit(1)


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=err, transient=True)


def _complain(kind: str, message: object) -> None:
    """One line on stderr, whatever the message holds."""
    err.print(
        f"{kind}: {' '.join(str(message).split())}", markup=False, highlight=False, soft_wrap=True
    )


def _terminate(*_: object) -> None:
    sys.exit(TERMINATED)


def main() -> None:
    """Run the command line; what a user can mend ends in one line and exit code 2."""
    warnings.showwarning = lambda message, *_, **__: _complain("warning", message)
    warnings.filterwarnings("ignore", category=FutureWarning)  # of the libraries, to their callers
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app()
    except Exception as error:
        from monai_attn.data.errors import one_line

        logging.getLogger("monai_attn").debug("it comes from here", exc_info=True)
        expected = isinstance(error, (ValueError, OSError))
        hint = (
            "" if expected else " (a fault of this program; --debug shows where: please report it)"
        )
        _complain("error", one_line(error) + hint)
        sys.exit(2 if expected else 1)
    except SystemExit as stop:
        if stop.code in (INTERRUPTED, TERMINATED):  # typer's answer to Ctrl-C says nothing
            word = "interrupted" if stop.code == INTERRUPTED else "terminated"
            _complain("error", f"{word}; complete files are kept, and --resume goes on from there")
        raise


if __name__ == "__main__":
    main()
