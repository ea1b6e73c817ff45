"""The program with all its commands: its exit codes, and a line for each fault."""

from __future__ import annotations

import io
import signal
import sys
import warnings

import typer

from monai_attn.cli.ablate import ablate
from monai_attn.cli.attention import attention
from monai_attn.cli.calibrate import calibrate
from monai_attn.cli.compare import compare
from monai_attn.cli.console import complain, error_lines
from monai_attn.cli.demo import demo
from monai_attn.cli.doctor import doctor
from monai_attn.cli.evaluate import evaluate
from monai_attn.cli.phantom import phantom
from monai_attn.cli.plan import plan
from monai_attn.cli.report import report
from monai_attn.cli.segment import segment
from monai_attn.cli.train import train

INTERRUPTED, TERMINATED = 130, 143  # the exit codes shells give to SIGINT and SIGTERM

app = typer.Typer(
    name="monai-attn",
    help="Attention U-Net for medical image segmentation, as MONAI bundles.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    segment,
    report,
    train,
    plan,
    evaluate,
    compare,
    attention,
    ablate,
    calibrate,
    doctor,
    phantom,
    demo,
):
    app.command()(command)


def _terminate(*_: object) -> None:
    sys.exit(TERMINATED)


def main() -> None:
    """Run the command line; errors that a user can fix end in a line for each fault and exit code 2."""
    warnings.showwarning = lambda message, *_, **__: complain("warning", message)
    warnings.filterwarnings("ignore", category=FutureWarning)  # meant for developers
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    for stream in (sys.stdout, sys.stderr):  # a name that cannot be encoded must not end a run
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app()
    except Exception as error:
        lines, code = error_lines(error)
        for line in lines:
            complain("error", line)
        sys.exit(code)
    except SystemExit as stop:
        if stop.code in (INTERRUPTED, TERMINATED):  # typer ends on Ctrl-C without a message
            word = "interrupted" if stop.code == INTERRUPTED else "terminated"
            resumable = sys.argv[1:2] in (["segment"], ["train"])
            kept = "; complete files are kept, and --resume goes on from there" if resumable else ""
            complain("error", word + kept)
        raise
