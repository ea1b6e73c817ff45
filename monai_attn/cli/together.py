"""Commands that several ranks run as one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from monai_attn.cli.console import complain, err, error_lines, out
from monai_attn.ranks import find_ranks
from monai_attn.team import Ended, RankError, Team, join


@contextmanager
def together(patience: float | None = None) -> Iterator[Team]:
    """Join the ranks that torchrun started: only the first prints, and all end with one exit code.

    An error of any rank ends all of them. A single process is left as it is.

    Args:
        patience: seconds that a failed rank waits for the first rank to report its error. Then it
            reports the error itself and exits, so that torchrun ends the others, which may wait for it
            in a collective operation.
    """
    ranks = find_ranks()
    if ranks.size == 1:
        yield Team()
        return
    out.quiet = err.quiet = ranks.rank > 0
    team, code, lines = join(ranks), 0, []
    try:
        yield team
    except Ended:
        pass
    except typer.Exit as stop:
        code = stop.exit_code
    except Exception as error:
        if isinstance(error, RankError):
            lines, code = str(error).splitlines(), error.code
        else:
            lines, code = error_lines(error)
        if team.first:
            for line in lines:
                complain("error", line)
        else:
            team.report("\n".join(lines), code)
    try:
        code = team.end(code, patience if lines else None)
    except TimeoutError:
        err.quiet = False
        for line in lines:
            complain("error", f"rank {ranks.rank}: {line}")
        os._exit(code)
    out.quiet = err.quiet = True  # torchrun ends all ranks when one ends: print nothing of it
    raise typer.Exit(code)
