"""Benchmarks, as data: a file has one, `TASK`, or several that belong together, `TASKS`."""
