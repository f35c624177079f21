"""Benchmarks: verified first, then timed beside a peer and beside what the machine can do.

`harness` measures a `Case`; `registry` names the module that makes the cases of each benchmark; `machine` states and
measures the machine; `document` is the JSON of a run, `compare` sets two of them side by side. A new benchmark is one
module with a function `cases` and one line in the registry.
"""

from __future__ import annotations
