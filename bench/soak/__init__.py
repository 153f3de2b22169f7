"""The whole local stack under half of its load for a long time: whether anything grows, and every change is right."""
