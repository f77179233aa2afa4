"""Trees of right functions, and what may stand wrong in one place: mutants for tests and for hints.

A mutant is the reference with one node of its syntax tree changed: a comparison turned, a number off by one,
a limit left out. `tests/mutants.py` asks whether an exercise's cases notice each of them, and
`segcore.checks.turned` whether one of them gives a reader's results.
"""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

__all__ = ["alternatives", "compiled", "ends", "not_computed", "put", "reached", "trees_of"]

Function = Callable[..., Any]

COMPARED = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
COMPUTED = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
# Calls that a reader may forget: `x.clamp(0, 1)` becomes `x`, `sorted(x)` becomes `x`.
FORGOTTEN = {
    "abs", "ceil", "clamp", "cumsum", "flip", "flatten", "floor", "int", "mT", "nan_to_num", "permute",
    "relu", "reversed", "round", "sort", "sorted", "softmax", "sqrt", "square", "t", "transpose", "trunc",
    "unique",
}  # fmt: skip
OTHER = {
    "nanmean": "mean", "nansum": "sum", "mean": "sum", "sum": "mean", "min": "max", "max": "min",
    "amin": "amax", "amax": "amin", "floor": "ceil", "ceil": "floor", "argmax": "argmin", "any": "all",
    "all": "any", "minimum": "maximum", "maximum": "minimum", "height": "width", "width": "height",
}  # fmt: skip


def reached(function: Function) -> dict[str, Function]:
    """The function and those of its module that it calls, directly or not, by name."""
    found, queue = {}, [function]
    while queue:
        each = queue.pop()
        if each.__name__ in found:
            continue
        found[each.__name__] = each
        for name in names_in(each.__code__):
            other = each.__globals__.get(name)
            if inspect.isfunction(other) and other.__module__ == function.__module__:
                queue.append(other)
    return found


def names_in(code: Any) -> set[str]:
    inner = (each for each in code.co_consts if inspect.iscode(each))
    return set(code.co_names).union(*(names_in(each) for each in inner))


def trees_of(function: Function) -> dict[str, ast.FunctionDef]:
    """The syntax trees of the functions that are reached, by name."""
    found = {}
    for name, each in reached(function).items():
        tree = ast.parse(textwrap.dedent(inspect.getsource(each))).body[0]
        assert isinstance(tree, ast.FunctionDef)
        found[name] = tree
    return found


@functools.lru_cache(512)
def ends(function: Function) -> bool:
    """Whether a function must come to an end however it is changed or called: it has no ``while``."""
    try:
        return not any(
            isinstance(node, ast.While) for tree in trees_of(function).values() for node in ast.walk(tree)
        )
    except (OSError, TypeError, AssertionError, SyntaxError):  # its source is not at hand
        return False


def compiled(function: Function, trees: Sequence[ast.stmt], **names: Any) -> Function:
    """The function as these trees of it and of its helpers make it."""
    space = {**function.__globals__, **names}
    module = ast.fix_missing_locations(ast.Module(list(trees), []))
    exec(compile(module, f"<mutant of {function.__name__}>", "exec"), space)
    return space[function.__name__]


