"""The console: reads for people, live events, and one address that a browser needs."""
