"""What the kernel sends of a reader's function: its source, and by name what that needs.

A package is plain data::

    {"target": "roi_align_box",
     "sources": [{"name": "axis_weights", "text": "def axis_weights(...): ...", "made": "axis_weights"}, ...],
     "names": {"torch": {"module": "torch"}, "axis_weights": {"source": 0}, "K": {"value": ...},
               "bilinear_sample": {"reference": "13.2"}, ...}}

This side may lie, for a student's code runs beside it. So nothing here is believed: whoever gets a package
looks its sources up in the notebook (`segcore.grading.vetting`).
"""

from __future__ import annotations
import __future__

import ast
import dis
import functools
import inspect
import linecache
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch

from segcore.grading.wire import encode

__all__ = ["FLAGS", "CannotTravel", "Packer", "needs", "pack"]

FLAGS = __future__.annotations.compiler_flag  # annotations are never computed
ITEMS = 200  # names that a function may need in all
_PLAIN = (type(None), bool, int, float, complex, str, tuple, list, dict, torch.Tensor, torch.Size)
_NAMED = (torch.dtype, torch.device)
_KINDS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


class CannotTravel(Exception):
    """Something that a function needs cannot be rebuilt elsewhere; the message says what."""


def pack(function: Callable[..., Any], references: dict[int, str]) -> tuple[dict[str, Any], list[bytes]]:
    """A function as data.

    Args:
        function: The reader's function.
        references: The exercises' references, as the id of the object and the exercise's id: they stay where
            the grader is, and the function will ask for their results.

    Returns:
        The package, and the bytes of its tensors.

    Raises:
        CannotTravel: It needs something that cannot be rebuilt.
    """
    packer = Packer(references)
    target = packer.add("<function>", function)
    packer.finish()
    return {"target": target, "sources": packer.sources, "names": packer.names}, packer.data


class Packer:
    """Takes a function and what it needs apart.

    Args:
        references: The exercises' references, as in `pack`.
        written: Whether the code of a file is the reader's own: that of cells, unless told otherwise.
    """

    def __init__(self, references: dict[int, str], written: Callable[[str], bool] | None = None) -> None:
        self.references, self.written = references, written or _written
        self.sources: list[dict[str, Any]] = []
        self.names: dict[str, Any] = {}
        self.data: list[bytes] = []
        self.known: dict[int, Any] = {}
        self.later: list[tuple[str, Any]] = []

    def finish(self) -> None:
        """Take apart all that is still waiting."""
        while self.later:
            name, value = self.later.pop()
            if name not in self.names:
                if len(self.names) >= ITEMS:
                    raise CannotTravel(f"it needs more than {ITEMS} other things")
                self.names[name] = {}
                self.names[name] = self.add(name, value)

    def add(self, name: str, value: Any) -> dict[str, Any]:
        """How to make a value there."""
        if id(value) in self.known:
            made: dict[str, Any] = self.known[id(value)]
            return made
        made = self.known[id(value)] = {}
        made.update(self._item(name, value))
        return made

    def _item(self, name: str, value: Any) -> dict[str, Any]:
        if id(value) in self.references:
            return {"reference": self.references[id(value)]}
        if isinstance(value, types.ModuleType):
            return {"module": value.__name__}
        if isinstance(value, _NAMED):
            return {"torch": str(value), "kind": type(value).__name__}
        if isinstance(value, functools.partial):
            parts = {"function": self.add(name, value.func)}
            args = [self.add(name, each) for each in value.args]
            keywords = {key: self.add(name, each) for key, each in value.keywords.items()}
            return {"partial": parts["function"], "args": args, "keywords": keywords}
        if type(value) in _PLAIN:
            self._values(name, value)
            return {"value": encode(value, self.data)}
        inner = inspect.unwrap(value) if callable(value) else value
        if isinstance(inner, types.FunctionType) and self.written(inner.__code__.co_filename):
            return {"source": self._function(name, value, inner)}
        if isinstance(value, type) and (value.__module__ == "__main__" or self._own_methods(value)):
            return {"source": self._class(name, value)}
        place = _place(value)
        if place is None and isinstance(inner, types.FunctionType):
            raise CannotTravel(
                f"the code of {getattr(inner, '__name__', name)} stands in no cell of the notebook"
            )
        if place is None:
            kind = type(value)
            raise CannotTravel(f"it needs {name}, a {kind.__module__}.{kind.__qualname__}")
        return {"from": place[0], "name": place[1]}

    def _values(self, name: str, value: Any) -> None:
        """See that containers hold plain values alone."""
        if isinstance(value, tuple | list):
            for each in value:
                self._values(name, each)
        elif isinstance(value, dict):
            for pair in value.items():
                self._values(name, pair)
        elif type(value) not in _PLAIN:
            kind = type(value)
            raise CannotTravel(f"it needs {name}, which holds a {kind.__module__}.{kind.__qualname__}")

    def _function(self, name: str, value: Any, inner: types.FunctionType) -> int:
        code = inner.__code__
        node, text = _found(code)
        if value is not inner and not getattr(node, "decorator_list", None):
            raise CannotTravel(f"{name} is wrapped by something that does not stand at its definition")
        cells = dict(zip(code.co_freevars, inner.__closure__ or (), strict=True))
        held = {}
        for free, cell in cells.items():
            try:
                held[free] = cell.cell_contents
            except ValueError:
                raise CannotTravel(f"{name} needs {free}, which has no value yet") from None
        made = inner.__name__ if not isinstance(node, ast.Lambda) else ""
        number = self._source(made, text, sorted(held))
        own = {"held": {free: self.add(free, each) for free, each in held.items() if each is not value}}
        self.sources[number].update(own)
        self._needed(text, inner.__globals__, set(held))
        return number

    def _class(self, name: str, value: type) -> int:
        written = self._own_methods(value)
        if not written:
            return self._plain_class(name, value)
        _, text = _found(written[0].__code__, value.__qualname__.rpartition(".")[2])
        number = self._source(value.__name__, text, [])
        self._needed(text, written[0].__globals__, set())
        return number

    def _plain_class(self, name: str, value: type) -> int:
        """A class without methods of its own, such as a dataclass: found by its name in the cells."""
        texts = ["".join(linecache.getlines(each)) for each in list(linecache.cache) if self.written(each)]
        found = {
            ast.unparse(node) for text in texts for node in _nodes(text) if _is_class(node, value.__name__)
        }
        if len(found) != 1:
            raise CannotTravel(f"it needs {name}, a class whose source cannot be told")
        number = self._source(value.__name__, text := found.pop(), [])
        self._needed(text, vars(sys.modules["__main__"]), set())
        return number

    def _own_methods(self, value: type) -> list[types.FunctionType]:
        methods = [each for each in vars(value).values() if isinstance(each, types.FunctionType)]
        return [each for each in methods if self.written(each.__code__.co_filename)]

    def _source(self, made: str, text: str, held: list[str]) -> int:
        self.sources.append({"text": text, "made": made, "free": held})
        return len(self.sources) - 1

    def _needed(self, text: str, known: dict[str, Any], but: set[str]) -> None:
        for each in sorted(needs(text) - but):
            if each in known:
                self.later.append((each, known[each]))


