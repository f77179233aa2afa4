"""A reader's function, run so that it can do no harm: it may loop, raise, exit, print, change its input.

It runs in a thread of its own, on copies of the arguments; what it prints is kept, not shown. Its limit is in
processor time, so that a busy machine fails nobody; waiting and memory have limits, too. A function that does
not come back is stopped by an exception raised inside it, again and again, for it may catch some.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import gc
import os
import random
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch

try:
    import resource
except ImportError:  # Windows: nobody watches the memory there
    resource = None  # type: ignore[assignment]

__all__ = ["Outcome", "call", "guarded", "plainly", "sealed"]

PRINT_LIMIT = 20_000  # characters kept of what a function prints
PATIENCE = 3.0  # seconds that we try to stop a function that does not come back
IDLE = 12  # so many times its limit by the clock may a function take that waits, or shares a busy machine
ROOM = 2 * 2**30  # bytes by which a function may raise the most memory that the process has held


class TimeUp(SystemExit):
    """Raised inside a function that took too long."""


@dataclass
class Outcome:
    """What came of one call: a value or an error, or neither where time was up."""

    value: Any = None
    error: BaseException | None = None
    timeout: bool = False
    over: str = ""  # where time was up, what was: "computing", "waiting", or its "memory"
    stuck: bool = False  # it could not be stopped: it still runs
    printed: str = ""
    changed: tuple[int, ...] = ()  # positions of the arguments that it changed


class _Capture:
    """Stands in for stdout or stderr: keeps what one thread writes, passes on what the others write."""

    def __init__(self, original: Any) -> None:
        self.original, self.thread, self.room = original, 0, PRINT_LIMIT
        self.kept: list[str] = []

    def write(self, text: str) -> int:
        if threading.get_ident() != self.thread:
            return int(self.original.write(text) or 0) if self.original is not None else len(text)
        if self.room > 0:
            self.kept.append(str(text)[: self.room])
            self.room -= len(self.kept[-1])
        return len(text)

    def flush(self) -> None:
        if threading.get_ident() != self.thread and self.original is not None:
            self.original.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


class _Worker(threading.Thread):
    """Calls the function once; after `finished` is set no exception from outside reaches it any more."""

    def __init__(self, function: Callable[[], Any], captures: list[_Capture]) -> None:
        super().__init__(daemon=True)
        self._invoke_excepthook = lambda thread: None  # what escapes at the very end is told to nobody
        self.function, self.captures = function, captures
        self.lock, self.finished, self.started = threading.Lock(), False, False
        self.value: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        for capture in self.captures:
            capture.thread = threading.get_ident()
        while not self.finished:
            try:
                self._run()
            except BaseException as error:  # that came while another one was caught
                self.error = self.error or error

    def _run(self) -> None:
        while not self.finished:
            try:
                if not self.started:
                    self.started = True
                    self.value = self.function()
                with self.lock:
                    self.finished = True
                    _raise_in(self, None)
            except BaseException as error:
                self.error = self.error or error

    def interrupt(self) -> None:
        with self.lock:
            if not self.finished:
                _raise_in(self, TimeUp)

    def stop(self) -> bool:
        """Raise inside the function until it ends; False where it does not."""
        deadline = time.monotonic() + PATIENCE
        while self.is_alive() and time.monotonic() < deadline:
            self.interrupt()
            self.join(0.003)
        return not self.is_alive()


def _raise_in(thread: threading.Thread, error: type[BaseException] | None) -> None:
    if thread.ident is not None:
        argument = ctypes.py_object(error) if error is not None else None
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), argument)


def sealed(value: Any) -> Any:
    """A copy that shares no memory with the original."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, tuple | list):
        return type(value)(sealed(item) for item in value)
    if isinstance(value, dict):
        return {key: sealed(item) for key, item in value.items()}
    if isinstance(value, torch.Generator):
        twin = torch.Generator(value.device)
        twin.set_state(value.get_state())
        return twin
    return copy.deepcopy(value)


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, torch.Tensor):
        if not isinstance(after, torch.Tensor) or before.shape != after.shape or before.dtype != after.dtype:
            return False
        if before.requires_grad != after.requires_grad or (before.grad is None) != (after.grad is None):
            return False
        one, two = before.detach(), after.detach()
        return torch.equal(one.isnan(), two.isnan()) and torch.equal(one.nan_to_num(), two.nan_to_num())
    if isinstance(before, tuple | list):
        return len(before) == len(after) and all(_same(*pair) for pair in zip(before, after, strict=True))
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(_same(before[key], after[key]) for key in before)
    if isinstance(before, torch.nn.Module) and isinstance(after, torch.nn.Module):
        modes = ([each.training for each in module.modules()] for module in (before, after))
        return next(modes) == next(modes) and _same(dict(before.state_dict()), dict(after.state_dict()))
    return True if isinstance(before, torch.Generator) else bool(before == after)