def not_computed(tree: ast.AST) -> Iterator[ast.AST]:
    """What stands in a function but is not computed: annotations, docstrings, and what errors say."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
            yield node.annotation
        if isinstance(node, ast.FunctionDef):
            yield from [node.returns] if node.returns else []
            yield from node.decorator_list
            if ast.get_docstring(node) is not None:
                yield node.body[0]
        if isinstance(node, ast.Raise | ast.Assert):
            yield node
        if isinstance(node, ast.keyword) and node.arg == "strict":
            yield node


def put(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    """Replace one node of the tree."""
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, field, new)
            elif isinstance(value, list):
                for index, each in enumerate(value):
                    if each is old:
                        value[index] = new


def alternatives(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What may stand in this node's place."""
    twin = copy.deepcopy(node)
    match twin:
        case ast.Compare():
            yield from of_comparison(twin)
        case ast.BinOp(op=op):
            if type(op) in COMPUTED:
                yield "computed otherwise", ast.BinOp(twin.left, COMPUTED[type(op)](), twin.right)
            if isinstance(op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.BitAnd | ast.BitOr):
                yield "right part gone", twin.left
            if isinstance(op, ast.Add | ast.Mult | ast.BitAnd | ast.BitOr):
                yield "left part gone", twin.right
        case ast.BoolOp(values=[*values]):
            yield "and for or", ast.BoolOp(ast.Or() if isinstance(twin.op, ast.And) else ast.And(), values)
            for index in range(len(values)):
                rest = values[:index] + values[index + 1 :]
                yield f"condition {index + 1} gone", rest[0] if len(rest) == 1 else ast.BoolOp(twin.op, rest)
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert()):
            yield "sign gone", twin.operand
        case ast.Constant(value=bool(value)):
            yield "the other", ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield "one more", ast.Constant(value + 1)
            yield "one less", ast.Constant(value - 1)
        case ast.IfExp(body=body, orelse=orelse):
            yield "always the first", body
            yield "always the second", orelse
        case ast.If(body=body, orelse=orelse):
            yield "always", ast.If(ast.Constant(True), body, orelse)
            yield "never", ast.If(ast.Constant(False), body, orelse)
        case ast.AugAssign(target=target, value=value):
            yield "gone", ast.Pass()
            load = copy.deepcopy(value)
            yield "overwritten", ast.Assign([target], load)
        case ast.Expr(value=ast.Call()):
            yield "gone", ast.Pass()
        case ast.Slice(lower=lower, upper=upper, step=step):
            if lower is not None:
                yield "from the first", ast.Slice(None, upper, step)
            if upper is not None:
                yield "to the last", ast.Slice(lower, None, step)
            if step is not None:
                yield "no step", ast.Slice(lower, upper, None)
        case ast.Tuple(elts=[*parts]) | ast.List(elts=[*parts]) if len(parts) >= 2:
            for one in range(len(parts) - 1):
                order = [*parts[:one], parts[one + 1], parts[one], *parts[one + 2 :]]
                if ast.dump(parts[one]) != ast.dump(parts[one + 1]):
                    yield f"{one + 1} and {one + 2} exchanged", type(twin)(order, twin.ctx)
        case ast.Attribute(attr="T" | "mT"):
            yield "not transposed", twin.value
        case ast.Attribute(attr="real"):
            return
        case ast.Call():
            yield from of_call(twin)


def of_comparison(node: ast.Compare) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.Compare(ops=[op]) if type(op) in COMPARED:
            yield "turned", ast.Compare(node.left, [COMPARED[type(op)]()], node.comparators)
            if not isinstance(op, ast.Eq | ast.NotEq):
                yield "sides exchanged", ast.Compare(node.comparators[0], node.ops, [node.left])
        case ast.Compare(ops=[first, second]):
            yield "first limit gone", ast.Compare(node.comparators[0], [second], node.comparators[1:])
            yield "second limit gone", ast.Compare(node.left, [first], node.comparators[:1])
            for index, op in enumerate(node.ops):
                ops = list(node.ops)
                ops[index] = COMPARED.get(type(op), type(op))()
                yield f"limit {index + 1} turned", ast.Compare(node.left, ops, node.comparators)


def of_call(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    function, args, keywords = node.func, node.args, node.keywords
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    is_method = isinstance(function, ast.Attribute) and not (
        isinstance(function.value, ast.Name) and function.value.id in {"torch", "F", "math", "np"}
    )
    if name in FORGOTTEN:
        if isinstance(function, ast.Attribute) and is_method:
            yield "left out", function.value
        elif args:
            yield "left out", args[0]
    if name in OTHER:
        twin = copy.deepcopy(node)
        if isinstance(twin.func, ast.Attribute):
            twin.func.attr = OTHER[name]
        else:
            twin.func = ast.Name(OTHER[name], ast.Load())
        yield f"{OTHER[name]} instead", twin
    if name in {"min", "max", "minimum", "maximum"} and len(args) == 2:
        yield "always the first", args[0]
        yield "always the second", args[1]
    if name == "where" and len(args) == 3:
        yield "always the first", args[1]
        yield "always the second", args[2]
    if name == "range":
        plus = [*args]
        where = 0 if len(args) == 1 else 1
        for text, op in (("one round more", ast.Add), ("one round less", ast.Sub)):
            plus[where] = ast.BinOp(args[where], op(), ast.Constant(1))
            yield text, ast.Call(function, list(plus), [])
    for one in range(len(args) - 1):
        if ast.dump(args[one]) != ast.dump(args[one + 1]) and name not in {"zip", "isinstance", "range"}:
            order = [*args[:one], args[one + 1], args[one], *args[one + 2 :]]
            yield f"arguments {one + 1} and {one + 2} exchanged", ast.Call(function, order, keywords)
    for index, keyword in enumerate(keywords):
        if keyword.arg not in {"strict", "device", "indexing", None}:
            rest = keywords[:index] + keywords[index + 1 :]
            yield f"{keyword.arg} left out", ast.Call(function, args, rest)
