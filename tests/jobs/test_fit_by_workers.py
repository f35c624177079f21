"""Fits whose passes are counted by workers: the bits of a fit in one process, whoever counted what, and how often."""

from __future__ import annotations

import json
import math
import random
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import evtok
from evtok.cli.app import app
from evtok.errors import InputFileError, InvalidEventsError, JobError, ShardError
from evtok.jobs import dispatch, fit, retry
from evtok.jobs.dispatch import Reply
from evtok.jobs.documents import seal
from evtok.jobs.fit_document import FitDocument, pack, unpack
from evtok.jobs.worker import run_task
from evtok.tokenizers import (
    BinnedTokenizer,
    EqualFrequency,
    Feature,
    LookupTableBins,
    Uniform,
    load_tokenizer,
)

EDGES = {
    "pt": Feature("pt", EqualFrequency(20), transform="log"),
    "eta": Feature("eta", LookupTableBins(7)),
    "turn": Feature("eta", EqualFrequency(9), wrap=True),  # computed, so float64: four passes
}
TOKENIZERS = {
    "ranks": lambda: BinnedTokenizer(
        EDGES, event_features={"n": Feature("count", EqualFrequency(4))}, sequence=("n", "objects")
    ),
    # More groups than one pass tells apart: two passes more.
    "many": lambda: BinnedTokenizer({"turn": Feature("eta", EqualFrequency(200), wrap=True)}),
    "range": lambda: BinnedTokenizer(
        {"eta": Feature("eta", Uniform(12, lower=0.01, upper=0.99), outside="clip")}
    ),
    "seen": lambda: BinnedTokenizer(
        {"pt": Feature("pt", EqualFrequency(5)), "eta": Feature("eta", Uniform(6, -2, 2))},
        vocabulary="seen",
        specials=("pad", "unk"),
    ),
}


class Here(dispatch.Workers):
    """Workers that count here, in an order of chance, but for the replies that `script` makes of (index, attempt)."""

    slots = 3

    def __init__(self, n, threads, script=lambda index, attempt: None):
        self._held, self._script, self.documents, self.late, self.avoided = [], script, [], [], []

    def submit(self, ticket, document, avoid):
        self.avoided += avoid
        self.documents.append(json.loads(document))
        self._held.append((ticket, document))

    def wait(self, seconds):
        if not self._held:
            time.sleep(min(seconds, 0.02))
            return []
        random.Random(len(self.documents)).shuffle(self._held)
        ticket, document = self._held.pop()
        index, attempt = (int(part) for part in ticket.split("-")[3:])
        reply = self._script(index, attempt)
        if reply == "late":
            self.late.append((ticket, document))
            return []
        if callable(reply):
            return [reply(ticket, document)]
        return [Reply(ticket, **reply) if reply else Reply.of(ticket, run_task(document), "good")]

    def begun(self, tickets):
        return [ticket for ticket in tickets if ticket in dict(self.late)]

    def abandon(self, ticket):
        self._held += [one for one in self.late if one[0] == ticket]  # it answers after all, when nobody asks
        return "slow"

    def close(self, drain):
        pass


@pytest.fixture
def by(monkeypatch):
    """Make fits by workers that obey a script; ranges are small."""

    def use(script=lambda index, attempt: None):
        made = Here(1, 1, script)
        monkeypatch.setattr("evtok.jobs.choose.LocalWorkers", lambda n, threads: made)
        monkeypatch.setattr("evtok.jobs.choose.threads_of", lambda n, threads: 1)
        monkeypatch.setattr(fit, "_FEWEST", 2000)
        monkeypatch.setattr(fit, "_MOST", 2000)
        monkeypatch.setattr(retry, "_FIRST_WAIT", 0.001)
        return made

    return use


@pytest.fixture
def source(inputs, jets_schema):
    with evtok.open_events(inputs, jets_schema) as opened:
        yield opened


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_p41_edges_are_those_of_one_process(kind, by, source):
    expected = TOKENIZERS[kind]().fit(source)
    workers = by()
    found = TOKENIZERS[kind]().fit(source, workers=1)
    assert found.fingerprint == expected.fingerprint
    n_ranges = math.ceil(5000 / 2000) + math.ceil(1234 / 2000)
    assert len(workers.documents) == n_ranges * {"ranks": 4, "many": 6, "range": 2, "seen": 3}[kind]
    assert {document["input"]["path"] for document in workers.documents} == set(source.paths)
    for name, one in expected.fitted.items():
        assert found.fitted[name].edges.tobytes() == one.edges.tobytes()


