"""A schema meets the names of a file: every collection and column is found, or what is missing is listed."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from evtok.errors import SchemaError
from evtok.io.schema import Schema, TypeRule


@dataclass(frozen=True)
class BoundObject:
    """One collection with the names that were found: a source (or a number) for each column, and its type."""

    collection: str
    columns: dict[str, str | float]
    type_rule: TypeRule | None
    type_column: str | None


def bind_objects(schema: Schema, names: Collection[str], path: str) -> list[BoundObject]:
    """Find every column of every collection among the names of a file, or say what is missing."""
    bound = []
    for rule in schema.objects:
        collection, columns = _bind_collection(schema, rule.collection, rule.columns, names, path)
        chosen, type_column = None, None
        for type_rule in rule.types:
            type_column = _find(collection, type_rule.column, names) if type_rule.column else None
            if type_rule.column is None or type_column is not None:
                chosen = type_rule
                break
        if rule.types and chosen is None:
            wanted = ", ".join(f"{collection}_{r.column}" for r in rule.types)
            raise SchemaError(
                f"{path}: schema {schema.name} finds the type of {collection} by {wanted}; none is there"
            )
        bound.append(BoundObject(collection, columns, chosen, type_column))
    return bound


def _bind_collection(
    schema: Schema,
    alternatives: Sequence[str],
    wanted: Mapping[str, Sequence[str | float]],
    names: Collection[str],
    path: str,
) -> tuple[str, dict[str, str | float]]:
    missing: list[str] = []
    for collection in alternatives:
        columns: dict[str, str | float] = {}
        for name, sources in wanted.items():
            for source in sources:
                found = _find(collection, source, names) if isinstance(source, str) else source
                if found is not None:
                    columns[name] = found
                    break
            else:
                missing.append(f"{collection}_{sources[0]}")
        if len(columns) == len(wanted):
            return collection, columns
    near = {n for m in missing for n in difflib.get_close_matches(m, names, 3, 0.5)}
    there = ", ".join(sorted(near)) or ", ".join(sorted(names)[:12]) + (", ..." if len(names) > 12 else "")
    raise SchemaError(
        f"{path}: schema {schema.name} needs {', '.join(dict.fromkeys(missing))}, which the file lacks; it "
        f"has {there}. "
        "Name another preset, or pass a schema of your own as TOML or dict"
    )


def _find(collection: str, source: str, names: Collection[str]) -> str | None:
    """Find a column of a collection: ``Jet_pt`` (flat) or ``Jet.pt`` (record, Delphes, PHYSLITE)."""
    return next((n for n in (f"{collection}_{source}", f"{collection}.{source}") if n in names), None)
