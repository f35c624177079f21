"""P25, P27, P28: what a search does to the process: the GIL, OpenMP runtimes, threads."""

from __future__ import annotations

import subprocess
import sys
import sysconfig

import pytest

from python_process import lines
from test_threads import OPENMP

# A codebook and rows for each route of the search: few codes, boxes, and the filter with and without a margin.
SEARCHES = """
import evtok
rng = np.random.default_rng(0)
searches = []
for n, k, d, margin in ((200_000, 30, 3, False), (60_000, 1000, 2, False), (20_000, 500, 16, False),
                        (5_000, 500, 16, True)):
    x, codes = rng.normal(size=(n, d)).astype(np.float32), rng.normal(size=(k, d)).astype(np.float32)
    searches.append((x, evtok.Codebook(codes), margin))

def search(threads=None):
    return [codebook.nearest(x, return_margin=margin, threads=threads) for x, codebook, margin in searches]
"""


def test_p25_searches_leave_a_free_threaded_python_free() -> None:
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("this Python is not a free-threaded one")
    code = "import sys, evtok, numpy; evtok.nearest(numpy.eye(3), numpy.eye(3)); print(sys._is_gil_enabled())"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.stdout == "False\n", result.stderr


# ---- P27: OpenMP ------------------------------------------------------------------------------------------------


def test_p27_a_search_loads_no_openmp_runtime() -> None:
    assert lines(f"{OPENMP}{SEARCHES}\nsearch(threads=3)\nprint(openmp())") == ["[]"]


@pytest.mark.peers
@pytest.mark.parametrize("order", ["evtok torch sklearn", "sklearn torch evtok"])
def test_p27_beside_peers_in_any_order_a_search_adds_no_runtime_and_nobody_changes(order: str) -> None:
    for name in order.split():
        pytest.importorskip(name)
    code = f"""
rng = np.random.default_rng(0)
x, codes = rng.normal(size=(4000, 8)).astype(np.float32), rng.normal(size=(300, 8)).astype(np.float32)

def by_evtok():
    import evtok
    return evtok.nearest(x, codes, threads=3)

def by_torch():
    import torch
    torch.set_num_threads(2)
    return torch.cdist(torch.from_numpy(x), torch.from_numpy(codes)).argmin(1).numpy()

def by_sklearn():
    from sklearn.metrics import pairwise_distances_argmin
    return pairwise_distances_argmin(x, codes)

calls, first = [], {{}}
for name in "{order}".split():
    before = openmp()
    first[name] = globals()["by_" + name]()
    if name == "evtok":
        print(openmp() == before)
same = all(np.array_equal(globals()["by_" + name](), ids) for name, ids in first.items())
import torch
print(same, torch.get_num_threads(), np.array_equal(first["evtok"], first["sklearn"]))
"""
    assert lines(OPENMP + code) == ["True", "True", "2", "True"]


# ---- P28: threads -----------------------------------------------------------------------------------------------


def test_p28_a_search_starts_the_threads_it_was_given_and_no_more() -> None:
    code = f"""{SEARCHES}
before = threads_of_process()
for threads in (1, 2, 4, 3):
    search(threads)
    print(threads_of_process() - before)
"""
    assert lines(code) == ["0", "1", "3", "3"]


def test_p28_the_default_is_evtok_num_threads() -> None:
    code = f"{SEARCHES}\nbefore = threads_of_process()\nsearch()\nprint(threads_of_process() - before)"
    assert lines(code, EVTOK_NUM_THREADS="3") == ["2"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_p28_no_more_threads_work_than_were_given_and_idle_ones_sleep() -> None:
    """With 4 threads there, a search with fewer uses that many: the processor time of each thread says so."""
    code = f"""{SEARCHES}
def worked():
    seconds = {{}}
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{{task}}/schedstat") as file:
            seconds[task] = int(file.read().split()[0]) * 1e-9
    return seconds

search(4)
counts = []
for x, codebook, margin in searches:
    for threads in (1, 2, 3):
        time.sleep(0.02)
        before = worked()
        codebook.nearest(x, return_margin=margin, threads=threads)
        after = worked()
        counts.append((threads, sum(after[task] - before[task] > 0.0005 for task in after)))
# The time of a running thread is counted at ticks, so a short search may seem to have used none; never too many.
print((all(count <= threads for threads, count in counts) and any(count > 1 for _, count in counts)) or counts)
time.sleep(0.05)
used = time.process_time()
time.sleep(0.4)
print(time.process_time() - used < 0.04)
"""
    assert lines(code) == ["True", "True"]
