"""Benchmarks on a GPU: the harness of `evtok.bench`, with the device's own clock, limits and peers.

`device` is what they need of a GPU, `facts` what is said about it; the other modules make the cases, each like the
module of `evtok.bench` that has its name. Their results are compared with those of the CPU's kernels.
"""

from __future__ import annotations
