"""CREATE INDEX, and what each index is for as its comment."""

from __future__ import annotations

from collections.abc import Iterator

from dbprompt.render.postgres.base import Statement, UnsafeSqlError, identifier, literal, names, wrap_expression
from dbprompt.sections.indexes import Index, Indexes, IndexKey

__all__ = ["index_comment", "index_statements"]

_OPERATOR_CLASSES = {
    "jsonb_path": "jsonb_path_ops",
    "text_pattern": "text_pattern_ops",
    "vector_cosine": "vector_cosine_ops",
    "vector_l2": "vector_l2_ops",
    "inet": "inet_ops",
}


def index_statements(indexes: Indexes) -> Iterator[Statement]:
    """Each index, then its comment.

    Raises:
        UnsafeSqlError: with section and place, a free expression could leave its parentheses.
    """
    for at, index in enumerate(indexes.indexes):
        where, artefact = f"/indexes/{at}", f"index {index.name}"
        yield Statement(_create(index, where), "indexes", where, artefact, "index")
        if comment := index_comment(index):
            sql = f"COMMENT ON INDEX {identifier(index.name)} IS {literal(comment)}"
            yield Statement(sql, "indexes", where, artefact, "comment")


def index_comment(index: Index) -> str:
    """The purpose and the queries served, as one text."""
    serves = f"Serves: {', '.join(index.serves)}" if index.serves else ""
    return "\n".join(part for part in (index.purpose, serves) if part)


def _create(index: Index, where: str) -> str:
    keys = ", ".join(_key(key, index, f"{where}/keys/{number}/expression") for number, key in enumerate(index.keys))
    return (
        f"CREATE {'UNIQUE ' if index.unique else ''}INDEX {identifier(index.name)}"
        f"\n    ON {identifier(index.table)}"
        + ("" if index.method == "btree" else f" USING {index.method}")
        + f" ({keys})"
        + (f"\n    INCLUDE ({names(index.include)})" if index.include else "")
        + (f"\n    WHERE {_wrapped(index.where, f'{where}/where')}" if index.where else "")
    )


def _key(key: IndexKey, index: Index, where: str) -> str:
    words = [identifier(key.column) if key.column is not None else _wrapped(key.expression or "", where)]
    if key.operator_class == "trigram":
        words.append("gist_trgm_ops" if index.method in {"gist", "spgist"} else "gin_trgm_ops")
    elif key.operator_class is not None:
        words.append(_OPERATOR_CLASSES[key.operator_class])
    if key.order == "desc":
        words.append("DESC")
    if key.nulls is not None:
        words.append(f"NULLS {key.nulls.upper()}")
    return " ".join(words)


def _wrapped(expression: str, where: str) -> str:
    try:
        return wrap_expression(expression)
    except UnsafeSqlError as error:
        raise error.at("indexes", where) from error
