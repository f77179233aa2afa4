"""Which small change of the reference gives the reader's results: a limit, a sign, an axis, a sum for a mean.

Tried where no known mistake, other call or rule explains all cases. Each change is a mutant of the reference
(`segcore.checks.trees`); what is told are its kind and the arguments that it has to do with, never a line of
code. Where several changes of different kinds give the same results, only what they have in common is told.
"""

from __future__ import annotations

import ast
import copy
import inspect
import itertools
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from segcore.checks.calls import Other
from segcore.checks.compare import agrees
from segcore.checks.exercise import Exercise
from segcore.checks.ladder import Trial
from segcore.checks.sandbox import call, plainly
from segcore.checks.trees import alternatives, ends, not_computed, trees_of

__all__ = ["KINDS", "VAGUE", "turned"]

VAGUE = "turned: a step"  # the name of what is told where no single kind is certain

_SECONDS = 3.0  # processor time for all changes together
_ONE = 0.05  # and for one of them, above the reference's: a changed loop may never end
_CELLS = 3  # so many numbers that differ make a coincidence unlikely; in two cases fewer will do

# A kind of change: what comes out "when ...", and what to look for.
KINDS: dict[str, tuple[str, str]] = {
    "limit": (
        "a limit itself falls on the wrong side of a comparison (< for ≤, or the other way round)",
        "Which side does the task put it on?",
    ),
    "opposite": ("a condition is turned round", "When should it hold?"),
    "greater": ("a comparison is the wrong way round (< for >)", "Which side should be the larger one?"),
    "bound": ("one of two limits is not looked at", "What is asked at the lower end, what at the upper?"),
    "condition": ("a condition is left out", "Which one does the task set that yours never asks for?"),
    "and": ("'and' and 'or' are exchanged between two conditions", "Must both hold, or is one enough?"),
    "plus": ("plus and minus are exchanged in one place", "Which sign belongs there?"),
    "order": ("a difference or a fraction is taken the wrong way round", "What comes first?"),
    "product": ("two numbers are put together by the wrong one of + − × ÷", "Which one belongs there?"),
    "term": ("a term of a sum or a difference is left out", "Which one do you not add or subtract?"),
    "factor": ("a factor is left out", "What is it that you do not multiply by?"),
    "divisor": ("a division is left out", "What should be divided by what?"),
    "double": ("one term counts twice", "Which one comes in once too often?"),
    "minus": ("a minus sign is left out", "Where does the task have one?"),
    "number": ("a number is one too large or too small", "Where does counting begin, and where does it end?"),
    "power": ("a power is another one than the task's", "What is squared, and what is not?"),
    "axis": ("one step works along another axis", "Write down what each axis is, before that step."),
    "place": ("another place of a list or an axis is read", "Which place holds what you want?"),
    "switch": ("a step runs with the other of two settings", "Which of the two is asked for?"),
    "special": ("a special case is treated like all others", "For which case does the task say what to do?"),
    "always": ("the rule for a special case is used for all", "When does that rule hold?"),
    "step": ("a step is left out", "Which step of the task has no line in your function?"),
    "last": ("a result is overwritten where something should be added to it", "What must be kept?"),
    "range": ("a range begins or ends at another place", "Which is its first place, which its last?"),
    "end": ("the first or the last one of a series is left out", "Which one does yours never come to?"),
    "every": ("a stride between places is left out", "Is every place asked for?"),
    "pair": ("two values or axes stand in each other's place", "In which order are they asked for?"),
    "transpose": ("a matrix is not transposed", "Which are its rows, which its columns?"),
    "unlimited": ("results are not held within a limit", "What is the least or the largest value allowed?"),
    "round": ("something is not rounded, or rounded the other way", "Up, down, or to the nearest one?"),
    "sign": ("a sign is kept, or a square or a size lost, in one place", "Can that number be below 0?"),
    "sorted": ("something is not put in order", "In which order should it be?"),
    "sum": ("a sum stands where a mean belongs, or the other way round", "Is it divided by a count?"),
    "nan": ("what is not defined is not skipped", "What becomes of NaN in a mean or a sum?"),
    "extreme": ("the smallest and the largest are exchanged in one place", "Which one is asked for?"),
    "any": ("'any' and 'all' are exchanged", "Must it hold for each, or is one enough?"),
    "largest": ("the largest alone stands for a sum over all", "What becomes of the others?"),
    "shape": ("height and width are exchanged", "Which axis is which?"),
    "softmax": ("a softmax, an exp or a log is left out or another one", "Which one is asked for?"),
    "rounds": ("a loop goes one round too far, or stops one round early", "Which round is the last one?"),
    "arguments": ("two things that go into a step are exchanged", "Which is which?"),
    "option": ("a step runs without one of its settings", "Which setting of it does the task give?"),
    "part": ("only a part of an axis, or all but one end of it, enters a sum", "What has to be added up?"),
    "alone": ("only the first or the last of a series is looked at", "What becomes of the others?"),
    "start": ("what begins with 0 begins with 1, or the other way round", "What stands where nothing is?"),
    "equal": ("equality is asked for where less or more would do, too", "What of values in between?"),
    "both": ("what belongs to both counts twice, once for each", "How much of it do both share?"),
    "numerator": ("1 stands above a fraction line", "What should be divided there?"),
    "half": ("places are counted half a cell aside", "Where does the task put the centre of a cell?"),
    "aside": ("counting begins with 1 in place of 0", "Where does the task begin to count?"),
    "undefined": ("what is not defined counts as 0 or as 1", "What does the task say of such a case?"),
    "nearest": ("the nearest value is taken where the task asks for one in between, or the other way round",
                "Which values have a part in it?"),
    "count": ("something is divided by one too many or one too few", "How many are there?"),
    "coefficient": ("a number that something is multiplied or divided by is another one",
                    "Which one does the task give?"),
    "smoothed": ("1 is added above and below a fraction line", "Who asks for that?"),
    "dice": ("twice a number stands over the sum of it and the one below, as in Dice",
             "What should stand below?"),
    "name": ("one argument stands in another's place", "Which of them is meant there?"),
}  # fmt: skip

