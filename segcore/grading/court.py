"""Where a function is judged: a judge runs the engine's cases, the verdict falls here."""

from __future__ import annotations

import importlib
import inspect
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from segcore.checks import engine
from segcore.checks.chapters import exercise as find_exercise
from segcore.checks.exercise import Exercise
from segcore.checks.sandbox import TimeUp
from segcore.grading.remote import Ended, Peer, Remote
from segcore.grading.vetting import vet
from segcore.grading.wire import Channel

__all__ = ["Ruling", "rule"]

START = 60.0  # seconds until a judge has rebuilt a function
PATIENCE = 8  # so many times its limit of processor time may a call take by the clock


@dataclass
class Ruling:
    """What became of one function."""

    state: str
    kind: str = ""
    text: str = ""
    mistake: str = ""
    passed: int = 0
    tried: int = 0
    fitted: bool = False
    code: str = ""


def rule(
    message: dict[str, Any], data: list[bytes], cells: list[str], judges: socket.socket, seeds: list[int]
) -> Ruling:
    """Judge what a kernel sent.

    Args:
        message: Its ``check`` message.
        data: The bytes of its tensors.
        cells: The notebook's code cells, as they stand in the file.
        judges: The line by which judges are asked for.
        seeds: Two seeds of cases that nobody knows.

    Returns:
        The ruling. Passed is only what gave the right results in a judge.
    """
    name = str(message["exercise"])
    found = find_exercise(name)
    if "nothing" in message:
        came = str(message["nothing"])[:60]
        return Ruling("failed", "callable", f"Expected a function named {found.name}; came: {came}.")
    if "package" not in message:
        return Ruling("for a person", "person", str(message.get("cannot", "its function did not come"))[:200])
    package = message["package"]
    verdict = vet(package, data, cells, name)
    code = _code(package) if verdict.kind != "person" else ""
    if verdict.kind == "refused":
        return Ruling("failed", "refused", verdict.why, code=code)
    if verdict.kind == "person":
        return Ruling("for a person", "person", verdict.why)
    ruling = _judged(found, package, data, judges, seeds)
    ruling.code = code
    return ruling


def _judged(
    found: Exercise, package: Any, data: list[bytes], judges: socket.socket, seeds: list[int]
) -> Ruling:
    reports = []
    for seed in (0, *seeds):
        with _Court(judges, found) as court:
            fault = court.load(package, data)
            if fault:
                return Ruling("for a person", "person", f"it could not be rebuilt ({fault})")
            report = engine.judge(found, court.function, seed)
            fitted = report.state == "passed" and report.function is not court.function
        reports.append(report)
        if len(reports) == 1 and report.state != "passed":
            break
        if len(reports) == 2 and report.state == "passed":
            break
    report = reports[0]
    ruling = Ruling(
        report.state, report.kind, report.text, report.mistake, report.passed, report.tried, fitted
    )
    if len(reports) == 3:
        # Right for the numbers that everybody knows, wrong for others: twice is no accident.
        other = reports[1]
        twice = reports[2].state != "passed"
        ruling.state = "failed" if twice else "for a person"
        ruling.kind, ruling.passed, ruling.tried = "other inputs", other.passed, other.tried
        ruling.text = f"right for the inputs of the lab, wrong for others: {other.text}"
    return ruling


def _code(package: Any) -> str:
    """The function itself, as it stands in the notebook."""
    target = package["target"]
    number = target.get("source")
    return str(package["sources"][number]["text"])[:4000] if isinstance(number, int) else ""


class _Court:
    """A judge, from its start to its end."""

    def __init__(self, judges: socket.socket, found: Exercise) -> None:
        ours, theirs = socket.socketpair()
        socket.send_fds(judges, [b"judge"], [theirs.fileno()])
        theirs.close()
        self.peer, self.found = Peer(Channel(ours)), found
        self.function: Callable[..., Any] = lambda: None

    def __enter__(self) -> _Court:
        return self

    def __exit__(self, *error: object) -> None:
        self.peer.channel.close()

    def load(self, package: Any, data: list[bytes]) -> str:
        """Send the function; what hindered it."""
        self.peer.patience = START
        try:
            answer, _ = self.peer.request({"op": "load", "package": self._ours(package)}, data)
        except (Ended, TimeoutError) as error:
            return str(error)
        if "error" in answer:
            return str(answer["error"])[:160]
        remote = Remote(self.peer, int(answer["number"]), _signature(answer.get("signature")))
        remote.watch, remote.seconds = True, self.found.seconds
        self.peer.patience = PATIENCE * self.found.seconds
        self.function = _Timed(remote)
        return ""

    def _ours(self, package: Any) -> Any:
        """The package with what stays here as numbers: references, and what the lab hands out."""
        sources = [
            {**each, "held": {name: self._item(item) for name, item in each.get("held", {}).items()}}
            for each in package["sources"]
        ]
        names = {name: self._item(item) for name, item in package["names"].items()}
        return {"target": self._item(package["target"]), "sources": sources, "names": names}

    def _item(self, item: Any) -> Any:
        if "reference" in item:
            return {"function": self.peer.expose(find_exercise(str(item["reference"])).reference)}
        if str(item.get("from", "")).partition(".")[0] == "segcore":
            module = importlib.import_module(str(item["from"]))
            return {"function": self.peer.expose(getattr(module, str(item["name"])))}
        if "partial" in item:
            args = [self._item(each) for each in item["args"]]
            keywords = {key: self._item(each) for key, each in item["keywords"].items()}
            return {"partial": self._item(item["partial"]), "args": args, "keywords": keywords}
        return item


class _Timed:
    """The judge's function; one that does not come back is told as the engine tells it."""

    def __init__(self, remote: Remote) -> None:
        self.remote, self.end = remote, ""
        if hasattr(remote, "__signature__"):
            self.__signature__ = remote.__signature__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.end:
            raise Ended(self.end)
        try:
            return self.remote(*args, **kwargs)
        except TimeoutError:
            self.end = "its time was up"
        except Ended as error:
            self.end = str(error)
        if self.end == "its time was up":
            raise TimeUp
        raise Ended(self.end)


def _signature(parameters: Any) -> inspect.Signature | None:
    if parameters is None:
        return None
    kinds = {int(kind): kind for kind in inspect._ParameterKind}
    try:
        made = [
            inspect.Parameter(
                str(name), kinds[int(kind)], default=... if optional else inspect.Parameter.empty
            )
            for name, kind, optional in parameters
        ]
        return inspect.Signature(made)
    except (ValueError, TypeError, KeyError):
        return None
