"""P45: outputs stay under the folder that was named, and names from files stay text."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

import evtok
from evtok.errors import EvtokError
from evtok.tokenizers import BinnedTokenizer, Feature, Uniform
from html_page import Page

SCHEMA: dict[str, Any] = {
    "name": "jets",
    "formats": ["parquet"],
    "objects": [{"collection": "Jet", "columns": {"pt": "pt"}}],
}
TOKENIZER = BinnedTokenizer({"pt": Feature("pt", Uniform(40, 0, 500))})
MARKUP = "<script>alert(1)<|script>&amp;\"'><img src=x onerror=alert(1)>"


def _events(path: Path | bytes, bad: bool = False) -> Any:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    values = [[1.0, float("nan") if bad else 2.0], [3.0]]
    with open(path, "wb") as file:
        pq.write_table(pa.table({"Jet_pt": pa.array(values, pa.list_(pa.float32()))}), file)
    return path


@pytest.mark.parametrize("name", ["tokenizer", "quarantine"])
def test_a_planted_link_to_a_folder_is_not_written_through(tmp_path: Path, name: str) -> None:
    prey = tmp_path / "prey"
    prey.mkdir()
    (prey / ".x.0123456789abcdef.tmp").write_text("precious")  # a name that evtok would clear away as its own
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).symlink_to(prey)
    path = _events(tmp_path / "in.parquet", bad=True)
    with pytest.raises(EvtokError):
        evtok.tokenize_files(path, TOKENIZER, tmp_path / "out", schema=SCHEMA, allow_quarantine=True)
    assert [path.name for path in prey.iterdir()] == [".x.0123456789abcdef.tmp"]


def test_the_name_of_an_input_is_text_on_the_page_of_a_job(tmp_path: Path) -> None:
    path = _events(tmp_path / f"{MARKUP}.parquet", bad=True)
    evtok.tokenize_files(path, TOKENIZER, tmp_path / "out", schema=SCHEMA, allow_quarantine=True)
    pages = list((tmp_path / "out").glob("*.html"))
    assert pages
    for page in pages:
        read = Page(page.read_text())
        assert "script" not in read.tags
        assert not any("onerror" in image for image in read.images)
        assert "alert(1)" in read.words


@pytest.mark.skipif(sys.getfilesystemencoding() != "utf-8", reason="names are bytes of another encoding here")
def test_a_name_that_is_no_utf_8(tmp_path: Path) -> None:
    """Refused, or a job that is whole: its documents are UTF-8, in which such a name has no form."""
    path = os.fsdecode(_events(os.fsencode(tmp_path) + b"/\xff\xfe.parquet"))
    try:
        evtok.tokenize_files(path, TOKENIZER, tmp_path / "out", schema=SCHEMA)
    except EvtokError:
        return
    assert evtok.verify(tmp_path / "out").ok
    assert evtok.TokenDataset(tmp_path / "out").file_of(0) == path
