"""Peers on a GPU: what an experienced user writes with torch, torch.compile, CuPy and cuVS, and writes well.

A peer is tried once before the case is made. One that is not installed or that fails is named in the row, and the row
is measured without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Literal

from evtok import _core
from evtok.bench.gpu.device import Device
from evtok.bench.gpu.facts import version_of_any
from evtok.bench.harness import Contestant

#: Role, version and threads of our contestants.
OURS: tuple[Literal["ours"], str, int] = ("ours", _core.version, 0)


class Peers:
    """The peers of one case.

    Parameters
    ----------
    device : Device
    wanted : bool
        Otherwise there is none.

    Attributes
    ----------
    contestants : list of Contestant
    absent : list of str
        Packages that are not installed.
    notes : list of str
        Why a peer is not there.
    """

    def __init__(self, device: Device, wanted: bool) -> None:
        self.contestants: list[Contestant] = []
        self.absent: list[str] = []
        self.notes: list[str] = []
        self._device = device
        self._wanted = wanted

    def add(
        self,
        name: str,
        package: str,
        make: Callable[[Any], Callable[[], Any]],
        *,
        exact: bool = True,
        amount: int | None = None,
    ) -> None:
        """Add what ``make(package's module)`` returns, if it can be run.

        Parameters
        ----------
        name : str
        package : str
            One of `evtok.bench.gpu.facts.PEERS`.
        make : callable
            Takes the module, returns what does the work.
        exact, amount
            As `Contestant` has them.
        """
        if not self._wanted:
            return
        version = version_of_any(package)
        if version is None:
            if package not in self.absent:
                self.absent.append(package)
            return
        try:
            module = self._device.torch() if package == "torch" else import_module(package)
            run = make(module)
            run()
        except Exception as error:
            self.notes.append(f"{name} is not compared: {type(error).__name__}: {_first_line(error)}")
            return
        self.contestants.append(Contestant(name, run, "peer", version, 0, exact, amount=amount))


def compiled(torch: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what `torch.compile` makes of `function`, for the shapes of its first call, whole or not at all."""
    # torch counts what it compiles by the line of the source, and refuses the ninth: that of earlier cases is dropped.
    torch.compiler.reset()
    made: Callable[..., Any] = torch.compile(function, fullgraph=True, dynamic=False)
    return made


def without_gradients(torch: Any, run: Callable[[], Any]) -> Callable[[], Any]:
    """Return `run` in inference mode."""

    def without() -> Any:
        with torch.inference_mode():
            return run()

    return without


class Turns:
    """Equal inputs at several addresses, taken in turn, so that no call finds what the one before has left.

    Parameters
    ----------
    copies : sequence of sequence of arrays
        On the device.
    """

    def __init__(self, copies: Sequence[Sequence[Any]]) -> None:
        self._copies = copies
        self._next = 0

    @classmethod
    def of(cls, device: Device, *arrays: Any, copies: int = 2) -> Turns:
        """Return copies of arrays of the host."""
        return cls([[device.put(array) for array in arrays] for _ in range(copies)])

    def __call__(self) -> Sequence[Any]:
        """Return the arrays of the next turn."""
        self._next = (self._next + 1) % len(self._copies)
        return self._copies[self._next]


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else ""
