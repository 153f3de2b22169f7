"""The scheduler: carries time and accepted segment definitions into every partition of the input log."""
