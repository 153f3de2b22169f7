"""A real shop's contacts and orders, as `make run` shows them."""
