"""The segment language, one stage a file: text or JSON → syntax tree → checked → canonical forms, readers and renderings."""
