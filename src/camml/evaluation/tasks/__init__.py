"""Benchmarks; a file here is one, as data: `TASK`."""
