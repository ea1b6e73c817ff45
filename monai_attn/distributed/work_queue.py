"""Cooperation of the ranks of one run: they start from equal facts, share the work and end together."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from monai_attn.distributed.process_info import ProcessInfo

if TYPE_CHECKING:
    from torch.distributed import Store

T = TypeVar("T")
POLL = 0.05  # seconds; waiting inside the store would delay signals
TAKEN, POSTS, AGREED, OVER = "taken", "posts", "agreed", "over"


class ProcessError(Exception):
    """An error on a rank, which the first rank reports.

    Args:
        message: one line that names the rank.
        code: the exit code for this error.
    """

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


class RunEnded(Exception):  # noqa: N818  not an error, and not reported as one
    """A signal to the other ranks that the first rank has ended the run."""


class WorkQueue:
    """The ranks of one run; the first does its share of the work, and collects and reports all results.

    They communicate only through the key-value store of torchrun, without collectives, so no rank waits
    for another between two items.

    Args:
        ranks: the place of this process.
        store: the key-value store; None if there is only one process.

    Example:
        >>> queue = WorkQueue()
        >>> list(queue.gather(map(str, queue.take([1, 2])), 2))
        ['1', '2']
    """

    def __init__(self, ranks: ProcessInfo | None = None, store: Store | None = None) -> None:
        self.ranks, self.store = ranks or ProcessInfo(), store

    @property
    def first(self) -> bool:
        """True on the rank that reports for all."""
        return self.ranks.rank == 0

    def agree(self, facts: Mapping[str, Any]) -> None:
        """Wait until all ranks have started, and check that they start with the same facts.

        Args:
            facts: values that must be the same on all ranks, by name.

        Raises:
            ProcessError: on the first rank, naming a rank and a fact that differs.
            RunEnded: on the others, if the first ended the run.
        """
        if self.store is None:
            return
        mine = {name: json.dumps(value) for name, value in facts.items()}
        if not self.first:
            self._post("facts", mine)
            self._wait(lambda store: store.check([AGREED]))
            return
        for _ in range(self.ranks.size - 1):
            rank, theirs = self._receive()
            for name in mine:
                if theirs.get(name) != mine[name]:
                    raise ProcessError(
                        f"rank {rank}: {name} is {theirs.get(name)}, on the first rank {mine[name]}; "
                        "give all ranks the same files and packages"
                    )
        self.store.set(AGREED, "")

    def take(self, items: Sequence[T]) -> Iterator[T]:
        """Yield the items of this rank: each item goes to one rank, the next to the first that is free."""
        if self.store is None:
            yield from items
            return
        while (index := self.store.add(TAKEN, 1) - 1) < len(items):
            yield items[index]

    def gather(self, made: Iterable[str], total: int) -> Iterator[str]:
        """Send results to the first rank, and there yield those of all ranks in order of arrival.

        Args:
            made: the results of this rank.
            total: the number of results of all ranks.

        Raises:
            ProcessError: if another rank reports that it cannot go on.
        """
        if not self.first:
            for text in made:
                self._post("made", text)
            return
        for text in made:
            yield text
            total -= 1
            while self.store is not None and self.store.queue_len(POSTS):
                yield self._receive()[1]
                total -= 1
        for _ in range(total):
            yield self._receive()[1]

    def report(self, error: str, code: int) -> None:
        """Tell the first rank that this rank cannot go on."""
        self._post("error", error, code=code)

    def end(self, code: int, patience: float | None = None) -> int:
        """End the run, or wait until the first rank does; return the exit code of every rank.

        Args:
            code: the exit code of this rank by itself.
            patience: seconds to wait for the first rank.

        Raises:
            TimeoutError: if waiting takes longer.
        """
        if self.store is None:
            return code
        if self.first:
            self.store.set(OVER, str(code))
        else:
            self._wait(lambda store: store.check([OVER]), patience)
        return int(self.store.get(OVER))

    def _post(self, kind: str, content: Any, **more: Any) -> None:
        if self.store is not None:
            post = {"rank": self.ranks.rank, "kind": kind, "content": content, **more}
            self.store.queue_push(POSTS, json.dumps(post))

    def _receive(self) -> tuple[int, Any]:
        """Wait for the next post of another rank; return the rank and the content."""
        post = json.loads(self._wait(lambda store: store.queue_len(POSTS)).queue_pop(POSTS))
        if post["kind"] == "error":
            raise ProcessError(f"rank {post['rank']}: {post['content']}", post["code"])
        return post["rank"], post["content"]

    def _wait(self, ready: Callable[[Store], Any], patience: float | None = None) -> Store:
        if self.store is None:
            raise ProcessError("no other rank is there to wait for")
        begun = time.monotonic()
        while not ready(self.store):
            if not self.first and self.store.check([OVER]):
                raise RunEnded
            if patience is not None and time.monotonic() > begun + patience:
                raise TimeoutError
            time.sleep(POLL)
        return self.store


def join_queue(ranks: ProcessInfo) -> WorkQueue:
    """Join the other ranks in torchrun's store, and select the GPU of this rank on its machine."""
    if ranks.size == 1:
        return WorkQueue(ranks)
    import torch
    from torch.distributed.rendezvous import rendezvous

    if torch.cuda.is_available():
        torch.cuda.set_device(ranks.local_rank % torch.cuda.device_count())
    store, _, _ = next(iter(rendezvous("env://")))
    return WorkQueue(ranks, store)
