"""How fast ingest takes writes, with a real broker behind it."""