# Kinds of one family, what all of them have to do with, and what to look for.
_FAMILIES: tuple[tuple[set[str], str, str], ...] = (
    ({"limit", "opposite", "greater", "bound", "condition", "and", "equal", "special", "always", "any"},
     "a comparison or a condition", "When should it hold?"),
    ({"axis", "pair", "transpose", "shape"},
     "an axis, or the order of two", "What is each axis, before that step and behind it?"),
    ({"sum", "largest", "extreme", "nan", "divisor", "part"},
     "how several numbers become one: their sum, their mean, the largest", "Which one does the task name?"),
    ({"plus", "order", "product", "term", "factor", "divisor", "double", "minus", "power", "numerator",
      "count", "smoothed", "dice", "both", "coefficient", "number", "sign"},
     "how numbers are put together in a formula", "Is each sign, factor and power the task's?"),
    ({"range", "end", "place", "rounds", "aside", "part", "alone", "every", "half", "number"},
     "which places are read, and where counting begins or ends", "Which is the first one, which the last?"),
)  # fmt: skip

# Where a change stands, by the step around it.
_AROUND = {
    "softmax": "inside a softmax", "log_softmax": "inside a softmax", "logsumexp": "inside a logsumexp",
    "exp": "inside an exponential", "log": "inside a logarithm", "sigmoid": "inside a sigmoid",
    "sqrt": "below a root",
    "argmax": "where the largest one is sought", "amax": "where the largest one is sought",
    "argmin": "where the smallest one is sought", "amin": "where the smallest one is sought",
    "floor": "in what is rounded", "ceil": "in what is rounded", "round": "in what is rounded",
    "trunc": "in what is rounded", "clamp": "in what is held within limits",
    "conv2d": "around a convolution", "conv_transpose2d": "around a convolution", "pad": "around a padding",
    "interpolate": "around a change of size", "einsum": "around a product of matrices",
    "sort": "where something is put in order", "sorted": "where something is put in order",
    "argsort": "where something is put in order", "topk": "where the largest ones are picked",
    "cumsum": "inside a running sum", "bincount": "where something is counted", "range": "in a range",
    "arange": "in a range",
}  # fmt: skip

# Kinds that may tell of one and the same thing, and the kind that is true of all of them.
_SAME: tuple[tuple[set[str], str], ...] = (
    ({"greater", "opposite"}, "opposite"),
    ({"sum", "divisor"}, "divisor"),
    ({"transpose", "pair", "shape"}, "pair"),
    ({"end", "range", "rounds"}, "range"),
)

