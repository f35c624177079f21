# make demo and make test do all set-up: python3 with venv and headers, g++ and make are enough.
.PHONY: demo test bench lint format clean

PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
# Pins what is installed, and what builds it (the second name is for pip 25.3 and later).
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_BUILD_CONSTRAINT := $(PIP_CONSTRAINT)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

SOURCES := pyproject.toml CMakeLists.txt constraints.txt $(shell find cpp python -type f \
  ! -name '*.so' ! -name '*.pyc' ! -path 'cpp/tests/*')

demo: $(VENV)/demo.stamp
	$(BIN)/python examples/demo.py demo-output

# The tests import the installed package, not the checkout: its sources lie in python/. Those that measure time come
# first, by themselves (5: none of them was chosen); threads of OpenMP that wait leave the CPUs to the other tests.
# The CUDA kernels are compiled as plain C++ too, for tests without a GPU.
PYTEST := EVTOK_TEST_EMULATED_CUDA=`ls $(CURDIR)/build/cuda-emulated/cuda/_cuda*.so` $(BIN)/python -m pytest
test: $(VENV)/test.stamp
	cmake --preset release $(CMAKE_ARGUMENTS)
	cmake --build --preset release
	ctest --preset release
	cmake --preset cuda-emulated -DSKBUILD_PROJECT_VERSION=`$(BIN)/python -c 'import evtok; print(evtok.__version__)'` \
	  -DPython_EXECUTABLE=$(BIN)/python -Dpybind11_DIR=`$(BIN)/python -m pybind11 --cmakedir`
	cmake --build --preset cuda-emulated
	$(PYTEST) -m alone $(PYTEST_ARGUMENTS) || [ $$? = 5 ]
	OMP_WAIT_POLICY=passive $(PYTEST) -m 'not alone' -n auto --maxprocesses 4 --dist loadfile $(PYTEST_ARGUMENTS)

bench: $(VENV)/test.stamp
	$(BIN)/python -m pip install numba
	mkdir -p bench-output
	$(BIN)/evtok bench --peers --json bench-output/bench.json

LINTED := cpp cuda
lint: $(VENV)/test.stamp
	ruff check .
	ruff format --check .
	find $(LINTED) -name '*.[ch]pp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' | xargs clang-format --dry-run -Werror
	mypy
	$(BIN)/python -m mypy.stubtest evtok._core --allowlist tests/stubtest-allowlist.txt
	ls build/cuda-emulated/cuda/_cuda*.so >/dev/null 2>&1 || { echo 'SKIP stubs of evtok._cuda: see make test'; exit; }; \
	mkdir -p build/stubs && cp python/evtok/_cuda.pyi build/stubs/ && \
	MYPYPATH=build/stubs PYTHONPATH=build/cuda-emulated/cuda $(BIN)/python -m mypy.stubtest _cuda \
	  --allowlist tests/stubtest-allowlist-cuda.txt

format: $(VENV)/test.stamp
	ruff check --fix .
	ruff format .
	find $(LINTED) -name '*.[ch]pp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' | xargs clang-format -i

clean:
	rm -rf $(VENV) build dist demo-output bench-output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/created.stamp:
	$(PYTHON) -m venv $(VENV)
	touch $@

# A stamp is older than any source that changed since: then the package is built and installed anew.
$(VENV)/demo.stamp: $(VENV)/created.stamp $(SOURCES)
	$(BIN)/python -m pip install '.[io,cli,plot,torch]'
	touch $@

$(VENV)/test.stamp: $(VENV)/created.stamp $(SOURCES)
	$(BIN)/python -m pip install '.[io,cli,plot,torch,trees,dev]'
	touch $@ $(VENV)/demo.stamp