def test_processes_of_this_machine(source):
    expected = TOKENIZERS["seen"]().fit(source)
    assert TOKENIZERS["seen"]().fit(source, workers=2).fingerprint == expected.fingerprint


def test_the_command(by, inputs, tmp_path):
    schema = tmp_path / "jets.toml"
    schema.write_text(
        """name = "jets"\nformats = ["parquet"]\n[[objects]]\ncollection = "Jet"\n"""
        """columns = { pt = "pt", eta = "eta", phi = "eta" }\n"""
    )
    workers = by()
    fingerprints = []
    for name, more in (
        ("alone", ["--bins", "pt=7"]),
        ("shared", ["--bins", "pt=7", "--workers", "1"]),
        ("codes", ["--workers", "1", "--codebook", "4"]),
    ):
        command = ["fit-tokenizer", *map(str, inputs), "--schema", str(schema), *more]
        done = CliRunner().invoke(app, [*command, "-o", str(tmp_path / name)])
        if name == "codes":
            assert "--workers, --scheduler, --task-timeout: the codes of a codebook" in str(done.exception)
            continue
        assert done.exit_code == 0, done.output
        fingerprints.append(load_tokenizer(tmp_path / name).fingerprint)
        assert bool(workers.documents) == (name == "shared")
    assert fingerprints[0] == fingerprints[1]


def test_p34_lost_repeated_and_senseless_answers_change_nothing(by, source):
    """Every range fails at first, each in another way; some are counted, and the answer is lost."""
    expected = TOKENIZERS["ranks"]().fit(source)

    def other_counts(ticket, document):
        answer = run_task(document)
        answer["counts"][0][3] = pack(
            np.array([5, 5], np.uint32)
        )  # not increasing, and not as many as numbers
        return Reply.of(ticket, answer, "liar")

    def counted_and_lost(ticket, document):
        run_task(document)
        return Reply(ticket, lost="the worker was killed", worker="mortal")

    def busy(ticket, document):
        answer = run_task(b"{}")
        return Reply.of(ticket, {**answer, "may_pass": True}, "busy")

    ways = [{"lost": "cut off"}, counted_and_lost, other_counts, busy]
    by(lambda index, attempt: ways[index % 4] if attempt == 1 else None)
    assert TOKENIZERS["ranks"]().fit(source, workers=1).fingerprint == expected.fingerprint


def test_p34_a_late_worker_costs_its_range_and_its_answer_is_not_added(by, source):
    expected = TOKENIZERS["ranks"]().fit(source)
    held = set()

    def script(index, attempt):
        late = index % 3 == 0 and attempt == 1 and index not in held
        held.update({index} if late else ())
        return "late" if late else None

    workers = by(script)
    found = TOKENIZERS["ranks"]().fit(source, workers=1, task_timeout=0.05)
    assert found.fingerprint == expected.fingerprint
    assert len(workers.late) == 2
    assert workers.avoided.count("slow") == 2
    with pytest.raises(JobError, match="task_timeout: expected a number of seconds"):
        TOKENIZERS["ranks"]().fit(source, workers=1, task_timeout=0)
    with pytest.raises(JobError, match="task_timeout: is for workers"):
        TOKENIZERS["ranks"]().fit(source, task_timeout=5)


def test_a_worker_that_does_not_see_a_file_costs_an_attempt_and_not_the_fit(by, source, tmp_path):
    """A machine may lack a folder, or hold an older copy, that the others have."""
    expected = TOKENIZERS["range"]().fit(source)

    def elsewhere(ticket, document):
        content = json.loads(document)
        content.pop("checksum")
        content["base"] = str(tmp_path / "not mounted")
        content["input"]["path"] = "a.parquet"
        answer = run_task(seal(content))
        assert (answer["error"], answer["may_pass"]) == ("InputFileError", True)
        return Reply.of(ticket, answer, "elsewhere")

    workers = by(lambda index, attempt: elsewhere if attempt == 1 else None)
    assert TOKENIZERS["range"]().fit(source, workers=1).fingerprint == expected.fingerprint
    assert set(workers.avoided) == {"elsewhere"}


