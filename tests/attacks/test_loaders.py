"""P37, P44, P48: bytes and values changed by chance in all that evtok loads: a typed error, or the very same object.

Bytes are changed beneath the fingerprint, and values above it: whoever can write a file can write its fingerprint too.
All of it happens in a process that may allocate little, and where no case may take long.
"""

from __future__ import annotations

import copy
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from evtok import Codebook, Events, load_detector
from evtok.detectors import HBOS, UnigramDetector
from evtok.errors import ArtefactError, EvtokError
from evtok.jobs.documents import CHECKSUM, seal
from evtok.jobs.fit_document import FitDocument
from evtok.tokenizers import (
    BinnedTokenizer,
    CodebookTokenizer,
    EqualFrequency,
    Feature,
    NumericFeature,
    Uniform,
    artefact,
    load_tokenizer,
)

CEILING = 512 << 20  # bytes beyond what the process has when it begins
SECONDS = 10  # that a case may take on a busy machine

WRONG: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 2**31, 2**62, 2**63, 10**30, 0.0, -0.0, 0.5, 1e-300, 1e308, "", "x", "pt",
    "a\0b", "../x", "\ud800", "0" * 64, [], {}, [[]], [1, 2], ["pt"], {"kind": "uniform"}, {"name": "pt"}, "[" * 5000,
]  # fmt: skip

Fingerprinted = Any


# ---- what is loaded -----------------------------------------------------------------------------------------------


def _events() -> Events:
    rng = np.random.default_rng(5)
    counts = rng.integers(1, 5, 60)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    names = ("pt", "eta", "phi")
    return Events(offsets, {name: rng.random(offsets[-1]).astype(np.float32) + 0.5 for name in names})


def _binned() -> BinnedTokenizer:
    features = {"pt": Feature("pt", EqualFrequency(5), "log"), "eta": Feature("eta", Uniform(4, 0, 2))}
    return BinnedTokenizer(features, vocabulary="seen", specials=("pad", "unk")).fit(_events())


def _of_codes() -> CodebookTokenizer:
    features = {"pt": NumericFeature("pt", "log"), "eta": NumericFeature("eta", below=1.4)}
    return CodebookTokenizer(features, n_codes=4).fit(_events())


FOLDERS: dict[str, tuple[Callable[[], Fingerprinted], Callable[[Path], Fingerprinted]]] = {
    "tokenizer of bins": (_binned, load_tokenizer),
    "tokenizer of codes": (_of_codes, load_tokenizer),
    "codebook": (lambda: Codebook(np.arange(12, dtype=np.float32).reshape(4, 3)), Codebook.load),
    "model of tokens": (lambda: UnigramDetector(_binned()).fit(_events()), load_detector),
    "model of features": (lambda: HBOS(["count", "sum_pt"]).fit(_events()), load_detector),
}


# ---- changes ------------------------------------------------------------------------------------------------------


def _damaged(data: bytes, rng: random.Random) -> bytes:
    """Bytes with a few changes: other bits, other bytes, parts that are gone, twice there, or elsewhere."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at, n = rng.randrange(len(changed) + 1), rng.randrange(1, 40)
        how = rng.randrange(6)
        if how == 0 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif how == 1 and at < len(changed):
            changed[at] = rng.choice(b"\0\xff0127-+eE.,:[]{}\"'\\ \n")
        elif how == 2:
            del changed[at : at + n]
        elif how == 3:
            changed[at:at] = changed[rng.randrange(len(changed) + 1) :][:n]
        elif how == 4:
            changed[at : at + 8] = rng.getrandbits(64).to_bytes(8, "little")
        else:
            del changed[at:]
    return bytes(changed)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield (*path, key)
        yield from _places(below, (*path, key))


def _revalued(content: Any, rng: random.Random) -> Any:
    """A document with one value gone, twice there, or another one."""
    changed = copy.deepcopy(content)
    place = rng.choice(list(_places(changed)))
    holder = changed
    for key in place[:-1]:
        holder = holder[key]
    how = rng.randrange(8)
    if how == 0:
        del holder[place[-1]]
    elif how == 1 and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[place[-1]]))
    elif how == 2 and type(holder[place[-1]]) in (int, float):
        holder[place[-1]] += rng.choice((-1, 1))
    else:
        holder[place[-1]] = copy.deepcopy(rng.choice(WRONG))
    return changed


def _reshaped(tensors: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Tensors of which one has another dtype, shape, or value, another name, or is gone."""
    changed = {name: values.copy() for name, values in tensors.items()}
    name = rng.choice(sorted(changed))
    values = changed[name]
    how = rng.randrange(6)
    if how == 0:
        changed[name] = values.astype(rng.choice((np.float32, np.float64, np.int32, np.uint8, np.int64)))
    elif how == 1:
        changed[name] = values.reshape(-1)[: rng.randrange(values.size + 1)]
    elif how == 2:
        changed[name] = values[None] if rng.random() < 0.5 else np.concatenate([values, values])
    elif how == 3 and values.size:
        flat = values.reshape(-1)
        wrong = (
            (np.nan, np.inf, -np.inf, 1e300, -1, 0) if values.dtype.kind == "f" else (0, 1, 2**15, 2**31 - 1)
        )
        with np.errstate(all="ignore"):
            flat[rng.randrange(values.size)] = np.array(rng.choice(wrong)).astype(values.dtype)
    elif how == 4:
        changed["x" + name] = changed.pop(name)
    else:
        del changed[name]
    return changed


