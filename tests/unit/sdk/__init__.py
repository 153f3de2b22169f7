"""The SDK without a broker."""
