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
def available_cpus() -> int: ...
def default_threads() -> int: ...
def copy_bytes(
    source: npt.NDArray[np.uint8], streaming: bool, threads: int, target: npt.NDArray[np.uint8]
) -> None: ...
def multiply_adds(steps: int, threads: int) -> tuple[int, float]: ...
def check_offsets(
    offsets: npt.NDArray[Any], content: int, max_per_event: int
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
    skip_bad: bool,
    float64: bool,
    threads: int,
) -> dict[str, Any]: ...
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
