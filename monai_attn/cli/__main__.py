"""`python -m monai_attn.cli`."""

from monai_attn.cli import main

main()
