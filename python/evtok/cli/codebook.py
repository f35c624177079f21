"""``evtok codebook``: what is known of a codebook."""

from __future__ import annotations

import json
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evtok.errors import EvtokError, InputFileError

if TYPE_CHECKING:
    from evtok.codebook.health import CodebookHealth

#: What NumPy raises for bytes that are not an array.
_NOT_AN_ARRAY = (ValueError, OverflowError, TypeError, tokenize.TokenError)

_commands = typer.Typer(help="Look at a codebook.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(_commands, name="codebook")


@_commands.callback()
def _group() -> None:
    """Look at a codebook."""


@_commands.command("health")
def health_command(
    folder: Annotated[Path, typer.Argument(help="Folder of a codebook tokenizer, or of a codebook.")],
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...", help="Event files; for a codebook alone, .npy files of vectors (n, D)."
        ),
    ],
    schema: Annotated[
        str | None, typer.Option(help="A preset's name or a TOML file; by default the preset that fits.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads that look up.", min=1)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say how vectors use the codes: usage, dead and near-duplicate codes, margins, errors."""
    found = measure(folder, inputs, schema=schema, threads=threads)
    print(json.dumps(found.to_dict(), indent=1, allow_nan=False) if as_json else found)


def measure(
    folder: Path, inputs: Sequence[str], *, schema: str | None = None, threads: int | None = None
) -> CodebookHealth:
    """Report how files use a codebook.

    Parameters
    ----------
    folder : path
        Of a `CodebookTokenizer`, or of a `Codebook`.
    inputs : sequence of str
        Event files as for `evtok.open_events`; for a `Codebook`, ``.npy`` files of vectors (n, D).
    schema : str or None
        As for `evtok.open_events`.
    threads : int or None
        Threads that look up.

    Raises
    ------
    EvtokError
        The folder has no codebook, or the files do not belong to it.
    """
    from evtok import open_events
    from evtok.codebook import Codebook
    from evtok.tokenizers import CodebookTokenizer, artefact

    config, tensors = artefact.load(folder)
    if config.get("kind") == CodebookTokenizer.KIND:
        tokenizer = CodebookTokenizer.from_artefact(config, tensors)
        columns, fields = tokenizer.required_columns, tokenizer.required_fields
        with open_events(inputs, schema, columns=columns, fields=fields) as source:
            return tokenizer.health(source, threads=threads)
    if config.get("kind") != "codebook":
        raise EvtokError(
            f"{folder}: holds a {config.get('kind')!r}, which has no codebook; expected a codebook tokenizer or a "
            "codebook"
        )
    if schema is not None:
        raise EvtokError("--schema: a codebook alone takes .npy files of vectors, which have no schema")
    codebook = Codebook.load(folder)
    return codebook.health(_vectors(inputs, codebook), threads=threads)


def _vectors(inputs: Sequence[str], codebook: Any) -> Iterator[Any]:
    import numpy as np

    for name in inputs:
        if not name.endswith(".npy"):
            raise InputFileError(
                f"{name}: a codebook alone knows no features: expected a .npy file of vectors (n, {codebook.n_dims})"
            )
        try:
            vectors = np.lib.format.open_memmap(
                name, mode="r"
            )  # unlike numpy.load takes no zip archive, no pickle
        except _NOT_AN_ARRAY as error:
            raise InputFileError(
                f"{name}: not a whole .npy file of numbers: {error}; write it with numpy.save"
            ) from error
        except FileNotFoundError as error:
            raise InputFileError(f"{name}: no such file; expected a .npy file of vectors") from error
        except IsADirectoryError as error:
            raise InputFileError(f"{name}: a folder; expected .npy files, each by its name") from error
        except OSError as error:
            raise InputFileError(f"{name}: cannot be read: {error.strerror or error}") from error
        if vectors.ndim != 2 or vectors.shape[1] != codebook.n_dims:
            raise InputFileError(f"{name}: expected shape (n, {codebook.n_dims}), got {vectors.shape}")
        if vectors.dtype.newbyteorder("=") != codebook.dtype:  # in either order of bytes
            raise InputFileError(f"{name}: expected {codebook.dtype} as the codebook is, got {vectors.dtype}")
        yield vectors
