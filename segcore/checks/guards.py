"""The same mistake with another small number: what is added to a share before its logarithm, say.

Whoever keeps a number off 0 chooses a small one freely: 1e-8, 1e-6, what a library names. A mistake is known
with one of them; with another it gives other results, and is no other mistake.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

from segcore.checks.together import cells_of, remade

__all__ = ["guards_of"]

# What people add to a number, or hold it above, to keep off log 0 and a division by 0.
_GUARDS = (
    1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 2.0**-23, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16, 2.0**-52, 1e-20,
    1e-30, 1e-38,
)  # fmt: skip


def guards_of(function: Any) -> Iterator[Any]:
    """A mistake that holds numbers off 0 by a small one, with other small numbers in its place."""
    for value in _GUARDS:
        made = _guarded(function, value)
        if made is function:
            return
        yield made


def _guarded(function: Any, guard: float) -> Any:
    """A function with its small numbers replaced; itself where it has none."""
    if type(function) is float:
        return guard if _is_small(function) else function
    if isinstance(function, functools.partial):
        args = [_guarded(each, guard) for each in function.args]
        words = {key: _guarded(each, guard) for key, each in function.keywords.items()}
        same = all(a is b for a, b in zip(args, function.args, strict=True))
        same = same and all(words[key] is each for key, each in function.keywords.items())
        return function if same else functools.partial(function.func, *args, **words)
    if not isinstance(function, FunctionType):
        return function
    code, before = _guarded_code(function.__code__, guard), cells_of(function)
    cells = [
        {key: _guarded(each, guard) for key, each in value.items()}
        if isinstance(value, dict)
        else _guarded(value, guard)
        for value in before
    ]
    changed = code is not function.__code__ or any(
        (any(b[key] is not a[key] for key in a) if isinstance(a, dict) else b is not a)
        for a, b in zip(before, cells, strict=True)
    )
    if not changed:
        return function
    made = remade(function, function.__globals__, cells)
    made.__code__ = code
    return made


def _guarded_code(code: CodeType, guard: float) -> CodeType:
    constants = tuple(
        guard if type(each) is float and _is_small(each)
        else _guarded_code(each, guard) if isinstance(each, CodeType)
        else each
        for each in code.co_consts
    )  # fmt: skip
    same = all(a is b for a, b in zip(constants, code.co_consts, strict=True))
    return code if same else code.replace(co_consts=constants)


def _is_small(value: float) -> bool:
    return 0 < value <= 1e-2
