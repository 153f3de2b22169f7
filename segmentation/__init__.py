"""The pure core of Tidegate: standard library only, no I/O, no clock, no asyncio, no randomness.

Everything that decides who belongs to a segment lives here; everything that reads, writes or waits lives in `services`.
Every instant is an argument.
"""
