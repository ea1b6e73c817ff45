"""What training adds to MONAI's engines: a cache, checkpoints, curves, runs that go on where they ended."""