_OF_NODE: dict[tuple[str, str], str] = {
    ("Compare", "sides exchanged"): "greater",
    ("Compare", "first limit gone"): "bound",
    ("Compare", "second limit gone"): "bound",
    ("Compare", "limit 1 turned"): "limit",
    ("Compare", "limit 2 turned"): "limit",
    ("BoolOp", "and for or"): "and",
    ("UnaryOp", "sign gone"): "minus",
    ("If", "always"): "always",
    ("If", "never"): "special",
    ("IfExp", "always the first"): "always",
    ("IfExp", "always the second"): "special",
    ("AugAssign", "gone"): "step",
    ("AugAssign", "overwritten"): "last",
    ("Expr", "gone"): "step",
    ("Slice", "from the first"): "range",
    ("Slice", "to the last"): "range",
    ("Slice", "no step"): "every",
    ("Attribute", "not transposed"): "transpose",
}
_OF_CALL = {
    "clamp": "unlimited", "relu": "unlimited", "abs": "sign", "square": "power", "sqrt": "power",
    "ceil": "round", "floor": "round", "round": "round", "trunc": "round", "int": "round", "sort": "sorted",
    "sorted": "sorted", "reversed": "sorted", "flip": "sorted", "permute": "transpose", "softmax": "softmax",
    "transpose": "transpose", "t": "transpose", "mean": "sum", "sum": "sum", "nanmean": "nan",
    "nansum": "nan", "min": "extreme", "max": "extreme", "amin": "extreme", "amax": "extreme",
    "minimum": "extreme", "maximum": "extreme", "argmax": "extreme", "any": "any", "all": "any",
    "height": "shape", "width": "shape", "log": "softmax", "exp": "softmax", "log_softmax": "softmax",
    "sigmoid": "softmax", "logsumexp": "largest", "nan_to_num": "undefined",
}  # fmt: skip
_PLACED = {"half", "aside"}  # an argument's size sets how far is counted: it is not what is meant
_AXES = {"dim", "axis", "dims"}
_ROUNDING = {"floor", "ceil", "round", "trunc", "int", "long"}
_ALONG = {
    "sum", "mean", "amax", "amin", "max", "min", "argmax", "argmin", "any", "all", "softmax", "log_softmax",
    "cumsum", "cummax", "flip", "roll", "stack", "cat", "movedim", "transpose", "permute", "unsqueeze",
    "squeeze", "logsumexp", "nanmean", "nansum", "flatten", "unflatten", "sort", "argsort", "gather", "split",
    "chunk", "narrow", "index_select", "diff", "median", "norm", "topk", "cumprod", "prod", "swapaxes",
}  # fmt: skip


class _Turn(NamedTuple):
    """One change: its kind and the arguments of the task that it has to do with, where they are few."""

    kind: str
    about: tuple[str, ...]
    alike: bool = False  # the same change in several places
    around: str = ""  # where it stands, in words


def turned(exercise: Exercise, trials: Sequence[Trial], alike: bool = False) -> Other | None:
    """The kind of change of the reference that gives the reader's results in every case.

    Args:
        exercise: Its reference is what is changed.
        trials: All cases with what was expected and what came.
        alike: Whether changes are tried that are made in several places at once, in place of single ones.

    Returns:
        What was changed, in words; None where no change explains all results, where changes of different
        kinds do, where too few numbers differ to tell, or where time was up before all were tried.
    """
    if not _enough(trials, exercise.tolerance):
        return None
    rows = sorted(trials, key=lambda trial: (trial.fault is None, _cells(trial.case.args)))
    begin = time.process_time()
    call(exercise.reference, rows[0].case.args, rows[0].case.kwargs, _SECONDS)
    end, least = begin + _SECONDS, _ONE + 4 * (time.process_time() - begin)
    numbers = _numbers(exercise, trials)
    found: list[_Turn] = []
    for turn, function in _changed(exercise, numbers, alike):
        if time.process_time() > end:
            return None
        if turn in found:
            continue
        explains = _explains(exercise, function, rows, least)
        if explains is None:
            return None
        found += [turn] if explains else []
    return _common(found)


def _common(found: Sequence[_Turn]) -> Other | None:
    """What all the changes have in common, in words."""
    kinds = list(dict.fromkeys(turn.kind for turn in found))
    general = [kind for known, kind in _SAME if len(kinds) > 1 and known >= set(kinds)]
    kinds = general or kinds
    abouts = {turn.about for turn in found}
    where = abouts.pop() if len(abouts) == 1 else ()
    names = " and ".join(f"`{name}`" for name in where)
    arounds = {turn.around for turn in found}
    around = arounds.pop() if len(arounds) == 1 else ""
    if len(kinds) == 1:
        what, ask = KINDS[kinds[0]]
        if all(turn.alike for turn in found):
            what = f"{what.replace(' in one place', '')}, in several places alike"
        told = f"Your results are those that come out when {what}."
        look = f" It is a step {around}." if around else ""
        if names:
            look = f" Look where {names} come{'s' * (len(where) == 1)} in{', ' * bool(around)}{around}."
        return Other(f"turned: {kinds[0]}", f"{told}{look} {ask}")
    family = next(((what, ask) for known, what, ask in _FAMILIES if kinds and known >= set(kinds)), None)
    if kinds and len(where) == 1:
        told = f"One step with {names}, done in another way, gives your results in every case."
        if family is not None:
            told = f"{told} It has to do with {family[0]}."
        elif len(kinds) == 2:
            told = f"{told} Either {KINDS[kinds[0]][0]}, or {KINDS[kinds[1]][0]}."
        place = f" It stands {around}." if around else ""
        ask = family[1] if family is not None else f"What does the task do with {names}?"
        return Other(VAGUE, f"{told}{place} {ask}")
    if family is not None:
        told = (
            f"One step, done in another way, gives your results in every case. It has to do with {family[0]}."
        )
        return Other(VAGUE, f"{told} {family[1]}")
    return None


