"""Whole-process comparisons with other pipelines. Never part of a test run: `make bench`."""
