"""Two known mistakes in one function, made of how each of them is made.

A mistake is the right function with one thing wrong. Where two have one make (the same function with other
switches, the same lines around other values), what each has of its own is mixed; where one calls the
reference, or the function whose switches the other one sets, the other one is put in its place.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from types import CellType, CodeType, FunctionType
from typing import Any

from segcore.checks.trees import names_in

__all__ = ["both", "cells_of", "remade"]

Function = Callable[..., Any]

_MIXES = 6  # two mistakes of one make that differ in more places are not mixed


class _NotTogether(Exception):
    """Two mistakes that cannot be made at once in this way."""


def both(reference: Function, one: Function, two: Function, args: Sequence[Any]) -> Iterator[Function]:
    """Functions that make two mistakes at once, so far as one can be made of the two.

    Args:
        reference: The exercise's right function.
        one: One of its mistakes.
        two: Another one.
        args: Arguments of one of its cases, to see how the mistakes are made.
    """
    mixed = list(_mixed(one, two))
    yield from mixed
    for outer, inner in () if mixed else ((one, two), (two, one)):
        called = _called(outer)
        if reference.__name__ in called:
            yield _with_names(outer, {reference.__name__: inner})
            continue
        for base in _switched(reference):
            if base.__name__ in called and (theirs := _asked(base, inner)(args)) is not None:
                mine = _asked(base, outer)(args)
                if mine is None or not theirs.keys() & mine.keys():
                    yield _with_names(outer, {base.__name__: _adding(base, inner, len(args))})
                if mine is not None:
                    return  # both do nothing but set switches: in the other order the same comes out


def _mixed(one: Any, two: Any) -> Iterator[Any]:
    """What has the values of both, where the two are of one make."""
    if isinstance(one, functools.partial) and isinstance(two, functools.partial):
        if one.func is two.func and one.args == two.args:
            for words in _joined(one.keywords, two.keywords):
                yield functools.partial(one.func, *one.args, **words)
        return
    if not (isinstance(one, FunctionType) and isinstance(two, FunctionType)):
        return
    if one.__code__ is not two.__code__ or not one.__closure__:
        return
    pairs = [
        (a.cell_contents, b.cell_contents)
        for a, b in zip(one.__closure__, two.__closure__ or (), strict=True)
    ]
    choices: list[list[Any]] = []
    for a, b in pairs:
        alike = a is b or (type(a) in {bool, int, float, str} and type(a) is type(b) and a == b)
        if alike:
            choices.append([a])
        elif isinstance(a, dict) and isinstance(b, dict):
            choices.append([a, b, *_joined(a, b)])
        else:
            choices.append([a, b, *_mixed(a, b)])
    ways = list(itertools.islice(itertools.product(*choices), 4**_MIXES))
    for cells in ways[: 2**_MIXES]:
        if not any(
            all(x is y for x, y in zip(cells, each, strict=True)) for each in zip(*pairs, strict=True)
        ):
            yield remade(one, one.__globals__, cells)


def _joined(one: dict[str, Any], two: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if not one.keys() & two.keys():
        yield {**one, **two}


def remade(function: FunctionType, space: dict[str, Any], cells: Sequence[Any]) -> FunctionType:
    """A function with other global names, and other values of the names around it."""
    closure = tuple(CellType(value) for value in cells) or None
    made = FunctionType(function.__code__, space, function.__name__, function.__defaults__, closure)
    made.__kwdefaults__ = function.__kwdefaults__
    return made


def cells_of(function: FunctionType) -> list[Any]:
    """The values of the names around a function, in their order."""
    return [cell.cell_contents for cell in function.__closure__ or ()]


def _called(function: Any) -> frozenset[str]:
    """The names of its module that a mistake uses, itself or by way of others."""
    if isinstance(function, functools.partial):
        parts = [function.func, *function.args, *function.keywords.values()]
        own = frozenset([function.func.__name__]) if isinstance(function.func, FunctionType) else frozenset()
        return own.union(*(_called(each) for each in parts))
    if not isinstance(function, FunctionType):
        return frozenset()
    found = _reached(function.__code__, _Space(function.__globals__))
    for value in cells_of(function):
        values = value.values() if isinstance(value, dict) else [value]
        found |= frozenset().union(*(_called(each) for each in values if each is not function))
    return found


class _Space:
    """A module's names, hashed by which module it is."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names

    def __hash__(self) -> int:
        return id(self.names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Space) and self.names is other.names


