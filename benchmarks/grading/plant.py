"""A known mistake of the course as the code of a cell, as if a student had written it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

from torch import Tensor

from segcore.grading.packing import CannotTravel, Packer
from segcore.grading.wire import decode

__all__ = ["planted"]


def planted(function: Callable[..., Any], name: str) -> str:
    """The text of a cell that gives `name` this function.

    Args:
        function: A mistake's function.
        name: What the exercise calls it.

    Raises:
        CannotTravel: It needs what no cell could define by itself, such as a module of the course.
    """
    return _Text(function).text(name)


class _Course(Packer):
    """Takes the course's own functions apart, as if they were a reader's."""

    def __init__(self) -> None:
        super().__init__({}, lambda path: "/segcore/" in path)
        self.meaning: dict[str, int] = {}

    def _needed(self, text: str, known: dict[str, Any], but: set[str]) -> None:
        before = len(self.later)
        super()._needed(text, known, but)
        for name, value in self.later[before:]:
            if self.meaning.setdefault(name, id(value)) != id(value):
                raise CannotTravel(f"{name} means two things")


class _Text:
    def __init__(self, function: Callable[..., Any]) -> None:
        self.packer = _Course()
        self.target = self.packer.add("<function>", function)
        self.packer.finish()
        self.lines: list[str] = []
        self.made: dict[int, str] = {}

    def text(self, name: str) -> str:
        items = self.packer.names
        for plain in (True, False):
            for each, item in items.items():
                if ("source" in item or "partial" in item) is not plain:
                    word = self.word(item)
                    if word != each:
                        self.lines.append(f"{each} = {word}")
        word = self.word(self.target)
        # What it calls may have the exercise's own name: then it gets another one.
        own = re.compile(rf"\b{name}\b")
        *lines, last = (own.sub(f"{name}_given", each) for each in [*self.lines, word])
        return "\n".join([*lines, f"{name} = {last}"])

    def word(self, item: dict[str, Any]) -> str:
        """An expression for something; what it needs first is added to the lines."""
        if "module" in item or "from" in item:
            module = item.get("module", item.get("from"))
            if module.partition(".")[0] == "segcore":
                raise CannotTravel(f"it needs {module}")
            self.lines.append(f"import {module}")
            return f"{module}.{item['name']}" if "name" in item else module
        if "torch" in item:
            return str(item["torch"]) if item["kind"] == "dtype" else f"torch.device({item['torch']!r})"
        if "value" in item:
            return _written(decode(item["value"], self.packer.data))
        if "partial" in item:
            self.lines.append("import functools")
            parts = [self.word(item["partial"]), *(self.word(each) for each in item["args"])]
            parts += [f"{key}={self.word(each)}" for key, each in item["keywords"].items()]
            return f"functools.partial({', '.join(parts)})"
        return self.source(item["source"])

    def source(self, number: int) -> str:
        if number not in self.made:
            source = self.packer.sources[number]
            made, free = source["made"] or f"made_{number}", source["free"]
            self.made[number] = made if not free else f"{made}_{number}"
            text = _bare(source["text"])
            for each in sorted(_at_once(text) & self.packer.names.keys()):
                if (word := self.word(self.packer.names[each])) != each:
                    self.lines.append(f"{each} = {word}")
            lines = text.split("\n") if source["made"] else [f"{made} = {text}"]
            if free:
                held = [self.word(source["held"][each]) for each in free]
                self.lines.append(f"def around_{number}({', '.join(free)}):")
                self.lines += [f"    {line}" for line in [*lines, f"return {made}"]]
                self.lines.append(f"{self.made[number]} = around_{number}({', '.join(held)})")
            else:
                self.lines += lines
        return self.made[number]


def _bare(text: str) -> str:
    """A definition without annotations and docstrings: their names need not be known."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _at_once(text: str) -> set[str]:
    """The names that a definition reads before it is called: default values, decorators, base classes."""
    found: set[str] = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            parts = [*node.args.defaults, *node.args.kw_defaults, *node.decorator_list]
        else:
            parts = [*node.bases, *node.decorator_list] if isinstance(node, ast.ClassDef) else []
        for part in filter(None, parts):
            found |= {each.id for each in ast.walk(part) if isinstance(each, ast.Name)}
    return found


def _written(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"torch.tensor({value.tolist()!r}, dtype={value.dtype})"
    if (isinstance(value, float) and value != value) or value in (float("inf"), float("-inf")):
        return f"float({str(value)!r})"
    return repr(value)
