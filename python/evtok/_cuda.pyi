# Addresses are integers: of device memory, or of a stream (0: the default one). Nothing here waits for the device
# unless its name says so.
from typing import Any

import numpy as np
import numpy.typing as npt

version: str
emulated: bool
toolkit: str  # such as "13.0"; "" where emulated

# ---- devices ----

def device_count() -> int: ...
def device_attributes(device: int) -> dict[str, Any]: ...
def use_device(device: int) -> None: ...
def synchronize(stream: int) -> None: ...
def synchronize_device() -> None: ...
def clear_statuses(statuses: int, n: int, stream: int) -> None: ...
def set_order(seed: int) -> None: ...  # of an emulated module alone

# ---- one function for each kernel ----

def digitize_float32(
    x: int, n: int, edges: int, n_edges: int, right: bool, falling: bool, codes: int, stream: int
) -> None: ...
def digitize_float64(
    x: int, n: int, edges: int, n_edges: int, right: bool, falling: bool, codes: int, stream: int
) -> None: ...

# ---- events and their tokens ----

long_event: int  # more objects than this need scratch memory to be ordered
events_of_a_block: int  # of the prefix sum of offsets

def check_offsets_int32(
    x: int, n_events: int, content: int, max_per_event: int, checked: int, summary: int, stream: int
) -> None: ...
def check_offsets_uint32(
    x: int, n_events: int, content: int, max_per_event: int, checked: int, summary: int, stream: int
) -> None: ...
def check_offsets_int64(
    x: int, n_events: int, content: int, max_per_event: int, checked: int, summary: int, stream: int
) -> None: ...
def narrow_codes_uint8(codes: int, n: int, n_types: int, narrow: int, status: int, stream: int) -> None: ...
def narrow_codes_int32(codes: int, n: int, n_types: int, narrow: int, status: int, stream: int) -> None: ...
def narrow_codes_int64(codes: int, n: int, n_types: int, narrow: int, status: int, stream: int) -> None: ...
def bin_buckets(
    edges: npt.NDArray[np.float32], options: dict[str, Any], most: int
) -> tuple[bytes, bytes]: ...

class RowProgram:
    def __init__(self, n_rows: int) -> None: ...
    def add_types(self, codes: int, contributions: npt.NDArray[np.int32], base: int) -> None: ...
    def add_bins(
        self,
        x: int,
        float64: bool,
        edges: int,
        n_edges: int,
        reference: int,
        table: int,
        function: bytes,
        options: dict[str, Any],
    ) -> None: ...
    def add_digits(self, digits: int, n_digits: int, base: int) -> None: ...
    def set_vocabulary(self, factorised: bool, base: int, unknown: int) -> None: ...
    def set_ranks(self, ranks: int, n: int) -> None: ...
    def set_seen(self, seen: int, n: int) -> None: ...
    def set_offsets(self, offsets: int, n_events: int) -> None: ...
    def width(self) -> int: ...
    def ids_int32(self, out: int, statuses: int, stream: int) -> None: ...
    def ids_uint16(self, out: int, statuses: int, stream: int) -> None: ...

class SequencePlan:
    def __init__(
        self,
        before: list[tuple[int, int]],
        after: list[tuple[int, int]],
        sort_by: int,
        sort_float64: bool,
        max_objects: int,
    ) -> None: ...
    def offsets(
        self,
        offsets: int,
        n_events: int,
        width: int,
        partial: int,
        out_offsets: int,
        truncated: int,
        stream: int,
    ) -> None: ...
    def write_int32(
        self,
        ids: int,
        offsets: int,
        n_events: int,
        n_objects: int,
        width: int,
        longest: int,
        out_offsets: int,
        order: int,
        out: int,
        stream: int,
    ) -> None: ...
    def write_uint16(
        self,
        ids: int,
        offsets: int,
        n_events: int,
        n_objects: int,
        width: int,
        longest: int,
        out_offsets: int,
        order: int,
        out: int,
        stream: int,
    ) -> None: ...

# ---- scores ----

most_nll_dims: int
nll_faults: int  # statuses that token_nll and nll_from_logits take
segment_faults: int  # statuses that reduce_segments takes

