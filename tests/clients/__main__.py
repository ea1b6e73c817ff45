"""Run the programs that use a bundle, each in an environment of its own, and print a table.

    python -m tests.clients                   all of them
    python -m tests.clients bundle nvflare    some of them
    make clients

The environments are built in `.clients/`, which takes some GB, and are used again by the next run. The exit
status is 1 if a check failed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.clients import (
    auto3dseg,
    bundle,
    deploy,
    dicom,
    label,
    nnunet,
    nvflare,
    onnx,
    slicer,
    torchio,
)
from tests.clients.client import ROOT, Client, run_checks

CLIENTS = (
    bundle.CLIENT,
    label.CLIENT,
    nvflare.CLIENT,
    nnunet.CLIENT,
    onnx.CLIENT,
    auto3dseg.CLIENT,
    torchio.CLIENT,
    dicom.CLIENT,
    slicer.CLIENT,
    deploy.CLIENT,
)


def run(clients: tuple[Client, ...], folder: Path, console: Console) -> bool:
    """Run all checks of clients, print their table, and return whether all passed."""
    table = Table("client", "check", "", "result", "s")
    passed = True
    for client in clients:
        for outcome in run_checks(client, folder):
            passed = passed and outcome.passed
            word = "passed" if outcome.passed else "FAILED"
            console.print(f"{outcome.client}: {outcome.check}: {word}: {outcome.said}")
            seconds = f"{outcome.seconds:.0f}"
            table.add_row(outcome.client, outcome.check, word, outcome.said, seconds)
    console.print(table)
    return passed


def main() -> None:
    """Run the clients named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [client.name for client in CLIENTS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(names)}; all if none")
    parser.add_argument("--folder", type=Path, default=ROOT / ".clients", help="for environments")
    given = parser.parse_args()
    unknown = set(given.names) - set(names)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: not a client. Use {', '.join(names)}.")
    chosen = tuple(client for client in CLIENTS if client.name in (given.names or names))
    sys.exit(not run(chosen, given.folder.absolute(), Console(width=140, markup=False)))


if __name__ == "__main__":
    main()