def _enough(trials: Sequence[Trial], tolerance: float) -> bool:
    """Whether enough numbers came out wrong to tell one change from another."""
    different: list[float] = []
    wrong = 0
    for trial in trials:
        outcome = trial.outcome
        if outcome is None or outcome.error is not None or outcome.timeout or outcome.changed:
            return False
        if trial.fault is None:
            continue
        values = [_differing(*pair, tolerance) for pair in _parts(trial.expected, outcome.value)]
        if any(value is None for value in values):
            return False
        cells = [number for value in values if value is not None for number in value]
        wrong += bool(cells)
        different += cells
    known = [number for number in different if number == number]
    return len(set(known)) >= 2 and (len(known) >= _CELLS or wrong >= 2)


def _parts(expected: Any, got: Any) -> list[tuple[Any, Any]]:
    several = isinstance(expected, tuple) and isinstance(got, tuple | list) and len(expected) == len(got)
    return list(zip(expected, got, strict=True)) if several else [(expected, got)]


def _differing(expected: Any, got: Any, tolerance: float) -> list[float] | None:
    """The numbers that are not as expected, all of them where the shapes differ; None for what is none.

    A result that is one number all over counts as one: many faults lead to that.
    """
    try:
        one, two = (torch.as_tensor(value).detach().double() for value in (expected, got))
    except (TypeError, ValueError, RuntimeError):
        return None
    if two.numel() > 1 and bool((two == two.flatten()[0]).all()):
        return [float(two.flatten()[0])]
    off = two.flatten()
    if one.shape == two.shape:
        off = two[~torch.isclose(two, one, tolerance, tolerance, True)]
    return [float(number) for number in off[:100]]


def _explains(exercise: Exercise, function: Any, rows: Sequence[Trial], seconds: float) -> bool | None:
    """Whether a changed reference gives what the reader's gave, everywhere; None where it never ends."""

    def quiet(*args: Any, **kwargs: Any) -> Any:
        with torch.no_grad():
            return function(*args, **kwargs)

    run = plainly if ends(exercise.reference) else call  # a thread of its own costs more than most calls
    for trial in rows:
        outcome = run(quiet, trial.case.args, trial.case.kwargs, seconds)
        if outcome.stuck:
            return None
        if outcome.timeout or outcome.error is not None or trial.outcome is None:
            return False
        try:
            if not agrees(outcome.value, trial.outcome.value, exercise.tolerance):
                return False
        except Exception:  # what a reader returns may be anything
            return False
    return True


def _cells(value: Any) -> int:
    if isinstance(value, tuple | list):
        return sum(map(_cells, value))
    return value.numel() if isinstance(value, Tensor) else 1


_FILLED = {
    "zeros": "ones", "ones": "zeros", "zeros_like": "ones_like", "ones_like": "zeros_like",
    "new_zeros": "new_ones", "new_ones": "new_zeros",
}  # fmt: skip

# The changes ---------------------------------------------------------------------------------------------


def _numbers(exercise: Exercise, trials: Sequence[Trial]) -> list[str]:
    """The arguments that are plain numbers."""
    bound = [
        inspect.signature(exercise.reference).bind(*trial.case.args, **trial.case.kwargs).arguments
        for trial in trials
    ]
    return [name for name in bound[0] if all(type(each.get(name)) in {int, float} for each in bound)]


class _Change(NamedTuple):
    """What may stand in one place: the function that puts it there, and what stands there now."""

    kind: str
    about: tuple[str, ...]
    put: Any
    node: ast.AST
    made: ast.AST
    form: tuple[str, ...]
    around: str


def _changed(exercise: Exercise, numbers: Sequence[str], alike: bool = False) -> Iterator[tuple[_Turn, Any]]:
    """Each change with the changed reference, which is to be called before the next one is asked for.

    With `alike` those changes that can be made in several places are made in all of these at once: on both
    axes, say.
    """
    reference = exercise.reference
    trees = trees_of(reference)
    names = list(inspect.signature(reference).parameters)
    origins = _origins(reference.__name__, trees)
    space = dict(reference.__globals__)
    for tree in trees.values():
        _define(tree, space)
    for name, tree in trees.items():
        changes = list(_of_tree(tree, numbers, origins[name], len(names)))
        for group in _alike(changes) if alike else [[each] for each in changes]:
            for each in group:
                each.put(each.made)
            try:
                _define(tree, space)
                made = True
            except (SyntaxError, ValueError, TypeError):
                made = False
            for each in group:
                each.put(each.node)
            if made:
                about = group[0].about if len(group) == 1 else ()
                around = group[0].around if len(group) == 1 else ""
                yield _Turn(group[0].kind, about, alike, around), space[reference.__name__]
        _define(tree, space)


