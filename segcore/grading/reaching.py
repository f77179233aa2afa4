"""What a piece of code reaches for beyond computing, read from its text without running it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

__all__ = [
    "BY_NAME",
    "FORBIDDEN_ATTRIBUTES",
    "FORBIDDEN_NAMES",
    "TYPED",
    "computes",
    "imported",
    "odd",
    "typed",
]

TYPED = 200  # numbers that one definition may hold as they stand in it
# Modules that compute; whoever uses another one may have a reason, which a person sees.
KNOWN_MODULES = {
    "PIL", "__future__", "abc", "array", "bisect", "cmath", "collections", "contextlib", "copy",
    "cv2", "dataclasses", "decimal", "einops", "enum", "fractions", "functools", "heapq", "itertools", "math",
    "matplotlib", "maxflow", "networkx", "numbers", "numpy", "operator", "queue", "random", "re", "scipy",
    "segcore", "skimage", "sklearn", "statistics", "string", "time", "torch", "torchvision", "tqdm", "typing",
    "typing_extensions", "warnings",
}  # fmt: skip
FORBIDDEN_NAMES = {
    "__builtins__", "__import__", "__loader__", "__spec__", "breakpoint", "compile", "delattr", "eval",
    "exec", "get_ipython", "globals", "input", "locals", "open", "setattr", "vars",
}  # fmt: skip
# Attributes that lead from a value to the interpreter, or from torch to files and foreign code.
FORBIDDEN_ATTRIBUTES = {
    "CompilationUnit", "DataSource", "DisableTorchFunction", "DisableTorchFunctionSubclass", "ForwardRef",
    "LowLevelCallable", "_C", "_ops", "ag_frame", "classes", "cpp_extension", "cr_frame", "ctypeslib",
    "datasets", "distributed", "distutils", "f2py", "f_back", "f_globals", "f_locals", "from_file",
    "fromfile", "fromregex", "genfromtxt", "get_type_hints", "gi_frame", "hub", "imread", "io", "jit",
    "load", "load_library", "load_state_dict_from_url", "loadtxt", "memmap", "multiprocessing", "open",
    "open_memmap", "ops", "overrides", "package", "peer", "read_file", "rundocs", "runstring",
    "set_num_threads", "tb_frame", "tofile", "utils.cpp_extension",
}  # fmt: skip
DUNDERS = {
    "__abs__", "__add__", "__call__", "__class__", "__contains__", "__doc__", "__enter__", "__eq__",
    "__exit__", "__floordiv__", "__getitem__", "__init__", "__iter__", "__len__", "__lt__", "__matmul__",
    "__mod__", "__mul__", "__name__", "__neg__", "__next__", "__post_init__", "__pow__", "__repr__",
    "__setitem__", "__str__", "__sub__", "__truediv__",
}  # fmt: skip
# Functions that take a name and give what it stands for.
BY_NAME = {"getattr", "hasattr", "attrgetter", "methodcaller"}


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules, with the names taken from them, that a piece of code imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def odd(tree: ast.AST) -> Iterator[str]:
    """What reaches beyond computing."""
    for module in imported(tree):
        root = module.partition(".")[0]
        if not computes(root):
            yield f"the module {module.strip('.')}"
        elif FORBIDDEN_ATTRIBUTES & set(module.split(".")):
            yield module
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES:
            yield f"{node.id}()"
        elif isinstance(node, ast.Attribute):
            name = node.attr
            if name in FORBIDDEN_ATTRIBUTES or (name.startswith("__") and name not in DUNDERS):
                yield f".{name}"
        elif isinstance(node, ast.FunctionDef) and node.name.startswith("__torch"):
            yield node.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _hidden_name(node.value):
            yield f"the text {node.value[:40]!r}"
        elif isinstance(node, ast.Call) and _named(node.func) in BY_NAME and not _told(node):
            yield f"{_named(node.func)}() with a name that is computed"
        if isinstance(node, ast.Name | ast.Attribute) and _named(node) in BY_NAME and id(node) not in called:
            yield f"{_named(node)} under another name"
        elif isinstance(node, ast.Global):
            yield "global"


def _hidden_name(text: str) -> bool:
    """Whether a text names an attribute that code must not reach, as for getattr or in a format."""
    return any(each not in DUNDERS for each in re.findall(r"__\w+__", text))


def _named(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _told(node: ast.Call) -> bool:
    """Whether what is asked for by name is written out, and may be."""
    asked = node.args[1:2] if _named(node.func) in ("getattr", "hasattr") else node.args[:1]
    words = [each.value for each in asked if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return len(words) == 1 and not FORBIDDEN_ATTRIBUTES & set(words[0].split("."))


def typed(tree: ast.AST) -> int:
    """How many numbers stand in a definition, a long one for several, and a long text too."""
    count = 0
    apart = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in apart:
            if isinstance(node.value, int | float | complex):
                count += 1 + (node.value.bit_length() // 64 if isinstance(node.value, int) else 0)
            elif isinstance(node.value, str | bytes):
                count += len(node.value) // 8
    return count


def computes(root: str) -> bool:
    """Whether a module, by the first part of its name, does nothing but compute."""
    return root in KNOWN_MODULES or root.lstrip("_") in KNOWN_MODULES
