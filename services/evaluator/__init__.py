"""The evaluator: one worker a partition turns the input log into membership changes, exactly once."""
