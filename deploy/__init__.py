"""How Tidegate is run: the local stack here, manifests beside it."""
