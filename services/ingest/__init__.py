"""Ingest: every public write. Requests become records on the log, or rejections that say how to repair them."""
