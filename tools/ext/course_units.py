"""A number and its unit stay on one line, ``42 %``, ``96 px``, ``5 ms``, and so does ``24 × 32``.

Authors write a plain space. In the built page it becomes one at which no line breaks, also where the number
is a formula, code, or a value from the page's own outputs. Code, formulas, pictures and scripts stay as they
are. The words that a prompt's script fills with other numbers go through `unbroken` too (`course_prompts`).
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

NO_BREAK = "\u00a0"
UNITS = (
    *("%", "‰", "°C", "px", "dpi", "Hz", "kHz", "MHz", "GHz"),
    *("ns", "µs", "ms", "s", "min", "h", "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB"),
    *("mm", "cm", "m", "km"),
)
_KEPT = (
    r"<(?P<tag>script|style|pre|code|svg|textarea)\b.*?</(?P=tag)>|<!--.*?-->"
    r"|\\\(.*?\\\)|\\\[.*?\\\]|<[^>]*>"
)
# What ends a number: a digit, a formula, code, or the gap of a prompt that a script will fill.
_NUMBER = r"(?:(?<=[\d½⟧])|(?<=\\\))|(?<=</code>))(?:</(?:span|em|strong)>)*"
_UNIT = "|".join(map(re.escape, sorted(UNITS, key=len, reverse=True)))
_GAP = re.compile(rf"(?P<number>{_NUMBER})\s+(?=(?:{_UNIT})(?!\w))|(?<=\d)\s+×\s+(?=\d)|{_KEPT}", re.S)


def unbroken(body: str) -> str:
    """The HTML with spaces that do not break between numbers and their units, or around a × of two.

    Example:
        >>> unbroken("<p>42 % of <code>42 %</code></p>").replace(NO_BREAK, "~")
        '<p>42~% of <code>42 %</code></p>'
    """

    def joined(found: re.Match[str]) -> str:
        if found["number"] is not None:
            return found["number"] + NO_BREAK
        return f"{NO_BREAK}×{NO_BREAK}" if found[0].strip() == "×" else found[0]

    return _GAP.sub(joined, body)


def _keep_together(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    if context.get("body"):
        context["body"] = unbroken(context["body"])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the page hook, after all that add to a page's text."""
    app.connect("html-page-context", _keep_together, priority=950)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
