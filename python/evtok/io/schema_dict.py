"""A schema as a mapping again, for a document that another process reads by `Schema.from_dict`."""

from __future__ import annotations

from typing import Any

from evtok.io.schema import ArrayRule, FieldRule, MaskRule, ObjectRule, Place, Schema, TypeRule


def as_dict(schema: Schema) -> dict[str, Any]:
    """Return the mapping of which `Schema.from_dict` makes an equal schema; its order of keys counts.

    Parameters
    ----------
    schema : Schema

    Returns
    -------
    dict
        Of texts, numbers, lists and dicts alone, as JSON has them.
    """
    given: dict[str, Any] = {
        "name": schema.name,
        "formats": list(schema.formats),
        "description": schema.description,
        "tree": list(schema.tree),
        "energy_unit": schema.energy_unit,
        "types": list(schema.types),
        "objects": [_object(rule) for rule in schema.objects],
        "arrays": [_array(rule) for rule in schema.arrays],
        "fields": {name: _field(rule) for name, rule in schema.fields.items()},
        "derive": list(schema.derive),
        "units": dict(schema.units),
    }
    if schema.mask is not None:
        given["mask"] = _mask(schema.mask)
    if schema.type_rule is not None:
        given["type"] = _type(schema.type_rule)
    return given


def _object(rule: ObjectRule) -> dict[str, Any]:
    return {
        "collection": list(rule.collection),
        "columns": {name: list(sources) for name, sources in rule.columns.items()},
        "type": [_type(one) for one in rule.types],
    }


def _type(rule: TypeRule) -> str | dict[str, Any]:
    if rule.column is None:
        return rule.then
    if rule.codes:
        return {"column": rule.column, "codes": {str(code): name for code, name in rule.codes.items()}}
    return {
        "column": rule.column,
        "then": rule.then,
        "at_least": rule.at_least,
        "otherwise": rule.otherwise,
    }


def _place(place: Place) -> dict[str, Any]:
    given: dict[str, Any] = {"optional": place.optional}
    if place.dataset:
        given["dataset"] = list(place.dataset)
    if place.replace or place.by:
        given["companion"] = {"replace": place.replace, "by": place.by}
    if place.record:
        given["record"] = place.record
    if place.column is not None:
        given["column"] = place.column
    return given


def _array(rule: ArrayRule) -> dict[str, Any]:
    slots = {} if rule.slots is None else {"slots": rule.slots}
    return {**_place(rule.place), "layout": rule.layout, "features": list(rule.features), **slots}


def _mask(rule: MaskRule) -> dict[str, Any]:
    place = {} if rule.place is None else _place(rule.place)
    return {"feature": rule.feature, "empty_where_zero": rule.empty_where_zero, **place}


def _field(rule: FieldRule) -> list[str] | dict[str, Any]:
    if rule.place is not None:
        return {**_place(rule.place), "take": rule.take}
    if rule.take == "only":
        return list(rule.sources)
    return {"source": list(rule.sources), "take": rule.take}
