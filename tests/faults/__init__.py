"""The fault catalogue on a real broker: real processes, real signals, judged by the reference."""
