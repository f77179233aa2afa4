"""May what the kernel sent be judged? What stands in the notebook may; what the notebook fetched may not.

The kernel runs a student's code and can send anything. So its package is held against the notebook itself:

- every source must stand there, word for word (comments and layout apart): nothing that was found in memory,
  read from a file or made by ``exec`` gets through;
- what the course itself computes (its modules, its references) is refused, by name, except where the lab
  hands it out or an earlier exercise of the same lab stands for it;
- a part of the package that is not of the form that `segcore.grading.packing` gives it is not read at all;
- values that the notebook computed may travel while they are few; a table of answers cannot, nor one that
  was typed;
- code that reaches into the machine (files, ``exec``, modules that do not compute) is left to a person.
"""

from __future__ import annotations

import ast
import contextlib
import keyword
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from segcore.grading.reaching import (
    BY_NAME,
    FORBIDDEN_ATTRIBUTES,
    FORBIDDEN_NAMES,
    TYPED,
    computes,
    imported,
    typed,
)
from segcore.grading.reaching import odd as odd_in

__all__ = ["GIVEN", "Verdict", "code_of", "vet", "written"]

# What a lab hands out of the course's own library, for its reader to use (a test sees that none is missing).
GIVEN = {
    "13.4": ("segcore.roi_align.axis_weights",),
    "13.5": ("segcore.roi_align.bilinear_sample",),
    "14.1": ("segcore.roi_align.roi_align",),
}
# Rooms of the library that answer no exercise: their use in an answer is odd, but no cheat.
HARMLESS = (
    "segcore.viz",
    "segcore.figures",
    "segcore.data",
    "segcore.widgets",
    "segcore.train",
    "segcore.color",
)
NUMBERS = 64  # that may travel as values, in all
LETTERS = 200  # of texts that may travel as values and stand in no cell, in all
ITEMS = 10_000  # that a package may name, parts of parts too
WORDS = 1000  # letters of texts that stand in cells, docstrings apart
FORMS = (
    {"reference"},
    {"module"},
    {"torch", "kind"},
    {"partial", "args", "keywords"},
    {"value"},
    {"source"},
    {"from", "name"},
)  # of what a package names


@dataclass(frozen=True)
class Verdict:
    """What came of looking at a package: ``""`` (may be judged), ``"refused"`` or ``"person"``, and why."""

    kind: str = ""
    why: str = ""


def vet(package: Any, data: list[bytes], cells: Iterable[str], exercise: str) -> Verdict:
    """Whether a package may be judged.

    Args:
        package: What the kernel sent.
        data: The bytes of its tensors.
        cells: The notebook's code cells, as they stand in the file.
        exercise: The id of the exercise that it is to solve.
    """
    try:
        return _vet(package, data, list(cells), exercise)
    except (
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        IndexError,
        RecursionError,
        SyntaxError,
    ) as error:
        return Verdict("person", f"what its kernel sent cannot be read ({type(error).__name__})")


def _vet(package: Any, data: list[bytes], cells: list[str], exercise: str) -> Verdict:
    if (strange := _form(package)) is not None:
        return Verdict("person", f"what its kernel sent is no package ({strange})")
    texts = [source["text"] for source in package["sources"]]
    known = written(cells)
    foreign = next((text for text in texts if text not in known), None)
    if foreign is not None:
        first = foreign.strip().split("\n")[0][:60]
        return Verdict("person", f"the code that runs stands in no cell of the notebook: {first}")
    items = list(_items(package))
    for item in items:
        if found := _course(item, exercise):
            return found
    trees = [ast.parse(text) for text in texts]
    for tree in trees:
        for module in imported(tree):
            if found := _course({"module": module}, exercise):
                return found
    odd = [word for tree in trees for word in odd_in(tree)]
    odd += [f"the module {name}" for item in items if (name := _root(item)) and not computes(name)]
    odd += [str(item["name"]) for item in items if FORBIDDEN_ATTRIBUTES & set(_path(item))]
    odd += [
        f"{item['name']} as {name}" for name, item in _called(package) if item.get("name") in BY_NAME - {name}
    ]
    if odd:
        return Verdict("person", f"it uses {odd[0]}")
    if (most := max(map(typed, trees), default=0)) > TYPED:
        return Verdict("person", f"it holds a table of {most} numbers")
    numbers, letters = _weights(items, "\n".join(cells))
    if numbers > NUMBERS:
        return Verdict("person", f"it uses values that the notebook computed beforehand ({numbers} numbers)")
    if letters > LETTERS:
        return Verdict("person", f"it uses a text of {letters} letters")
    return Verdict()


