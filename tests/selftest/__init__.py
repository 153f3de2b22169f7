"""Do the judges notice? Faults planted on purpose, and clean runs that must not be accused."""
