"""Benchmarks: each a command that prints figures, or ratios against a baseline run beside it."""
