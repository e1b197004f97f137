"""One output format a file: every text is written from the typed design."""
