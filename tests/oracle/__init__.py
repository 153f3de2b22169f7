"""Independent judges of the product: brute force over whole histories, and a checker of what was published."""
