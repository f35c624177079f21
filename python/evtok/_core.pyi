from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

version: str
numerics_version: int
compiler: str
compile_flags: str
build_type: str
sanitize: str
darkmachines_max_line: int

def active_isa() -> str: ...
def available_isas() -> list[str]: ...
def force_isa(isa: str) -> None: ...
def unforce_isa() -> None: ...

class FloatEnvironment:
    def __init__(self) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *args: object) -> None: ...

def available_cpus() -> int: ...
def default_threads() -> int: ...
def copy_bytes(
    source: npt.NDArray[np.uint8], streaming: bool, threads: int, target: npt.NDArray[np.uint8]
) -> None: ...
def multiply_adds(steps: int, threads: int) -> tuple[int, float]: ...
def release_result_memory() -> None: ...
def result_array(shape: Sequence[int], dtype: np.dtype[Any]) -> npt.NDArray[Any]: ...
def check_offsets(
    offsets: npt.NDArray[Any], content: int, max_per_event: int, threads: int = 1
) -> tuple[int, int, int]: ...
def digitize(
    x: npt.NDArray[Any],
    edges: npt.NDArray[Any],
    right: bool,
    falling: bool,
    threads: int,
    codes: npt.NDArray[np.int64],
) -> None: ...
def ragged_merge(
    offsets: list[npt.NDArray[Any]],
    merged: npt.NDArray[np.int64],
    columns: list[tuple[npt.NDArray[Any], list[npt.NDArray[Any]]]],
    threads: int,
) -> None: ...
def count_digits(
    x: npt.NDArray[Any],
    lowest: float,
    highest: float,
    skip_zeros: bool,
    known: int,
    prefixes: npt.NDArray[np.uint64],
    threads: int,
    counts: npt.NDArray[np.uint64],
    skipped: npt.NDArray[np.uint64],
) -> None: ...
def scan_darkmachines(text: Buffer, limit: int, open: int) -> tuple[int, int, int, int]: ...
def darkmachines_processes(text: Buffer, names: Sequence[str]) -> list[str]: ...
def parse_darkmachines(
    text: Buffer,
    max_records: int,
    last: bool,
    codes: Sequence[int],
    processes: Sequence[str] | None,
    energy_divisor: float,
    skip_bad: bool,
    float64: bool,
    threads: int,
) -> dict[str, Any]: ...

unknown_flag: int

class RowProgram:
    def __init__(self, n_rows: int) -> None: ...
    def add_types(
        self, codes: npt.NDArray[np.uint8], contributions: npt.NDArray[np.int32], base: int
    ) -> None: ...
    def add_bins(self, x: npt.NDArray[Any], edges: npt.NDArray[Any], options: dict[str, Any]) -> None: ...
    def add_digits(self, digits: npt.NDArray[np.int32], n_digits: int, base: int) -> None: ...
    def set_vocabulary(self, factorised: bool, base: int, unknown: int) -> None: ...
    def set_ranks(self, ranks: npt.NDArray[np.int32]) -> None: ...
    def set_seen(self, seen: npt.NDArray[np.int32]) -> None: ...
    def set_offsets(self, offsets: npt.NDArray[np.int64], threads: int = 1) -> None: ...
    def ids(self, out: npt.NDArray[np.int32], threads: int) -> dict[str, Any]: ...
    def sequences_int32(
        self,
        before: list[Any],
        after: list[Any],
        sort_by: npt.NDArray[Any] | None,
        max_objects: int,
        threads: int,
        out: npt.NDArray[np.int32] | None = None,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], dict[str, Any]]: ...
    def sequences_uint16(
        self,
        before: list[Any],
        after: list[Any],
        sort_by: npt.NDArray[Any] | None,
        max_objects: int,
        threads: int,
        out: npt.NDArray[np.uint16] | None = None,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16], dict[str, Any]]: ...

class NumericProgram:
    def __init__(self, n_rows: int) -> None: ...
    def set_offsets(self, offsets: npt.NDArray[np.int64]) -> None: ...
    def add(self, x: npt.NDArray[Any], options: dict[str, Any]) -> None: ...
    def set_types(
        self, codes: npt.NDArray[np.uint8], places: npt.NDArray[np.int32], n: int, value: float
    ) -> None: ...
    def run(
        self, begin: int, end: int, threads: int, out: npt.NDArray[np.float32], states: npt.NDArray[np.uint8]
    ) -> None: ...
    @property
    def width(self) -> int: ...

def feature_network(
    x: npt.NDArray[np.float32], layers: list[Any], threads: int, out: npt.NDArray[np.float32]
) -> None: ...
def pt_eta_phi(
    px: npt.NDArray[Any],
    py: npt.NDArray[Any],
    pz: npt.NDArray[Any],
    threads: int,
    pt: npt.NDArray[Any],
    eta: npt.NDArray[Any],
    phi: npt.NDArray[Any],
) -> None: ...
def jet_axis(
    offsets: npt.NDArray[Any],
    px: npt.NDArray[Any],
    py: npt.NDArray[Any],
    pz: npt.NDArray[Any],
    threads: int,
    pt: npt.NDArray[Any],
    eta: npt.NDArray[Any],
    phi: npt.NDArray[Any],
) -> None: ...
def delta_phi(a: npt.NDArray[Any], b: npt.NDArray[Any], threads: int, out: npt.NDArray[Any]) -> None: ...
def arc_tangent(y: npt.NDArray[Any], x: npt.NDArray[Any], threads: int, out: npt.NDArray[Any]) -> None: ...
def natural_log(x: npt.NDArray[Any], threads: int, out: npt.NDArray[Any]) -> None: ...
def inverse_sinh(x: npt.NDArray[Any], threads: int, out: npt.NDArray[Any]) -> None: ...
def code_sums(
    x: npt.NDArray[Any],
    ids: npt.NDArray[np.int32],
    threads: int,
    counts: npt.NDArray[np.int64],
    sums: npt.NDArray[np.float64],
) -> None: ...
def scalar_ids(
    x: npt.NDArray[Any],
    thresholds: npt.NDArray[Any],
    ends: npt.NDArray[np.int64],
    strides: npt.NDArray[np.int32],
    right: bool,
    mask: npt.NDArray[np.uint8] | None,
    threads: int,
    ids: npt.NDArray[np.int32],
) -> tuple[int, int]: ...

