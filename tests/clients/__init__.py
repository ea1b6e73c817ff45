"""The programs that use a bundle, run for real: each in an environment of its own."""
