"""The process that runs a hand-in's cells: IPython, and a `check` that sends the function away.

Its standard output goes nowhere. What it sends is never believed: a check's verdict comes from the grader,
and this process only learns it, so that the cells below go on with the right function.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segcore.grading.cage import silence
from segcore.grading.packing import CannotTravel, pack
from segcore.grading.wire import Channel, Closed

__all__ = ["ENVIRONMENT", "main"]

ENVIRONMENT = {
    "MPLBACKEND": "agg",
    "SEGCORE_CHECKS": "",
    "SEGCORE_PROGRESS": "off",
    "SEGCORE_STATIC": "1",
    "SEGCORE_STEPS": "0.02",  # no check waits for a training
    "TQDM_DISABLE": "1",
    "PIP_NO_INDEX": "1",
    "PIP_REQUIRE_VIRTUALENV": "1",
}


def main(link: socket.socket, folder: str) -> None:
    """Run the cells that the grader sends, one by one, until it closes.

    Args:
        link: To the grader.
        folder: The hand-in's own folder; a folder beside it, ``.home``, is its home.
    """
    channel = Channel(link)
    _settle(link.fileno(), folder)
    shell = _shell()
    checks = _Checks(channel)
    checks.install()
    channel.send({"op": "ready"})
    while True:
        try:
            message, _ = channel.receive()
            if message.get("op") == "stand in":
                shell.user_ns[str(message["name"])] = checks.stand_in(str(message["exercise"]))
                answer = ""
            else:
                answer = _run(shell, str(message["source"]))
            channel.send({"op": "done", "number": message.get("number"), "error": answer})
        except KeyboardInterrupt:  # late: the cell had just ended
            continue
        except Closed:
            return


def _settle(keep: int, folder: str) -> None:
    """Nothing of the grader's stays open; home, temporary files and settings are the hand-in's own."""
    silence()
    os.closerange(3, keep)
    os.closerange(keep + 1, 4096)
    home = Path(folder).parent / ".home"
    home.mkdir(exist_ok=True)
    own = {name: str(home) for name in ("HOME", "TMPDIR", "IPYTHONDIR", "MPLCONFIGDIR", "XDG_CACHE_HOME")}
    os.environ.update(ENVIRONMENT | own)
    import tempfile

    tempfile.tempdir = None
    os.chdir(folder)
    sys.path.append(folder)  # behind all else: a hand-in's torch.py shadows nothing
    sys.argv = [""]


def _shell() -> Any:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    shell: Any = InteractiveShell.instance(config=config, colors="NoColor")
    for name in ("pip", "conda", "mamba", "micromamba", "uv"):
        shell.register_magic_function(_nothing, "line", name)  # nothing is installed here
    return shell


def _nothing(line: str) -> None:
    """A magic that does nothing."""


def _run(shell: Any, source: str) -> str:
    """Run a cell; what it raised, in a line."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    try:
        result = shell.run_cell(source, store_history=True)
        error = result.error_before_exec or result.error_in_exec
    except (SystemExit, Exception) as stop:  # IPython itself gives up where its parser overflows
        error = stop
    finally:
        if pyplot is not None:
            with contextlib.suppress(Exception):
                pyplot.close("all")
    if error is None:
        return ""
    try:
        words = str(error.msg if isinstance(error, SyntaxError) else error).strip().split("\n")[0]
    except Exception:
        words = ""
    return f"{type(error).__name__}: {words[:200]}".strip().removesuffix(":")


class _Checks:
    """`check` as the notebook sees it."""

    def __init__(self, channel: Channel) -> None:
        from segcore.checks import CHAPTERS, exercises

        self.channel = channel
        self.references: dict[int, str] = {}
        self.readers: dict[str, tuple[Any, Any]] = {}  # by exercise: given, handed back
        self.kept: list[Any] = []  # ids stay theirs while the objects live
        for chapter in CHAPTERS:
            with contextlib.suppress(ValueError):
                for each in exercises(chapter):
                    self.references[id(each.reference)] = each.id

    def install(self) -> None:
        import segcore.checks

        segcore.checks.check = segcore.checks.engine.check = self.check

    def check(self, exercise: str, function: Callable[..., Any], hint: int | None = None) -> Any:
        """Send the function to the grader; go on with it where it passes, with the reference where not."""
        from segcore.checks import chapters, ladder
        from segcore.checks.progress import record

        found = chapters.exercise(exercise)
        opened = ladder.depth(hint)
        name = found.id
        theirs, handed = self.readers.get(name, (None, None))
        if theirs is not None and function is handed:
            function = theirs  # the check cell ran twice
        self._known(found.reference, name)
        message: dict[str, Any] = {"op": "check", "exercise": name, "rung": opened}
        data: list[bytes] = []
        if not callable(function):
            message["nothing"] = type(function).__name__
        else:
            try:
                message["package"], data = pack(function, self.references)
            except CannotTravel as why:
                message["cannot"] = str(why)
        self.channel.send(message, data)
        answer, _ = self.channel.receive()
        record(name.partition("@")[0], str(answer.get("state")))
        result = found.reference
        if answer.get("state") == "passed":
            result = _fitted(found, function) if answer.get("fitted") else function
            if result is not function:
                self._known(result, name)  # as good as the reference
        result = self._below(found, result)
        self.readers[name] = function, result
        return result

    def stand_in(self, exercise: str) -> Any:
        """The course's own function, for the cells below a check that never ran."""
        from segcore.checks import chapters

        found = chapters.exercise(exercise)
        self._known(found.reference, found.id)
        return self._below(found, found.reference)

    def _below(self, found: Any, function: Any) -> Any:
        """A right function as the cells below call it: a variant's in the form of the lab's own."""
        result = found.in_the_lab(function)
        if result is not function:
            self._known(result, found.id.partition("@")[0])
        return result

    def _known(self, function: Any, exercise: str) -> None:
        """Note what answers as the reference of an exercise does; it will not travel."""
        if id(function) not in self.references:
            self.kept.append(function)
            self.references[id(function)] = exercise


def _fitted(found: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, its results in the form that the cells below go on with."""
    from segcore.checks import engine

    case = found.make_cases(0)[0]
    form = found.reference(*case.args, **dict(case.kwargs))
    wanted = inspect.signature(found.reference)

    @functools.wraps(function)
    def fitted(*args: Any, **kwargs: Any) -> Any:
        given = wanted.bind(*args, **kwargs)
        return engine._as(form, function(*given.args, **given.kwargs))

    return fitted
