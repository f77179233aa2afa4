"""ES modules put into one: a widget's own, and before it what it reaches of the kit.

An anywidget takes a single module and a page from ``file://`` can load none, so the modules that a widget
names in its import lines, and those that they import, stand before it, each in a scope of its own. Of each
only those declarations are taken that are reached from the widget. A name counts as reached wherever its word
stands, in a string or as a property, too: rather too much than too little.

A module of the kit holds nothing at its top but declarations. Each begins at the start of a line, and what is
inside it does not; a test has a browser read every one by itself.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

__all__ = ["bound", "closed", "kit", "lean", "shared"]

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(?:kit/)?(\w+)\.js";\n?', re.MULTILINE)
_EXPORT_WORD = re.compile(r"^export (?=(?:async )?(?:function|const|let|class)\b)", re.MULTILINE)
_EXPORT_LIST = re.compile(r"^export \{([^}]*)\};", re.MULTILINE)
_EXPORTED = re.compile(r"^export (?:async )?(?:function\*?|const|let|class) (\w+)", re.MULTILINE)
_DECLARATION = re.compile(
    r"(?:export )?(?:(?:async )?function\*?|class|const|let) (\w+|\[[\w, ]+\]|\{[\w, ]+\})(?=[ (;])"
)
_WORD = re.compile(r"[\w$]+")


def _pairs(names: str) -> dict[str, str]:
    """The names of an import or export list: what each is called after ``as``, and before."""
    pairs = (name.strip().split(" as ") for name in names.split(",") if name.strip())
    return {pair[-1]: pair[0] for pair in pairs}


def _taken(names: dict[str, str], kit: str) -> str:
    words = ", ".join(name if name == inner else f"{inner}: {name}" for name, inner in names.items())
    return f"const {{ {words} }} = kit_{kit};\n"


def exported(source: str) -> dict[str, str]:
    r"""What a module exports, and under which name it stands in it; the default export apart.

    Example:
        >>> exported("export const one = 1;\nexport { one as first };\n")
        {'one': 'one', 'first': 'one'}
    """
    names = {name: name for name in _EXPORTED.findall(source)}
    for match in _EXPORT_LIST.finditer(source):
        names |= _pairs(match[1])
    return names


def lean(source: str) -> str:
    """Without whole-line comments and indentation, which no page needs to carry; every line stays a line."""
    return re.sub(r"^[ ]+", "", _uncommented(source), flags=re.MULTILINE)


def _uncommented(source: str) -> str:
    return re.sub(r"^ *//.*\n", "", source, flags=re.MULTILINE)


def bound(source: str) -> str:
    r"""The source with each import line replaced by names taken out of the module's scope.

    Example:
        >>> bound('import { two as pair } from "./kit/numbers.js";\n')
        'const { two: pair } = kit_numbers;\n'
    """
    return _IMPORT.sub(lambda match: _taken(_pairs(match[1]), match[2]), source)


def closed(source: str) -> str:
    r"""A widget's module as a constant ``module``: a page's script can hold it, and loads nothing.

    Example:
        >>> print(closed("export const one = 1;\nexport default one;\n"), end="")
        const module = (() => {
        const one = 1;
        const made = one;
        return { default: made, one: one };
        })();
    """
    names = {"default": "made"} | exported(source)
    body = _EXPORT_LIST.sub("", _EXPORT_WORD.sub("", bound(source)))
    body = re.sub(r"^export default ", "const made = ", body, count=1, flags=re.MULTILINE)
    given = ", ".join(f"{name}: {inner}" for name, inner in names.items())
    return f"const module = (() => {{\n{body}return {{ {given} }};\n}})();\n"


def shared(scopes: dict[str, str]) -> str:
    """The kit of several widgets of one page, as a script before them all."""
    names = ", ".join(f"kit_{name}" for name in scopes)
    return f"const segcoreKit = (() => {{\n{''.join(scopes.values())}return {{ {names} }};\n}})();\n"


class _Module(NamedTuple):
    declared: dict[str, str]  # the text of each top-level declaration, by name
    exports: dict[str, str]
    imports: dict[str, tuple[str, str]]  # by the name it has here: module and the name it has there


@cache
def _read(path: Path) -> _Module:
    code = _uncommented(path.read_text(encoding="utf-8"))
    imports = {
        name: (match[2], inner)
        for match in _IMPORT.finditer(code)
        for name, inner in _pairs(match[1]).items()
    }
    declared: dict[str, str] = {}
    for text in re.split(r"^(?=[^\s})\]`])", _IMPORT.sub("", code), flags=re.MULTILINE)[1:]:
        match = _DECLARATION.match(text)
        if match is None:
            first = text.splitlines()[0]
            raise ValueError(f"kit/{path.name} holds {first!r} at its top, where only declarations may stand")
        text = _EXPORT_WORD.sub("", text).rstrip() + "\n"
        declared |= dict.fromkeys(_WORD.findall(match[1]), text)
    return _Module(declared, exported(code), imports)


def kit(folder: Path, *slugs: str) -> dict[str, str]:
    """What widgets reach of the kit: by module, one scope each, in the order in which they need each other.

    Args:
        folder: Holds the widgets' modules and the folder ``kit``.
        slugs: The widgets, one or several.

    Raises:
        ValueError: A name is imported that the kit's module does not export, or a module of the kit holds
            something at its top that is no declaration.
    """
    reached: dict[str, set[str]] = {}

    def reach(name: str, there: str, who: str) -> None:
        module = _read(folder / "kit" / f"{there}.js")
        if who != f"kit/{there}.js" and name not in module.exports:
            offered = ", ".join(module.exports)
            raise ValueError(f"{who} imports {name} from kit/{there}.js, which exports {offered}")
        if name in reached.setdefault(there, set()):
            return
        reached[there].add(name)
        for word in _WORD.findall(module.declared[name]):
            if word in module.declared:
                reach(word, there, f"kit/{there}.js")
            elif word in module.imports:
                reach(module.imports[word][1], module.imports[word][0], f"kit/{there}.js")

    for slug in slugs:
        for match in _IMPORT.finditer((folder / f"{slug}.js").read_text(encoding="utf-8")):
            for name in _pairs(match[1]).values():
                reach(name, match[2], f"{slug}.js")
    scopes: dict[str, str] = {}

    def place(there: str) -> None:
        module = _read(folder / "kit" / f"{there}.js")
        for other, _ in module.imports.values():
            if other in reached and other not in scopes:
                place(other)
        scopes[there] = _scope(there, module, reached[there])

    for there in reached:
        if there not in scopes:
            place(there)
    return scopes


def _scope(name: str, module: _Module, reached: set[str]) -> str:
    """One module of the kit, as far as it is reached."""
    kept = dict.fromkeys(text for each, text in module.declared.items() if each in reached)
    body = "".join(kept)
    words = set(_WORD.findall(body))
    sources: dict[str, dict[str, str]] = {}
    for here, (there, inner) in module.imports.items():
        if here in words:
            sources.setdefault(there, {})[here] = inner
    taken = "".join(_taken(names, there) for there, names in sources.items())
    given = ", ".join(each for each in module.declared if each in reached and each in module.exports)
    return f"const kit_{name} = (() => {{\n{taken}{body}return {{ {given} }};\n}})();\n"
