"""The Python of the documentation runs, page by page, each as one script in a fresh process."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
EXAMPLES = DOCS.parent / "examples" / "data"
PAGES = sorted(path.name for path in DOCS.glob("*.md") if "```python" in path.read_text(encoding="utf-8"))


def test_the_index_names_every_page() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    assert PAGES
    assert all(f"({name})" in index for name in PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (DOCS / name).read_text(encoding="utf-8"))
    assert all((DOCS / link).exists() for link in links if "://" not in link)


@pytest.mark.parametrize("name", PAGES)
def test_python_of_the_page_runs(name: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / name).read_text(encoding="utf-8"), re.DOTALL)
    code = "\n".join(blocks)
    for package, word in (("torch", "import torch"), ("mplhep", "evtok.report")):
        if word in code:
            pytest.importorskip(package)
    shutil.copytree(EXAMPLES, tmp_path / "examples" / "data")
    done = subprocess.run(
        [sys.executable, "-"], input=code, cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