def test_a_range_that_nobody_counts_ends_the_fit(by, source):
    by(lambda index, attempt: {"lost": "cut off", "worker": "w1"} if index == 2 else None)
    with pytest.raises(
        JobError, match=r"entries 4000 to 5000: could not be counted in 4 attempts.* w1: cut off"
    ):
        TOKENIZERS["range"]().fit(source, workers=1)


def test_what_one_process_refuses_workers_refuse(by, write, jets_schema, tmp_path):
    bad = write(tmp_path / "bad.parquet", 900, 3, nan=(800,))
    tokenizer = TOKENIZERS["ranks"]()
    with evtok.open_events(bad, jets_schema) as source:
        with pytest.raises(InvalidEventsError, match="'pt': 1 values are NaN") as alone:
            tokenizer.fit(source)
        by()
        with pytest.raises(InvalidEventsError) as found:
            tokenizer.fit(source, workers=1)
        assert str(found.value) == str(alone.value)
        skipping = TOKENIZERS["ranks"]().fit(source, on_invalid="skip", workers=1)
        assert skipping.fingerprint == TOKENIZERS["ranks"]().fit(source, on_invalid="skip").fingerprint
    assert not tokenizer.is_fitted


def test_a_file_of_another_dtype_or_one_that_changes(by, write, jets_schema, inputs, tmp_path):
    table = pq.read_table(inputs[1])
    wide = table["Jet_pt"].cast(pa.large_list(pa.float64()))
    path = tmp_path / "wide.parquet"
    pq.write_table(table.set_column(table.column_names.index("Jet_pt"), "Jet_pt", wide), path)
    by()
    with (
        evtok.open_events([inputs[0], path], jets_schema) as source,
        pytest.raises(InputFileError, match=r"'pt' is float32 in the first chunk and float64 here"),
    ):
        TOKENIZERS["seen"]().fit(source, workers=1)

    def change(index, attempt):
        if index == 0:
            write(inputs[0], 5000, 77)

    by(change)
    with (
        evtok.open_events(inputs, jets_schema) as source,
        pytest.raises((JobError, InputFileError), match=r"a\.parquet"),
    ):
        TOKENIZERS["range"]().fit(source, workers=1)


def test_workers_need_files_and_are_asked_for_once(source):
    events = evtok.Events.concatenate(list(source))
    with pytest.raises(TypeError, match="workers read files"):
        TOKENIZERS["range"]().fit(events, workers=1)
    with pytest.raises(JobError, match="expected one of them"):
        TOKENIZERS["range"]().fit(source, workers=1, client="tcp://127.0.0.1:1")


def test_p44_documents_of_a_fit_are_read_as_anybodys(by, source):
    workers = by()
    TOKENIZERS["seen"]().fit(source, workers=1)
    first, last = workers.documents[0], workers.documents[-1]
    assert first["features"]
    assert last["seen"] is not None
    assert run_task(first)["state"] == run_task(last)["state"] == "counted"
    changes = [
        {"stop": 10**9},
        {"start": -1},
        {"threads": 0},
        {"features": [{**first["features"][0], "prefixes": list(range(200)), "depth": 1}]},
        {"features": [{**first["features"][0], "prefixes": [1 << 16], "depth": 1}]},
        {"features": [{**first["features"][0], "depth": 2}]},
        {"features": [{**first["features"][0], "config": "[" * 100_000}]},
        {"types": {"j": 1.5}},
        {"more": 1},
    ]
    for change in changes:
        content = {**first, **change}
        content.pop("checksum")
        with pytest.raises(ShardError):
            FitDocument.from_bytes(seal(content))
    assert run_task({**first, "index": 1})["error"] == "ShardError"  # the checksum is of another content
    other = {**first, "versions": {"evtok": "0", "numerics": 1}}
    other.pop("checksum")
    answer = run_task(seal(other))
    assert (answer["error"], answer["may_pass"]) == ("VersionError", True)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "no base64!",
        pack(np.zeros(5, np.uint32))[:-8],
        pack(np.zeros(10_000_000, np.uint8)),  # a bomb: 10 kB that unfold to 10 MB
        pack(np.zeros(3, np.uint8)),
    ],
)
def test_p39_packed_arrays_that_are_none(text):
    with pytest.raises(ShardError):
        unpack(text, "uint32", 100, "places")


def test_a_packed_array_comes_back():
    values = np.array([0, 1, 2**32 - 1], np.uint32)
    assert np.array_equal(unpack(pack(values), "uint32", 3, "places"), values)