def _form(package: Any) -> str | None:
    """What is wrong with the form of a package: the judge puts some of its words into code."""
    names = [*package["names"], *(source["made"] or "_" for source in package["sources"])]
    for source in package["sources"]:
        names += [*source["free"], *source.get("held", {})]
        if not isinstance(source["text"], str):
            return "a source is no text"
    for name in names:
        if (
            not isinstance(name, str)
            or not name.isidentifier()
            or keyword.iskeyword(name)
            or name in FORBIDDEN_NAMES
        ):
            return f"{str(name)[:40]!r} is no name"
    for item in _items(package):
        if set(item) not in FORMS:
            return f"something has the parts {', '.join(map(str, item))[:60]}"
        if "torch" in item and not isinstance(_of_torch(item), torch.dtype | torch.device):
            return f"{str(item['torch'])[:40]!r} is no dtype"
        words = [
            *str(item.get("module", item.get("from", "x"))).split("."),
            *str(item.get("name", "x")).split("."),
        ]
        if not all(word.isidentifier() for word in words):
            return f"{'.'.join(words)[:40]!r} is no place"
    return None


def _of_torch(item: dict[str, Any]) -> Any:
    text = str(item["torch"])
    return torch.device(text) if item["kind"] == "device" else getattr(torch, text.removeprefix("torch."))


def _items(package: Any) -> Iterator[dict[str, Any]]:
    """All that the package names, the parts of partial functions and of closures too."""
    front: list[Any] = [package["target"], *package["names"].values()]
    for source in package["sources"]:
        front += source.get("held", {}).values()
    count = 0
    while front:
        item = front.pop()
        count += 1
        if count > ITEMS:
            raise ValueError(f"more than {ITEMS} items")
        yield item
        if "partial" in item:
            front += [item["partial"], *item["args"], *item["keywords"].values()]


def _called(package: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the package names, by name."""
    yield from package["names"].items()
    for source in package["sources"]:
        yield from source.get("held", {}).items()


def _root(item: dict[str, Any]) -> str:
    name = str(item.get("module", item.get("from", "")))
    if item.get("from") == "builtins" and item.get("name") in FORBIDDEN_NAMES:
        return "builtins"
    return "" if item.get("from") == "builtins" else name.partition(".")[0]


def _path(item: dict[str, Any]) -> list[str]:
    """The parts of the name under which something of a library is found."""
    return f"{item['from']}.{item['name']}".split(".") if "name" in item and "from" in item else []


def _course(item: dict[str, Any], exercise: str) -> Verdict | None:
    """What is wrong with something of the course's own that a function uses."""
    plain = exercise.partition("@")[0]
    if "reference" in item:
        other = str(item["reference"]).partition("@")[0]
        if _earlier(other, plain):
            return None
        return Verdict("refused", f"it calls the course's own solution of {other}")
    place = str(item.get("module", item.get("from", "")))
    if place.partition(".")[0] != "segcore":
        return None
    full = f"{place}.{item['name']}" if "name" in item else place
    if full in GIVEN.get(plain, ()):
        return None
    if full.startswith(HARMLESS) or full == "segcore":
        return Verdict("person", f"it uses {full}, which belongs to the course")
    return Verdict("refused", f"it calls {full}, the course's own")


def _earlier(other: str, own: str) -> bool:
    """Whether an exercise stands above another one in the same lab."""
    first, second = (each.partition(".") for each in (other, own))
    return first[0] == second[0] and int(first[2]) < int(second[2])


def _weights(items: list[dict[str, Any]], text: str) -> tuple[int, int]:
    """How many numbers, and letters that stand in no cell, travel as values."""
    numbers = letters = 0
    front = [item["value"] for item in items if "value" in item]
    while front:
        each = front.pop()
        if isinstance(each, str):
            letters += len(each) if len(each) > WORDS or each not in text else 0
        elif isinstance(each, dict):
            ((kind, inside),) = each.items()
            if kind == "int":
                numbers += 1 + len(inside) // 8
            elif kind in ("tensor", "array"):
                cells = 1
                for side in inside[1]["shape"]:
                    cells *= abs(side)
                numbers += cells
            elif kind == "dict":
                front += [part for pair in inside for part in pair]
            elif kind in ("tuple", "list"):
                front += inside
            else:
                numbers += 2 if kind == "complex" else 1
        else:
            numbers += 1
    return numbers, letters


def written(cells: Iterable[str]) -> set[str]:
    """Every definition and lambda that stands in some cells, in one way of writing."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
    found = set()
    for cell in cells:
        with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            for node in ast.walk(ast.parse(code_of(cell))):
                if isinstance(node, kinds):
                    found.add(ast.unparse(node))
    return found


def code_of(cell: str) -> str:
    """A cell as Python: magics become calls, and what only times or hides a cell is taken off."""
    from IPython.core.inputtransformer2 import TransformerManager

    cell = re.sub(r"\A\s*%%(time|timeit|capture|prun)\b[^\n]*\n", "", cell)
    return TransformerManager().transform_cell(cell)