factor_rows: int

def reduce_segments(
    values: npt.NDArray[Any],
    offsets: npt.NDArray[np.int64],
    weights: npt.NDArray[Any] | None,
    types: npt.NDArray[np.uint8] | None,
    type_weights: npt.NDArray[Any] | None,
    reduction: int,
    k: int,
    empty: float,
    threads: int,
    out: npt.NDArray[Any],
) -> tuple[int, int]: ...
def score_rows(
    x: npt.NDArray[np.float32],
    score: int,
    other: npt.NDArray[np.float32] | None,
    mean: bool,
    threads: int,
    out: npt.NDArray[np.float32],
) -> tuple[int, int]: ...
def class_distances(
    x: npt.NDArray[np.float32],
    shared: bool,
    centres: npt.NDArray[np.float32],
    factors: npt.NDArray[np.float32],
    whitened: npt.NDArray[np.float32],
    threads: int,
    out: npt.NDArray[np.float32],
    nearest: npt.NDArray[np.int32] | None,
) -> tuple[int, int]: ...
def histogram_score(
    x: npt.NDArray[np.float32],
    edges: npt.NDArray[np.float32],
    ends: npt.NDArray[np.int64],
    values: npt.NDArray[np.float32],
    threads: int,
    out: npt.NDArray[np.float32],
) -> tuple[int, int]: ...

class CodeSearchFloat32:
    def __init__(self, codes: npt.NDArray[np.float32], metric: str) -> None: ...
    def search(
        self,
        x: npt.NDArray[np.float32],
        mask: npt.NDArray[np.uint8] | None,
        threads: int,
        ids: npt.NDArray[np.int32],
        values: npt.NDArray[np.float32] | None,
        margin: npt.NDArray[np.float32] | None,
    ) -> tuple[int, int, str]: ...

class CodeSearchFloat64:
    def __init__(self, codes: npt.NDArray[np.float64], metric: str) -> None: ...
    def search(
        self,
        x: npt.NDArray[np.float64],
        mask: npt.NDArray[np.uint8] | None,
        threads: int,
        ids: npt.NDArray[np.int32],
        values: npt.NDArray[np.float64] | None,
        margin: npt.NDArray[np.float64] | None,
    ) -> tuple[int, int, str]: ...

def normalise_codes(codes: npt.NDArray[Any]) -> npt.NDArray[Any]: ...

class TokenHead:
    def __init__(
        self, weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32] | None, threads: int
    ) -> None: ...
    def parameters(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]: ...
    def nll(
        self,
        hidden: npt.NDArray[np.float32],
        targets: npt.NDArray[np.int64],
        ignored: int,
        threads: int,
        out: npt.NDArray[np.float32],
    ) -> tuple[int, int, bool]: ...

class Encoder:
    def __init__(
        self,
        layers: Sequence[dict[str, npt.NDArray[np.float32]]],
        heads: int,
        activation: str,
        norm_first: bool,
        eps: float,
        norm: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32] | None] | None,
        precision: str,
        threads: int,
    ) -> None: ...
    def run(
        self, x: npt.NDArray[np.float32], offsets: npt.NDArray[np.int64], threads: int
    ) -> tuple[npt.NDArray[np.float32], int, int, bool]: ...
    @property
    def limit(self) -> float: ...

class MaskedTokenNetwork:
    def __init__(
        self,
        encoder: Encoder,
        embedding: npt.NDArray[np.float32],
        positions: npt.NDArray[np.float32] | None,
        head: TokenHead,
        mask_id: int,
    ) -> None: ...
    def pass_nll(
        self,
        ids: npt.NDArray[np.int32],
        offsets: npt.NDArray[np.int64],
        pass_events: npt.NDArray[np.int64],
        asked_offsets: npt.NDArray[np.int64],
        asked_places: npt.NDArray[np.int32],
        hides: bool,
        threads: int,
    ) -> npt.NDArray[np.float32]: ...
    def surprise(
        self,
        ids: npt.NDArray[np.int32],
        offsets: npt.NDArray[np.int64],
        is_scored: npt.NDArray[np.bool_],
        hides: bool,
        threads: int,
    ) -> npt.NDArray[np.float32]: ...

def nll_from_logits(
    logits: npt.NDArray[np.float32],
    targets: npt.NDArray[np.int64],
    ignored: int,
    threads: int,
    out: npt.NDArray[np.float32],
) -> tuple[int, int, bool]: ...
def first_wrong_target(targets: npt.NDArray[np.int64], n_tokens: int, ignored: int) -> int: ...
