"""Jobs that score with the native encoder: worker processes give the bits of one process."""

from __future__ import annotations

import numpy as np

import evtok
from token_events import untrained


def test_scores_of_workers_are_those_of_one_process(write, tokenizer, jets_schema, tmp_path):
    file = write(tmp_path / "in.parquet", 900, 1)
    detector = untrained(tokenizer, layers=2)
    settings = {"schema": jets_schema, "events_per_shard": 300, "allow_quarantine": True}  # of no jets
    one = evtok.score_files([file], detector, tmp_path / "one.parquet", **settings)
    two = evtok.score_files([file], detector, tmp_path / "two.parquet", workers=2, **settings)
    assert one.sha256 == two.sha256
    events = evtok.open_events(file, jets_schema).read()
    expected = detector.score(events[events.multiplicity > 0], threads=2)
    assert evtok.last_backend().startswith("evtok:")
    assert np.array_equal(evtok.Scores.read(two.output).score, expected)
