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

import numpy as np
import torch
from torch import Tensor, nn

import evtok
from evtok.tokenizers import CodebookTokenizer, NumericFeature, Transform
from evtok.torch import VectorQuantizer

DATA = Path(__file__).parent / "data"
N_CODES, N_LATENT, WIDTH = 512, 4, 64


class VQVAE(nn.Module):
    """Objects, one by one, through four numbers that are rounded to one of 512 codes, and back."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.encoder = layers(n_features, N_LATENT)
        self.quantizer = VectorQuantizer(N_LATENT, N_CODES, decay=0.95, dead_below=0.5, kmeans_init=True)
        self.decoder = layers(N_LATENT, n_features)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reconstruction, and the loss of the quantizer."""
        quantized, _, loss = self.quantizer(self.encoder(x))
        return self.decoder(quantized), loss


def layers(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_in, WIDTH),
        nn.LeakyReLU(),
        nn.Linear(WIDTH, WIDTH),
        nn.LeakyReLU(),
        nn.Linear(WIDTH, n_out),
    )


def default_inputs() -> list[Path]:
    jets = Path(os.environ.get("EVTOK_TEST_DATA", DATA)) / "real" / "jets" / "jetclass_vectors.npy"
    return [jets] if jets.exists() else sorted(DATA.glob("*.parquet"))


def features_of(events: evtok.Events) -> dict[str, NumericFeature]:
    """Return log pT and the angles, scaled so that each spans a few units."""
    if "etarel" in events.columns:  # constituents of jets, as OmniJet-α takes them
        triple = Transform(multiply=3.0)
        return {
            "pt": NumericFeature("pt", Transform("log", subtract=1.8)),
            "etarel": NumericFeature("etarel", triple, above=-0.8, below=0.8),
            "phirel": NumericFeature("phirel", triple, above=-0.8, below=0.8),
        }
    return {
        "pt": NumericFeature("pt", Transform("log", subtract=4.5)),
        "eta": NumericFeature("eta"),
        "phi": NumericFeature("phi"),
    }


def train(model: VQVAE, x: Tensor, steps: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        batch = x[torch.randint(len(x), (2048,), generator=generator)]
        reconstructed, loss = model(batch)
        error = nn.functional.mse_loss(reconstructed, batch)
        optimizer.zero_grad()
        (error + loss).backward()
        optimizer.step()
        schedule.step()
        if step % (steps // 5) == 0 or step == steps - 1:
            print(f"  step {step:5}  reconstruction {error.item():.4f}  commitment {loss.item():.4f}")


def main(output: Path, inputs: Sequence[Path], steps: int = 400) -> None:
    """Train, save the tokenizer, tokenize the inputs with it, and compare the tokens with those of the model."""
    source = evtok.open_events(inputs)
    events = evtok.Events.concatenate(list(source))
    features = features_of(events)
    types = events.types or None
    n_features = len(features) + len(events.types)
    print(f"{len(events)} events with {events.n_objects} objects; {n_features} features")

    # A tokenizer without an encoder has the features as its vectors; its one code is a placeholder.
    plain = CodebookTokenizer(features, np.zeros((1, n_features), np.float32), types=types)
    x = torch.from_numpy(plain.vectors(events))
    torch.manual_seed(0)
    model = VQVAE(n_features)
    begin = time.perf_counter()
    train(model, x, steps)
    print(f"trained in {time.perf_counter() - begin:.1f} s")

    model.eval()
    tokenizer = CodebookTokenizer.from_torch(
        features, model.encoder, model.quantizer.to_codebook(), types=types,
        specials=("bos",), specials_high=("eos",), sequence=("bos", "objects", "eos"),
    )  # fmt: skip
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

    with torch.no_grad():
        same_vectors = model.quantizer(torch.from_numpy(tokenizer.vectors(events))).ids.numpy()
        own_vectors = model.quantizer(model.encoder(x)).ids.numpy()
    if not np.array_equal(ids, same_vectors):
        raise SystemExit("the tokens are not those of the model")
    print(f"{len(ids)} tokens, all as the quantizer gives them")
    # torch adds in an order of its own, so that the last bits of its encoder are others.
    print(f"with torch's encoder, {np.mean(ids == own_vectors):.4%} of them are the same")


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        raise SystemExit("usage: python examples/vqvae.py OUTPUT_FOLDER [FILE ...]")
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]] or default_inputs())
