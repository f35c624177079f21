"""One number an event, from its objects or its fields: multiplicities, scalar sums, the pT of the leading jets.

A quantity is a name:

=======================  =========================================================================
``MET``                  a field, as it is
``count[j,b]``           objects of these types; ``count`` alone is all objects
``sum_pt[j,b]``          the sum of a column over them: HT, for jets
``pt_1[j,b]``            a column of the first of them by pT (``pt_2``, ...: the next), 0 where there is none
=======================  =========================================================================

Sums run in float64 in the order of the objects, and are rounded once; so a quantity has the same bits on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok.errors import InvalidEventsError
from evtok.events import TYPE_COLUMN, Events

_FORM = re.compile(r"(?:(count)|sum_(\w+?)|(\w+?)_([1-9][0-9]*))(?:\[([^\[\]]+)\])?\Z")
_ORDER = "pt"


@dataclass(frozen=True)
class Quantity:
    """What a name asks for: `column` and `rank` are unset for counts, `rank` for sums, all but `name` for fields."""

    name: str
    of: str = "field"
    column: str | None = None
    rank: int = 0
    types: tuple[str, ...] = ()

    @classmethod
    def parse(cls, name: str) -> Quantity:
        """Read a name.

        Raises
        ------
        ValueError
            Brackets that are no list of types.
        """
        found = _FORM.match(name)
        if found is None:
            if "[" in name or "]" in name:
                raise ValueError(
                    f"quantity {name!r}: expected a field, count[types], sum_<column>[types] or <column>_<k>[types]"
                )
            return cls(name)
        count, summed, ranked, rank, listed = found.groups()
        types = tuple(listed.split(",")) if listed else ()
        if len(set(types)) != len(types) or not all(types):
            raise ValueError(f"quantity {name!r}: expected types between commas, each once")
        if count:
            return cls(name, "count", None, 0, types)
        if summed:
            return cls(name, "sum", summed, 0, types)
        return cls(name, "ranked", ranked, int(rank), types)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of `Events` that it reads."""
        found = [self.column] if self.column else []
        if self.of == "ranked":
            found.append(_ORDER)
        if self.types:
            found.append(TYPE_COLUMN)
        return tuple(dict.fromkeys(found))


class EventQuantities:
    """Computes quantities of events by their names (see the module).

    Parameters
    ----------
    names : sequence of str
        Such as ``["MET", "count[j,b]", "sum_pt[j,b]", "pt_1[j,b]"]``.

    Raises
    ------
    ValueError
        A name that is none.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.quantities = tuple(Quantity.parse(name) for name in names)

    @property
    def required_columns(self) -> tuple[str, ...]:
        """Columns of `Events` that are read."""
        return tuple(dict.fromkeys(name for quantity in self.quantities for name in quantity.columns))

    @property
    def required_fields(self) -> tuple[str, ...]:
        """Fields of `Events` that are read."""
        return tuple(quantity.name for quantity in self.quantities if quantity.of == "field")

    def compute(self, events: Events) -> dict[str, npt.NDArray[Any]]:
        """Return each quantity (n_events,): float64, but fields as they are.

        Raises
        ------
        InvalidEventsError
            A column, field or type that the events do not have.
        """
        of_event = np.repeat(np.arange(len(events)), events.multiplicity)
        return {quantity.name: _compute(quantity, events, of_event) for quantity in self.quantities}

    def rows(self, events: Events) -> npt.NDArray[np.float32]:
        """Return all of them as float32 (n_events, n_quantities), rounded once."""
        found = self.compute(events)
        rows = np.empty((len(events), len(self.quantities)), np.float32)
        with np.errstate(over="ignore"):  # an infinity is refused later, by name
            for k, quantity in enumerate(self.quantities):
                rows[:, k] = found[quantity.name]
        return rows


def _compute(quantity: Quantity, events: Events, of_event: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    if quantity.of == "field":
        if quantity.name not in events.fields:
            raise InvalidEventsError(
                f"quantity {quantity.name!r}: the events have no such field; they have "
                f"{', '.join(events.fields) or 'none'}"
            )
        return events.fields[quantity.name]
    for name in quantity.columns:
        if name not in events.columns:
            raise InvalidEventsError(
                f"quantity {quantity.name!r}: the events have no column {name!r}; they have "
                f"{', '.join(events.columns) or 'none'}"
            )
    chosen = _chosen(quantity, events)
    owner = of_event if chosen is None else of_event[chosen]
    if quantity.of == "count":
        return np.bincount(owner, minlength=len(events)).astype(np.float64)
    assert quantity.column is not None
    values = np.asarray(events.columns[quantity.column], np.float64)
    values = values if chosen is None else values[chosen]
    if quantity.of == "sum":
        # bincount adds one after the other in float64.
        return np.bincount(owner, values, len(events)).astype(np.float64)
    order = np.asarray(events.columns[_ORDER], np.float64)
    order = order if chosen is None else order[chosen]
    return _ranked(values, order, owner, len(events), quantity.rank)


def _chosen(quantity: Quantity, events: Events) -> npt.NDArray[np.bool_] | None:
    if not quantity.types:
        return None
    missing = [name for name in quantity.types if name not in events.types]
    if missing:
        raise InvalidEventsError(
            f"quantity {quantity.name!r}: the events have no type {missing[0]!r}; they have {', '.join(events.types)}"
        )
    codes = [events.types.index(name) for name in quantity.types]
    return np.isin(events.columns[TYPE_COLUMN], codes)


def _ranked(
    values: npt.NDArray[np.float64],
    order: npt.NDArray[np.float64],
    owner: npt.NDArray[np.int64],
    n_events: int,
    rank: int,
) -> npt.NDArray[np.float64]:
    """Return the value of each event's object with the `rank`-th largest `order`; the first of equal ones."""
    by_rank = np.lexsort((-order, owner))  # stable
    starts = np.searchsorted(owner, np.arange(n_events + 1))
    place = starts[:-1] + rank - 1
    there = place < starts[1:]
    result = np.zeros(n_events)
    result[there] = values[by_rank[place[there]]]
    return result
