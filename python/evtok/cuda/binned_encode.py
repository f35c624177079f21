"""`BinnedTokenizer.encode` on a GPU: the same ids as on the host, where the columns lie."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from evtok import _backend
from evtok.cuda.arrays import Place, View
from evtok.cuda.events import GpuEvents, as_float
from evtok.cuda.prepared import prepared
from evtok.cuda.row_program import BinTables, RowProgram, bin_tables, entries, rows_of
from evtok.cuda.tokens import GpuTokens
from evtok.errors import InvalidEventsError
from evtok.events import TYPE_COLUMN
from evtok.tokenizers import binned_encode, encoding
from evtok.tokenizers.sequence import around_objects
from evtok.tokens import EncodeReport

if TYPE_CHECKING:
    from evtok.tokenizers.binned import BinnedTokenizer


class _Tables(NamedTuple):
    """What of a tokenizer lies on the device."""

    features: Mapping[str, BinTables]
    ranks: View | None
    seen: View | None


def encode(tokenizer: BinnedTokenizer, events: GpuEvents, on_invalid: str, dtype: np.dtype[Any]) -> GpuTokens:
    """Encode the events; see `BinnedTokenizer.encode`.

    Waits for the device where it has to know what is there: with ``on_invalid="raise"``, and where sequences are cut
    (the number of tokens is not known before).
    """
    encoding.check_arguments(on_invalid, dtype, tokenizer.vocabulary.size)
    limit = _max_objects(tokenizer, events)
    place = Place(events=events.offsets)
    with place:
        call = _Call(tokenizer, events, place)
        event_ids = call.event_ids()
        ids, offsets, cut = call.sequences(event_ids, limit, dtype.name)
        # What is read later keeps nothing of the events alive.
        made = partial(_report, place, call.statuses, cut, len(events), events.n_objects)
        report = made(call.raise_invalid()) if on_invalid == "raise" else made
    _backend.used_cuda()
    return GpuTokens(
        ids.array,
        offsets.array,
        fingerprint=tokenizer.fingerprint,
        vocab_size=tokenizer.vocabulary.size,
        pad_id=tokenizer.special_ids.get("pad", -1),
        report=report,
    )


def _report(
    place: Place,
    statuses: View,
    cut: View | None,
    n_events: int,
    n_objects: int,
    found: npt.NDArray[Any] | None = None,
) -> EncodeReport:
    """Make the report of `found`, the statuses on the host; None waits for them."""
    if found is None:
        with place.package.current():  # the caller's device and stream may be others now
            place.cuda.use_device(place.package.index)  # whose default stream is meant by 0
            place.cuda.synchronize(place.stream)
        found = place.get(statuses)
    truncated = (0, 0) if cut is None else tuple(int(n) for n in place.get(cut))
    invalid, unknown, _ = rows_of(found[:2])
    return EncodeReport(
        n_events=n_events,
        n_objects=n_objects,
        invalid=invalid,
        unknown=unknown,
        invalid_event_tokens=int(found[2::2, 0].sum()),
        unknown_event_tokens=int(found[3::2, 0].sum()),
        truncated_events=truncated[0],
        truncated_objects=truncated[1],
    )


def _max_objects(tokenizer: BinnedTokenizer, events: GpuEvents) -> int:
    settings = tokenizer.settings
    width = len(tokenizer.digits) if settings.factorised else 1
    around = len(settings.sequence) - 1

    def most(multiplicity: npt.NDArray[np.int64]) -> int:
        return encoding.max_objects(
            settings.max_length, settings.too_long, around, width, lambda: multiplicity
        )

    try:
        return most(np.array([events.longest], np.int64))
    except InvalidEventsError:
        return most(events.to_host().multiplicity)  # raises too, and names the event


class _Call:
    """One encode call, its place entered."""

    def __init__(self, tokenizer: BinnedTokenizer, events: GpuEvents, place: Place) -> None:
        self.tokenizer, self.events, self.place = tokenizer, events, place
        self.settings, self.vocabulary = tokenizer.settings, tokenizer.vocabulary
        self.unknown = tokenizer.special_ids.get("unk", -1)
        self.statuses = place.statuses(2 * (1 + len(self.settings.event_features)))
        self.tables = prepared(tokenizer._require_fit(), place, self._tables)
        self.offsets = place.view(events.offsets, "offsets", ("int64",))

    def _tables(self, place: Place) -> _Tables:
        def put(keys: npt.NDArray[np.int32] | None) -> View | None:
            return None if keys is None else place.view(keys, "keys", ("int32",))

        tokenizer = self.tokenizer
        features = {name: bin_tables(place, fitted) for name, fitted in tokenizer.fitted.items()}
        ranks = put(tokenizer.ranks)
        return _Tables(features, ranks, put(tokenizer.seen) if ranks is None else None)

    def _column(self, name: str, *, of_event: bool = False) -> View:
        kind, available = ("field", self.events.fields) if of_event else ("column", self.events.columns)
        if name not in available:
            raise InvalidEventsError(
                f"events: no {kind} {name!r}; there are {', '.join(available) or 'none'}"
            )
        return as_float(self.place, available[name], f"{kind}s[{name!r}]")

    def _status(self, k: int) -> int:
        return self.statuses.address + 32 * k

    # ---- tokens of the event --------------------------------------------------------------------------------------

    def event_ids(self) -> dict[str, View]:
        """Queue the ids (n_events,) of each event feature."""
        result = {}
        for k, (name, feature) in enumerate(self.settings.event_features.items()):
            if feature.column not in self.events.fields:
                raise InvalidEventsError(
                    f"events: no field {feature.column!r}; on a GPU, quantities of events are taken as fields of their "
                    "names, so compute it before (evtok.event_quantities)"
                )
            program = RowProgram(self.place, len(self.events))
            x = self._column(feature.column, of_event=True)
            program.add_bins(self.tokenizer.fitted[name], self.tables.features[name], x, None, 1, 0)
            program.set_vocabulary(False, self.vocabulary.event_bases[name], self.unknown)
            result[name] = program.ids(self._status(1 + k), "int32")
        return result

    # ---- objects --------------------------------------------------------------------------------------------------

    def _object_ids(self, dtype: str) -> View:
        settings, events = self.settings, self.events
        factors = {} if settings.factorised else self.tokenizer.strides
        program = RowProgram(self.place, events.n_objects)
        program.set_offsets(self.offsets)
        base = len(settings.specials)
        if settings.types:
            if TYPE_COLUMN not in events.columns:
                self._column(TYPE_COLUMN)  # raises
            codes = self.place.view(events.columns[TYPE_COLUMN], "columns['type']", ("uint8",))
            stride = 1 if settings.factorised else factors[TYPE_COLUMN]
            program.add_types(codes, binned_encode.type_contributions(settings, events.types, stride), base)
            base += max(settings.types.values()) + 1
        for name, feature in settings.features.items():
            reference = None
            if feature.relative_to is not None:
                field = self._column(feature.relative_to, of_event=True)
                if field.dtype != "float64":
                    array = self.place.package.cast(field.array, "float64")
                    field = View(array, self.place.package.address(array), field.shape, "float64")
                reference = field
            program.add_bins(
                self.tokenizer.fitted[name],
                self.tables.features[name],
                self._column(feature.column),
                reference,
                1 if settings.factorised else factors[name],
                base,
            )
            base += self.tokenizer.fitted[name].n_digits
        program.set_vocabulary(settings.factorised, self.vocabulary.object_base, self.unknown)
        program.set_combinations(self.tables.ranks, self.tables.seen)
        return program.ids(self._status(0), dtype)

    def sequences(
        self, event_ids: Mapping[str, View], limit: int, dtype: str
    ) -> tuple[View, View, View | None]:
        """Queue everything: ids, offsets, and how many events and objects are cut (None: none can be)."""
        settings, events, place = self.settings, self.events, self.place
        before, after = around_objects(settings.sequence)
        width = len(self.tokenizer.digits) if settings.factorised else 1
        uncut = limit >= events.n_objects
        sort_by = None if settings.sort_by is None else self._column(settings.sort_by)
        ids = self._object_ids(dtype)
        if not before and not after and sort_by is None and uncut and width == 1:
            return ids, self.offsets, None
        special_ids = self.tokenizer.special_ids
        plan = place.cuda.SequencePlan(
            entries(before, special_ids, event_ids),
            entries(after, special_ids, event_ids),
            0 if sort_by is None else sort_by.address,
            sort_by is not None and sort_by.dtype == "float64",
            (1 << 63) - 1 if uncut else limit,
        )
        n_events = len(events)
        offsets = place.empty((n_events + 1,), "int64")
        sums = place.empty((-(-n_events // place.cuda.events_of_a_block) + 1,), "int64")
        cut = place.empty((2,), "int64")
        plan.offsets(
            self.offsets.address, n_events, width, sums.address, offsets.address, cut.address, place.stream
        )
        n_tokens = n_events * (len(before) + len(after)) + events.n_objects * width
        if not uncut:
            n_tokens = int(place.package.get(offsets.array[-1:])[0])
        if not before and not after and sort_by is None and uncut:  # as they lie, several ids an object
            return ids, offsets, None
        order = None
        if sort_by is not None and events.longest > place.cuda.long_event:
            order = place.empty((2 * events.n_objects,), "int32")
        out = place.empty((n_tokens,), dtype)
        getattr(plan, f"write_{dtype}")(
            ids.address,
            self.offsets.address,
            n_events,
            events.n_objects,
            width,
            events.longest,
            offsets.address,
            0 if order is None else order.address,
            out.address,
            place.stream,
        )
        return out, offsets, None if uncut else cut

    # ---- errors ---------------------------------------------------------------------------------------------------

    def raise_invalid(self) -> npt.NDArray[Any]:
        """Wait for the device, and raise for the first invalid value; return the statuses where there is none."""
        found = self.place.get(self.statuses)
        for k, feature in enumerate(self.settings.event_features.values()):
            invalid, _, event = rows_of(found[2 + 2 * k : 4 + 2 * k])
            if invalid:
                x = self.place.package.get(self.events.fields[feature.column][event : event + 1])
                raise InvalidEventsError(
                    f"event {event}: field {feature.column!r} = {float(x[0])!r} is not valid for its bins; drop or "
                    "mend it, or encode with on_invalid='sentinel'"
                )
        invalid, _, row = rows_of(found[:2])
        if invalid:
            event, one = self.events.event_of(row)
            first = int(self.place.package.get(self.events.offsets[event : event + 1])[0])
            binned_encode.raise_invalid(self.tokenizer, one, event, row - first, invalid)
        return found
