"""Wire contracts: topic names, one record model a file, and the codec between bytes and the core's words."""
