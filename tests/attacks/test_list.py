"""The list of attacks names tests that are there, and all tests of this folder."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LISTED = re.findall(r"\| (tests/\S+\.py)::(test_\w+) \|", (HERE / "README.md").read_text(encoding="utf-8"))


def test_every_attack_of_the_list_has_its_test() -> None:
    assert len(LISTED) > 25
    for path, name in LISTED:
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path} has no {name}"


def test_every_test_of_this_folder_is_in_the_list() -> None:
    for path in HERE.glob("test_*.py"):
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert path.name == Path(__file__).name or (f"tests/attacks/{path.name}", name) in LISTED
