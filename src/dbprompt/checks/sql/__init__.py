"""Checks of SQL text, one rung of the ladder a file: parser, native grammar, allow-list, engine."""
