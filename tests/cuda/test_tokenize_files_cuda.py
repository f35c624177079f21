"""Jobs that encode on a GPU write the bytes of those that encode on the CPU."""

from __future__ import annotations

import numpy as np
import pytest

import evtok
from evtok.errors import MissingBackendError
from evtok.tokenizers.feature import Feature, Uniform

SCHEMA = {
    "name": "jets",
    "formats": ["parquet"],
    "objects": [{"collection": "Jet", "columns": {"pt": "pt", "eta": "eta"}}],
    "fields": {"event": "event"},
}


@pytest.fixture
def jets(tmp_path):
    pa = pytest.importorskip("pyarrow")
    for package in ("xxhash", "safetensors"):  # jobs hash their shards, and tokenizers are stored
        pytest.importorskip(package)
    import pyarrow.parquet as pq

    random = np.random.default_rng(1)
    offsets = np.concatenate([[0], np.cumsum(random.poisson(4, 300))])
    pt = random.exponential(60, offsets[-1]).astype(np.float32)
    pt[offsets[17]] = np.nan
    eta = random.normal(0, 2, offsets[-1]).astype(np.float32)
    columns = {
        "Jet_pt": pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(pt)),
        "Jet_eta": pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(eta)),
        "event": pa.array(np.arange(300, dtype=np.uint64)),
    }
    pq.write_table(pa.table(columns), tmp_path / "jets.parquet")
    return tmp_path / "jets.parquet"


def tokenizer():
    return evtok.BinnedTokenizer(
        {"pt": Feature("pt", Uniform(20, 1, 7), transform="log"), "eta": Feature("eta", Uniform(11, -4, 4))},
        event_features={"n": Feature("count", Uniform(5, 0, 8)), "ht": Feature("sum_pt", Uniform(5, 0, 800))},
        sequence=("cls", "n", "ht", "objects"),
        sort_by="pt",
        max_length=8,
        too_long="truncate",
    )


def test_shards_and_quarantine_are_those_of_the_cpu(gpu, jets, tmp_path):
    for device in (None, "cuda"):
        report = evtok.tokenize_files(
            jets,
            tokenizer(),
            tmp_path / str(device),
            schema=SCHEMA,
            events_per_shard=120,
            allow_quarantine=True,
            device=device,
        )
        assert (report.counts.written, report.counts.quarantined) == (299, 1)
    assert evtok.last_backend() == "evtok:cuda"
    for name in ("shard-000000.arrow", "shard-000002.arrow", "quarantine/shard-000000.jsonl"):
        assert (tmp_path / "cuda" / name).read_bytes() == (tmp_path / "None" / name).read_bytes()
    again = evtok.tokenize_files(
        jets, tokenizer(), tmp_path / "cuda", schema=SCHEMA, events_per_shard=120, allow_quarantine=True
    )
    assert again.proven == 3
    assert evtok.verify(tmp_path / "cuda").ok


def test_devices_that_cannot_be_used_are_refused(gpu, jets, tmp_path):
    def run(made, **options):
        return evtok.tokenize_files(jets, made, tmp_path / "out", schema=SCHEMA, **options)

    with pytest.raises(ValueError, match="expected 'cuda' or 'cuda:<number>', got 'tpu'"):
        run(tokenizer(), device="tpu")
    with pytest.raises(ValueError, match="there is no cuda:99"):
        run(tokenizer(), device="cuda:99")
    with pytest.raises(ValueError, match="leave out workers and client"):
        run(tokenizer(), device="cuda", workers=2)
    codes = evtok.CodebookTokenizer.__new__(evtok.CodebookTokenizer)
    from evtok.cuda.host_events import OnDevice

    with pytest.raises(TypeError, match="expected a BinnedTokenizer for 'cuda', got CodebookTokenizer"):
        OnDevice(codes, "cuda")


def test_without_cuda_the_message_says_how_to_get_it(jets, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "evtok._cuda", None)
    with pytest.raises(MissingBackendError, match="built without CUDA"):
        evtok.tokenize_files(jets, tokenizer(), tmp_path / "out", schema=SCHEMA, device="cuda")
