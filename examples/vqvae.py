"""Train a VQ-VAE on collider objects, keep its encoder and codebook as a tokenizer, and tokenize files with that.

    python examples/vqvae.py vqvae-output [FILE ...]

Without files, it takes the jets of JetClass from the folder that EVTOK_TEST_DATA names, or else the events of
``examples/data``. It needs the extras ``evtok[io,torch,cli]``, and takes less than a minute on two cores.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import evtok
from evtok.detectors import VQVAE
from evtok.detectors.object_inputs import ObjectInputs
from evtok.tokenizers import NumericFeature
from evtok.torch import VectorQuantizer

DATA = Path(__file__).parent / "data"
BATCH = 2048


def default_inputs() -> list[Path]:
    jets = Path(os.environ.get("EVTOK_TEST_DATA", DATA)) / "real" / "jets" / "jetclass_vectors.npy"
    return [jets] if jets.exists() else sorted(DATA.glob("*.parquet"))


def features_of(events: evtok.Events) -> dict[str, NumericFeature]:
    """Return log pT and the angles; the VQ-VAE standardises them."""
    if "etarel" in events.columns:  # constituents of jets, as OmniJet-α takes them
        return {
            "pt": NumericFeature("pt", "log"),
            "etarel": NumericFeature("etarel", above=-0.8, below=0.8),
            "phirel": NumericFeature("phirel", above=-0.8, below=0.8),
        }
    return {"pt": NumericFeature("pt", "log"), "eta": NumericFeature("eta"), "phi": NumericFeature("phi")}


def tell(event: dict[str, Any]) -> None:
    if event["event"] == "epoch":
        print(f"  epoch {event['epoch']:3} of {event['epochs']}  loss {event['train_loss']:.4f}")


def main(output: Path, inputs: Sequence[Path], steps: int = 400) -> None:
    """Train, save the tokenizer, tokenize the inputs with it, and compare the tokens with those of the quantizer."""
    source = evtok.open_events(inputs)
    events = evtok.Events.concatenate(list(source))
    print(f"{len(events)} events with {events.n_objects} objects")

    # Objects, one by one, through four numbers that are rounded to one of 512 codes, and back.
    model = VQVAE(
        ObjectInputs(features_of(events), events.types),
        n_codes=512,
        code_dims=4,
        hidden=(64, 64),
        batch=BATCH,
        epochs=max(1, round(steps * BATCH / events.n_objects)),
    )
    begin = time.perf_counter()
    model.fit(events, progress=tell)
    print(f"trained in {time.perf_counter() - begin:.1f} s")
    model.save(output / "model")  # as a detector: it scores events by how badly their objects come back

    tokenizer = model.tokenizer(specials=("bos",), specials_high=("eos",), sequence=("bos", "objects", "eos"))
    tokenizer.save(output / "tokenizer")
    print(tokenizer)
    print(tokenizer.health(events))

    shards = output / "tokens"
    command: list[str | Path] = [sys.executable, "-m", "evtok.cli", "tokenize", *inputs]
    command += ["--tokenizer", output / "tokenizer", "--output", shards]
    subprocess.run(command, check=True)
    if not evtok.verify(shards).ok:
        raise SystemExit(f"{shards}: not as they were written")
    tokens = evtok.TokenDataset(shards)
    # Code k is id k + 1, after the start token.
    ids = np.concatenate([sequence[1:-1] for sequence in tokens]) - 1

    quantizer = VectorQuantizer.from_codebook(tokenizer.codebook).eval()
    with torch.no_grad():
        expected = quantizer(torch.from_numpy(tokenizer.vectors(events))).ids.numpy()
    if not np.array_equal(ids, expected):
        raise SystemExit("the tokens are not those of the quantizer")
    print(f"{len(ids)} tokens, all as the quantizer gives them")


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        raise SystemExit("usage: python examples/vqvae.py OUTPUT_FOLDER [FILE ...]")
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]] or default_inputs())
