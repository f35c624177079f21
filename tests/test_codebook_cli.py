"""``evtok fit-tokenizer --codebook`` and ``evtok codebook health``: what they print, and how they refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evtok
from evtok import Codebook, Events
from evtok.errors import InputFileError
from evtok.tokenizers import CodebookTokenizer, NumericFeature

pytest.importorskip("typer")
pq = pytest.importorskip("pyarrow.parquet")

from evtok.cli.codebook import measure  # noqa: E402  (typer may be missing)


def run(*arguments: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evtok.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def jets(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """A Parquet file of jets, and the option that names its schema."""
    import pyarrow as pa

    folder = tmp_path_factory.mktemp("jets")
    rng = np.random.default_rng(2)
    offsets = np.r_[0, np.cumsum(rng.poisson(5, 400))]
    m = int(offsets[-1])
    columns = {
        "pt": (20 + rng.exponential(50, m)).astype(np.float32),
        "etarel": rng.normal(0, 0.4, m).astype(np.float32),
        "phirel": rng.normal(0, 0.4, m).astype(np.float32),
    }
    table = {
        f"Jet_{name}": pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))
        for name, values in columns.items()
    }
    pq.write_table(pa.table(table), folder / "jets.parquet")
    schema = {
        "name": "jets",
        "formats": ["parquet"],
        "objects": [{"collection": "Jet", "columns": {name: name for name in columns}}],
    }
    (folder / "jets.json").write_text(json.dumps(schema))
    return [folder / "jets.parquet", "--schema", folder / "jets.json"]


def test_fit_tokenize_verify_inspect_health(jets: list[Any], tmp_path: Path) -> None:
    done = run("fit-tokenizer", "--codebook", 30, "--seed", 4, *jets, "-o", tmp_path / "tok")
    assert (done.returncode, done.stderr) == (0, "")
    assert "pt, etarel, phirel, 30 codes of 3 dimensions, 34 ids" in done.stdout
    assert "0 codes without objects" in done.stdout
    tokenizer = evtok.load_tokenizer(tmp_path / "tok")
    with evtok.open_events(jets[0], str(jets[2])) as source:
        events = Events.concatenate(list(source))
    features = {
        "pt": NumericFeature("pt", "log"),
        "etarel": NumericFeature("etarel"),
        "phirel": NumericFeature("phirel"),
    }
    assert tokenizer.fingerprint == CodebookTokenizer(features, n_codes=30, seed=4).fit(events).fingerprint

    again = run("fit-tokenizer", "--codebook", 31, *jets, "-o", tmp_path / "tok")
    assert again.returncode == 1
    assert "holds another tokenizer" in again.stderr

    out = tmp_path / "out"
    assert run("tokenize", *jets, "--tokenizer", tmp_path / "tok", "-o", out).returncode == 0
    assert run("verify", out).returncode == 0
    assert "30 codes" in run("inspect", out).stdout
    shown = run("inspect", out, "--event", 3)
    assert " ".join(map(str, evtok.TokenDataset(out)[3])) in shown.stdout

    text = run("codebook", "health", tmp_path / "tok", *jets)
    assert text.returncode == 0
    assert "30 codes of 3 dimensions, metric l2" in text.stdout
    found = json.loads(run("codebook", "health", tmp_path / "tok", *jets, "--json", "--threads", 2).stdout)
    assert found == tokenizer.health(events).to_dict()
    assert found["n_rows"] == events.n_objects


def test_omnijet_preset(jets: list[Any], tmp_path: Path) -> None:
    done = run(
        "fit-tokenizer",
        "--preset",
        "omnijet",
        "--codebook",
        20,
        "--batch",
        200,
        *jets,
        "-o",
        tmp_path / "tok",
    )
    assert done.returncode == 0, done.stderr
    tokenizer = evtok.load_tokenizer(tmp_path / "tok")
    assert tokenizer.special_ids == {"bos": 0, "eos": 21}
    written = run("tokenize", *jets, "--tokenizer", tmp_path / "tok", "-o", tmp_path / "out")
    assert written.returncode == 0
    assert "objects outside the limits of the tokenizer's features have no token" in written.stderr
    health = run("codebook", "health", tmp_path / "tok", *jets)
    assert "masked and 0 invalid ones left out" in health.stdout
    assert "(0 masked" not in health.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--codebook", 5, "--bins", "pt=3"], "--bins: a codebook has codes instead of bins"),
        (["--codebook", 5, "--preset", "finke"], "--codebook: the preset 'finke' has bins"),
        (["--seed", 5], "only a codebook is learnt with these; add --codebook K"),
        (["--batch", 5], "only a codebook is learnt with these; add --codebook K"),
        (["--preset", "finke", "--bins", "pt=3"], "--bins: a published scheme has its own bins"),
        (["--codebook", 10**6], "expected at least k = 1000000 rows"),
    ],
)
def test_options_that_do_not_go_together(
    jets: list[Any], tmp_path: Path, options: list[Any], message: str
) -> None:
    done = run("fit-tokenizer", *options, *jets, "-o", tmp_path / "tok")
    assert done.returncode == 1
    assert message in done.stderr
    assert not (tmp_path / "tok").exists()


def test_health_of_a_codebook_alone(tmp_path: Path, jets: list[Any]) -> None:
    rng = np.random.default_rng(0)
    codebook = Codebook(rng.normal(0, 1, (16, 3)).astype(np.float32))
    codebook.save(tmp_path / "codes")
    parts = [rng.normal(0, 1, (n, 3)).astype(np.float32) for n in (50, 70)]
    for k, part in enumerate(parts):
        np.save(tmp_path / f"{k}.npy", part)
    np.save(tmp_path / "flat.npy", parts[0][:, 0])
    np.save(tmp_path / "wide.npy", parts[0].astype(np.float64))
    (tmp_path / "text.npy").write_text("1 2 3")
    (tmp_path / "empty.npy").touch()
    files = [tmp_path / "0.npy", tmp_path / "1.npy"]
    found = run("codebook", "health", tmp_path / "codes", *files, "--json")
    assert json.loads(found.stdout) == codebook.health(np.concatenate(parts)).to_dict()
    for arguments, message in (
        (jets[:1], "a codebook alone knows no features: expected a .npy file"),
        ([tmp_path / "flat.npy"], "expected shape (n, 3), got (50,)"),
        ([tmp_path / "wide.npy"], "expected float32 as the codebook is, got float64"),
        ([tmp_path / "text.npy"], "text.npy: not a whole .npy file of numbers"),
        ([tmp_path / "empty.npy"], "empty.npy: not a whole .npy file of numbers: EOF"),
        ([*files, "--schema", "padded"], "--schema: a codebook alone takes .npy files"),
    ):
        refused = run("codebook", "health", tmp_path / "codes", *arguments)
        assert refused.returncode == 1
        assert message in refused.stderr


def test_files_of_vectors_are_named_where_they_are_none(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    codebook = Codebook(rng.normal(0, 1, (16, 3)).astype(np.float32))
    codebook.save(tmp_path / "codes")
    x = rng.normal(0, 1, (50, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    whole = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(whole[:300])
    (tmp_path / "header.npy").write_bytes(whole.replace(b"(50, 3)", b"(50, 3 "))
    (tmp_path / "size.npy").write_bytes(
        whole.replace(b"(50, 3), }" + b" " * 20, b"(" + b"9" * 20 + b", 3), }  ")
    )
    (tmp_path / "zip.npy").write_bytes(b"PK\x03\x04 and no more")
    np.save(tmp_path / "objects.npy", np.array([[{}] * 3]), allow_pickle=True)
    (tmp_path / "folder.npy").mkdir()
    for name, message in (
        ("cut.npy", "not a whole .npy file of numbers"),
        ("header.npy", "not a whole .npy file of numbers"),
        ("size.npy", "not a whole .npy file of numbers"),
        ("zip.npy", "not a whole .npy file of numbers"),
        ("objects.npy", "not a whole .npy file of numbers"),
        ("none.npy", "no such file"),
        ("folder.npy", "a folder; expected .npy files"),
    ):
        with pytest.raises(InputFileError, match=rf"{name}: {message}"):
            measure(tmp_path / "codes", [str(tmp_path / name)])

    np.save(tmp_path / "big_endian.npy", x.astype(">f4"))
    found = measure(tmp_path / "codes", [str(tmp_path / "big_endian.npy")])
    assert found.to_dict() == codebook.health(x).to_dict()


def test_health_of_what_has_no_codebook(tmp_path: Path, jets: list[Any]) -> None:
    evtok.BinnedTokenizer.preset("finke").save(tmp_path / "bins")
    refused = run("codebook", "health", tmp_path / "bins", *jets)
    assert refused.returncode == 1
    assert "holds a 'binned', which has no codebook" in refused.stderr
    assert run("codebook", "health", tmp_path / "nothing", *jets).returncode == 1
