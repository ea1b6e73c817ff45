"""A handler that a config names once and that several of its parts use."""

from __future__ import annotations

from typing import Protocol

from ignite.engine import Engine


class Handler(Protocol):
    """An object that can be attached to MONAI's engines."""

    def attach(self, engine: Engine) -> None:
        """Add the handler's event handlers to an engine."""


class SharedHandler:
    """An entry for a list of handlers that attaches a handler defined elsewhere in the config.

    A handler to which other parts refer has an id of its own, `history` for example, since its place in
    the list changes when a client inserts another. Clients such as MONAI Label look into each entry, so
    that it must be a dict, and a mere "@history" would not do.

    Args:
        handler: the handler itself.

    Example:
        >>> class Greeting:
        ...     def attach(self, engine):
        ...         print("attached")
        >>> SharedHandler(Greeting()).attach(Engine(lambda engine, batch: None))
        attached
    """

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    def attach(self, engine: Engine) -> None:
        """Attach the handler."""
        self.handler.attach(engine)
