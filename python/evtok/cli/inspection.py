"""``evtok inspect``: a folder of shards, and one event with its tokens and the objects that they stand for."""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.table import Table

from evtok.dataset import TokenDataset


def show_dataset(dataset: TokenDataset) -> None:
    """Print what the dataset holds."""
    console = Console()
    table = Table(show_header=False, box=None)
    n = len(dataset)
    table.add_row("events", f"{n:,}")
    table.add_row("tokens", f"{dataset.n_tokens:,} ({dataset.n_tokens / n:.1f} an event)" if n else "0")
    table.add_row("vocabulary", f"{dataset.vocab_size:,} ids, padding {dataset.pad_id}")
    table.add_row("fields", ", ".join(dataset.fields))
    table.add_row("tokenizer", repr(dataset.tokenizer))
    console.print(table)


def show_event(dataset: TokenDataset, event: int) -> None:
    """Print the ids of one event, its fields, and its objects at the centres of their bins."""
    row = dataset.row(event)
    ids = row.pop("ids")
    facts = ", ".join(f"{name} {value}" for name, value in row.items())
    print(f"event {event} of {dataset.file_of(event)}: {facts}")
    print(f"{len(ids)} tokens: {' '.join(map(str, ids))}")
    decoded = dataset.tokenizer.decode(dataset[event : event + 1])
    table = Table("object", *(_titled(name, decoded.units.get(name, "")) for name in decoded.columns))
    for k in range(decoded.n_objects):
        values = [
            decoded.types[int(column[k])] if name == "type" and decoded.types else _number(column[k])
            for name, column in decoded.columns.items()
        ]
        table.add_row(str(k), *values)
    Console().print(table)
    for name, value in decoded.fields.items():
        print(f"{_titled(name, decoded.units.get(name, ''))}: {_number(value[0])}")


def _titled(name: str, unit: str) -> str:
    return f"{name} / {unit}" if unit else name


def _number(value: np.generic) -> str:
    return f"{value:.6g}"
