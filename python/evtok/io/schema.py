"""A schema says which columns of a file make events. It is data: a TOML or JSON file, or a dict, never code.

In: a mapping with a closed set of keys (see `Schema.from_dict`). Out: frozen, checked rules that the readers
follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from evtok.errors import SchemaError
from evtok.io._closed import Table

#: Formats that a schema may name; `root` means TTree and RNTuple.
FORMATS = ("root", "parquet", "hdf5", "npy", "darkmachines")

#: GeV in one unit of energy of the file. Values are divided in float64 and rounded once.
UNITS_PER_GEV = {"GeV": 1.0, "MeV": 1000.0, "TeV": 0.001}

#: Layouts of a padded array.
LAYOUTS = ("event slot feature", "event feature slot", "event slot*feature")

#: Units of the names that have the same meaning everywhere. Whatever is in GeV here is scaled from the file's
#: unit.
UNITS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("pt", "mass", "energy", "px", "py", "pz", "MET", "METx", "METy", "HT"), "GeV")
    | dict.fromkeys(("phi", "METphi", "phirel"), "rad")
)

#: What `derive` can add, and the columns (or fields) that it is computed from.
DERIVED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"pt": ("px", "py", "pz"), "eta": ("px", "py", "pz"), "phi": ("px", "py", "pz")}
    | {"MET": ("METx", "METy"), "METphi": ("METx", "METy")}
)


@dataclass(frozen=True)
class TypeRule:
    """How the type of an object is found: always `then`, or by `column`: a threshold or a table of codes."""

    then: str
    column: str | None = None
    at_least: float = 0.0
    otherwise: str = ""
    codes: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ObjectRule:
    """One collection: alternatives for its name, and for each column (names, or a number for all objects)."""

    collection: tuple[str, ...]
    columns: Mapping[str, tuple[str | float, ...]]
    types: tuple[TypeRule, ...]


@dataclass(frozen=True)
class Place:
    """Where a padded array lies: in an HDF5 file the names of a dataset; beside an npy file a companion file.

    The companion's name is that of the file with `replace` changed to `by`. `record` picks a field of a
    compound dataset, `column` one column of its last axis.
    """

    dataset: tuple[str, ...] = ()
    replace: str = ""
    by: str = ""
    record: str = ""
    column: int | None = None
    optional: bool = False


@dataclass(frozen=True)
class ArrayRule:
    """A padded array: its place, its layout, and the names of its features."""

    place: Place
    layout: str
    features: tuple[str, ...]
    slots: int | None


@dataclass(frozen=True)
class MaskRule:
    """Which slots hold an object: where a feature or an array is not 0, or a feature that is 0 when empty."""

    feature: str = ""
    empty_where_zero: str = ""
    place: Place | None = None


@dataclass(frozen=True)
class FieldRule:
    """One value for each event: columns by name, or a place. `take` picks one of several values."""

    sources: tuple[str, ...] = ()
    place: Place | None = None
    take: str = "only"


@dataclass(frozen=True)
class Schema:
    """Which columns of a file make events; see `Schema.from_dict` for the keys."""

    name: str
    formats: tuple[str, ...]
    description: str = ""
    tree: tuple[str, ...] = ()
    energy_unit: str = "GeV"
    types: tuple[str, ...] = ()
    objects: tuple[ObjectRule, ...] = ()
    arrays: tuple[ArrayRule, ...] = ()
    mask: MaskRule | None = None
    type_rule: TypeRule | None = None
    fields: Mapping[str, FieldRule] = field(default_factory=dict)
    derive: tuple[str, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "schema") -> Schema:
        """Check a mapping and make a schema of it.

        Parameters
        ----------
        data : mapping
            ``name``, ``formats`` (of `FORMATS`), and optionally ``description``, ``tree`` (names tried in a
            ROOT file), ``energy_unit`` (GeV, MeV, TeV), ``types`` (names in the order of their codes),
            ``derive`` (of `DERIVED`), ``units``, ``fields`` and, for ROOT and Parquet, ``objects``: a list of
            ``{collection, columns, type}``; for HDF5 and npy, ``arrays``: a list of ``{dataset | companion,
            layout, features, slots, record, optional}``, ``mask`` and ``type``.
        where : str
            What messages call it.

        Raises
        ------
        SchemaError
            An unknown, missing or malformed key, naming it and what was expected.
        """
        table = Table(data, where)
        formats = table.strings("formats")
        table.one_of("formats", formats, FORMATS)
        energy_unit = table.text("energy_unit", "GeV")
        table.one_of("energy_unit", (energy_unit,), tuple(UNITS_PER_GEV))
        derive = table.strings("derive", ())
        table.one_of("derive", derive, tuple(DERIVED))
        schema = cls(
            name=table.text("name"),
            formats=formats,
            description=table.text("description", ""),
            tree=table.strings("tree", ()),
            energy_unit=energy_unit,
            types=table.strings("types", ()),
            objects=tuple(_object(entry) for entry in table.tables("objects")),
            arrays=tuple(_array(entry) for entry in table.tables("arrays")),
            mask=_mask(table.table("mask")),
            type_rule=_type(table, table.take("type", None)),
            fields={
                name: _field(table.table("fields"), name, rule)
                for name, rule in table.mapping("fields").items()
            },
            derive=derive,
            units={name: str(unit) for name, unit in table.mapping("units").items()},
        )
        table.close()
        _check_whole(schema, where)
        return schema

    def unit(self, name: str) -> str:
        """Return the unit of a column or field, as delivered."""
        return self.units.get(name, UNITS.get(name, ""))

    @property
    def energy_divisor(self) -> float:
        """What a value in the file's unit of energy is divided by to be in GeV."""
        return UNITS_PER_GEV[self.energy_unit]

    @property
    def column_names(self) -> tuple[str, ...]:
        """Every column that the schema can deliver, in order; ``type`` last."""
        names: list[str] = [n for n in self.derive if DERIVED[n][0] == "px"]
        if self.arrays:
            hidden = {self.mask.feature if self.mask else "", self.type_rule.column if self.type_rule else ""}
            names += [n for rule in self.arrays for n in rule.features if n and n not in hidden]
        elif self.objects:
            names += list(self.objects[0].columns)
        return (*dict.fromkeys(names), *(("type",) if self.types else ()))

    @property
    def field_names(self) -> tuple[str, ...]:
        """Every field that the schema can deliver, in order."""
        return tuple(dict.fromkeys((*(n for n in self.derive if DERIVED[n][0] == "METx"), *self.fields)))


