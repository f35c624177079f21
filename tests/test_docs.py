"""The Python of the README and the documentation runs, page by page, each as one script in a fresh process."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples" / "data"
PAGES = sorted((ROOT / "docs").glob("*.md"))
TEXTS = [*PAGES, *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"))]
WITH_PYTHON = [path for path in TEXTS if "```python" in path.read_text(encoding="utf-8")]


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert len(PAGES) > 1
    assert all(f"({page.name})" in index for page in PAGES if page.name != "index.md")


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.name)
def test_python_of_the_page_runs(page: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    code = "\n".join(blocks)
    for package, word in (
        ("torch", "import torch"),
        ("mplhep", "evtok.report"),
        ("distributed", "distributed"),
    ):
        if word in code:
            pytest.importorskip(package)
    shutil.copytree(EXAMPLES, tmp_path / "examples" / "data")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
