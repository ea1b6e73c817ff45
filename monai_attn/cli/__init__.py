"""The command line: each command a few lines that call the package, and torch imported late."""

from monai_attn.cli.app import app, main

__all__ = ["app", "main"]
