"""`Scores`: the file that a job of scores wrote, read and proven."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from evtok._optional import require
from evtok.errors import ShardError
from evtok.jobs.durable import describe
from evtok.jobs.record import Counts
from evtok.jobs.score_file import FILE, KEY, ScoreFacts
from evtok.jobs.score_product import COLUMN

_MAX_METADATA_BYTES = 256 << 20

#: Memory that the rows of any file may take, and how many times the size of the file those of a larger one may: scores
#: of real events do not compress like that.
_FREE_BYTES, _MOST_TIMES_THE_FILE = 256 << 20, 500


@dataclass(frozen=True, repr=False)
class Scores:
    """One score for each event, in the order of the inputs, and what is known of them.

    Attributes
    ----------
    path : Path
    score : float32 array (n,)
        Finite; higher is more anomalous.
    file_index : int32 array (n,)
        Index into `inputs`.
    entry : int64 array (n,)
        Row of the event in its file. Those of events in quarantine are left out.
    fields : mapping of str to array (n,)
        The fields that were kept, such as ``label``, ``weight`` and ``event``.
    facts : ScoreFacts
        All that the file says of itself.
    """

    path: Path
    score: npt.NDArray[np.float32]
    file_index: npt.NDArray[np.int32]
    entry: npt.NDArray[np.int64]
    fields: Mapping[str, npt.NDArray[Any]]
    facts: ScoreFacts

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, verify: bool = True) -> Self:
        """Read what `evtok score` or `evtok.score_files` wrote.

        Parameters
        ----------
        path : path
        verify : bool
            Prove the rows by the hashes that were taken when they were scored.

        Raises
        ------
        ShardError
            Missing, not a file of scores, hostile, truncated or altered.
        """
        where = Path(path)
        pa = require("pyarrow", extra="io")
        if where.exists() and not where.is_file():  # a pipe would be waited for, a device read without end
            raise ShardError(f"{where}: expected a regular file, as `evtok score` writes it")
        try:
            with where.open("rb") as opened:
                file = _parquet(opened, where)
                facts = _facts(file, where)
                table = file.read()
            columns = {name: table.column(name).to_numpy() for name in table.column_names if name != FILE}
            file_index = _file_index(table.column(FILE), facts, where)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last of altered names
            if isinstance(error, OSError) and error.errno is not None:
                raise ShardError(f"{where}: cannot read it: {describe(error)}") from error
            raise ShardError(f"{where}: truncated or altered ({error}); run the job again") from error
        if not np.isfinite(columns[COLUMN]).all():
            raise ShardError(f"{where}: holds a score that is not finite; evtok did not write it")
        if verify:
            facts.check_content(columns, str(where))
        for values in columns.values():
            values.flags.writeable = False
        score, entry = columns.pop(COLUMN), columns.pop("entry")
        return cls(where, score, file_index, entry, columns, facts)

    def select(self, keep: npt.NDArray[np.bool_]) -> Self:
        """Return the events where `keep` (n,) is True; `facts` stay those of the whole file.

        Raises
        ------
        IndexError
            `keep` is not a boolean mask of all events.
        """
        if keep.dtype != np.bool_ or keep.shape != (len(self),):
            raise IndexError(f"keep: expected bool of shape ({len(self)},), got {keep.dtype} {keep.shape}")
        return replace(
            self,
            score=self.score[keep],
            file_index=self.file_index[keep],
            entry=self.entry[keep],
            fields={name: values[keep] for name, values in self.fields.items()},
        )

    @property
    def inputs(self) -> tuple[str, ...]:
        """Paths of the files that were scored, in order, as they were given."""
        return tuple(file.path for file in self.facts.inputs)

    @property
    def file(self) -> npt.NDArray[np.object_]:
        """Path of the file of each event (n,); strings that are shared, not copied."""
        return np.array(self.inputs, object)[self.file_index]

    @property
    def model(self) -> Mapping[str, str]:
        """``kind``, ``fingerprint`` and ``folder`` of the detector; "" for one that was in memory."""
        return self.facts.model

    @property
    def counts(self) -> Counts:
        """Where the events of the inputs went: read = written + filtered + quarantined."""
        return self.facts.counts

    @property
    def run(self) -> Mapping[str, Any]:
        """What computed the scores, with versions."""
        return self.facts.run

    def __len__(self) -> int:
        return len(self.score)

    def __repr__(self) -> str:
        return (
            f"<Scores: {len(self)} events of {len(self.inputs)} files by {self.model['kind']}, fields: "
            f"{', '.join(self.fields)}>"
        )


def _parquet(opened: Any, where: Path) -> Any:
    pa = require("pyarrow", extra="io")
    try:
        return require("pyarrow.parquet", extra="io").ParquetFile(opened, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise ShardError(
            f"{where}: expected a file of scores (Parquet), got something else: {error}"
        ) from error


def _facts(file: Any, where: Path) -> ScoreFacts:
    schema = file.schema_arrow
    data = (schema.metadata or {}).get(KEY)
    if data is None:
        raise ShardError(
            f"{where}: expected a file of scores that evtok wrote, got Parquet without its metadata"
        )
    if len(data) > _MAX_METADATA_BYTES:
        raise ShardError(f"{where}: {len(data)} bytes of metadata; evtok did not write them")
    facts = ScoreFacts.from_bytes(data, str(where))
    if not schema.equals(facts.arrow_schema(), check_metadata=False):
        raise ShardError(f"{where}: its columns are not those that its metadata name; evtok did not write it")
    if file.metadata.num_rows != facts.n_events:
        raise ShardError(f"{where}: {file.metadata.num_rows} rows, its metadata say {facts.n_events}")
    needed = facts.n_events * sum(field.type.bit_width for field in schema if field.name != FILE) // 8
    size = where.stat().st_size
    if needed > max(_FREE_BYTES, _MOST_TIMES_THE_FILE * size):
        raise ShardError(
            f"{where}: claims {needed} bytes of rows in a file of {size}; evtok did not write it"
        )
    return facts


def _file_index(column: Any, facts: ScoreFacts, where: Path) -> npt.NDArray[np.int32]:
    """Return the input of each row, if the column names the same."""
    expected = facts.files_of()
    paths = np.array([file.path for file in facts.inputs], object)
    start = 0
    for chunk in column.chunks:
        known = np.array(chunk.dictionary.to_pylist(), object)
        wanted = paths[expected[start : start + len(chunk)]]
        places = np.zeros(0, np.int32) if chunk.null_count else chunk.indices.to_numpy()
        inside = len(places) == len(wanted) and bool(((places >= 0) & (places < len(known))).all())
        if not inside or not np.array_equal(known[places], wanted):
            raise ShardError(f"{where}: its column 'file' is not that of its parts; the file was altered")
        start += len(chunk)
    expected.flags.writeable = False
    return expected