def _of_tree(
    tree: ast.FunctionDef, numbers: Sequence[str], origins: Mapping[str, frozenset[str]], count: int
) -> Iterator[_Change]:
    """All changes of one function in one place each."""
    skipped = {id(inner) for node in not_computed(tree) for inner in ast.walk(node)}
    skipped |= {id(each) for each in ast.walk(tree.args)} | {id(tree)}
    places = list(_places(tree))
    above = {id(node): parent for parent, _, node in places}
    for parent, put, node in places:
        if id(node) in skipped:
            continue
        for what, made in [*alternatives(node), *_further(node, parent, numbers)]:
            kind = _kind(node, what, above.get(id(parent), parent) if _is_minus(parent) else parent)
            if kind is not None:
                about = () if kind in _PLACED else _about(node, what, origins, count)
                form = (kind, what, _form(node), _form(parent)[:30])
                yield _Change(kind, about, put, node, made, form, _around(node, kind, above))


def _around(node: ast.AST, kind: str, above: Mapping[int, ast.AST]) -> str:
    """Where a change stands, by the nearest step around it that has words."""
    below: ast.AST = node
    while parent := above.get(id(below)):
        match parent:
            case ast.BinOp(op=ast.Div() | ast.FloorDiv(), right=right) if kind != "divisor":
                return "below a fraction line" if right is below else "above a fraction line"
            case ast.Call():
                if found := _AROUND.get(_name_of(parent)):
                    return found
            case ast.stmt():
                return ""
        below = parent
    return ""


def _alike(changes: Sequence[_Change]) -> Iterator[list[_Change]]:
    """The same change of places that look alike but for their names, of two to four of them."""
    groups: dict[tuple[str, ...], list[_Change]] = {}
    for change in changes:
        groups.setdefault(change.form, []).append(change)
    for group in groups.values():
        inside = {id(inner) for each in group for inner in ast.walk(each.node) if inner is not each.node}
        if 2 <= len(group) <= 4 and not any(id(each.node) in inside for each in group):
            yield group


def _form(node: ast.AST) -> str:
    """A node's tree without the names and numbers in it: those of two axes differ."""
    return re.sub(r"(Name\(id=|Constant\(value=)[^,)]+", r"\1", ast.dump(node))


def _define(tree: ast.FunctionDef, space: dict[str, Any]) -> None:
    module = ast.fix_missing_locations(ast.Module([tree], []))
    exec(compile(module, f"<mutant of {tree.name}>", "exec"), space)


def _places(tree: ast.AST) -> Iterator[tuple[ast.AST, Any, ast.AST]]:
    """Each node below a tree, with what it stands in and a function that puts another one in its place."""

    def setter(parent: ast.AST, field: str, index: int | None) -> Any:
        def put(node: ast.AST) -> None:
            if index is None:
                setattr(parent, field, node)
            else:
                getattr(parent, field)[index] = node

        return put

    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if isinstance(value, ast.AST):
                yield parent, setter(parent, field, None), value
            elif isinstance(value, list):
                for index, each in enumerate(value):
                    if isinstance(each, ast.AST):
                        yield parent, setter(parent, field, index), each


def _name_of(node: ast.AST) -> str:
    """The name of what is called, '' where it has none."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _further(node: ast.AST, parent: ast.AST, numbers: Sequence[str]) -> Iterator[tuple[str, ast.AST]]:
    """Changes that readers make and that the tests' mutants lack."""
    twin = copy.deepcopy(node)
    match twin:
        case ast.BinOp():
            yield from _further_sums(twin)
        case ast.Compare(left=left, ops=[ast.LtE() | ast.GtE()], comparators=others):
            yield "equal", ast.Compare(left, [ast.Eq()], others)
        case ast.AugAssign(target=target, op=op, value=value):
            for k, what in ((1, "one more"), (-1, "one less")):
                yield what, ast.AugAssign(target, op, ast.BinOp(value, ast.Add(), ast.Constant(k)))
        case ast.Name(id=name, ctx=ast.Load()) if name in numbers:
            yield from (("name", ast.Name(other, ast.Load())) for other in numbers if other != name)
        case ast.Slice(lower=None, upper=upper, step=None) if upper is not None:
            yield "without the first", ast.Slice(ast.Constant(1), upper, None)
        case ast.Slice(lower=lower, upper=None, step=None) if lower is not None:
            yield "without the last", ast.Slice(lower, ast.Constant(-1), None)
        case ast.Constant(value=str(mode)) if mode in {"bilinear", "nearest", "linear"}:
            yield "nearest or between", ast.Constant("bilinear" if mode == "nearest" else "nearest")
        case ast.Attribute(attr="nan"):
            yield "0 for nan", ast.Constant(0.0)
            yield "1 for nan", ast.Constant(1.0)
        case ast.Constant(value=int(value)) if _is_axis(parent) and not isinstance(value, bool):
            yield from (("axis", ast.Constant(k)) for k in (0, 1, 2, 3, -1) if abs(k - value) > 1)
    if isinstance(twin, ast.For | ast.comprehension):
        listed = ast.Call(ast.Name("list", ast.Load()), [twin.iter], [])
        for what, part in (
            ("without the first", ast.Slice(ast.Constant(1), None, None)),
            ("without the last", ast.Slice(None, ast.Constant(-1), None)),
            ("first alone", ast.Slice(None, ast.Constant(1), None)),
            ("last alone", ast.Slice(ast.Constant(-1), None, None)),
        ):
            other = copy.copy(twin)
            other.iter = ast.Subscript(listed, part, ast.Load())
            yield what, other
    if isinstance(twin, ast.Call):
        yield from _further_calls(twin)
    if isinstance(twin, ast.Assign | ast.AugAssign | ast.Expr | ast.Return):
        here = {each.id for each in ast.walk(twin) if isinstance(each, ast.Name)}
        for one, two in itertools.combinations([name for name in numbers if name in here], 2):
            changed = copy.deepcopy(twin)
            for each in ast.walk(changed):
                if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load) and each.id in {one, two}:
                    each.id = two if each.id == one else one
            yield "name", changed


