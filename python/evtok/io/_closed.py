"""A mapping whose set of keys is closed: each key is taken by name, and what is left over is refused."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from evtok.errors import SchemaError

_MISSING = object()


class Table:
    """A mapping whose keys are taken one by one; `close` refuses those that nobody asked for."""

    def __init__(self, data: Any, where: str) -> None:
        if not isinstance(data, Mapping):
            raise SchemaError(f"{where}: expected a table of keys, got {type(data).__name__}")
        self.data: Mapping[str, Any] = data
        self.where = where
        self._asked: set[str] = set()

    def take(self, key: str, default: Any = _MISSING) -> Any:
        """Return the value of a key."""
        self._asked.add(key)
        if key in self.data:
            return self.data[key]
        if default is _MISSING:
            raise SchemaError(f"{self.where}.{key}: missing")
        return default

    def _typed(self, key: str, default: Any, kind: type | tuple[type, ...], expected: str) -> Any:
        value = self.take(key, default)
        if key in self.data and (
            not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
        ):
            raise SchemaError(f"{self.where}.{key}: expected {expected}, got {value!r}")
        return value

    def text(self, key: str, default: Any = _MISSING) -> str:
        """Return a string."""
        value: str = self._typed(key, default, str, "a string")
        return value

    def number(self, key: str) -> float:
        """Return a number."""
        return float(self._typed(key, _MISSING, (int, float), "a number"))

    def integer(self, key: str, default: Any = _MISSING) -> int | None:
        """Return an integer."""
        value: int | None = self._typed(key, default, int, "an integer")
        return value

    def flag(self, key: str) -> bool:
        """Return a boolean, false when absent."""
        return bool(self._typed(key, False, bool, "true or false"))

    def strings(self, key: str, default: Any = _MISSING) -> tuple[str, ...]:
        """Return one string or a list of them, as a tuple."""
        value = self.take(key, default)
        listed = (value,) if isinstance(value, str) else value
        if not isinstance(listed, Sequence) or not all(isinstance(entry, str) for entry in listed):
            raise SchemaError(f"{self.where}.{key}: expected a string or a list of strings, got {value!r}")
        return tuple(listed)

    def alternatives(self, key: str, value: Any) -> tuple[str | float, ...]:
        """Check names to try in order; a number, only at the end, is used for every object."""
        listed = list(value) if isinstance(value, (list, tuple)) else [value]
        numbers = [isinstance(entry, (int, float)) and not isinstance(entry, bool) for entry in listed]
        if (
            not listed
            or any(numbers[:-1])
            or not all(
                number or isinstance(entry, str) for number, entry in zip(numbers, listed, strict=True)
            )
        ):
            raise SchemaError(
                f"{self.where}.{key}: expected names, and at the end perhaps one number, got {value!r}"
            )
        return tuple(listed)

    def mapping(self, key: str) -> Mapping[str, Any]:
        """Return a mapping with string keys, empty when absent."""
        return self.table(key).data

    def table(self, key: str) -> Table:
        """Return a nested table, empty when absent."""
        return Table(self.take(key, {}), f"{self.where}.{key}")

    def tables(self, key: str) -> list[Table]:
        """Return a list of nested tables, empty when absent."""
        value = self.take(key, ())
        if not isinstance(value, (list, tuple)):
            raise SchemaError(f"{self.where}.{key}: expected a list of tables, got {type(value).__name__}")
        return [Table(entry, f"{self.where}.{key}[{k}]") for k, entry in enumerate(value)]

    def integer_key(self, key: str, value: str) -> int:
        """Read a key that stands for an integer, as TOML and JSON write it."""
        try:
            return int(value)
        except ValueError:
            raise SchemaError(f"{self.where}.{key}: expected integers as keys, got {value!r}") from None

    def one_of(self, key: str, values: Sequence[str], allowed: Sequence[str]) -> None:
        """Refuse values that are not allowed."""
        for value in values:
            if value not in allowed:
                raise SchemaError(f"{self.where}.{key}: expected one of {', '.join(allowed)}, got {value!r}")

    def close(self) -> None:
        """Refuse keys that were never asked for."""
        for key in self.data:
            if key not in self._asked:
                near = difflib.get_close_matches(str(key), sorted(self._asked), 1)
                hint = (
                    f"; did you mean {near[0]!r}?"
                    if near
                    else f"; known keys: {', '.join(sorted(self._asked))}"
                )
                raise SchemaError(f"{self.where}: unknown key {key!r}{hint}")