def nll_sizes(n_tokens: int, n_dims: int, bfloat16: bool) -> tuple[int, int, int]: ...
def pack_head(
    weight: int,
    bfloat16: bool,
    bias: int,
    n_tokens: int,
    n_dims: int,
    packed_weight: int,
    packed_bias: int,
    largest: int,
    stream: int,
) -> None: ...
def token_nll(
    weight: int,
    bias: int,
    largest: int,
    n_tokens: int,
    n_dims: int,
    weight_bfloat16: bool,
    hidden: int,
    hidden_bfloat16: bool,
    targets: int,
    n: int,
    ignored: int,
    parts: int,
    target_logits: int,
    statuses: int,
    nll: int,
    stream: int,
) -> None: ...
def nll_from_logits(
    logits: int,
    bfloat16: bool,
    targets: int,
    n: int,
    n_tokens: int,
    ignored: int,
    statuses: int,
    nll: int,
    stream: int,
) -> None: ...
def score_rows(
    x: int,
    n: int,
    n_dims: int,
    score: int,
    other: int,
    own_other: bool,
    mean: bool,
    status: int,
    out: int,
    stream: int,
) -> None: ...
def class_distances(
    x: int,
    n: int,
    n_dims: int,
    n_classes: int,
    shared: bool,
    centres: int,
    factors: int,
    whitened: int,
    status: int,
    scores: int,
    nearest: int,
    stream: int,
) -> None: ...
def histogram_score(
    x: int, n: int, n_dims: int, edges: int, values: int, ends: int, status: int, out: int, stream: int
) -> None: ...
def reduce_segments_float32(
    values: int,
    n_values: int,
    offsets: int,
    n_events: int,
    weights: int,
    types: int,
    type_weights: int,
    n_types: int,
    reduction: int,
    k: int,
    empty: float,
    statuses: int,
    out: int,
    stream: int,
) -> None: ...
def reduce_segments_float64(
    values: int,
    n_values: int,
    offsets: int,
    n_events: int,
    weights: int,
    types: int,
    type_weights: int,
    n_types: int,
    reduction: int,
    k: int,
    empty: float,
    statuses: int,
    out: int,
    stream: int,
) -> None: ...

# ---- the nearest code ----

def box_sizes(n_codes: int, n_dims: int) -> tuple[int, int, int, int]: ...  # branches, leaves, codes, ids
def prepare_codes_float32(
    codes: int,
    n_codes: int,
    n_dims: int,
    panels: int,
    largest: int,
    stream: int,
) -> None: ...
def prepare_codes_float64(
    codes: int,
    n_codes: int,
    n_dims: int,
    panels: int,
    largest: int,
    stream: int,
) -> None: ...
def prepare_boxes_float32(
    codes: int,
    n_codes: int,
    n_dims: int,
    order: int,
    branches: int,
    leaves: int,
    ordered: int,
    ids: int,
    stream: int,
) -> None: ...
def prepare_boxes_float64(
    codes: int,
    n_codes: int,
    n_dims: int,
    order: int,
    branches: int,
    leaves: int,
    ordered: int,
    ids: int,
    stream: int,
) -> None: ...
def normalise_codes_float32(
    codes: int,
    n_codes: int,
    n_dims: int,
    normalised: int,
    status: int,
    stream: int,
) -> None: ...
def normalise_codes_float64(
    codes: int,
    n_codes: int,
    n_dims: int,
    normalised: int,
    status: int,
    stream: int,
) -> None: ...
def nearest_float32(
    x: int,
    n: int,
    mask: int,
    codes: int,
    n_codes: int,
    n_dims: int,
    metric: int,
    panels: int,
    largest: int,
    branches: int,
    leaves: int,
    ordered: int,
    box_ids: int,
    k: int,
    ids: int,
    values: int,
    margin: int,
    statuses: int,
    route: int,
    stream: int,
) -> None: ...
def nearest_float64(
    x: int,
    n: int,
    mask: int,
    codes: int,
    n_codes: int,
    n_dims: int,
    metric: int,
    panels: int,
    largest: int,
    branches: int,
    leaves: int,
    ordered: int,
    box_ids: int,
    k: int,
    ids: int,
    values: int,
    margin: int,
    statuses: int,
    route: int,
    stream: int,
) -> None: ...
def filter_sizes(n_codes: int, n_dims: int) -> tuple[int, int, int]: ...
def prepare_filter(
    codes: int,
    n_codes: int,
    n_dims: int,
    dot: bool,
    centre: int,
    fragments: int,
    bias: int,
    longest: int,
    stream: int,
) -> None: ...
def nearest_filter(
    x: int,
    n: int,
    mask: int,
    codes: int,
    n_codes: int,
    n_dims: int,
    metric: int,
    panels: int,
    largest: int,
    centre: int,
    fragments: int,
    bias: int,
    longest: int,
    rows: int,
    slack: int,
    minima: int,
    counts: int,
    lists: int,
    scratch_rows: int,
    ids: int,
    values: int,
    statuses: int,
    stream: int,
) -> None: ...
def code_sums_float32(
    x: int,
    n_dims: int,
    order: int,
    starts: int,
    n_codes: int,
    sums: int,
    stream: int,
) -> None: ...
def code_sums_float64(
    x: int,
    n_dims: int,
    order: int,
    starts: int,
    n_codes: int,
    sums: int,
    stream: int,
) -> None: ...
