"""`TokenDataset`: a sequence over all shards, in place, in any process."""

from __future__ import annotations

import pickle
import shutil

import numpy as np
import pytest

import evtok
from evtok.errors import FingerprintError, JobError, ShardError
from evtok.tokenizers import BinnedTokenizer, Feature, Uniform


@pytest.fixture(scope="module", params=["arrow", "parquet"])
def folder(request, tmp_path_factory, write, tokenizer, jets_schema):
    base = tmp_path_factory.mktemp(request.param)
    monkeypatch = pytest.MonkeyPatch()
    for module in ("batch", "planning"):
        monkeypatch.setattr(f"evtok.jobs.{module}.EVENTS_PER_BATCH", 100)
    files = [write(base / "a.parquet", 2345, 1), write(base / "b.parquet", 7, 2)]
    out = base / "out"
    evtok.tokenize_files(
        files, tokenizer, out, schema=jets_schema, events_per_shard=1000, format=request.param
    )
    monkeypatch.undo()
    return out


@pytest.fixture(scope="module")
def expected(folder, tokenizer, jets_schema):
    files = sorted(folder.parent.glob("*.parquet"))
    events = evtok.Events.concatenate(list(evtok.open_events(files, jets_schema)))
    return tokenizer.encode(events, dtype=np.uint16)


def test_single_events(folder, expected):
    dataset = evtok.TokenDataset(folder)
    assert len(dataset) == 2352
    for i in (0, 99, 100, 999, 1000, 2344, 2345, 2351, -1, -2352):
        assert np.array_equal(dataset[i], expected[i])
        assert dataset[i].dtype == np.uint16
    for i in (2352, -2353):
        with pytest.raises(IndexError, match="there are 2352 events"):
            dataset[i]


def test_slices(folder, expected):
    dataset = evtok.TokenDataset(folder)
    for which in (
        slice(None),
        slice(5, 5),
        slice(10, 20),
        slice(95, 205),
        slice(990, 2350),
        slice(3, 2000, 7),
    ):
        found = dataset[which]
        index = range(*which.indices(len(dataset)))
        assert len(found) == len(index)
        assert all(np.array_equal(found[k], expected[i]) for k, i in enumerate(index))
        assert found.fingerprint == dataset.tokenizer.fingerprint
    assert np.array_equal(dataset[7:3].ids, [])


def test_iteration_is_in_order(folder, expected):
    assert all(np.array_equal(a, b) for a, b in zip(evtok.TokenDataset(folder), expected, strict=True))


def test_rows_and_fields(folder):
    dataset = evtok.TokenDataset(folder)
    assert dataset.fields == ("entry", "label", "weight", "event")
    assert dataset.row(2346)["entry"] == 1
    assert dataset.file_of(2344).endswith("a.parquet")
    assert dataset.file_of(2345).endswith("b.parquet")
    assert dataset.row(7)["weight"] == dataset.field("weight")[7]
    with pytest.raises(KeyError, match="nope"):
        dataset.field("nope")


def test_arrow_events_are_views_of_the_file(folder):
    dataset = evtok.TokenDataset(folder)
    ids = dataset[3]
    assert not ids.flags.writeable
    if "arrow" in str(folder):
        assert np.shares_memory(ids, dataset[2:5].ids)
        assert np.shares_memory(ids, np.frombuffer(dataset._shards[0].raw(), np.uint8))


def test_a_dataset_is_pickled_as_its_path(folder, expected):
    dataset = evtok.TokenDataset(folder)
    _ = dataset[5]
    data = pickle.dumps(dataset)
    assert len(data) < 1000
    assert np.array_equal(pickle.loads(data)[2000], expected[2000])


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_torch_data_loader_with_workers(folder, expected, start):
    torch = pytest.importorskip("torch")
    dataset = evtok.TokenDataset(folder)
    _ = dataset[0]  # touched before the fork
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=64, num_workers=2, collate_fn=list, multiprocessing_context=start, timeout=120
    )
    found = [ids for batch in loader for ids in batch]
    assert len(found) == 2352
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_shard_that_is_missing_is_named(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    next(p for p in copy.glob("shard-000001.*") if p.suffix != ".json").unlink()
    dataset = evtok.TokenDataset(copy)
    _ = dataset[999]
    with pytest.raises(ShardError, match=r"shard-000001\.\w+: the shard is missing; run the job again"):
        _ = dataset[1000]


def test_another_tokenizer_in_the_folder_is_refused(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    shutil.rmtree(copy / "tokenizer")
    BinnedTokenizer({"pt": Feature("pt", Uniform(10, 0, 500))}).save(copy / "tokenizer")
    with pytest.raises(FingerprintError, match="the shards were written with the tokenizer"):
        evtok.TokenDataset(copy)
    assert any("not the tokenizer" in problem for problem in evtok.verify(copy).problems)


def test_a_folder_without_a_job(tmp_path):
    with pytest.raises(JobError, match="there is no manifest"):
        evtok.TokenDataset(tmp_path)
    with pytest.raises(JobError, match="ENOENT"):
        evtok.TokenDataset(tmp_path / "nowhere")
