"""The running processes. Each loads what a decision needs, calls the pure core, then writes and applies its records."""
