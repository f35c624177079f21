from typing import Any

import numpy as np
import numpy.typing as npt

version: str
numerics_version: int
compiler: str
compile_flags: str
build_type: str
sanitize: str

def active_isa() -> str: ...
def available_isas() -> list[str]: ...
def force_isa(isa: str) -> None: ...
def unforce_isa() -> None: ...
def available_cpus() -> int: ...
def default_threads() -> int: ...
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
