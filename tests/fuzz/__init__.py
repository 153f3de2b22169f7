"""Coverage-guided fuzzing of the language's parsers: a command, not a test that every run repeats."""
