"""The algorithm and its inference."""