def needs(text: str) -> set[str]:
    """The global names that a definition or an expression reads."""
    found = set()
    for code in _codes(compile(text, "<reader>", "exec", FLAGS, True)):
        for each in dis.get_instructions(code):
            if each.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
                found.add(str(each.argval))
    return found


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from _codes(each)


def _written(filename: str) -> bool:
    """Whether code was written in a cell."""
    return filename.startswith("<ipython-input") or "ipykernel_" in filename


def _found(code: types.CodeType, owner: str = "") -> tuple[ast.AST, str]:
    """The definition that a code object comes from, or the class of this name around it; and its text."""
    nodes = list(_nodes("".join(linecache.getlines(code.co_filename))))
    if not nodes:
        raise CannotTravel(f"the source of {code.co_name} is gone")
    if owner:
        around = [each for each in nodes if isinstance(each, ast.ClassDef) and each.name == owner]
        nodes = [each for each in around if each.lineno <= code.co_firstlineno <= (each.end_lineno or 0)]
    else:
        nodes = [
            each for each in nodes if _starts(each) == code.co_firstlineno and _named(each) == code.co_name
        ]
        if len(nodes) > 1:  # lambdas of one line
            at = next(iter(code.co_positions()), (None,) * 4)[2]
            bodies = [position for position in code.co_positions() if position[2] is not None]
            at = min((position[2] for position in bodies if position[2]), default=at)
            near = [
                each
                for each in nodes
                if at is not None and each.col_offset <= at <= (each.end_col_offset or 0)
            ]
            nodes = sorted(near, key=lambda each: -each.col_offset)[:1]
    if len(nodes) != 1:
        raise CannotTravel(f"the source of {code.co_name} cannot be told from others")
    return nodes[0], ast.unparse(nodes[0])


@functools.lru_cache(maxsize=256)
def _nodes(text: str) -> tuple[Any, ...]:
    """The definitions, classes and lambdas of a text."""
    try:
        return tuple(node for node in ast.walk(ast.parse(text)) if isinstance(node, _KINDS))
    except SyntaxError:
        return ()


def _is_class(node: Any, name: str) -> bool:
    return isinstance(node, ast.ClassDef) and node.name == name


def _starts(node: Any) -> int:
    return min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])


def _named(node: Any) -> str:
    return "<lambda>" if isinstance(node, ast.Lambda) else str(node.name)


def _place(value: Any) -> tuple[str, str] | None:
    """Module and name under which a library's function or class is found."""
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if not isinstance(name, str):
        return None
    own = getattr(value, "__module__", None)
    last = name.rpartition(".")[2]
    tries = [own] if isinstance(own, str) else []
    tries += ["torch", "torch.nn.functional", "math", "numpy", "builtins", "operator", "itertools"]
    for module in [
        *tries,
        *(each for each in list(sys.modules) if each.startswith(("torch", "numpy", "scipy"))),
    ]:
        for each in (name, last):
            found: Any = sys.modules.get(module)
            if module in ("__main__", "__mp_main__") or found is None:
                continue
            for part in each.split("."):
                found = getattr(found, part, None)
            if found is value:
                return module, each
    return None
