"""The segment language, one stage a file: text or JSON to a checked syntax tree, its canonical forms and readings."""
