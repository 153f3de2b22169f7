"""The evaluator's own parts, each at its port."""
