"""Throughput, latency and recovery of the whole evaluator on a real broker, with the full protocol and persistence."""
