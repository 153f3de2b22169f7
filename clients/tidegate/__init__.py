"""Tidegate for consumers: the Python SDK and the `tidegate` command line."""
