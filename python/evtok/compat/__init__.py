"""Drop-ins: the calls of other packages for nearest codes and bins, with their signatures and evtok's kernels.

One module for each peer, named after it, so that a change of one import is the whole change::

    from evtok.compat.scipy import vq
    from evtok.compat.sklearn import pairwise_distances_argmin, pairwise_distances_argmin_min
    from evtok.compat.faiss import IndexFlatL2, IndexFlatIP
    from evtok.compat.numpy import digitize, searchsorted
    from evtok.compat.torch import bucketize

`evtok.compat.vector_quantize_pytorch.nearest` is another thing: that package's ids, ties included, computed by torch.

Each keeps its peer's return types, dtypes, and rules for NaN and empty input. Arguments that evtok has no kernel for
(other metrics, sparse arrays, callables, strings ...) go to the peer itself, and `evtok.last_backend()` names it;
no peer has to be installed for the rest. `python -m evtok.compat.disagreement` counts how often the answers differ,
and why.
"""

from __future__ import annotations
