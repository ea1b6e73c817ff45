"""The functions of a notebook and of the command line; `monai_attn` itself names them all."""
