"""Entry point of `python -m monai_attn`."""

from monai_attn.cli import main

main()
