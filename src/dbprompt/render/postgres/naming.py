"""Names that are derived: keys, constraints and partitions that the model does not name."""

from __future__ import annotations

from itertools import count

from dbprompt.render.postgres.base import short_name
from dbprompt.sections import DatabaseDesign

__all__ = ["Names", "view_key"]


def view_key(view: str) -> str:
    """The name of the unique index of a materialised view."""
    return short_name(view, "_key")


class Names:
    """Gives out names in PostgreSQL's own manner, at most 63 characters, none twice.

    Tables, indexes and the indexes behind keys share one namespace in PostgreSQL. Here every derived name is unique in
    the whole design, also among constraints, where PostgreSQL would only ask for it within one table.
    """

    def __init__(self, design: DatabaseDesign) -> None:
        schema, indexes = design.schema, design.indexes
        self._taken = {index.name for index in indexes.indexes} if indexes else set()
        for view in design.views.views if design.views else ():
            self._taken |= {view.name, view_key(view.name)}
        for table in schema.tables if schema else ():
            self._taken |= {table.name}
            self._taken |= {check.name for check in table.checks} | {exclusion.name for exclusion in table.exclusions}

    def take(self, stem: str, suffix: str) -> str:
        """The name `stem_suffix`, with a number behind it if that is taken."""
        for number in count():
            name = short_name(stem, f"_{suffix}{number or ''}")
            if name not in self._taken:
                self._taken.add(name)
                return name
        raise AssertionError("count() does not end")
