"""A transformer encoder on the CPU without torch: rows of events to rows, with the same bits for any batch."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from evtok import _arrays, _backend, _core
from evtok.codebook._rows import OnInvalid, check_on_invalid
from evtok.scoring._torch_encoder import read_encoder, read_positions
from evtok.scoring.token_nll import _float32

Array = npt.NDArray[Any]
Precision = Literal["float32", "bfloat16"]


class Encoder:
    """The forward pass of a transformer encoder, with weights prepared once: immutable, for any number of threads.

    `Encoder.from_torch` makes it of a torch module; made directly, it needs no torch. Sequences are never padded: a
    tile of whole sequences goes through all layers while it lies in the cache. Can be pickled.

    Parameters
    ----------
    layers : sequence of mappings of str to float32 array
        One for each layer, by torch's names: ``self_attn.in_proj_weight`` (3 d, d), ``self_attn.out_proj.weight`` (d,
        d), ``linear1.weight`` (f, d), ``linear2.weight`` (d, f), ``norm1.weight`` and ``norm2.weight`` (d,), and
        biases likewise, which may be missing or None. Copied; finite.
    heads : int
        A divisor of d.
    activation : "relu", "gelu" or "gelu-tanh"
    norm_first : bool
    eps : float
        Of every layer norm.
    norm : (weight (d,), bias (d,) or None), optional
        The layer norm after the last layer.
    positions : float32 (max_length, d), "sinusoidal", or None
        What is added to the rows by their place in a sequence.
    precision : "float32" or "bfloat16"
        "bfloat16" rounds the weights, and the rows that go into a dense layer, to bfloat16, and adds up in float32.
        It gives the same bits on each processor, and is faster on those with AVX512-BF16.
    threads : int, optional
        For the preparation.

    Raises
    ------
    TypeError, ValueError
        Arrays that are not float32 or do not fit, names that no layer has, weights that hold NaN or infinity, or are so
        large that sums may overflow.
    """

    def __init__(
        self,
        layers: Sequence[Mapping[str, Any]],
        *,
        heads: int,
        activation: str = "relu",
        norm_first: bool = False,
        eps: float = 1e-5,
        norm: tuple[Any, Any | None] | None = None,
        positions: Any | None = None,
        precision: Precision = "float32",
        threads: int | None = None,
    ) -> None:
        kept = [
            {key: _frozen(value, f"layers[{k}] {key}") for key, value in layer.items()}
            for k, layer in enumerate(layers)
        ]
        end = None if norm is None else (_frozen(norm[0], "norm"), _frozen(norm[1], "norm bias"))
        self._settings = (operator.index(heads), str(activation), bool(norm_first), float(eps))
        self._kernel = _core.Encoder(kept, *self._settings, end, precision, threads or 0)
        self._layers, self._norm, self.precision = kept, end, precision
        self.width = len(kept[0]["norm1.weight"])
        self._positions = self._checked_positions(positions)
        self._waves = np.empty((0, self.width), np.float32)

    @classmethod
    def from_torch(
        cls,
        module: Any,
        *,
        positions: Any | None = None,
        precision: Precision = "float32",
        threads: int | None = None,
    ) -> Encoder:
        """Copy the weights of a torch module, which may change or go afterwards.

        Parameters
        ----------
        module : torch.nn.TransformerEncoder, torch.nn.TransformerEncoderLayer, or evtok's MaskedTokenModel
            In evaluation mode, or without dropout; ``batch_first=True``; activations ReLU and GELU, norms before or
            after, with or without biases. Of a MaskedTokenModel, positions and encoder are taken: rows of its embedding
            go in, and what its head reads comes out.
        positions : float32 (max_length, d), torch.nn.Embedding, "sinusoidal", or None
            What is added to the rows by their place; a MaskedTokenModel has its own.
        precision, threads
            As for `Encoder`.

        Raises
        ------
        TypeError, ValueError
            Naming what the native encoder does not compute: subclasses, hooks, other activations, training mode with
            dropout, weights that are not float32, NaN or infinity. The torch module itself always works.
        """
        found = read_encoder(module)
        if "positions" not in found:
            found["positions"] = read_positions(positions)
        elif positions is not None:
            raise ValueError("positions: this model has its own; leave them out")
        return cls(**found, precision=precision, threads=threads)

    def __reduce__(self) -> tuple[Any, ...]:
        heads, activation, norm_first, eps = self._settings
        settings = {
            "heads": heads,
            "activation": activation,
            "norm_first": norm_first,
            "eps": eps,
            "norm": self._norm,
            "positions": self._positions,
            "precision": self.precision,
        }
        return _make, (self._layers, settings)

    def __call__(
        self,
        x: Any,
        key_padding_mask: Any | None = None,
        *,
        offsets: Any | None = None,
        on_invalid: OnInvalid = "raise",
        threads: int | None = None,
    ) -> Any:
        """Return the rows that come out of the last layer.

        Parameters
        ----------
        x : float32 (B, S, d), or (n_rows, d) with `offsets`
            NumPy array or torch tensor on the CPU, any layout; float16 and bfloat16 are computed in float32.
        key_padding_mask : bool (B, S), optional
            True where there is no row, as in torch. The result is 0 there; a sequence may be masked altogether.
        offsets : integers (n + 1,), optional
            Sequence i has the rows ``offsets[i]`` to ``offsets[i + 1] - 1``, which may be none.
        on_invalid : "raise" or "sentinel"
            What becomes of a sequence that holds NaN, infinity or numbers so large that a sum may overflow: an error
            that names the row, or NaN in all its rows.
        threads : int, optional
            By default `EVTOK_NUM_THREADS` or the CPUs that this process may use. A sequence is computed by one thread.

        Returns
        -------
        float32, of the shape and kind of `x`

        Raises
        ------
        TypeError
            float64, which would lose digits, a mask that is not bool, tensors on a GPU or that need grad.
        ValueError
            Shapes or offsets that do not fit, sequences longer than the positions, invalid rows ("raise").

        Notes
        -----
        The bits of a sequence are defined by `evtok.reference_encoder`, and depend neither on the others nor on the
        threads nor on the machine. Beyond x and the result, memory is that of a tile for each thread, of a hundred rows
        or of a longer sequence. To this come copies of x: one with positions, two of the rows that are there with a
        mask, and one if x is not contiguous float32. A thread keeps up to 16 MiB for the next call.
        """
        check_on_invalid(on_invalid)
        if offsets is None:
            return self._padded(x, key_padding_mask, on_invalid, threads)
        if key_padding_mask is not None:
            raise ValueError("key_padding_mask, offsets: ragged rows have no padding; give one of them")
        rows = self._checked_rows(x, 2, "(n_rows, {})")
        starts, begin, end = _arrays.check_offsets(
            _arrays.offsets(offsets, "offsets"), len(rows), len(rows) or 1
        )
        if begin or end != len(rows):
            raise ValueError(
                f"offsets: expected to go from 0 to the {len(rows)} rows of x, got {begin} to {end}"
            )
        lengths = np.diff(starts)
        if self._positions is not None:
            places = np.arange(len(rows)) - np.repeat(starts[:-1], lengths)
            of_rows = self._places(int(lengths.max(initial=0)))[places]
            rows = _added(rows, of_rows, out=of_rows)
        return _arrays.like(self._run(rows, starts, on_invalid, threads, lambda row: f"row {row}"), x)

    def _padded(self, x: Any, mask: Any | None, on_invalid: OnInvalid, threads: int | None) -> Any:
        values = self._checked_rows(x, 3, "(B, S, {})")
        n, longest, width = values.shape
        if self._positions is not None and n:
            values = _added(values, self._places(longest))
        flat = values.reshape(n * longest, width)

        def name(row: int) -> str:
            return f"row {row % longest} of sequence {row // longest}"

        if mask is None:
            starts = np.arange(n + 1, dtype=np.int64) * longest
            result = self._run(flat, starts, on_invalid, threads, name)
        else:
            there = ~_checked_mask(mask, (n, longest))
            starts = np.zeros(n + 1, np.int64)
            np.cumsum(there.sum(axis=1), out=starts[1:])
            kept = np.flatnonzero(there)
            result = np.zeros_like(flat)
            result[kept] = self._run(
                np.ascontiguousarray(flat[kept]),
                starts,
                on_invalid,
                threads,
                lambda row: name(int(kept[row])),
            )
        return _arrays.like(result.reshape(n, longest, width), x)

    def _run(
        self,
        rows: Array,
        starts: npt.NDArray[np.int64],
        on_invalid: OnInvalid,
        threads: int | None,
        name: Any,
    ) -> Array:
        """Call the kernel, and do with refused sequences what `on_invalid` says."""
        result, refused, first, finite = self._kernel.run(rows, starts, threads or 0)
        if refused and on_invalid == "raise":
            reason = "is so large that a sum may overflow" if finite else "holds NaN or infinity"
            raise ValueError(
                f'x: {name(first)} {reason}; drop such sequences, or use on_invalid="sentinel", which gives NaN'
            )
        _backend.used_native()
        return result

    def _checked_rows(self, x: Any, ndim: int, shape: str) -> Array:
        rows = _float32(x, "x", ndim)
        if rows.shape[-1] != self.width:
            raise ValueError(f"x: expected shape {shape.format(self.width)}, got {rows.shape}")
        return rows

    def _checked_positions(self, positions: Any | None) -> Any:
        if positions is None:
            return None
        if isinstance(positions, str):
            if positions != "sinusoidal" or self.width % 2:
                raise ValueError(
                    f'positions: expected an array, "sinusoidal" (with an even width) or None, got {positions!r} with '
                    f"width {self.width}"
                )
            return positions
        values = _frozen(positions, "positions")
        if values.ndim != 2 or values.shape[1] != self.width:
            raise ValueError(f"positions: expected shape (max_length, {self.width}), got {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError("positions: hold NaN or infinity")
        return values

    def _places(self, longest: int) -> Array:
        """Return the positions of the first `longest` places."""
        if isinstance(self._positions, str):
            waves = self._waves  # the longest so far, for all threads
            if longest > len(waves):
                from evtok.detectors.sinusoids import sinusoids

                with _core.FloatEnvironment():
                    self._waves = waves = _arrays.frozen(sinusoids(longest, self.width))
            return waves[:longest]
        if longest > len(self._positions):
            raise ValueError(
                f"x: a sequence has {longest} rows, more than the {len(self._positions)} positions; cut it, or use a "
                "model with more"
            )
        return np.asarray(self._positions[:longest])


def _make(layers: Any, settings: dict[str, Any]) -> Encoder:
    return Encoder(layers, **settings)


def _added(rows: Array, positions: Array, out: Array | None = None) -> Array:
    """Return the sum, in the floating-point environment of the kernels; they refuse what overflows."""
    with _core.FloatEnvironment(), np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.add(rows, positions, out=out))


def _frozen(x: Any, name: str) -> Any:
    """Copy a float32 array, so that nobody changes it."""
    if x is None:
        return None
    values = _arrays.to_numpy(x, name)
    if values.dtype.newbyteorder("=") != np.float32:
        raise TypeError(f"{name}: expected float32, got {values.dtype}")
    return _arrays.frozen(np.ascontiguousarray(values, np.float32))


def _checked_mask(mask: Any, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    values = _arrays.to_numpy(mask, "key_padding_mask")
    if values.dtype != np.bool_:
        raise TypeError(
            f"key_padding_mask: expected bool, True where there is no row, got {values.dtype}; an additive "
            "mask becomes one by mask == -inf"
        )
    if values.shape != shape:
        raise ValueError(f"key_padding_mask: expected shape {shape}, got {values.shape}")
    return values
