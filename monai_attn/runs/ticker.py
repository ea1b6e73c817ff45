"""An action that a thread repeats."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread


class Ticker:
    """A thread that calls a function again and again, until it is stopped.

    Args:
        action: the function.
        every: seconds before the first call, and between two.
        name: name of the thread.
    """

    def __init__(self, action: Callable[[], object], every: float, name: str) -> None:
        self.action = action
        self.every = every
        self.name = name
        self._stopped = Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin to call, also after a stop."""
        self._stopped.clear()
        self._thread = Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Wait for a call that has begun, and call no more; do nothing if there is no thread."""
        self._stopped.set()
        if self._thread:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._stopped.wait(self.every):
            self.action()
