"""Checks of a design, one rule family a file (`registry` says which section has which), and of SQL text, in `sql`."""
