"""Rules of the source tree and of the compiled module that no compiler checks."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from evtok import _core

ROOT = Path(__file__).resolve().parents[1]
CMAKE = ROOT / "cpp" / "CMakeLists.txt"
CPP_SUFFIXES = {".cpp", ".hpp", ".cu", ".cuh", ".h"}


def files_below(*folders: str, suffixes: set[str]) -> list[Path]:
    found = [p for folder in folders for p in sorted((ROOT / folder).rglob("*")) if p.suffix in suffixes]
    assert found, f"no source files below {folders}: is this a complete checkout?"
    return found


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (Debian: apt-get install binutils g++)")
    return path


def output_of(*command: str | Path) -> str:
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


def without_comments(path: Path) -> str:
    """Drop comments, which may name what the code must not use; line numbers stay."""
    text = path.read_text(encoding="utf-8")
    if path.suffix in CPP_SUFFIXES:
        text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m[0].count("\n"), text, flags=re.DOTALL)
        return re.sub(r"//[^\n]*", "", text)
    return re.sub(r"(^|\s)#[^\n]*", r"\1", text)


def lines_with(pattern: str, files: list[Path]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(without_comments(path).splitlines(), 1)
        if re.search(pattern, line)
    ]


# ---- text of the sources -----------------------------------------------------------------------------------

BUILD_FILES = [
    *(ROOT / name for name in ("CMakeLists.txt", "CMakePresets.json", "pyproject.toml", "Makefile")),
    *files_below("cpp", "cuda", suffixes={".txt"} | CPP_SUFFIXES),
]


@pytest.mark.parametrize(
    "flag",
    [
        "-march=native",
        "-mtune=native",
        "-ffast-math",
        "-Ofast",
        "-funsafe-math",
        "-ffp-contract=fast",
        "-mdaz-ftz",
    ],
)
def test_p9_p51_flags_that_change_numbers_or_need_this_cpu_are_not_used(flag: str) -> None:
    assert lines_with(re.escape(flag) + r"\b", BUILD_FILES) == []


def test_flags_of_the_numerical_contract_are_used() -> None:
    assert lines_with(r"-ffp-contract=off\b", [ROOT / "CMakeLists.txt"])
    for flag in ("-fmad=false", "-ftz=false", "-prec-div=true", "-prec-sqrt=true", "-ffp-contract=off"):
        assert lines_with(re.escape(flag) + r"\b", [ROOT / "cuda" / "CMakeLists.txt"])


def test_p27_openmp_is_not_used() -> None:
    assert (
        lines_with(r"(?i)-fopenmp|\bomp\.h|#\s*pragma\s+omp|find_package\(\s*OpenMP|-lgomp", BUILD_FILES)
        == []
    )


def test_kernels_know_nothing_of_python() -> None:
    bindings = files_below("cuda/bindings", suffixes=CPP_SUFFIXES)
    kernels = set(files_below("cpp/include", "cpp/src", "cuda", suffixes=CPP_SUFFIXES)) - set(bindings)
    assert lines_with(r"Python\.h|pybind11|\bPy[A-Z_]\w+", sorted(kernels)) == []


def test_includes_point_one_way() -> None:
    assert (
        lines_with(r'#include\s+"(?!evtok/)', files_below("cpp/include", "cpp/src", suffixes=CPP_SUFFIXES))
        == []
    ), "a kernel includes only evtok/*.hpp and system headers"


def test_files_of_an_instruction_set_include_no_stl() -> None:
    allowed = r"<immintrin\.h>|<cstdint>|<cstddef>|\"evtok/"
    for path in isa_sources():
        assert lines_with(rf"#include\s+(?!{allowed})", [path]) == []


def test_p43_nothing_is_unpickled_or_evaluated() -> None:
    python = files_below("python", suffixes={".py"})
    unsafe = "pickle|cPickle|dill|joblib|marshal|shelve"
    assert lines_with(rf"\bimport ({unsafe})\b|\bfrom ({unsafe})\b", python) == []
    assert (
        lines_with(r"allow_pickle\s*=\s*True|weights_only\s*=\s*False|(?<![\w.])(eval|exec)\(", python) == []
    )


def test_sources_name_no_place_of_one_machine() -> None:
    folders = ("python", "cpp", "cuda", "tests", "benchmarks", "examples")
    everything = files_below(*folders, suffixes={".py", ".toml", ".json"} | CPP_SUFFIXES)
    places = "|".join(("/ho" + "me/", "/wo" + "rk/", "/ro" + "ot/", "/op" + "t/", "site-pack" + "ages/"))
    assert lines_with(places, everything) == []


# ---- symbols -----------------------------------------------------------------------------------------------


def isa_sources() -> list[Path]:
    return [p for p in files_below("cpp/src", suffixes={".cpp"}) if re.search(r"_(avx\w*|sse\w*)$", p.stem)]


def isa_flags(path: Path) -> list[str]:
    """The flags that the build gives to the files of an instruction set."""
    variable = path.stem.rsplit("_", 1)[1].upper() + "_SOURCES"
    text = CMAKE.read_text(encoding="utf-8")
    match = re.search(rf'\$\{{{variable}\}}\s+PROPERTIES\s+COMPILE_OPTIONS\s+"([^"]+)"', text)
    assert match, f"{CMAKE}: no COMPILE_OPTIONS for {variable}"
    assert f"src/{path.name}" in text, f"{CMAKE}: {path.name} is not built"
    return match[1].split(";")


@pytest.mark.parametrize("path", isa_sources(), ids=lambda p: p.name)
def test_p51_an_object_of_an_instruction_set_exports_its_entry_points_alone(
    path: Path, tmp_path: Path
) -> None:
    """A weak symbol of such a file could replace the portable copy at link time: SIGILL on an older CPU."""
    if platform.machine() != "x86_64":
        pytest.skip("the files of x86 instruction sets are not built for this processor")
    compiled = tmp_path / "isa.o"
    include = ROOT / "cpp" / "include"
    flags = [
        "-std=c++20",
        "-O3",
        "-DNDEBUG",
        "-fPIC",
        "-fvisibility=hidden",
        "-ffp-contract=off",
        "-march=x86-64-v2",
    ]
    output_of(tool("g++"), *flags, *isa_flags(path), f"-I{include}", "-c", path, "-o", compiled)

    isa = path.stem.rsplit("_", 1)[1]
    headers = "\n".join(without_comments(p) for p in files_below("cpp/include", suffixes={".hpp"}))
    operation = path.stem.rsplit("_", 1)[0]
    declared = set(re.findall(rf"\b(\w+_{isa})\(", headers))
    exported = {}
    for line in output_of(tool("nm"), "--demangle", "--defined-only", "--extern-only", compiled).splitlines():
        _, kind, name = line.split(maxsplit=2)
        exported[name.split("(")[0]] = kind
    assert exported, f"{operation}: no entry point"
    assert {name: kind for name, kind in exported.items() if kind != "T"} == {}, "weak or data symbols"
    assert {name.removeprefix("evtok::") for name in exported} <= declared, "not declared in cpp/include"


def test_p27_the_module_needs_no_openmp_and_no_torch() -> None:
    needed = set(re.findall(r"\(NEEDED\).*\[(.+?)\]", output_of(tool("readelf"), "-d", _core.__file__)))
    c_and_cpp = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libgcc_s.so.1", "libstdc++.so.6"}
    assert needed <= c_and_cpp | {"ld-linux-x86-64.so.2"}


def test_the_module_exports_its_init_function_alone() -> None:
    lines = output_of(tool("nm"), "--dynamic", "--defined-only", "--extern-only", _core.__file__).splitlines()
    assert [line.split()[-1] for line in lines] == ["PyInit__core"]


def test_p9_the_module_changes_no_floating_point_mode_when_loaded() -> None:
    """GCC links crtfastmath.o, whose constructor sets flush-to-zero, into libraries built with fast-math."""
    assert "set_fast_math" not in output_of(tool("nm"), "--debug-syms", _core.__file__)