def _further_sums(node: ast.BinOp) -> Iterator[tuple[str, ast.AST]]:
    def size(value: ast.expr) -> ast.expr:
        return ast.Call(ast.Name("abs", ast.Load()), [value], [])

    match node:
        case ast.BinOp(op=ast.Sub() | ast.Div() as op, left=left, right=right):
            yield "sides of it exchanged", ast.BinOp(right, op, left)
            if isinstance(op, ast.Div):
                yield "numerator gone", ast.BinOp(ast.Constant(1), op, right)
                yield from _further_fractions(left, right)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            yield "left twice", ast.BinOp(ast.BinOp(left, ast.Add(), left), ast.Add(), right)
            yield "right twice", ast.BinOp(ast.BinOp(left, ast.Add(), right), ast.Add(), right)
            if _is_square(left) and _is_square(right):
                yield "size for square", ast.BinOp(size(left.left), ast.Add(), size(right.left))  # type: ignore[attr-defined]
        case ast.BinOp(op=ast.FloorDiv() as op, left=left, right=right):
            yield "right part gone", left
            above = ast.BinOp(left, ast.Add(), ast.BinOp(right, ast.Sub(), ast.Constant(1)))
            yield "rounded up", ast.BinOp(above, op, right)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            one, two = (ast.Call(ast.Attribute(each, "int", ast.Load()), [], []) for each in (left, right))
            yield "both", ast.BinOp(one, ast.Add(), two)
        case ast.BinOp(
            op=ast.Pow(), left=ast.BinOp(op=ast.Div() | ast.Mult() as op, left=one, right=two)
        ) if _is_square(node):
            for left, right in (
                (ast.BinOp(one, node.op, node.right), two),
                (one, ast.BinOp(two, node.op, node.right)),
            ):
                yield "half a square", ast.BinOp(left, op, right)
            yield "size for square", size(node.left)
        case ast.BinOp(op=ast.Pow(), left=left) if _is_square(node):
            yield "size for square", size(left)


def _further_fractions(above: ast.expr, below: ast.expr) -> Iterator[tuple[str, ast.AST]]:
    one, two = ast.Constant(1), ast.Constant(2)
    yield "one more below", ast.BinOp(above, ast.Div(), ast.BinOp(below, ast.Add(), one))
    yield "one less below", ast.BinOp(above, ast.Div(), ast.BinOp(below, ast.Sub(), one))
    more = (ast.BinOp(each, ast.Add(), one) for each in (above, below))
    yield "smoothed", ast.BinOp(next(more), ast.Div(), next(more))
    twice = ast.BinOp(above, ast.Mult(), two)
    yield "Dice", ast.BinOp(twice, ast.Div(), ast.BinOp(above, ast.Add(), below))


def _is_square(node: ast.AST) -> bool:
    square = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)
    return square and getattr(node.right, "value", None) == 2  # type: ignore[attr-defined]


