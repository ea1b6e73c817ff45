"""The functions for notebooks, which the command line calls too; import them from `monai_attn`."""
