"""Training with MONAI's engines, plus a cache, checkpoints, curves, and runs that can be resumed."""
