"""The card that a check prints: text in a terminal, HTML in a notebook and the book. Always the same."""

from __future__ import annotations

import html
import sys
from dataclasses import dataclass, field

__all__ = ["Card", "display"]

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
_PRE += "border: 0; line-height: 1.35; white-space: pre"
_HINT = "margin: 0.5em 0 0.2em; padding-left: 0.7em; border-left: 3px solid currentColor"


@dataclass
class Card:
    """A title, a state (a key of STATES) and parts: (kind, lines), kind ``text``, ``block`` or ``hint``."""

    title: str
    state: str
    parts: list[tuple[str, list[str]]] = field(default_factory=list)
    words: str = ""  # instead of the state's own

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
        for kind, part in self.parts:
            lines += [f"    {line}".rstrip() if kind == "block" else line for line in _worded(kind, part)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        sign, words, colour = STATES[self.state]
        words = html.escape(self.words or words)
        rows = []
        for kind, part in self.parts:
            content = html.escape("\n".join(part))
            if kind == "block":
                rows.append(f'<pre tabindex="0" style="{_PRE}">{content}</pre>')
            elif kind == "hint":
                rows.append(f'<p style="{_HINT}"><strong>Hint:</strong> {content}</p>')
            else:
                rows.append(f'<p style="margin: 0.2em 0">{content}</p>')
        head = f"<strong>{sign} {html.escape(self.title)}: {words}</strong>"
        return (
            f'<div class="segcore-check" role="group" aria-label="Check: {words}" '
            f'style="{_BOX.format(colour=colour)}">'
            f'<p style="margin: 0">{head}</p>{"".join(rows)}</div>'
        )


def _worded(kind: str, part: list[str]) -> list[str]:
    return [f"Hint: {part[0]}", *part[1:]] if kind == "hint" else part


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
