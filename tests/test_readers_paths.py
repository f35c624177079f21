"""Which paths the readers refuse: one file twice, schemes that are not allowed, trees where there are none."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evtok.errors import InputFileError
from evtok.io import open_events
from evtok.io.paths import Location, expand

SCHEMA = {
    "name": "s",
    "formats": ["parquet"],
    "objects": [{"collection": "Jet", "columns": {"pt": "pt"}}],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A Parquet file of two events."""
    pq.write_table(pa.table({"Jet_pt": [[1.0, 2.0], [3.0]]}), tmp_path / "a.parquet")
    return tmp_path / "a.parquet"


def test_one_file_twice_is_refused_and_both_names_are_told(path: Path) -> None:
    link = path.parent / "link.parquet"
    link.symlink_to(path)
    for twice in ([path, path], [path, f"{path.parent}/*.parquet"], [path, link], [path, f"file://{path}"]):
        with pytest.raises(InputFileError, match="are the same file") as refused:
            expand(twice)
        assert str(path) in str(refused.value)
    with pytest.raises(InputFileError, match=r"link\.parquet are the same file"):
        expand([path, link])


def test_two_trees_of_one_file_are_two_inputs(path: Path) -> None:
    assert len(expand([{str(path): "A"}, {str(path): "B"}])) == 2


@pytest.mark.parametrize(
    "url",
    [
        "simplecache::local:///etc/hostname",
        "simplecache::file:///dev/null",
        "simplecache::/etc/hostname",
        "simplecache::ftp://host/x",
        "simplecache::simplecache::ftp://host/x",
        "zip://x::s3://bucket/y",
        "s3://bucket/x::local:///etc/hostname",
        "ftp://host/x",
        "file:///dev/null",
        "FILE:///dev/null",
    ],
)
def test_every_link_of_a_chain_must_be_allowed(url: str) -> None:
    with pytest.raises(InputFileError, match=r"not allowed|not remote|not a regular file"):
        expand(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://me:hunter2@host/x.root",
        "https://hunter2@host/x.root",
        "simplecache::https://me:hunter2@host/x.root?y=1",
        "root://me:hunter2@host//x.root",
        "s3://me:hunter2@bucket/x/*.root",
    ],
)
def test_p46_a_url_with_a_password_is_refused_and_not_repeated(url: str) -> None:
    for paths in (url, Location(url)):
        with pytest.raises(InputFileError, match="password") as refused:
            expand(paths)
        assert "hunter2" not in str(refused.value)


def test_p46_of_a_url_with_a_signature_is_warned() -> None:
    for query in ("X-Amz-Signature=hunter2", "a=b&sig=hunter2", "key=hunter2", "a=1;Password=hunter2"):
        with pytest.warns(UserWarning, match="keep them to yourself") as warned:
            expand(f"https://host/x.root?{query}")
        assert "hunter2" not in str(warned[0].message)
    for url in (
        "https://host/x.root?design=1&monkey=2&signed=3",
        "abfs://box@account/x.root",
        "root://me@host//x.root",
    ):
        assert [one.path for one in expand(url)] == [url]


def test_p45_names_in_a_document_are_taken_as_they_are(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(path.parent))
    assert len(expand("~/*.parquet")) == 1
    for name in ("~/a.parquet", f"{path.parent}/*.parquet", "", "a\0b", str(path.parent)):
        with pytest.raises(InputFileError, match="no such file"):
            expand([Location(name)])
    with pytest.raises(InputFileError, match="not remote"):
        expand([Location(f"file://{path}")])
    assert expand([Location(str(path))]) == [Location(str(path))]


def test_file_urls_are_local_paths(path: Path) -> None:
    assert [one.path for one in expand(f"file://{path}")] == [str(path)]
    assert [one.path for one in expand("simplecache::s3://bucket/x")] == ["simplecache::s3://bucket/x"]


def test_a_tree_is_refused_where_there_are_none(path: Path) -> None:
    with pytest.raises(InputFileError, match="tree 'Nope' asked for, but a parquet file has no trees"):
        open_events({str(path): "Nope"}, SCHEMA)


@pytest.mark.parametrize("index", [1, 3, -1])
def test_a_file_that_is_not_there(path: Path, index: int) -> None:
    with (
        open_events(path, SCHEMA) as source,
        pytest.raises(IndexError, match="file_index: there are 1 files"),
    ):
        source.read(index)
