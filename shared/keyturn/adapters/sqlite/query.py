"""Queries of the embedded store in SQL. Each page reads one declared index and nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from keyturn.adapters.document_values import KEY_OFFSET, cursor, find_index, index_key, key_bounds, shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.ports.indexes import Index
    from keyturn.ports.store import Query


def page_statement(query: Query, indexes: Sequence[Index]) -> tuple[str, list[int | str | None]]:
    """Return the SQL of one page and its parameters. StoreError if no declared index covers the query."""
    index = find_index(query, indexes)
    low, high = key_bounds(query)
    key, equal = _key(index.order_by), dict(query.equal)
    terms = [f"shape = '{shape(index.collection)}'", f"{key} IS NOT NULL", "collection = ?"]
    terms += [f"{_key(name)} = ?" for name in index.equal]
    values: list[int | str | None] = [query.collection, *(index_key(equal[name]) for name in index.equal)]
    terms += [f"{key} <= ?", f"{key} >= ?"]
    values += [high, low]
    if query.after is not None:
        terms.append(f"({key}, path) > (?, ?)")
        values += cursor(query, query.after)
    where = " AND ".join(terms)
    # The text holds only names from declared indexes. Every value is a bound parameter.
    text = f"SELECT path, version, data FROM documents WHERE {where} ORDER BY {key}, path LIMIT ?"  # noqa: S608 - see above
    return text, [*values, query.limit]


def create_index(index: Index) -> tuple[str, str]:
    """Return name and SQL of a declared index. It is partial: documents without the ordered field are not in it."""
    name = "by_" + "_".join([*re.findall(r"\w+", shape(index.collection)), *index.equal, index.order_by])
    key = _key(index.order_by)
    keys = ", ".join(["collection", *(_key(field) for field in index.equal), key, "path"])
    where = f"shape = '{shape(index.collection)}' AND {key} IS NOT NULL"
    return name, f"CREATE INDEX {name} ON documents ({keys}) WHERE {where}"


def _key(field: str) -> str:
    """Return the SQL expression that computes `index_key` for one field."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", field):
        raise ValueError("an indexed field has a plain lower-case name")
    at, micros = f"'$.{field}'", f"json_extract(data, '$.{field}.\"$t\"')"
    return (
        f"CASE json_type(data, {at}) WHEN 'integer' THEN json_extract(data, {at})"
        f" WHEN 'text' THEN 'u' || json_extract(data, {at}) WHEN 'true' THEN 'b1' WHEN 'false' THEN 'b0'"
        f" WHEN 'object' THEN 't' || substr('{'0' * 18}' || ({micros} + {KEY_OFFSET}), -18)"
        " END"
    )
