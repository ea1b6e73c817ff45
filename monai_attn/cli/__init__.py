"""Command line: each command is a few lines that call the package, and torch is imported late."""

from monai_attn.cli.app import app, main

__all__ = ["app", "main"]
