"""One number an event, from its objects or its fields: multiplicities, scalar sums, the pT of the leading jets.

A quantity is a name:

=======================  =========================================================================
``MET``                  a field, as it is
``count[j,b]``           objects of these types; ``count`` alone is all objects
``sum_pt[j,b]``          the sum of a column over them: HT, for jets
``pt_1[j,b]``            a column of the first of them by pT (``pt_2``, ...: the next), 0 where there is none
=======================  =========================================================================

Without types, sums and ranks are of pt, eta, phi, mass, energy, px, py and pz alone: ``sum_pt``, ``pt_1``. Any other
name without brackets is a field, such as ``tau_21`` and ``sum_et``; what a name is never depends on the file.

A field with the name of a quantity is taken as that quantity: it was computed before, or decoded from a token.

Sums run in float64 in the order of the objects, one rounding an addition, so a quantity has the same bits on every
machine and with any number of threads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evtok import _arrays, _core
from evtok.errors import InvalidEventsError
from evtok.events import TYPE_COLUMN, Events

_FORM = re.compile(r"(?:(count)|sum_(\w+?)|(\w+?)_([1-9][0-9]*))(?:\[([^\[\]]+)\])?\Z")
_ORDER = "pt"
#: Columns whose sums and ranks need no brackets: fields of files are called ``tau_21`` and ``sum_et`` too.
_KINEMATIC = frozenset(("pt", "eta", "phi", "mass", "energy", "px", "py", "pz"))


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
        if not (count or listed or (summed or ranked) in _KINEMATIC):
            return cls(name)
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


def split_names(text: str) -> list[str]:
    """Return the names in a list such as ``MET,count[j,b],sum_pt[j,b]``: commas in brackets belong to a name."""
    return [name.strip() for name in re.split(r",(?![^\[\]]*\])", text) if name.strip()]


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

    def compute(self, events: Events, codes: Mapping[str, int] | None = None) -> dict[str, npt.NDArray[Any]]:
        """Return each quantity (n_events,): float64, but fields as they are.

        Parameters
        ----------
        events : Events
        codes : mapping of str to int, optional
            What the codes of types mean, for events that do not name them.

        Raises
        ------
        InvalidEventsError
            A column, field or type that the events do not have.
        TypeError
            A column of integers above 2**53 in size.
        """
        if not events.types and codes is not None:
            named = codes
        else:
            named = {name: code for code, name in enumerate(events.types)}
        found: dict[str, npt.NDArray[Any]] = {}
        with _core.FloatEnvironment():  # a caller's rounding mode must not get into the sums
            for quantity in self.quantities:
                there = quantity.of == "field" or quantity.name in events.fields
                found[quantity.name] = (
                    _field(quantity, events) if there else _computed(quantity, events, named)
                )
        return found

    def rows(self, events: Events) -> npt.NDArray[np.float32]:
        """Return all of them as float32 (n_events, n_quantities), rounded once."""
        found = self.compute(events)
        rows = np.empty((len(events), len(self.quantities)), np.float32)
        # An infinity is refused later, by name; a caller's rounding mode must not get into the rounding.
        with _core.FloatEnvironment(), np.errstate(over="ignore"):
            for k, quantity in enumerate(self.quantities):
                rows[:, k] = found[quantity.name]
        return rows


def _field(quantity: Quantity, events: Events) -> npt.NDArray[Any]:
    if quantity.name not in events.fields:
        hint = (
            "" if _FORM.match(quantity.name) is None else f"; of objects, it needs types: {quantity.name}[j]"
        )
        raise InvalidEventsError(
            f"quantity {quantity.name!r}: the events have no such field; they have "
            f"{', '.join(events.fields) or 'none'}{hint}"
        )
    return events.fields[quantity.name]


def _computed(quantity: Quantity, events: Events, codes: Mapping[str, int]) -> npt.NDArray[np.float64]:
    for name in quantity.columns:
        if name not in events.columns:
            raise InvalidEventsError(
                f"quantity {quantity.name!r}: the events have no column {name!r}; they have "
                f"{', '.join(events.columns) or 'none'}"
            )
    owner = np.repeat(np.arange(len(events)), events.multiplicity)
    chosen = _chosen(quantity, events, codes)
    owner = owner if chosen is None else owner[chosen]
    if quantity.column is None:
        return np.bincount(owner, minlength=len(events)).astype(np.float64)
    values = _values(events, quantity.column, chosen)
    if quantity.of == "sum":
        # bincount adds one after the other in float64.
        return np.bincount(owner, values, len(events)).astype(np.float64)
    return _ranked(values, _values(events, _ORDER, chosen), owner, len(events), quantity.rank)


def _values(events: Events, name: str, chosen: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.float64]:
    values = _arrays.as_float(events.columns[name], f"columns[{name!r}]").astype(np.float64, copy=False)
    return values if chosen is None else values[chosen]


def _chosen(quantity: Quantity, events: Events, codes: Mapping[str, int]) -> npt.NDArray[np.bool_] | None:
    """Return which objects are of the quantity's types (m,); None for all of them."""
    if not quantity.types:
        return None
    missing = [name for name in quantity.types if name not in codes]
    if missing:
        raise InvalidEventsError(
            f"quantity {quantity.name!r}: the events have no type {missing[0]!r}; they have "
            f"{', '.join(codes) or 'none that has a name'}"
        )
    return np.isin(events.columns[TYPE_COLUMN], [codes[name] for name in quantity.types])


def _ranked(
    values: npt.NDArray[np.float64],
    order: npt.NDArray[np.float64],
    owner: npt.NDArray[np.int64],
    n_events: int,
    rank: int,
) -> npt.NDArray[np.float64]:
    """Return the value of each event's object with the `rank`-th largest `order`; the first of equal ones.

    NaN where an `order` of the event is: nobody knows which object comes first.
    """
    by_rank = np.lexsort((-order, owner))  # stable
    starts = np.searchsorted(owner, np.arange(n_events + 1))
    place = starts[:-1] + rank - 1
    there = place < starts[1:]
    result = np.zeros(n_events)
    result[there] = values[by_rank[place[there]]]
    result[owner[np.isnan(order)]] = np.nan
    return result
