"""The campaign's own tools, and that docs/faults.md shows what docs/faults.json holds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from faults import campaign, forks, interrupts, kernels
from faults.rows import Row

DOCS = Path(__file__).parents[2] / "docs"
#: Rows in which a promise was broken, and by whom, as docs/faults.md says; no others may be.
KNOWN = {
    "Ctrl-C in a call of each public function that ends in a kernel": ("Codebook", "BinnedTokenizer.decode"),
}


def test_the_page_shows_the_table() -> None:
    page = (DOCS / "faults.md").read_text(encoding="utf-8")
    document = json.loads((DOCS / "faults.json").read_text())
    assert campaign.rendered(document, page) == page
    assert {row["part"] for row in document["rows"]} == set(campaign.PARTS)
    for row in document["rows"]:
        assert row["trials"] == sum(row["outcomes"].values())
        assert row["kept"] == sum(row["outcomes"].get(outcome, 0) for outcome in row["allowed"])
        if row["kept"] < row["trials"]:
            known = KNOWN[row["fault"]]
            assert all(any(name in example for name in known) for example in row["examples"]), row


def test_children_that_return_raise_die_and_hang() -> None:
    assert forks.run(lambda: 3) == forks.Outcome("returned", 3)
    assert forks.run(lambda: 1 // 0).value[0] == ["ZeroDivisionError"]
    assert forks.run(os.abort) == forks.Outcome("died", -6)
    assert forks.run(lambda: os.read(os.pipe()[0], 1), timeout=0.2).how == "hung"


@pytest.mark.parametrize(
    "name", ["TokenHead.nll", "segment_sum", "BinnedTokenizer.fit", "neighbour_distance"]
)
def test_p29_ctrl_c_stops_other_kernels(name: str) -> None:
    """KeyboardInterrupt within 0.2 s; the campaign does the same for each of `KERNELS`."""
    code = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parents[1])]}
from faults import interrupts
from faults.rows import Row
row = Row("", "", ("within 0.2 s",))
interrupts._pressed({name!r}, presses=1, size=0.2, row=row)
print(row.kept, row.examples)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "1 []\n", done.stdout + done.stderr
    assert interrupts.LIMIT == 0.2
    assert name in kernels.KERNELS


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_the_shim_lets_one_call_fail(tmp_path: Path) -> None:
    shim = tmp_path / "shim.so"
    source = Path(__file__).with_name("fail_nth.c")
    subprocess.run(["cc", "-Wall", "-Werror", "-fPIC", "-shared", "-o", shim, source, "-ldl"], check=True)
    code = f"""
import os, sys
from pathlib import Path
sys.path[:0] = {[str(Path(__file__).parents[1])]}
from faults.storage import Shim
shim, folder = Shim({str(shim)!r}), Path({str(tmp_path)!r})
shim.arm(folder, "write", 2, "ENOSPC")
for k in range(3):
    try:
        (folder / "x").write_bytes(b"12345")
    except OSError as error:
        print(k, error.errno, shim.hit())
shim.arm(folder, "rename", 1, "kill -9 just after")
print(shim.counts()["rename"], flush=True)
os.rename(folder / "x", folder / "y")
"""
    environment = os.environ | {"LD_PRELOAD": str(shim)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["1", "28", "True", "0"], done.stderr
    assert done.returncode == -9
    assert (tmp_path / "y").read_bytes() == b"12345"


def test_a_row_counts_what_keeps_the_promise() -> None:
    row = Row("a", "b", ("good",))
    row.add("good")
    row.add("bad", "why")
    assert (row.trials, row.kept, row.examples) == (2, 1, ["bad: why"])
    assert Row.from_json(json.loads(json.dumps(row.to_json()))) == row