def _object(table: Table) -> ObjectRule:
    columns = {
        name: table.alternatives(f"columns.{name}", value) for name, value in table.mapping("columns").items()
    }
    rules = table.take("type", None)
    listed = rules if isinstance(rules, (list, tuple)) else [rules]
    rule = ObjectRule(
        collection=table.strings("collection"),
        columns=columns,
        types=tuple(t for t in (_type(table, entry) for entry in listed) if t is not None),
    )
    if not any(isinstance(source, str) for sources in columns.values() for source in sources):
        raise SchemaError(
            f"{table.where}.columns: expected at least one column of the file, got {dict(columns)}"
        )
    table.close()
    return rule


def _type(parent: Table, value: Any) -> TypeRule | None:
    if value is None:
        return None
    if isinstance(value, str):
        return TypeRule(then=value)
    table = Table(value, f"{parent.where}.type")
    column = table.text("column")
    codes = {table.integer_key("codes", key): str(name) for key, name in table.mapping("codes").items()}
    if codes:
        rule = TypeRule(then=next(iter(codes.values())), column=column, codes=codes)
    else:
        rule = TypeRule(table.text("then"), column, table.number("at_least"), table.text("otherwise"))
    table.close()
    return rule


def _place(table: Table) -> Place:
    companion = table.table("companion")
    place = Place(
        dataset=table.strings("dataset", ()),
        replace=companion.text("replace") if companion.data else "",
        by=companion.text("by") if companion.data else "",
        record=table.text("record", ""),
        column=table.integer("column", None),
        optional=table.flag("optional"),
    )
    companion.close()
    return place


def _array(table: Table) -> ArrayRule:
    layout = table.text("layout", LAYOUTS[0])
    table.one_of("layout", (layout,), LAYOUTS)
    rule = ArrayRule(_place(table), layout, table.strings("features"), table.integer("slots", None))
    table.close()
    return rule


def _mask(table: Table) -> MaskRule | None:
    if not table.data:
        return None
    feature, zero, place = table.text("feature", ""), table.text("empty_where_zero", ""), _place(table)
    table.close()
    has_place = bool(place.dataset or place.replace)
    if not (feature or zero or has_place):
        raise SchemaError(f"{table.where}: expected feature, empty_where_zero, dataset or companion")
    return MaskRule(feature, zero, place if has_place else None)


def _field(parent: Table, name: str, value: Any) -> FieldRule:
    if isinstance(value, (str, list, tuple)):
        return FieldRule(sources=tuple(str(source) for source in parent.alternatives(name, value)))
    table = Table(value, f"{parent.where}.{name}")
    take = table.text("take", "only")
    table.one_of("take", (take,), ("only", "first", "one-hot"))
    rule = FieldRule(table.strings("source", ()), None, take)
    if not rule.sources:
        rule = FieldRule((), _place(table), take)
    table.close()
    return rule


def _check_whole(schema: Schema, where: str) -> None:
    if bool(schema.objects) and bool(schema.arrays):
        raise SchemaError(f"{where}: expected objects (ROOT, Parquet) or arrays (HDF5, npy), got both")
    if not schema.objects and not schema.arrays and schema.formats != ("darkmachines",):
        raise SchemaError(
            f"{where}: expected at least one entry in objects (ROOT, Parquet) or arrays (HDF5, npy)"
        )
    for k, rule in enumerate(schema.objects):
        if set(rule.columns) != set(schema.objects[0].columns):
            raise SchemaError(
                f"{where}.objects[{k}].columns: expected {sorted(schema.objects[0].columns)} as in "
                "objects[0], got "
                f"{sorted(rule.columns)}; give a number for a column that this collection lacks"
            )
        if schema.types and not rule.types:
            raise SchemaError(
                f"{where}.objects[{k}].type: missing, and types names {', '.join(schema.types)}"
            )
    if schema.arrays and schema.types and schema.type_rule is None:
        raise SchemaError(f"{where}.type: missing, and types names {', '.join(schema.types)}")
    rules = [t for rule in schema.objects for t in rule.types] + (
        [schema.type_rule] if schema.type_rule else []
    )
    for type_rule in rules:
        for name in (type_rule.then, type_rule.otherwise, *type_rule.codes.values()):
            if name and name not in schema.types:
                raise SchemaError(f"{where}: type {name!r} is not in types = {list(schema.types)}")
    if len(schema.types) > 256 or len(set(schema.types)) != len(schema.types):
        raise SchemaError(f"{where}.types: expected at most 256 names, each once, got {list(schema.types)}")
    columns, fields = set(schema.column_names), set(schema.fields)
    for name in schema.derive:
        missing = [source for source in DERIVED[name] if source not in columns | fields]
        if missing:
            raise SchemaError(
                f"{where}.derive: {name} needs {', '.join(missing)}, which the schema does not give"
            )
