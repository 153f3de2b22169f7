"""Whole histories with faults, by seed, in one process: the real code, a simulated world, a brute-force judge."""
