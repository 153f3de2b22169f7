"""What a segment would have done over past changes: the same core as the services, over recorded time, offline.

Rule: nothing is simplified for the past. Each row is a write at its own instant, each deadline fires at its exact one,
and what comes out is what the services would have published had the segment existed.
"""
