"""Schemas by name, by file or by dict; the named ones are the TOML files in `schemas/`."""

from __future__ import annotations

import functools
import json
import os
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from evtok.errors import SchemaError
from evtok.io.schema import Schema

#: The order in which presets are tried on a file: the first that fits is used, so the narrow ones come first.
DETECTION_ORDER = (
    "nanoaod",
    "hzz",
    "physlite",
    "delphes",
    "nanoaod-constituents",
    "lhco",
    "jetnet-hdf5",
    "adc2021",
    "toplandscape",
    "jetclass-npy",
    "toplandscape-npy",
    "darkmachines",
)

#: Presets that are used only when they are named: nothing in an array says that its features are pt, eta,
#: phi.
NAMED_ONLY = ("padded",)

#: Of a schema's file; the longest preset has a hundredth of it.
_MAX_BYTES = 1 << 16


def preset_names() -> tuple[str, ...]:
    """Return the names of the schemas that come with evtok."""
    return (*DETECTION_ORDER, *NAMED_ONLY)


@functools.cache
def _preset(name: str) -> Schema:
    text = resources.files("evtok.io").joinpath("schemas", f"{name}.toml").read_text(encoding="utf-8")
    return Schema.from_dict(tomllib.loads(text), f"preset {name}")


def _parsed(path: Path) -> Any:
    """Parse a TOML or JSON file of few bytes: parsers take very long for some texts."""
    if not path.is_file():
        raise OSError("there is no such file, or it is not a regular one")
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError(f"larger than {_MAX_BYTES} bytes, which no schema needs")
    text = data.decode("utf-8")
    if path.suffix == ".toml":
        return tomllib.loads(text)
    return json.loads(text, object_pairs_hook=_without_duplicates)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice")
    return result


def load_schema(schema: Schema | Mapping[str, Any] | str | os.PathLike[str]) -> Schema:
    """Make a schema from a preset's name, a path to a TOML or JSON file, or a dict.

    Raises
    ------
    SchemaError
        An unknown name, a file that is not TOML or JSON, or a schema that breaks a rule.
    """
    if isinstance(schema, Schema):
        return schema
    if isinstance(schema, Mapping):
        return Schema.from_dict(schema)
    if not isinstance(schema, (str, os.PathLike)):
        raise SchemaError(
            f"schema: expected a preset's name, a path, a dict or a Schema, got {type(schema).__name__}; "
            "presets: " + ", ".join(preset_names())
        )
    if isinstance(schema, str) and schema in preset_names():
        return _preset(schema)
    path = Path(schema)
    if path.suffix not in (".toml", ".json"):
        raise SchemaError(
            f"schema: {os.fspath(schema)!r} is not a preset ({', '.join(preset_names())}) and not a .toml "
            "or .json file"
        )
    try:
        data = _parsed(path)
    except (OSError, ValueError, RecursionError) as error:  # the errors of both parsers are ValueErrors
        raise SchemaError(f"schema: cannot read {path}: {error}") from error
    return Schema.from_dict(data, f"schema {path}")
