"""RNTuples, ROOT's columnar format: fields of records (``Jet.pt``) and flat vectors (``Jet_pt``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from evtok.errors import InputFileError
from evtok.io.columnar import Column, ColumnarFile
from evtok.io.faults import reading
from evtok.io.root import from_awkward
from evtok.io.schema import Schema


class RNTupleFile(ColumnarFile):
    """One RNTuple."""

    format = "ROOT RNTuple"

    def __init__(self, path: str, schema: Schema, ntuple: Any, file: Any) -> None:
        super().__init__(path, schema)
        self._ntuple, self._file = ntuple, file
        with reading(path, f"the fields of {ntuple.name}"):
            self._bind(_paths(ntuple.field_records))
            clusters = ntuple.cluster_summaries
            self._starts = np.array([c.num_first_entry for c in clusters] + [ntuple.num_entries], np.int64)
            self.n_events = int(ntuple.num_entries)
        if (np.diff(self._starts) < 0).any() or self._starts[0] != 0:
            raise InputFileError(
                f"{path}: the clusters of {ntuple.name} do not follow each other; the file is corrupt"
            )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _stream(
        self, sources: tuple[str, ...], start: int, stop: int, chunk: int
    ) -> Iterator[dict[str, Column]]:
        # uproot decodes whole clusters, so whole clusters are asked for, and cut into chunks here.
        seen: dict[str, Any] = {}
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        while first < len(self._starts) - 1 and self._starts[first] < stop:
            last = max(
                first + 1, int(np.searchsorted(self._starts, self._starts[first] + chunk, side="right")) - 1
            )
            begin, end = max(start, int(self._starts[first])), min(stop, int(self._starts[last]))
            old = list(seen)
            block = {
                source: self._ntuple[source].array(entry_start=begin, entry_stop=end, array_cache=seen)
                for source in sources
            }
            for key in old:  # uproot also reads the cluster that follows; that one is kept for the next turn
                del seen[key]
            for at in range(begin, end, chunk):
                piece = slice(at - begin, min(at + chunk, end) - begin)
                yield {source: from_awkward(array[piece]) for source, array in block.items()}
            first = last


def _paths(records: Sequence[Any]) -> frozenset[str]:
    """Join the names of fields to paths (``Jet.pt``), without the nameless levels of lists.

    uproot's own `keys` takes time quadratic in the number of fields: ten seconds for a NanoAOD file.
    """
    paths: list[str] = []
    for k, record in enumerate(records):  # a field comes after the one that holds it
        parent = record.parent_field_id
        above = "" if parent == k else paths[parent]
        name = "" if record.field_name == "_0" else record.field_name
        paths.append(f"{above}.{name}" if above and name else above or name)
    return frozenset(paths)
