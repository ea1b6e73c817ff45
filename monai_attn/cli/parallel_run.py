"""Commands that several ranks run as one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from monai_attn.cli.console import complain, err, error_lines, out
from monai_attn.distributed.process_info import read_process_info
from monai_attn.distributed.work_queue import ProcessError, RunEnded, WorkQueue, join_queue


@contextmanager
def together(patience: float | None = None) -> Iterator[WorkQueue]:
    """Join the ranks that torchrun started: only the first prints, and all end with one exit code.

    An error of any rank ends all of them. A single process is left as it is.

    Args:
        patience: seconds that a failed rank waits for the first rank to report its error. Then it
            reports the error itself and exits, so that torchrun ends the others, which may wait for it
            in a collective operation.
    """
    ranks = read_process_info()
    if ranks.size == 1:
        yield WorkQueue()
        return
    out.quiet = err.quiet = ranks.rank > 0
    queue, code, lines = join_queue(ranks), 0, []
    try:
        yield queue
    except RunEnded:
        pass
    except typer.Exit as stop:
        code = stop.exit_code
    except Exception as error:
        if isinstance(error, ProcessError):
            lines, code = str(error).splitlines(), error.code
        else:
            lines, code = error_lines(error)
        if queue.first:
            for line in lines:
                complain("error", line)
        else:
            queue.report("\n".join(lines), code)
    out.quiet = err.quiet = True  # torchrun ends all ranks when one ends: print nothing of it
    try:
        code = queue.end(code, patience if lines else None)
    except TimeoutError:
        err.quiet = False
        for line in lines:
            complain("error", f"rank {ranks.rank}: {line}")
        os._exit(code)
    raise typer.Exit(code)
