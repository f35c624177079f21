"""The sections of a run, in their order. Each returns its status and what the table or a reader needs."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runner import ROOT, Runner

Result = dict[str, Any]

#: Packages whose versions are told.
_PACKAGES = ("numpy", "torch", "cupy", "triton", "cuvs", "pybind11", "pytest", "typer", "safetensors")
BENCHMARKS = {"tokenize": 110, "digitize": 40, "nearest": 170, "score": 100, "encoder": 90}
_ROWS = 100_000_000


def facts(runner: Runner) -> Result:
    """The machine and its tools."""
    status, smi = runner.run(["nvidia-smi"], 30)
    _, nvcc = runner.run(["nvcc", "--version"], 30)
    code = (
        "import importlib.metadata as m\n"
        f"for p in {_PACKAGES!r}:\n"
        "    n = [d.version for d in m.distributions() if d.name and d.name.split('-cu')[0] == p]\n"
        "    print(p, n[0] if n else None)"
    )
    _, packages = runner.run(runner.python("-c", code), 60)
    tools = {name: shutil.which(name) for name in ("cmake", "ninja", "g++", "nvcc", "compute-sanitizer")}
    return {
        "status": "ok" if status == "ok" or runner.emulated else status,
        "gpu": smi.splitlines()[:12],
        "nvcc": nvcc.strip().splitlines()[-2:],
        "python": sys.version.split()[0],
        "packages": dict(line.split(" ", 1) for line in packages.splitlines() if " " in line),
        "tools": tools,
    }


def build(runner: Runner) -> Result:
    """The package, by CMake alone, below `runner.site`."""
    if runner.wheels:
        wheels = sorted(Path(runner.wheels).glob("*.whl"))
        pip = runner.python("-m", "pip", "install", "-q", "--no-index", "--no-deps", "--upgrade")
        status, text = runner.run([*pip, "--target", runner.site, *wheels], 60)
        if status != "ok":
            return {"status": status, "of": "wheels", "end": text.splitlines()[-15:]}
    status, pybind11 = runner.run(runner.python("-m", "pybind11", "--cmakedir"), 30)
    if status != "ok":
        return {"status": status, "of": "pybind11: not installed; bring its wheel (--wheels)"}
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    kind = "emulated" if runner.emulated else "on"
    configure = [
        *("cmake", "-S", ROOT, "-B", runner.folder, "-DCMAKE_BUILD_TYPE=Release", "-DEVTOK_WERROR=OFF"),
        *(("-G", "Ninja") if shutil.which("ninja") else ()),
        *(f"-DEVTOK_CUDA={kind}", f"-DSKBUILD_PROJECT_VERSION={version[1]}"),
        *(f"-DPython_EXECUTABLE={sys.executable}", f"-Dpybind11_DIR={pybind11.strip().splitlines()[-1]}"),
    ]
    if not runner.emulated:
        configure += [f"-DCMAKE_CUDA_ARCHITECTURES={_architectures(runner)}", "-DCMAKE_CUDA_FLAGS=-Xptxas=-v"]
    for command, seconds in (
        (configure, 90),
        (["cmake", "--build", runner.folder, "--parallel", "--target", "_core", "_cuda"], 400),
    ):
        status, text = runner.run(command, seconds)
        if status != "ok":
            return {"status": status, "of": command[1], "end": text.splitlines()[-25:]}
    package = runner.site / "evtok"
    hidden = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / "python" / "evtok", package, ignore=hidden, dirs_exist_ok=True)
    shutil.copy(ROOT / "benchmarks" / "shapes.json", package / "bench")
    modules = [next(runner.folder.glob("cpp/_core*.so"))]
    if not runner.emulated:
        modules.append(next(runner.folder.glob("cuda/_cuda*.so")))
    for module in modules:
        shutil.copy(module, package)
    spilled = [line.strip() for line in text.splitlines() if re.search(r"[1-9]\d* bytes spill", line)]
    status, text = runner.run(runner.python("-m", "evtok.cli", "info"), 60)
    return {"status": status, "info": text.splitlines(), "kernels that spill registers": len(spilled)}


def first(runner: Runner) -> Result:
    """The first call of a fresh process, which must not compile anything: P52 allows 5 s."""
    code = (
        "import time, torch\n"
        "x = torch.zeros(1000, device='cuda'); torch.cuda.synchronize()\n"
        "t = time.perf_counter()\n"
        "import evtok\n"
        "evtok.digitize(x, [0.5]); torch.cuda.synchronize()\n"
        "print('first call:', time.perf_counter() - t)"
    )
    if runner.emulated:
        return {"status": "skipped", "why": "emulated"}
    status, text = runner.run(runner.python("-c", code), 60, runner.environment(CUDA_CACHE_DISABLE="1"))
    found = re.search(r"first call: (\S+)", text)
    taken = float(found[1]) if found else None
    if status == "ok" and (taken is None or taken > 5):
        status = f"failed (the first call took {taken} s)"
    return {"status": status, "first call": taken, "end": [] if status == "ok" else text.splitlines()[-15:]}


def tests(runner: Runner) -> Result:
    """tests/cuda on the device, with CuPy and with torch."""
    junit = f"--junitxml={runner.output / 'tests.xml'}"
    status, text = runner.run(_pytest(runner, "-ra", junit), 150)
    return {"status": status, "summary": _last_line(text), "failed": _failed(text)}


def sanitize(runner: Runner) -> Result:
    """The same tests, of CuPy alone, under compute-sanitizer: each tool by itself."""
    tool = shutil.which("compute-sanitizer")
    if tool is None or runner.emulated:
        return {"status": "skipped", "why": "emulated" if runner.emulated else "no compute-sanitizer"}
    result: Result = {"status": "ok"}
    for kind in ("memcheck", "racecheck", "initcheck"):
        command = [tool, "--tool", kind, "--error-exitcode", "9", "--print-limit", "20"]
        tested = _pytest(runner, "-k", "cupy and not forked and not bench")
        status, text = runner.run([*command, *tested], 75, runner.environment(EVTOK_TEST_UNPOOLED="1"))
        errors = re.findall(r"=========.*(?:ERROR SUMMARY|RACECHECK SUMMARY).*", text)
        result[kind] = {"status": status, "summary": errors[-1:], "tests": _last_line(text)}
        if status != "ok":
            result["status"] = f"{kind}: {status}"
    return result


def long(runner: Runner) -> Result:
    """Bit equality with the CPU over many rows."""
    if runner.emulated:
        return {"status": "skipped", "why": "emulated"}
    environment = runner.environment(EVTOK_TEST_GPU_ROWS=str(_ROWS))
    command = [*_pytest(runner, "-k", "long and torch"), "--durations=5"]
    status, text = runner.run(command, 120, environment)
    return {"status": status, "rows": _ROWS, "summary": _last_line(text), "failed": _failed(text)}


def bench(runner: Runner) -> Result:
    """`evtok bench --device cuda`: a process for each benchmark, their rows together in bench.json."""
    if runner.emulated:
        return {"status": "skipped", "why": "emulated"}
    result: Result = {"status": "ok"}
    run: dict[str, Any] | None = None
    for name, seconds in BENCHMARKS.items():
        part = runner.folder / f"bench-{name}.json"
        part.unlink(missing_ok=True)
        command = runner.python(
            "-m", "evtok.cli", "bench", name, "--device", "cuda", "--peers", "--json", part
        )
        status, text = runner.run(command, seconds)
        result[name] = {"status": status, "end": [] if status == "ok" else text.splitlines()[-6:]}
        if status != "ok":
            result["status"] = f"{name}: {status}"
        if part.is_file():
            more = json.loads(part.read_text(encoding="utf-8"))
            if run is None:
                run = more
            else:
                run["rows"] += more["rows"]
                run["rates"] += more["rates"]
            text = json.dumps(run, indent=1)
            (runner.output / "bench.json").write_text(text + "\n", encoding="utf-8")
    return result


SECTIONS: dict[str, Callable[[Runner], Result]] = {
    "facts": facts,
    "build": build,
    "first": first,
    "tests": tests,
    "sanitize": sanitize,
    "long": long,
    "bench": bench,
}


def _architectures(runner: Runner) -> str:
    if runner.architectures:
        return runner.architectures
    _, text = runner.run(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"], 30)
    found = re.search(r"(\d+)\.(\d+)", text)
    return f"{found[1]}{found[2]}-real" if found else "80-real;90-real;90-virtual"


def _pytest(runner: Runner, *arguments: str) -> list[Any]:
    command = runner.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "default", *arguments)
    return [*command, *([] if runner.emulated else ["-m", "gpu"]), "tests/cuda"]


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if re.search(r"\d+ (passed|failed|skipped|error)", line)]
    return lines[-1].strip("= ") if lines else ""


def _failed(text: str) -> list[str]:
    return [line[:300] for line in text.splitlines() if line.startswith(("FAILED", "ERROR"))]