def call(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], seconds: float
) -> Outcome:
    """Call a function that is not to be trusted, on copies of the arguments; never raises what it raises.

    `seconds` is the processor time that it may take.
    """
    given, named = (
        tuple(sealed(value) for value in args),
        {key: sealed(value) for key, value in kwargs.items()},
    )
    captures = [_Capture(sys.stdout), _Capture(sys.stderr)]
    worker = _Worker(lambda: function(*given, **named), captures)
    outcome = Outcome()
    out, err = (cast(Any, capture) for capture in captures)
    with guarded(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            worker.start()
            seconds = max(seconds, 0.01)
            limits = {
                "computing": (time.process_time, time.process_time() + seconds),
                "waiting": (time.monotonic, time.monotonic() + IDLE * seconds),
                "memory": (_most_memory, _most_memory() + ROOM),
            }
            while worker.is_alive() and not outcome.over:
                worker.join(min(0.05, seconds))
                outcome.over = next((what for what, (now, end) in limits.items() if now() >= end), "")
        except BaseException:  # the reader's own Ctrl-C
            worker.stop()
            raise
        if worker.is_alive():
            outcome.timeout, outcome.stuck = True, not worker.stop()
    if isinstance(worker.error, TimeUp):  # it ran elsewhere, and its time was up there
        outcome.timeout = True
        outcome.over = outcome.over or "computing"
    outcome.printed = "".join(part for capture in captures for part in list(capture.kept))
    if not outcome.timeout:
        outcome.value, outcome.error = worker.value, worker.error
        with contextlib.suppress(Exception):
            pairs = enumerate(zip(args, given, strict=True))
            outcome.changed = tuple(index for index, pair in pairs if not _same(*pair))
    return outcome


def plainly(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], seconds: float = 0.0
) -> Outcome:
    """The same for a function that is known to end and to do no harm, without a thread: much cheaper."""
    try:
        return Outcome(function(*sealed(args), **{key: sealed(value) for key, value in kwargs.items()}))
    except Exception as error:
        return Outcome(error=error)


def _most_memory() -> int:
    """The most bytes that the process has held so far; 0 where nobody says."""
    if resource is None:
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def _figures() -> set[int]:
    pyplot = sys.modules.get("matplotlib.pyplot")
    return set(pyplot.get_fignums()) if pyplot is not None else set()


@contextlib.contextmanager
def _session() -> Iterator[None]:
    """What a function may leave behind: folder, warnings, collector, anomaly detection, open figures."""
    folder, collects, figures = os.getcwd(), gc.isenabled(), _figures()
    anomalies = torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()
    try:
        with warnings.catch_warnings():
            yield
    finally:
        if (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()) != anomalies:
            torch.autograd.set_detect_anomaly(*anomalies)
        (gc.enable if collects else gc.disable)()
        for number in _figures() - figures:
            sys.modules["matplotlib.pyplot"].close(number)
        os.chdir(folder)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Known global state inside, and whatever was set before put back outside."""
    dtype, limit, threads = torch.get_default_dtype(), sys.getrecursionlimit(), torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    torch_state, python_state = torch.get_rng_state(), random.getstate()
    numpy_random = sys.modules.get("numpy.random")
    numpy_state = numpy_random.get_state() if numpy_random is not None else None
    torch.set_default_dtype(torch.float32)
    try:
        with (
            _session(),
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.device("cpu"),
            torch.autocast("cpu", enabled=False),
        ):
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_rng_state(torch_state)
        random.setstate(python_state)
        if numpy_random is not None:
            numpy_random.set_state(numpy_state)
        if sys.getrecursionlimit() != limit:
            sys.setrecursionlimit(limit)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        if torch.are_deterministic_algorithms_enabled() != strict:
            torch.use_deterministic_algorithms(strict)