@functools.lru_cache(4096)
def _reached(code: CodeType, space: _Space) -> frozenset[str]:
    """Names of functions of a module that some code reaches."""
    found: set[str] = set()
    queue = [code]
    while queue:
        for name in names_in(queue.pop()) - found:
            value = space.names.get(name)
            if isinstance(value, FunctionType) and value.__globals__ is space.names:
                found.add(name)
                queue.append(value.__code__)
    return frozenset(found)


def _with_names(function: Any, names: dict[str, Any]) -> Any:
    """A function for which some names of its module stand for other things, wherever it calls them."""
    if isinstance(function, functools.partial):
        name = getattr(function.func, "__name__", "")
        inner = names[name] if name in names else _with_names(function.func, names)
        return functools.partial(inner, *function.args, **function.keywords)
    if not isinstance(function, FunctionType):
        return function
    space = {**function.__globals__, **names}
    for name in _called(function) - names.keys():
        each = function.__globals__.get(name)
        if isinstance(each, FunctionType) and names.keys() & _called(each):
            space[name] = remade(each, space, cells_of(each))
    cells = [
        {key: _with_names(each, names) for key, each in value.items()}
        if isinstance(value, dict)
        else _with_names(value, names)
        for value in cells_of(function)
    ]
    return remade(function, space, cells)


@functools.lru_cache(256)
def _switched(reference: Function) -> tuple[FunctionType, ...]:
    """The functions beside a reference that take its arguments, and switches behind them."""
    given = list(inspect.signature(reference).parameters)
    found = []
    for value in reference.__globals__.values():
        if not isinstance(value, FunctionType) or value.__globals__ is not reference.__globals__:
            continue
        names = list(inspect.signature(value).parameters)
        if names[: len(given)] == given and len(names) > len(given):
            found.append(value)
    return tuple(found)


def _adding(base: FunctionType, mistake: Function, count: int) -> Function:
    """The function with the switches that it gets, and besides with those that a mistake sets."""
    ask, signature = _asked(base, mistake), inspect.signature(base)

    def together(*args: Any, **kwargs: Any) -> Any:
        mine = dict(signature.bind(*args, **kwargs).arguments)
        given = [mine.pop(name) for name in list(mine)[:count]]
        theirs = ask(given)
        if theirs is None or theirs.keys() & mine.keys():
            raise _NotTogether
        return base(*given, **mine, **theirs)

    return together


@functools.lru_cache(4096)
def _asked(base: FunctionType, mistake: Function) -> Callable[[Sequence[Any]], dict[str, Any] | None]:
    """A function that says which switches a mistake sets for some arguments; None where it does more.

    The mistake runs with a witness in the place of the function, and must hand on the arguments that it gets,
    and give back what the witness gives.
    """
    signature = inspect.signature(base)
    heard: list[dict[str, Any]] = []
    token = object()

    def witness(*given: Any, **switches: Any) -> Any:
        heard.append(dict(signature.bind(*given, **switches).arguments))
        return token

    asked = _with_names(mistake, {base.__name__: witness}) if base.__name__ in _called(mistake) else None

    def ask(args: Sequence[Any]) -> dict[str, Any] | None:
        heard.clear()
        try:
            if asked is None or asked(*args) is not token or len(heard) != 1:
                return None
        except Exception:  # what it does to the witness's answer goes wrong
            return None
        theirs = heard.pop()
        first = [theirs.pop(name) for name in list(theirs)[: len(args)]]
        return theirs if all(a is b for a, b in zip(first, args, strict=True)) else None

    return ask
