"""The process that runs a reader's function: it has torch, the function and nothing of the course.

It rebuilds the function from a package, in a module of its own, and answers calls: inputs come, results go.
It knows no expected output and no reference, so whatever the function does to this process, it can only send
a result, and whether that is right is decided elsewhere.
"""

from __future__ import annotations

import importlib
import inspect
import os
import socket
import sys
import types
from functools import partial
from typing import Any

import torch

from segcore.grading.packing import FLAGS
from segcore.grading.remote import Peer
from segcore.grading.wire import Channel, decode

__all__ = ["guard", "main", "rebuild"]


class _NoCourse:
    """Refuses to import the course."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] == "segcore":
            raise ImportError(f"{name} belongs to the course; an answer must do without it")


def guard(hidden: list[str]) -> None:
    """Keep this process from importing the course, reading it, and starting others; for good.

    Args:
        hidden: Folders and files that must not be read.
    """
    for name in [each for each in sys.modules if each.partition(".")[0] == "segcore"]:
        del sys.modules[name]
    sys.meta_path.insert(0, _NoCourse())
    places = tuple(os.path.realpath(each) for each in hidden)
    barred = {
        "os.kill",
        "os.killpg",
        "os.fork",
        "os.forkpty",
        "os.exec",
        "os.system",
        "os.posix_spawn",
        "subprocess.Popen",
    }
    barred |= {
        "socket.connect",
        "socket.bind",
        "ctypes.dlopen",
        "ctypes.dlsym",
        "gc.get_objects",
        "gc.get_referrers",
    }

    def watch(event: str, args: tuple[Any, ...]) -> None:
        if event in barred:
            raise PermissionError(f"{event} is not for an answer")
        if event == "open" and isinstance(args[0], str) and os.path.realpath(args[0]).startswith(places):
            raise PermissionError(f"{args[0]} is not for an answer")

    if places:
        sys.addaudithook(watch)


def main(link: socket.socket, hidden: list[str]) -> None:
    """Load one package and answer calls until the other end closes."""
    peer = Peer(Channel(link), trusts=True)
    message, data = peer.channel.receive()
    guard(hidden)
    torch.manual_seed(0)
    try:
        function = rebuild(message["package"], data, peer)
        reply: dict[str, Any] = {"number": peer.expose(function), "signature": _signature(function)}
    except BaseException as error:
        reply = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
    peer.channel.send({"op": "reply", **reply})
    peer.serve()


def rebuild(package: dict[str, Any], data: list[bytes], peer: Peer) -> Any:
    """The function of a package.

    Args:
        package: As `segcore.grading.packing` makes it, its references replaced by ``{"function": number}``.
        data: The bytes of its tensors.
        peer: The other end, which keeps what the package refers to by number.
    """
    return _Maker(package, data, peer).target()


class _Maker:
    def __init__(self, package: dict[str, Any], data: list[bytes], peer: Peer) -> None:
        self.package, self.data, self.peer = package, data, peer
        self.made: dict[int, Any] = {}
        self.module = types.ModuleType("reader")
        sys.modules["reader"] = self.module
        self.space = vars(self.module)

    def target(self) -> Any:
        names = self.package["names"]
        waiting = [name for name in names if "source" not in names[name]]
        for name in waiting:
            self.space[name] = self.item(names[name])
        # A definition may need others at once, for a decorator, a default value or a base class.
        rest = [name for name in names if "source" in names[name]]
        for _ in range(len(rest) + 1):
            failed = []
            for name in rest:
                try:
                    self.space[name] = self.item(names[name])
                except NameError:
                    failed.append(name)
            rest, before = failed, len(rest)
            if not rest or len(rest) == before:
                break
        found = self.item(self.package["target"])
        for name in names:
            if "source" in names[name]:
                self.space[name] = self.item(names[name])
        return found

    def item(self, item: dict[str, Any]) -> Any:
        if "function" in item:
            return self.peer.stand_in(item["function"])
        if "module" in item:
            return importlib.import_module(item["module"])
        if "torch" in item:
            text = item["torch"]
            return (
                torch.device(text)
                if item["kind"] == "device"
                else getattr(torch, text.removeprefix("torch."))
            )
        if "value" in item:
            return decode(item["value"], self.data)
        if "partial" in item:
            args = [self.item(each) for each in item["args"]]
            keywords = {key: self.item(each) for key, each in item["keywords"].items()}
            return partial(self.item(item["partial"]), *args, **keywords)
        if "from" in item:
            found: Any = importlib.import_module(item["from"])
            for part in item["name"].split("."):
                found = getattr(found, part)
            return found
        return self.source(item["source"])

    def source(self, number: int) -> Any:
        if number not in self.made:
            source = self.package["sources"][number]
            free, text, made = source["free"], source["text"], source["made"]
            # Closed-over names become parameters of a function around it.
            lines = text.split("\n") if made else [f"__made = {text}"]
            body = "\n".join(f"    {line}" for line in lines) if free else "\n".join(lines)
            name = made or "__made"
            if free:
                body = f"def __around({', '.join(free)}):\n{body}\n    return {name}"
            local: dict[str, Any] = {}
            held = {each: self.item(source["held"][each]) for each in free if each in source.get("held", {})}
            exec(compile(body, "<reader>", "exec", FLAGS, True), self.space, local if free else self.space)
            if free:
                held |= {each: None for each in free if each not in held}
                self.made[number] = local["__around"](**held)
            else:
                self.made[number] = self.space[name]
        return self.made[number]


def _signature(function: Any) -> list[list[Any]] | None:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    return [[each.name, int(each.kind), each.default is not each.empty] for each in parameters]
