"""CSV files as a door into the input log: upload, detect, map, try out, import, report."""
