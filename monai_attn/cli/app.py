"""The program with all its commands: its exit codes, and a line for each fault."""

from __future__ import annotations

import io
import re
import signal
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from monai_attn import __version__
from monai_attn.cli.ablate import ablate
from monai_attn.cli.attention import attention
from monai_attn.cli.calibrate import calibrate
from monai_attn.cli.compare import compare
from monai_attn.cli.console import complain, error_lines, out, set_verbosity
from monai_attn.cli.demo import demo
from monai_attn.cli.doctor import doctor
from monai_attn.cli.evaluate import evaluate
from monai_attn.cli.merge_masks import merge_masks
from monai_attn.cli.options import path_of
from monai_attn.cli.phantom import phantom
from monai_attn.cli.plan import plan
from monai_attn.cli.quantize import quantize
from monai_attn.cli.report import report
from monai_attn.cli.segment import segment
from monai_attn.cli.train import train
from monai_attn.io.errors import ScanWarning

PROGRAM = "monai-attn"  # also where it was started as python -m monai_attn
INTERRUPTED, TERMINATED = 130, 143  # the exit codes shells give to SIGINT and SIGTERM

app = typer.Typer(
    name=PROGRAM,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = (
    segment,
    report,
    train,
    plan,
    evaluate,
    compare,
    attention,
    ablate,
    calibrate,
    quantize,
    doctor,
    merge_masks,
    phantom,
    demo,
)
for command in COMMANDS:
    app.command()(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        out.print(f"monai-attn {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show only results and errors.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also show what the program does.")
    ] = False,
    log_file: Annotated[
        Path | None,
        typer.Option(
            "--log-file",
            parser=path_of,
            metavar="FILE",
            help="Also append all messages to this file, with date and time.",
        ),
    ] = None,
) -> None:
    """Attention U-Net for medical image segmentation, as MONAI bundles."""
    set_verbosity(quiet=quiet, verbose=verbose, log_file=log_file)
    warnings.showwarning = lambda message, *_, **__: complain("warning", message)
    warnings.filterwarnings("always", category=ScanWarning)  # of each scan, not only of the first
    warnings.filterwarnings("ignore", category=FutureWarning)  # meant for developers
    warnings.filterwarnings("ignore", category=DeprecationWarning)


def _usage_lines(error: Exception) -> tuple[list[str], int] | None:
    """Return the line for an error of the command line, and its exit code; None for another error.

    Without arguments the "error" is the help, which is printed.
    """
    if not hasattr(error, "format_message"):
        return None
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message())
        return [], 0
    message = _plain(" ".join(error.format_message().split()))
    path = getattr(getattr(error, "ctx", None), "command_path", "")
    path = path or " ".join(filter(None, [PROGRAM, _command()]))
    return [f"{message} Run {path} --help."], 2


def _plain(message: str) -> str:
    """Return a message of the option parser with its remedy as a sentence."""
    message = re.sub(r" \(Possible options?: (.*)\)$", r". Did you mean \1?", message)
    message = re.sub(r", (?=--[\w-]+\?$)", " or ", message)
    message = re.sub(r"Input should be a valid (integer|number),.*$", _number_expected, message)
    return message if message.endswith("?") else f"{message.rstrip('.')}."


def _number_expected(found: re.Match[str]) -> str:
    return f"a {'whole ' if found[1] == 'integer' else ''}number expected"


def _command() -> str:
    """Return the command on the command line, or an empty text."""
    names = [command.__name__.replace("_", "-") for command in COMMANDS]
    return next((word for word in sys.argv[1:] if word in names), "")


def _terminate(*_: object) -> None:
    sys.exit(TERMINATED)


def main() -> None:
    """Run the command line; errors that a user can fix end in a line for each fault and exit code 2."""
    for stream in (sys.stdout, sys.stderr):  # a name that cannot be encoded must not end a run
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _terminate)
    try:
        # not standalone: typer would draw a box of four lines around an error of the command line
        sys.exit(app(prog_name=PROGRAM, standalone_mode=False) or 0)
    except Exception as error:
        lines, code = _usage_lines(error) or error_lines(error)
        for line in lines:
            complain("error", line)
        sys.exit(code)
    except SystemExit as stop:
        if stop.code in (INTERRUPTED, TERMINATED):  # typer ends on Ctrl-C without a message
            word = "interrupted" if stop.code == INTERRUPTED else "terminated"
            hint = "; complete files are kept, and --resume continues from them"
            complain("error", word + (hint if _command() in ("segment", "train") else ""))
        raise
