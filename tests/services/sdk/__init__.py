"""The SDK on a real broker."""
