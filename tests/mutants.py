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
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from segcore.checks.exercise import Case

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


def mutants(function: Function, cases: Sequence[Case]) -> Iterator[tuple[str, Function]]:
    """Every mutant of a right function, with a name that says what was turned and where."""
    yield from of_tree(function, cases)
    yield from of_calls(function, cases)


# ---- By the syntax tree


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


def of_tree(function: Function, cases: Sequence[Case]) -> Iterator[tuple[str, Function]]:
    functions = reached(function)
    trees = {name: ast.parse(textwrap.dedent(inspect.getsource(f))).body[0] for name, f in functions.items()}
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


def compiled(function: Function, trees: Sequence[ast.stmt], **names: Any) -> Function:
    """The function as these trees of it and of its helpers make it."""
    space = {**function.__globals__, **names}
    module = ast.fix_missing_locations(ast.Module(list(trees), []))
    exec(compile(module, f"<mutant of {function.__name__}>", "exec"), space)
    return space[function.__name__]


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
        skipped = {id(inner) for node in annotations(twin) for inner in ast.walk(node)}
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
    skipped = {id(inner) for node in annotations(tree) for inner in ast.walk(node)}
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


def annotations(tree: ast.AST) -> Iterator[ast.AST]:
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
        case ast.Compare(ops=[op]) if type(op) in COMPARED:
            yield "turned", ast.Compare(twin.left, [COMPARED[type(op)]()], twin.comparators)
            if not isinstance(op, ast.Eq | ast.NotEq):
                yield "sides exchanged", ast.Compare(twin.comparators[0], twin.ops, [twin.left])
        case ast.Compare(ops=[first, second]):
            yield "first limit gone", ast.Compare(twin.comparators[0], [second], twin.comparators[1:])
            yield "second limit gone", ast.Compare(twin.left, [first], twin.comparators[:1])
            for index, op in enumerate(twin.ops):
                ops = list(twin.ops)
                ops[index] = COMPARED.get(type(op), type(op))()
                yield f"limit {index + 1} turned", ast.Compare(twin.left, ops, twin.comparators)
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


def of_call(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    function, args, keywords = node.func, node.args, node.keywords
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    is_method = isinstance(function, ast.Attribute) and not (
        isinstance(function.value, ast.Name) and function.value.id in {"torch", "F", "math", "np"}
    )
    if name in FORGOTTEN:
        if is_method:
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
