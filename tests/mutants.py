"""Mutants: right functions with one thing turned wrong, to see whether an exercise's cases notice.

`mutants(function, cases)` yields them by name. Two sources: the syntax tree of the function and of the
functions of its module that it calls (a comparison turned, a number off by one, a clamp left out, ...), and
its calls (an argument ignored or exchanged, a result kept from an earlier call, an input written into, ...).
"""

from __future__ import annotations

import ast
import copy
import inspect
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from segcore.checks.exercise import Case
from segcore.checks.trees import alternatives, compiled, not_computed, put, trees_of

Function = Callable[..., Any]


def mutants(function: Function, cases: Sequence[Case]) -> Iterator[tuple[str, Function]]:
    """Every mutant of a right function, with a name that says what was turned and where."""
    yield from of_tree(function, cases)
    yield from of_calls(function, cases)


# ---- By the syntax tree


def of_tree(function: Function, cases: Sequence[Case]) -> Iterator[tuple[str, Function]]:
    trees = trees_of(function)
    alive, options = traced(function, trees, cases)
    count: Counter[str] = Counter()
    for name, tree in trees.items():
        for what, changed in changes(tree, alive[name], options[name]):
            count[name + what] += 1
            what += f" #{count[name + what]}" if count[name + what] > 1 else ""
            others = [trees[other] for other in trees if other != name]
            try:
                yield f"{name}: {what}", compiled(function, [*others, changed])
            except SyntaxError:
                continue


class Watching(ast.NodeTransformer):
    """Wraps each expression, so that it is noted whether it is ever computed."""

    def __init__(self, name: str, places: dict[int, int]) -> None:
        self.name, self.places = name, places

    def generic_visit(self, node: ast.AST) -> ast.AST:
        place = self.places.get(id(node))
        super().generic_visit(node)
        if not isinstance(node, ast.expr) or isinstance(node, ast.Slice | ast.Starred | ast.JoinedStr):
            return node
        if not isinstance(getattr(node, "ctx", ast.Load()), ast.Load) or place is None:
            return node
        if isinstance(node, ast.Tuple) and any(
            isinstance(each, ast.Slice | ast.Starred) for each in node.elts
        ):
            return node
        noted = [ast.Constant(self.name), ast.Constant(place), node]
        return ast.Call(ast.Name("__noted__", ast.Load()), noted, [])


def traced(
    function: Function, trees: dict[str, ast.stmt], cases: Sequence[Case]
) -> tuple[dict[str, set[int]], dict[str, set[str]]]:
    """Which expressions of each function the cases compute; which parameters always keep their defaults."""
    alive: dict[str, set[int]] = {name: set() for name in trees}
    defaults = {name: optional(tree) for name, tree in trees.items()}
    watched = []
    for name, tree in trees.items():
        twin = copy.deepcopy(tree)
        skipped = {id(inner) for node in not_computed(twin) for inner in ast.walk(node)}
        skipped |= {id(each) for each in [*twin.args.defaults, *twin.args.kw_defaults]}
        places = {id(node): index for index, node in enumerate(ast.walk(twin)) if id(node) not in skipped}
        Watching(name, places).visit(twin)
        arguments = [ast.Name(each, ast.Load()) for each in defaults[name]]
        call = ast.Call(ast.Name("__called__", ast.Load()), [ast.Constant(name), *arguments], [])
        twin.body.insert(0, ast.Expr(call))
        watched.append(twin)

    def noted(name: str, place: int, value: Any) -> Any:
        alive[name].add(place)
        return value

    def called(name: str, *values: Any) -> None:
        known = list(everything[name])
        for each, value in zip(known, values, strict=True):
            usual = everything[name][each]
            if not (value is usual or (isinstance(value, int | float | str) and value == usual)):
                defaults[name].pop(each, None)

    everything = {name: dict(values) for name, values in defaults.items()}
    run = compiled(function, watched, __noted__=noted, __called__=called)
    for case in cases:
        run(*copy.deepcopy(case.args), **copy.deepcopy(dict(case.kwargs)))
    own = {function.__name__: set()}  # the reader's parameters are no options of ours
    return alive, {name: set(values) for name, values in defaults.items()} | own


def optional(tree: ast.stmt) -> dict[str, Any]:
    """The parameters with a default that is a plain value."""
    found, parameters = {}, tree.args
    positional = parameters.posonlyargs + parameters.args
    pairs = [*zip(positional[::-1], parameters.defaults[::-1], strict=False)]
    pairs += [
        (name, value)
        for name, value in zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True)
        if value
    ]
    for name, value in pairs:
        if isinstance(value, ast.Constant):
            found[name.arg] = value.value
        elif isinstance(value, ast.UnaryOp) and isinstance(value.operand, ast.Constant):
            found[name.arg] = ast.literal_eval(value)
    return found


