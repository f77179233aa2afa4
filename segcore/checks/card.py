"""The card that a check prints: text in a terminal, HTML in a notebook and the book. Always the same.

Under its first parts may stand folds. Those of a ladder open one inside the other, so that each is reached
through the one before; others stand side by side. They are plain ``<details>``: no script, any keyboard.
"""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from segcore.checks.show import beside

__all__ = ["Card", "Fold", "display"]

# The words carry the meaning; sign and colour repeat it.
STATES = {
    "passed": ("✓", "passed", "var(--pst-color-success, var(--jp-success-color1, #2e8b57))"),
    "failed": ("✗", "not yet", "var(--pst-color-warning, var(--jp-warn-color1, #b45309))"),
    "error": ("✗", "not yet", "var(--pst-color-warning, var(--jp-warn-color1, #b45309))"),
    "not attempted": ("○", "not attempted", "rgba(127, 127, 127, 0.8)"),
}
_BOX = "border: 1px solid rgba(127, 127, 127, 0.4); border-left: 5px solid {colour}; border-radius: 4px; "
_BOX += "padding: 0.6em 0.9em; margin: 0.4em 0; background: rgba(127, 127, 127, 0.07); color: inherit"
_PRE = (
    "margin: 0.3em 0; padding: 0.3em 0 0.3em 1em; overflow-x: auto; background: transparent; color: inherit; "
)
_PRE += "border: 0; line-height: 1.35; white-space: pre; max-width: 100%; box-sizing: border-box"
_HINT = "margin: 0.5em 0 0.2em; padding-left: 0.7em; border-left: 3px solid currentColor"
_FOLD = "margin: 0.5em 0 0; padding: 0; border: 0; background: transparent; box-shadow: none"
_SUMMARY = "cursor: pointer; padding: 0.25em 0; color: inherit; background: transparent"
_SIDES = "display: flex; flex-wrap: wrap; gap: 0.2em 1.2em; align-items: flex-start"
_MARK = "padding: 0; background: rgba(230, 130, 0, 0.3); color: inherit; font-weight: 700; border-radius: 2px"
_MARKED = re.compile(r"[^\s\[\](),]+\*")
_LIST = "margin: 0.3em 0; padding-left: 1.6em"

Part = tuple[str, list[Any]]


@dataclass
class Fold:
    """A part of a card that is closed at first: its name, what one finds in it, and its parts.

    Args:
        name: As a heading: "Where".
        about: A few words beside it.
        parts: As a card's.
        rung: The rung of the ladder that it belongs to; 0 for none.
    """

    name: str
    about: str
    parts: list[Part]
    rung: int = 0


@dataclass
class Card:
    """A title, a state (a key of STATES) and parts, each a kind and what it shows.

    Kinds: ``text`` (sentences), ``prose`` (with code between backquotes), ``hint``, ``block`` (lines whose
    spaces count), ``pair`` (two blocks side by side, each a list of lines; what a ``*`` ends is marked),
    ``steps`` (numbered), ``items`` (name and text), ``pictures`` (name, alternative text, address and shape;
    not in a terminal) and ``drawing`` (lines, in a terminal only).
    """

    title: str
    state: str
    parts: list[Part] = field(default_factory=list)
    words: str = ""  # instead of the state's own
    folds: list[Fold] = field(default_factory=list)
    opened: int = 0  # how far up the ladder stands open
    more: str = ""  # how a terminal gets to the next rung

    def text(self, line: str) -> None:
        """Add a sentence."""
        self.parts.append(("text", [line]))

    def block(self, lines: list[str]) -> None:
        """Add lines whose spaces count."""
        self.parts.append(("block", lines))

    def hint(self, line: str) -> None:
        """Add the hint."""
        self.parts.append(("hint", [line]))

    def __repr__(self) -> str:
        sign, words, _ = STATES[self.state]
        lines = [f"{sign} {self.title}: {self.words or words}"]
        if self.opened and any(fold.rung for fold in self.folds):
            lines.append("1. What")
        lines += _lines(self.parts)
        for fold in self.folds:
            if (fold.rung or 4) <= self.opened:
                number = f"{fold.rung}. " if fold.rung else ""
                lines += [f"{number}{fold.name}: {fold.about}", *_lines(fold.parts)]
        return "\n".join([*lines, self.more] if self.more else lines)

    def _repr_html_(self) -> str:
        sign, words, colour = STATES[self.state]
        words = html.escape(self.words or words)
        head = f"<strong>{sign} {html.escape(self.title)}: {words}</strong>"
        return (
            f'<div class="segcore-check" role="group" aria-label="Check: {words}" '
            f'style="{_BOX.format(colour=colour)}">'
            f'<p style="margin: 0">{head}</p>{_rows(self.parts)}{self._folds()}</div>'
        )

    def _folds(self) -> str:
        """Rungs inside one another, from the last to the first; the other folds beside them."""
        inside = beside = ""
        for index, fold in reversed(list(enumerate(self.folds))):
            if fold.rung:
                first = index == 0 or self.folds[index - 1].rung < fold.rung
                inside = _fold(fold, inside, first and fold.rung <= self.opened)
            else:
                beside = _fold(fold, "", False) + beside
        return inside + beside


