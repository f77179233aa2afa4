"""A variant's task in words: for a notebook, for a terminal, and as a docstring."""

from __future__ import annotations

import re
import textwrap

from segcore.checks.ladder import names
from segcore.checks.show import aligned, block
from segcore.checks.variants.making import Variant

__all__ = ["docstring", "in_a_notebook", "in_a_terminal", "sentences"]

WIDTH = 92


def sentences(variant: Variant) -> str:
    """What is to be computed, with the sentences of the variant's conventions in their places."""
    said = dict(variant.varied.says)
    for twist in variant.twists:
        said.update(twist.says)
    return variant.varied.task.format(**said).strip()


def _given(variant: Variant) -> dict[str, str]:
    """What each argument is, by its name."""
    said = dict(variant.varied.given)
    for twist in variant.twists:
        said.update(twist.given)
    return said


def _returns(variant: Variant) -> str:
    return next((each.returns for each in variant.twists if each.returns), variant.varied.returns)


def _different(variant: Variant) -> str:
    return "; ".join(each.about for each in variant.twists) + "."


def _by_hand(variant: Variant) -> tuple[str, list[str]]:
    """The worked example: a word on it, the arguments, and what the reference makes of them."""
    number, args, result = variant.example()
    why = variant.varied.why if number == variant.varied.example else ""
    parts = [(name, value) for name, value in zip(names(variant), args, strict=False)]
    label = f"{variant.name}({', '.join(name for name, _ in parts)})"
    lines: list[str] = []
    for name, value in [*parts, (label, result)]:
        lines += aligned(f"{name} = ", block(value))
    return f"By hand: {why}" if why else "By hand:", lines


def in_a_notebook(variant: Variant) -> str:
    """The task in Markdown, from "Your task" to the example."""
    rows = [f"| `{name}` | {text} |" for name, text in _given(variant).items()]
    said, lines = _by_hand(variant)
    parts = [
        f"**Your task.** {sentences(variant)}",
        f"**Other than in the course:** {_different(variant)} What is said above keeps the course's "
        "conventions; your function keeps those of this table.",
        "\n".join(["| | |", "| --- | --- |", *rows, f"| returns | {_returns(variant)} |"]),
        said,
        "\n".join(["```text", *lines, "```"]),
        "After its check the lab goes on in the course's conventions.",
    ]
    return "\n\n".join(parts)


def in_a_terminal(variant: Variant) -> str:
    """The task as plain text."""
    said, lines = _by_hand(variant)
    rows = [*_given(variant).items(), ("returns", _returns(variant))]
    width = max(len(name) for name, _ in rows)
    table = []
    for name, text in rows:
        table += _wrapped(f"{name.ljust(width)}  {_plain(text)}", " " * (width + 2))
    parts = [
        "\n".join(line for each in sentences(variant).split("\n") for line in _wrapped(_plain(each)) or [""]),
        "\n".join(_wrapped(f"Other than in the lab: {_plain(_different(variant))}")),
        "\n".join(table),
        "\n".join(_wrapped(_plain(said))),
        "\n".join(f"    {line}" for line in lines),
    ]
    return "\n\n".join(parts)


def docstring(variant: Variant) -> str:
    """The docstring of a skeleton, four spaces in."""
    known = _given(variant)
    first = f"{variant.title}, with {_plain(_different(variant))}"
    lines = [*_wrapped(f'    """{first}', "    "), "", "    Args:"]
    for name in names(variant):
        lines += _wrapped(f"        {name}: {_ended(_plain(known[name]))}", " " * 12)
    lines += [
        "",
        "    Returns:",
        *_wrapped(f"        {_ended(_plain(_returns(variant)))}", " " * 12),
        '    """',
    ]
    return "\n".join(line.rstrip() for line in lines)


def _ended(text: str) -> str:
    return text if text[-1] in ".?!" else f"{text}."


def _wrapped(text: str, later: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=later, break_long_words=False, break_on_hyphens=False)


def _plain(text: str) -> str:
    """Markdown without its marks."""
    return re.sub(r"\*\*(.+?)\*\*|`([^`]+)`", lambda found: found[1] or found[2], text)