def _further_calls(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    name = _name_of(node)
    of_module = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") in {"torch", "F"}
    inner = node.args[0] if of_module and node.args else getattr(node.func, "value", None)
    if name in {"min", "max"} and len(node.args) == 2:
        for index, k in itertools.product((0, 1), (1, -1)):
            args = [*node.args]
            args[index] = ast.BinOp(args[index], ast.Add(), ast.Constant(k))
            yield "one more" if k > 0 else "one less", ast.Call(node.func, args, node.keywords)
    if name in _FILLED:
        yield "start", ast.Call(_renamed(node.func, _FILLED[name]), node.args, node.keywords)
    if inner is None:
        return
    axes = node.args[1:] if of_module else node.args
    if name == "mean":
        ones = ast.BinOp(ast.BinOp(inner, ast.Mult(), ast.Constant(0)), ast.Add(), ast.Constant(1))
        total, count = (
            ast.Call(ast.Attribute(each, "sum", ast.Load()), axes, node.keywords) for each in (inner, ones)
        )
        yield from list(_further_fractions(total, count))[:2]
    if name in {"mean", "sum"}:
        yield "amax instead", ast.Call(_renamed(node.func, "amax"), node.args, node.keywords)
    if name in {"sum", "mean", "amax", "any", "all", "nanmean"} and len(axes) == 1 and not node.keywords:
        for lower, upper in ((1, None), (None, -1), (None, 1)):
            first = ast.Call(ast.Attribute(inner, "movedim", ast.Load()), [axes[0], ast.Constant(0)], [])
            cut = ast.Slice(*(None if end is None else ast.Constant(end) for end in (lower, upper)))
            place = ast.Subscript(first, cut, ast.Load())
            yield "part", ast.Call(ast.Attribute(place, name, ast.Load()), [ast.Constant(0)], [])
    if name == "arange":
        yield "half aside", ast.BinOp(node, ast.Add(), ast.Constant(0.5))
        yield "one aside", ast.BinOp(node, ast.Add(), ast.Constant(1))
    if name in {"exp", "log", "sigmoid", "log_softmax"}:
        yield "left out", inner
    if name == "square":
        yield "left out", ast.Call(ast.Attribute(inner, "abs", ast.Load()), [], [])
    if name == "logsumexp":
        yield "amax instead", ast.Call(_renamed(node.func, "amax"), node.args, node.keywords)
    if name in {"softmax", "log_softmax"}:
        if name == "softmax":
            bare = [inner] if of_module else []
            for each in ("sigmoid", "exp"):
                yield "other", ast.Call(_renamed(node.func, each, "torch"), bare, [])
        else:
            yield "other", ast.Call(_renamed(node.func, "softmax"), node.args, node.keywords)
    if name == "nanmean":
        for value in (0.0, 1.0):
            whole = ast.Call(ast.Attribute(inner, "nan_to_num", ast.Load()), [ast.Constant(value)], [])
            rest = node.args[1:] if of_module else node.args
            made = ast.Call(ast.Attribute(whole, "mean", ast.Load()), rest, node.keywords)
            yield f"{value:.0f} for nan", made


def _renamed(function: ast.expr, name: str, module: str | None = None) -> ast.expr:
    """The function of a call under another name, where it is a module's in another module."""
    if not isinstance(function, ast.Attribute):
        return ast.Name(name, ast.Load())
    of_module = isinstance(function.value, ast.Name) and function.value.id in {"torch", "F"}
    value = ast.Name(module, ast.Load()) if module and of_module else function.value
    return ast.Attribute(value, name, ast.Load())


def _is_minus(node: ast.AST) -> bool:
    """Whether a node is a number with a minus before it, such as the axis -1."""
    return (
        isinstance(node, ast.UnaryOp)
        and isinstance(node.op, ast.USub)
        and isinstance(node.operand, ast.Constant)
    )


def _is_axis(parent: ast.AST) -> bool:
    """Whether a number below this node numbers an axis."""
    return (isinstance(parent, ast.keyword) and parent.arg in _AXES) or _name_of(parent) in _ALONG


# In words ------------------------------------------------------------------------------------------------

_FURTHER = {
    "sides of it exchanged": "order", "left twice": "double", "right twice": "double",
    "size for square": "power", "without the first": "end", "without the last": "end",
    "nearest or between": "nearest", "0 for nan": "undefined", "1 for nan": "undefined", "axis": "axis",
    "half aside": "half", "one aside": "aside", "amax instead": "largest", "equal": "equal", "name": "name",
    "first alone": "alone", "last alone": "alone", "part": "part", "start": "start", "both": "both",
    "half a square": "power", "numerator gone": "numerator", "rounded up": "round",
    "one more below": "count", "one less below": "count", "smoothed": "smoothed", "Dice": "dice",
}  # fmt: skip


def _kind(node: ast.AST, what: str, parent: ast.AST) -> str | None:
    """The kind of a change; None for one that cannot be told in words."""
    if what in _FURTHER:
        return _FURTHER[what]
    if _is_minus(node):
        return _of_number(parent)
    if found := _OF_NODE.get((type(node).__name__, what)):
        return "opposite" if found == "minus" and not isinstance(node.op, ast.USub) else found  # type: ignore[attr-defined]
    match node:
        case ast.Compare(ops=[op]):
            return "opposite" if isinstance(op, ast.Eq | ast.NotEq) else "limit"
        case ast.BinOp():
            return _of_sum(node, what, parent)
        case ast.AugAssign():
            return "number"
        case ast.BoolOp():
            return "condition"
        case ast.Constant(value=bool()):
            return "sorted" if getattr(parent, "arg", "") in {"descending", "reverse"} else "switch"
        case ast.Constant():
            return _of_number(parent)
        case ast.Tuple() | ast.List():
            return "pair"
        case ast.Call():
            return _of_step(node, what)
    return None


def _of_sum(node: ast.BinOp, what: str, parent: ast.AST) -> str:
    op = node.op
    if isinstance(op, ast.BitAnd | ast.BitOr):
        return "and" if what == "computed otherwise" else "condition"
    if what == "computed otherwise":
        return "plus" if isinstance(op, ast.Add | ast.Sub) else "product"
    gone = node.right if what == "right part gone" else node.left
    if isinstance(gone, ast.Constant) and gone.value == 0.5 and isinstance(op, ast.Add | ast.Sub):
        return "round" if getattr(parent, "attr", _name_of(parent)) in _ROUNDING else "half"
    if isinstance(op, ast.Add | ast.Sub):
        return "number" if isinstance(gone, ast.Constant) and gone.value == 1 else "term"
    return "divisor" if isinstance(op, ast.Div | ast.FloorDiv) else "factor"


def _of_number(parent: ast.AST) -> str | None:
    if isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Pow):
        return "power"
    if isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Mult | ast.Div):
        return "coefficient"
    if isinstance(parent, ast.Slice):
        return "range"
    if isinstance(parent, ast.Subscript | ast.Tuple):
        return "place"
    return "axis" if _is_axis(parent) else "number"


