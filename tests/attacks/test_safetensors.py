"""P39, P44: headers of safetensors that lie. The config beside them is a good one."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest

from evtok.errors import ArtefactError
from evtok.tokenizers import BinnedTokenizer, Feature, Uniform, load_tokenizer


def one(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def file(header: Any, body: bytes = b"\0" * 8) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


ENTRY = json.dumps(one("F64", [1], 0, 8)).encode()
HOSTILE = {
    "a header of 2**63 bytes": struct.pack("<Q", 2**63) + b"{}",
    "a header of 1 TiB": struct.pack("<Q", 2**40) + b"{}",
    "tensors that overlap": file({"a": one("F64", [1], 0, 8), "b": one("F64", [1], 0, 8)}),
    "a hole": file({"a": one("F64", [1], 8, 16)}, b"\0" * 16),
    "bytes after the end": file({"a": one("F64", [1], 0, 8)}, b"\0" * 16),
    "a vast shape": file({"a": one("F64", [2**60], 0, 8)}),
    "a shape that overflows": file({"a": one("F64", [2**63, 4], 0, 8)}),
    "a negative shape": file({"a": one("F64", [-1], 0, 8)}),
    "a vast shape of nothing": file({"a": one("F64", [0, 2**62], 0, 0)}, b""),
    "a name twice": file(b'{"a": ' + ENTRY + b', "a": ' + ENTRY + b"}"),
    "brackets without end": file(b'{"a": ' + b"[" * 100_000),
    "objects": file({"a": one("O", [1], 0, 8)}),
    "numbers that NumPy does not have": file({"a": one("F8_E4M3", [8], 0, 8)}),
    "bfloat16": file({"a": one("BF16", [4], 0, 8)}),
    "a pickle": pickle.dumps(print),
    "nothing": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_p44_headers_that_lie(tmp_path: Path, name: str) -> None:
    BinnedTokenizer({"pt": Feature("pt", Uniform(4, 0, 1))}).save(tmp_path / "tok")
    load_tokenizer(tmp_path / "tok")
    (tmp_path / "tok" / "tensors.safetensors").write_bytes(HOSTILE[name])
    with pytest.raises(ArtefactError, match="tok"):
        load_tokenizer(tmp_path / "tok")
