"""What a training changes in its process and puts back: torch's generators and switches, Lightning's log, signals."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import warnings
from collections.abc import Iterator

import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.utilities.exceptions import SIGTERMException


@contextlib.contextmanager
def torch_state_kept(cuda: bool) -> Iterator[None]:
    """Put back torch's global generators, switches and thread count."""
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    devices = [torch.cuda.current_device()] if cuda else []
    with torch.random.fork_rng(devices), torch.enable_grad():
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
            # Some programs freeze this switch, and may not even set it to what it is.
            if torch.backends.cudnn.benchmark != benchmark:
                torch.backends.cudnn.benchmark = benchmark


@contextlib.contextmanager
def lightning_silenced() -> Iterator[None]:
    """Keep Lightning's remarks on devices, progress and its products from the log; errors still come."""
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PossibleUserWarning)
        warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)  # Lightning's use of torch
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextlib.contextmanager
def interrupts_raised() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end a training as they end any program.

    Lightning answers Ctrl-C with exit code 1 and ignores it from then on, and SIGTERM with exit code 0.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SIGTERMException:
        raise SystemExit(128 + signal.SIGTERM) from None
    except BaseException as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if in_main_thread:
            signal.signal(signal.SIGINT, handler)