def _of_step(node: ast.Call, what: str) -> str | None:
    name = _name_of(node)
    if what in {"one more", "one less"}:
        return "number"
    if what.startswith("one round"):
        return "rounds"
    if what == "arguments 2 and 3 exchanged" and name == "where":
        return "opposite"
    if what.startswith("arguments"):
        return "arguments"
    if what.startswith("always"):
        return "always" if name == "where" else "unlimited"
    if name == "clamp" or (what in {"min left out", "max left out"}):
        return "unlimited"
    if what in {"dim left out", "axis left out"}:
        return "axis"
    if what.endswith("left out") and what != "left out":
        return "option"
    return _OF_CALL.get(name, "step" if what == "left out" else None)


def _origins(main: str, trees: Mapping[str, ast.FunctionDef]) -> dict[str, dict[str, frozenset[str]]]:
    """For each function, which arguments of the task each of its names is made of."""
    found: dict[str, dict[str, frozenset[str]]] = {name: {} for name in trees}
    found[main] = {each.arg: frozenset([each.arg]) for each in trees[main].args.args}
    for _ in range(3):  # through assignments in loops, and from callers to those they call
        for name, tree in trees.items():
            known = found[name]
            for node in ast.walk(tree):
                for target, value in _assigned(node):
                    made = _made_of(value, known)
                    for each in ast.walk(target):
                        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
                            known[each.id] = known.get(each.id, frozenset()) | made
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in trees:
                    callee = trees[node.func.id]  # type: ignore[attr-defined]
                    given = [*zip([each.arg for each in callee.args.args], node.args, strict=False)]
                    given += [(each.arg, each.value) for each in node.keywords if each.arg]
                    for arg, value in given:
                        there = found[callee.name]
                        there[arg] = there.get(arg, frozenset()) | _made_of(value, known)
    return found


def _assigned(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    match node:
        case ast.Assign(targets=[target], value=value):
            pairs = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
            if pairs and len(target.elts) == len(value.elts):  # type: ignore[attr-defined]
                yield from zip(target.elts, value.elts, strict=True)  # type: ignore[attr-defined]
            else:
                yield target, value
        case ast.AugAssign(target=target, value=value) | ast.NamedExpr(target=target, value=value):
            yield target, value
        case ast.For(target=target, iter=series) | ast.comprehension(target=target, iter=series):
            yield target, series


def _made_of(node: ast.AST, known: Mapping[str, frozenset[str]]) -> frozenset[str]:
    names = [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]
    return frozenset().union(*(known.get(name, frozenset()) for name in names))


def _about(node: ast.AST, what: str, known: Mapping[str, frozenset[str]], count: int) -> tuple[str, ...]:
    """The arguments of the task that a change has to do with, where they are one or two of more."""
    parts: list[ast.AST] = [node]
    if isinstance(node, ast.BinOp) and what.endswith("part gone"):
        parts = [node.right if what.startswith("right") else node.left]
    elif isinstance(node, ast.If | ast.IfExp):
        parts = [node.test]
    elif isinstance(node, ast.For | ast.comprehension):
        parts = [node.iter]
    elif isinstance(node, ast.Compare):
        sides = [_made_of(each, known) for each in (node.left, *node.comparators)]
        single = sorted({name for side in sides if len(side) == 1 for name in side})
        if len(single) == 1 < count:
            return tuple(single)
    names = sorted(frozenset().union(*(_made_of(part, known) for part in parts)))
    return tuple(names) if 0 < len(names) <= 2 and len(names) < count else ()