def _fold(fold: Fold, inside: str, opened: bool) -> str:
    return (
        f'<details style="{_FOLD}"{" open" if opened else ""}><summary style="{_SUMMARY}">'
        f"<strong>{html.escape(fold.name)}</strong>: {html.escape(fold.about)}</summary>"
        f"{_rows(fold.parts)}{inside}</details>"
    )


def _rows(parts: Iterable[Part]) -> str:
    return "".join(_row(kind, part) for kind, part in parts)


def _row(kind: str, part: list[Any]) -> str:
    if kind == "block":
        return _pre(html.escape("\n".join(part)))
    if kind == "pair":
        marked = (
            _MARKED.sub(rf'<mark style="{_MARK}">\g<0></mark>', html.escape("\n".join(p))) for p in part
        )
        return f'<div style="{_SIDES}">{"".join(map(_pre, marked))}</div>'
    if kind == "steps":
        return f'<ol style="{_LIST}">{"".join(f"<li>{_code(step)}</li>" for step in part)}</ol>'
    if kind == "items":
        rows = (f"<li><strong>{html.escape(name)}</strong>: {_code(text)}</li>" for name, text in part)
        return f'<ul style="{_LIST}">{"".join(rows)}</ul>'
    if kind == "pictures":
        return f'<div style="{_SIDES}">{"".join(_picture(*each) for each in part)}</div>'
    if kind == "drawing":
        return ""
    content = _code("\n".join(part)) if kind == "prose" else html.escape("\n".join(part))
    if kind == "hint":
        return f'<p style="{_HINT}"><strong>Hint:</strong> {content}</p>'
    return f'<p style="margin: 0.2em 0">{content}</p>'


def _pre(content: str) -> str:
    return f'<pre tabindex="0" style="{_PRE}">{content}</pre>'


def _code(text: str) -> str:
    """Escaped text, what stands between backquotes as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _picture(name: str, alt: str, address: str, shape: tuple[int, int]) -> str:
    """A picture whose longer side has one length, its cells sharp, its name below."""
    height, width = (max(8.0 * side / max(shape), 1.0) for side in shape)
    size = f"display: block; width: {width:.2f}em; height: {height:.2f}em; max-width: none; "
    size += "object-fit: fill; image-rendering: pixelated; border: 1px solid gray; background: white"
    return (
        f'<div style="margin: 0.3em 0"><img alt="{html.escape(alt)}" src="{html.escape(address)}" '
        f'style="{size}">{html.escape(name)}</div>'
    )


def _lines(parts: Iterable[Part]) -> list[str]:
    """Parts as lines of text."""
    lines: list[str] = []
    for kind, part in parts:
        if kind in ("block", "drawing"):
            lines += [f"    {line}".rstrip() for line in part]
        elif kind == "pair":
            lines += [f"    {line}".rstrip() for line in beside(*part)]
        elif kind == "steps":
            lines += [f"    {number}) {step}" for number, step in enumerate(part, 1)]
        elif kind == "items":
            lines += [f"    {name}: {text}" for name, text in part]
        elif kind == "hint":
            lines += [f"Hint: {part[0]}", *part[1:]]
        elif kind in ("text", "prose"):
            lines += part
    return lines


def display(card: Card) -> None:
    """Show a card: as HTML where a notebook's kernel runs, as text elsewhere."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None and getattr(shell, "kernel", None) is not None:
        from IPython.display import display as show

        show(card)
        return
    text = repr(card)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding))