# ---- in a process of its own --------------------------------------------------------------------------------------


def _outcome(read: Callable[[], str], expected: str, refusals: tuple[type[Exception], ...]) -> str:
    signal.alarm(SECONDS)
    try:
        return "the same" if read() == expected else "another object"
    except refusals:
        return "refused"
    except MemoryError:
        return "asked for too much memory"
    except Exception as error:
        return f"foreign: {type(error).__name__}: {error}"[:200]
    finally:
        signal.alarm(0)


def _fingerprint(load: Callable[[Path], Fingerprinted], folder: Path) -> str:
    return str(load(folder).fingerprint)


def _written_again(document: bytes) -> str:
    return FitDocument.from_bytes(document).to_bytes().decode("ascii")


def _folders(base: Path, rng: random.Random, n: int) -> Iterator[tuple[str, str]]:
    for name, (make, load) in FOLDERS.items():
        good, changed = base / "good", base / "changed"
        made = make()
        made.save(good)
        files = {path.name: path.read_bytes() for path in good.iterdir()}
        config, tensors = artefact.load(good)
        assert _outcome(partial(_fingerprint, load, good), made.fingerprint, ()) == "the same"
        for _ in range(n):
            shutil.rmtree(changed, ignore_errors=True)
            changed.mkdir()
            victim = rng.choice(sorted(files))
            for file, data in files.items():
                (changed / file).write_bytes(_damaged(data, rng) if file == victim else data)
            yield (
                f"{name}, bytes",
                _outcome(partial(_fingerprint, load, changed), made.fingerprint, (EvtokError,)),
            )
        for k in range(n):
            one, two = (_revalued(config, rng), tensors) if k % 2 else (config, _reshaped(tensors, rng))
            shutil.rmtree(changed, ignore_errors=True)
            try:
                mark = artefact.fingerprint(one, two)
                artefact.save(changed, one, two)
            except (ValueError, ArtefactError):  # what cannot be written, such as half a surrogate pair
                continue
            yield f"{name}, values", _outcome(partial(_fingerprint, load, changed), mark, (EvtokError,))
        shutil.rmtree(good)


def _documents(base: Path, rng: random.Random, n: int) -> Iterator[tuple[str, str]]:
    content = json.loads((base / "fit.json").read_bytes())
    data = seal({key: value for key, value in content.items() if key != CHECKSUM})
    for k in range(2 * n):
        if k % 2:
            given = _damaged(data, rng)
        else:
            changed = _revalued({key: value for key, value in content.items() if key != CHECKSUM}, rng)
            try:
                given = seal(changed)
            except (ValueError, TypeError):
                continue
        read = partial(_written_again, given)
        yield (
            f"fit document, {'bytes' if k % 2 else 'values'}",
            _outcome(read, given.decode("latin-1"), (EvtokError,)),
        )


def _fit_document() -> bytes:
    """One as `evtok.jobs.fit` makes it."""
    from evtok.jobs.fit_document import CountedFeature, seen_document, versions_here
    from evtok.jobs.plan import PlannedInput

    tokenizer = _binned()
    counted = CountedFeature("pt", False, tokenizer.settings.features["pt"], "float32", 1, (3, 16_000))
    return FitDocument(
        index=1,
        attempt=1,
        start=0,
        stop=5,
        input=PlannedInput("a.parquet", None, 10, 1000, "local:1"),
        base="/",
        schema="{}",
        schema_digest="0" * 64,
        versions=versions_here(),
        threads=1,
        types={"j": 1},
        features=(counted,),
        seen=seen_document(tokenizer.settings, tokenizer.fitted, "raise"),
    ).to_bytes()


def main(seed: int, n: int) -> None:
    """Print the outcomes of `n` changes of each kind of each thing that is loaded, as JSON."""
    rng, found = random.Random(seed), Counter[tuple[str, str]]()
    with tempfile.TemporaryDirectory() as base:
        (Path(base) / "fit.json").write_bytes(_fit_document())
        for _ in _folders(Path(base), random.Random(0), 1):  # so that all is imported, and threads are there
            pass
        size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (size + CEILING, size + CEILING))
        for kind in (_folders, _documents):
            found.update(kind(Path(base), rng, n))
    print(json.dumps([[*key, count] for key, count in sorted(found.items())]))


def test_p37_p44_p48_whatever_is_changed_is_refused_or_the_same() -> None:
    """The seed and the number can be chosen: EVTOK_TEST_FUZZ=SEED,N."""
    seed, n = os.environ.get("EVTOK_TEST_FUZZ", "1,60").split(",")
    done = subprocess.run(
        [sys.executable, __file__, seed, n], capture_output=True, text=True, check=False, timeout=3600
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"
    found = json.loads(done.stdout)
    assert {outcome for _, outcome, _ in found} <= {"refused", "the same"}, found
    kinds = {f"{name}, {how}" for name in (*FOLDERS, "fit document") for how in ("bytes", "values")}
    refused = {kind: count for kind, outcome, count in found if outcome == "refused"}
    assert set(refused) == kinds
    assert min(refused.values()) > int(n) / 2  # the changes do change something


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