def changes(tree: ast.stmt, alive: set[int], options: set[str]) -> Iterator[tuple[str, ast.stmt]]:
    """Copies of a function's tree with one node changed each.

    Left out is what no case computes, and what asks for an option of a helper that the right answer never
    sets (the wrong answers beside it do).
    """
    nodes = list(ast.walk(tree))
    skipped = {id(inner) for node in not_computed(tree) for inner in ast.walk(node)}
    skipped |= {id(each) for each in [tree.args, *tree.args.defaults, *tree.args.kw_defaults]}
    above = {id(child): node for node in nodes for child in ast.iter_child_nodes(node)}
    for index, node in enumerate(nodes):
        if id(node) in skipped or node is tree or not computed(node, nodes, alive, above):
            continue
        if asks(node, options) or any(asks(each, options) for each in ast.iter_child_nodes(node)):
            continue
        for what, made in alternatives(node):
            twin = copy.deepcopy(tree)
            target = next(each for number, each in enumerate(ast.walk(twin)) if number == index)
            put(twin, target, made)
            yield f"{what} [{ast.unparse(node).splitlines()[0]}]", twin


def asks(node: ast.AST, options: set[str]) -> bool:
    """Whether a node does nothing but ask for an option, or computes with one."""
    match node:
        case ast.If(test=asked) | ast.IfExp(test=asked):
            parts = [asked]
        case ast.BoolOp(values=values):
            parts = values
        case ast.Compare(left=left, comparators=others):
            parts = [left, *others]
        case ast.BinOp(left=left, right=right):
            parts = [left, right]
        case _:
            return False
    return bool(
        options & {each.id for part in parts for each in ast.walk(part) if isinstance(each, ast.Name)}
    )


def computed(node: ast.AST, nodes: list[ast.AST], alive: set[int], above: dict[int, ast.AST]) -> bool:
    """Whether some case computes this node, or what it stands in."""
    places = {id(each): index for index, each in enumerate(nodes)}
    while not isinstance(node, ast.stmt):
        plain = isinstance(node, ast.expr) and not isinstance(node, ast.Slice | ast.Starred)
        parts = node.elts if isinstance(node, ast.Tuple) else []
        plain &= not any(isinstance(each, ast.Slice | ast.Starred) for each in parts)
        if plain and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
            return places[id(node)] in alive
        node = above[id(node)]
    return any(places[id(each)] in alive for each in ast.walk(node))


# ---- By the calls


def of_calls(function: Function, cases: Sequence[Case]) -> Iterator[tuple[str, Function]]:
    names = list(inspect.signature(function).parameters)
    given = [bound(function, case) for case in cases]
    for name in names:
        values = [each[name] for each in given]
        defaults = [inspect.signature(function).parameters[name].default]
        for text, value in [
            ("the default", each) for each in defaults if each is not inspect.Parameter.empty
        ] + [("the first case's value", values[0])]:
            yield f"{name} is always {text}", fixed(function, name, value)
    for one, other in itertools.combinations(names, 2):
        if all(type(each[one]) is type(each[other]) for each in given):
            yield f"{one} and {other} exchanged", exchanged(function, one, other)
    for name in names:
        if all(isinstance(each[name], torch.Tensor) for each in given):
            yield f"writes into {name}", writing(function, name)
    if any(isinstance(value, torch.Tensor) for each in given for value in each.values()):
        yield "keeps what it gave for such shapes", keeping(function)
    if any(has_whole_numbers(function(**copy.deepcopy(each))) for each in given):
        yield "floats for whole numbers", floats(function)


def has_whole_numbers(result: Any) -> bool:
    return type(result) is int or (isinstance(result, tuple | list) and any(map(has_whole_numbers, result)))


def bound(function: Function, case: Case) -> dict[str, Any]:
    found = inspect.signature(function).bind(*case.args, **case.kwargs)
    found.apply_defaults()
    return dict(found.arguments)


def rewritten(function: Function, change: Callable[[dict[str, Any]], None]) -> Function:
    """The function with its arguments changed, under its own signature."""

    def mutant(*args: Any, **kwargs: Any) -> Any:
        values = inspect.signature(function).bind(*args, **kwargs)
        values.apply_defaults()
        change(values.arguments)
        return function(*values.args, **values.kwargs)

    mutant.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return mutant


def fixed(function: Function, name: str, value: Any) -> Function:
    return rewritten(function, lambda values: values.__setitem__(name, copy.deepcopy(value)))


def exchanged(function: Function, one: str, other: str) -> Function:
    def change(values: dict[str, Any]) -> None:
        values[one], values[other] = values[other], values[one]

    return rewritten(function, change)


def writing(function: Function, name: str) -> Function:
    def mutant(*args: Any, **kwargs: Any) -> Any:
        values = inspect.signature(function).bind(*args, **kwargs)
        result = function(*args, **kwargs)
        into = values.arguments[name]
        with torch.no_grad():
            into.copy_(~into if into.dtype == torch.bool else into + 1)
        return result

    mutant.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return mutant


def keeping(function: Function) -> Function:
    kept: dict[Any, Any] = {}

    def key(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return tuple(value.shape)
        if isinstance(value, tuple | list):
            return tuple(key(each) for each in value)
        return value if isinstance(value, int | float | str) else id(type(value))

    def mutant(*args: Any, **kwargs: Any) -> Any:
        name = (key(args), tuple(sorted((each, key(value)) for each, value in kwargs.items())))
        if name not in kept:
            kept[name] = function(*args, **kwargs)
        return kept[name]

    mutant.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return mutant


def floats(function: Function) -> Function:
    def turned(value: Any) -> Any:
        if isinstance(value, tuple | list):
            return type(value)(turned(each) for each in value)
        return float(value) if type(value) is int else value

    def mutant(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        return turned(result)

    mutant.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return mutant
