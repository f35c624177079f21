// Facts about the build and the machine, and the hooks that tie the thread pool to Python.
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "arrays.hpp"
#include "bind.hpp"
#include "evtok/float_environment.hpp"
#include "evtok/isa.hpp"
#include "evtok/numerics.hpp"
#include "evtok/parallel.hpp"

namespace evtok::bindings {
namespace {

// Runs Python's pending signal handlers; true when one raised (Ctrl-C). Does nothing off the main thread.
bool signal_raised() {
  const py::gil_scoped_acquire acquire;
  return PyErr_CheckSignals() != 0;
}

Isa isa_by_name(const std::string& name) {
  for (int i = 0; i < kIsaCount; ++i)
    if (name == isa_name(static_cast<Isa>(i))) return static_cast<Isa>(i);
  throw py::value_error("isa: expected scalar, avx2, avx512 or avx512_bf16, got " + name);
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (int i = 0; i < kIsaCount; ++i)
    if (isa_available(static_cast<Isa>(i))) names.emplace_back(isa_name(static_cast<Isa>(i)));
  return names;
}

// For a `with` block: from entry to exit, on one thread.
class FloatEnvironmentBlock {
public:
  void enter() {
    if (environment_) throw std::runtime_error("FloatEnvironment: is entered already");
    environment_.emplace();
  }
  void exit() { environment_.reset(); }

private:
  std::optional<FloatEnvironment> environment_;
};

}  // namespace

void bind_runtime(py::module_& m) {
  (void)active_isa();  // an EVTOK_ISA that cannot run fails the import, not a later call
  (void)default_threads();
  set_interrupt_check(&signal_raised);
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const Cancelled&) {
      if (!PyErr_Occurred())
        PyErr_SetNone(PyExc_KeyboardInterrupt);  // else the handler's own exception stands
    }
  });

  m.attr("version") = EVTOK_VERSION;
  m.attr("numerics_version") = kNumericsVersion;
  m.attr("compiler") = EVTOK_COMPILER;
  m.attr("compile_flags") = EVTOK_COMPILE_FLAGS;
  m.attr("build_type") = EVTOK_BUILD_TYPE;
  m.attr("sanitize") = EVTOK_SANITIZE;

  m.def(
      "active_isa", [] { return std::string(isa_name(active_isa())); },
      "The instruction set of this thread's calls.");
  m.def("available_isas", &available_isas, "Instruction sets that this CPU can run.");
  m.def(
      "force_isa", [](const std::string& name) { force_isa(isa_by_name(name)); }, py::arg("isa"),
      "Force an instruction set for calls from this thread.");
  m.def("unforce_isa", &unforce_isa, "Undo force_isa.");
  py::class_<FloatEnvironmentBlock>(
      m, "FloatEnvironment",
      "Context manager: round to nearest and compute subnormals on this thread, whatever the caller has set.")
      .def(py::init<>())
      .def("__enter__", [](FloatEnvironmentBlock& block) { block.enter(); })
      .def("__exit__", [](FloatEnvironmentBlock& block, const py::args&) { block.exit(); });
  m.def("available_cpus", &available_cpus, "CPUs in the affinity mask and the cgroup's quota.");
  m.def("default_threads", &default_threads, "Threads of a call that names none.");
}

}  // namespace evtok::bindings
