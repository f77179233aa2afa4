"""One page for the lecturer: what a class solved, where it went wrong, and what to say on Monday.

The page needs nothing beside it, runs no script, and follows the reader's light or dark setting. It names
nobody unless asked; samples of code come without comments, docstrings and texts, in which names stand, and an
error's own words are told only where several hand-ins have the same.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape

from segcore.checks.chapters import CHAPTERS, exercise
from segcore.checks.exercise import Exercise
from segcore.grading.results import STATES, Result, Sheet

__all__ = ["Tally", "page", "sample", "tallies"]

MONDAY = 5  # exercises to speak of
SHARE = 0.05  # of those who tried: a mistake that fewer make gets no sample
LINES = 24  # of a sample
OPTION = re.compile(r"[a-z_]{0,16}")  # a text that may stay, such as "bilinear"
FEW = 3  # hand-ins: what fewer say may be one student's own words
ERROR = re.compile(r"(?:^|raised )([A-Za-z_]\w*)(?=:|$)")  # the name of an error, before its words

STYLE = """
:root { color-scheme: light dark; --text: #1d232b; --page: #ffffff; --line: #d5dbe1; --muted: #545d68;
  --box: #f4f6f8; --passed: #1f7a4d; --failed: #b45309; --error: #b3261e; --open: #a9b2bb; --person:
  #5b4bb7; }
@media screen and (prefers-color-scheme: dark) { :root { --text: #dfe4ea; --page: #15191e; --line: #353e47;
  --muted: #a3adb8; --box: #1d232a; --passed: #4cc38a; --failed: #f0a35e; --error: #ff8a80; --open: #56606b;
  --person: #a99cf0; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 56rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif;
  color: var(--text); background: var(--page); overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
h3 { font-size: 1.1rem; margin: 1.8rem 0 .2rem; } h4 { font-size: 1rem; margin: 1.1rem 0 .2rem; }
p { margin: .4rem 0; } .muted { color: var(--muted); font-size: .92rem; }
.bar { display: flex; height: .9rem; border: 1px solid var(--line); border-radius: .2rem; overflow: hidden;
  background: var(--box); } .bar i { display: block; height: 100%; border-right: 1px solid var(--page); }
.passed { background: var(--passed); } .failed { background: var(--failed); } .error { background:
  var(--error); }
.not-attempted, .not-reached { background: var(--open); } .for-a-person { background: var(--person); }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1rem; font-size: .9rem; padding: 0; list-style: none; }
.key i { display: inline-block; width: .8em; height: .8em; margin-right: .35em; border-radius: .15em; }
ol, ul { padding-left: 1.3rem; margin: .3rem 0; } li { margin: .3rem 0; }
details { margin: .3rem 0; } summary { cursor: pointer; }
li:has(> details) { list-style: none; margin-left: -1.1rem; }
summary:focus-visible { outline: 2px solid var(--passed); outline-offset: 2px; }
pre { background: var(--box); border: 1px solid var(--line); border-radius: .3rem; padding: .6rem; margin:
  .3rem 0;
  font: .82rem/1.45 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
.hint { border-left: 3px solid var(--line); padding-left: .7rem; margin: .3rem 0; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
td, th { text-align: left; padding: .2rem .7rem .2rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
@media print { .bar, .bar i, .key i { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  section, li, tr { break-inside: avoid; } h2, h3, h4 { break-after: avoid; } }
"""


@dataclass
class Tally:
    """What became of one exercise in a class."""

    id: str
    title: str
    states: Counter[str] = field(default_factory=Counter)
    mistakes: Counter[str] = field(default_factory=Counter)
    samples: dict[str, str] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    asked: int = 0

    @property
    def tried(self) -> int:
        """Who wrote something that ran, or could not."""
        return sum(self.states[state] for state in ("passed", "failed", "error", "for a person"))

    @property
    def rate(self) -> float:
        """Which part of those who tried passed; 1 where nobody tried."""
        return self.states["passed"] / self.tried if self.tried else 1.0


def tallies(sheets: Iterable[Sheet]) -> list[Tally]:
    """The exercises of a class, in order; variants are counted with the exercise that they vary."""
    found: dict[str, Tally] = {}
    for sheet in sheets:
        for each in sheet.results:
            plain = each.exercise.partition("@")[0]
            _count(found.setdefault(plain, Tally(plain, each.title)), each)
    return [found[name] for name in sorted(found, key=_order)]


def _count(tally: Tally, result: Result) -> None:
    tally.states[result.state] += 1
    tally.asked += result.rung > 1
    if result.state not in ("failed", "error"):
        return
    name = result.mistake.removesuffix(" (perhaps)")
    if not name:
        tally.others[result.reason] += 1
        return
    tally.mistakes[name] += 1
    code = sample(result.code)
    if code and (name not in tally.samples or len(code) < len(tally.samples[name])):
        tally.samples[name] = code


def _order(name: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in name.split("."))


def sample(code: str) -> str:
    r"""A function without what may name its author: no comments, no docstrings, texts cut out.

    Example:
        >>> print(sample("def area(box):\n    'By Ada.'\n    return box[2] * box[3]  # Ada"))
        def area(box):
            return box[2] * box[3]
    """
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError):
        return ""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and not OPTION.fullmatch(node.value)
        ):
            node.value = "…"
    lines = ast.unparse(ast.fix_missing_locations(tree)).split("\n")
    return "\n".join(lines if len(lines) <= LINES else [*lines[:LINES], "…"])


def page(sheets: Sequence[Sheet], names: bool = False) -> str:
    """The page as HTML.

    Args:
        sheets: Of a class.
        names: Whether to name students.
    """
    found = tallies(sheets)
    hard = (each for each in found if each.tried and each.rate < 1)
    hardest = sorted(hard, key=lambda each: (each.rate, -each.tried))
    graded = sum(bool(sheet.results) for sheet in sheets)
    passed = sum(sheet.passed for sheet in sheets)
    every = sum(len(sheet.results) for sheet in sheets)
    parts = [
        "<h1>What the class handed in</h1>",
        f"<p>{len(sheets)} hand-ins, {graded} of them graded: {passed} of {every} exercises passed.</p>",
        *_monday(hardest[:MONDAY]),
        "<h2>Exercise by exercise</h2>",
        _key(),
        *_exercises(found),
        *_left(sheets, names),
        *(_students(sheets) if names else ()),
    ]
    return _frame("\n".join(parts))


def _frame(body: str) -> str:
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>What the class handed in</title><style>{STYLE}</style>"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body><main>\n{body}\n</main></body></html>\n'
    )


def _known(name: str) -> Exercise | None:
    try:
        return exercise(name)
    except ValueError:
        return None


def _hint(name: str, mistake: str) -> str:
    known = _known(name)
    if known is None:
        return ""
    hints = {each.name: each.hint for each in known.mistakes} | {
        each.name: each.hint for each in known.properties
    }
    return hints.get(mistake, "")


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "none"


def _monday(hardest: Sequence[Tally]) -> list[str]:
    if not hardest:
        return ["<h2>What to say on Monday</h2>", "<p>Whoever tried an exercise passed it.</p>"]
    parts = [
        "<h2>What to say on Monday</h2>",
        "<p>The exercises that were hardest for those who tried, hardest first.</p>",
        "<ol>",
    ]
    for each in hardest:
        words = f"<b>{escape(each.id)} {escape(each.title)}</b> ({escape(_chapter(each.id))}): "
        words += f"{each.states['passed']} of {each.tried} passed."
        if each.mistakes:
            name, count = each.mistakes.most_common(1)[0]
            words += f" Most often: {escape(name)} ({count})."
            if hint := _hint(each.id, name):
                words += f'<p class="hint">{escape(hint)}</p>'
        known = _known(each.id)
        if known is not None and known.plan:
            words += f'<p class="muted">Begin the explanation here: {escape(known.plan[0])}</p>'
        parts.append(f"<li>{words}</li>")
    return [*parts, "</ol>"]


def _chapter(name: str) -> str:
    """The chapter of an exercise, in words."""
    number = name.partition(".")[0]
    known = number.isdecimal() and int(number) in CHAPTERS
    return f"chapter {number}" + (f", {CHAPTERS[int(number)].replace('_', ' ')}" if known else "")


def _key() -> str:
    items = (
        f'<li><i class="{state.replace(" ", "-")}"></i>{state}</li>'
        for state in STATES
        if state != "not reached"
    )
    return f'<ul class="key">{"".join(items)}</ul>'.replace(
        "not attempted</li>", "not attempted or not reached</li>"
    )


def _exercises(found: Sequence[Tally]) -> Iterator[str]:
    """All exercises, under their chapters where there are several."""
    chapters = [_chapter(each.id) for each in found]
    if any(each.samples for each in found):
        yield '<p class="muted">A mistake with a mark opens: a hand-in with it, as short as there is one.</p>'
    for number, each in enumerate(found):
        if chapters[number] not in chapters[:number] and len(set(chapters)) > 1:
            yield f"<h3>{escape(chapters[number].capitalize())}</h3>"
        yield _exercise(each)


def _exercise(each: Tally) -> str:
    whole = sum(each.states.values())
    words = {"error": "with an error"}
    states = [state for state in STATES if each.states[state]]
    counts = ", ".join(f"{each.states[state]} {words.get(state, state)}" for state in states)
    segments = "".join(
        f'<i class="{state.replace(" ", "-")}" style="width:{100 * each.states[state] / whole:.2f}%"></i>'
        for state in states
    )
    passed = _percent(each.states["passed"], each.tried)
    label = f"{each.id} {each.title}: {counts}"
    parts = [
        f"<section><h4>{escape(each.id)} {escape(each.title)}</h4>",
        f'<div class="bar" role="img" aria-label="{escape(label)}">{segments}</div>',
        f'<p class="muted">{escape(counts)}; {passed} of those who tried passed'
        + (f"; {each.asked} asked for more than the first hint" if each.asked else "")
        + ".</p>",
    ]
    if each.mistakes:
        parts.append("<ul>")
        for name, count in each.mistakes.most_common():
            item = f"{escape(name)}: {count} ({_percent(count, each.tried)})"
            if name in each.samples and count >= SHARE * each.tried:
                code = f"<pre>{escape(each.samples[name])}</pre>"
                item = f"<details><summary>{item}</summary>{code}</details>"
            parts.append(f"<li>{item}</li>")
        parts.append("</ul>")
    if each.others:
        parts.append(f"<details><summary>Without a known mistake: {sum(each.others.values())}</summary><ul>")
        said = _nameless(each.others)
        parts += [
            f"<li>{escape(reason or 'no reason kept')}: {count}</li>"
            for reason, count in said.most_common(12)
        ]
        parts.append("</ul></details>")
    return "\n".join(parts) + "</section>"


def _nameless(reasons: Counter[str]) -> Counter[str]:
    """Reasons without a student's own words, an error's and those in quotes, where few have the same."""
    found: Counter[str] = Counter()
    for reason, count in reasons.items():
        words, error = reason, ERROR.search(reason)
        if count < FEW:
            if error:
                words = reason[: error.start(1)] + (
                    error[1] if hasattr(builtins, error[1]) else "an error of its own"
                )
            words = re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", words)
        found[words] += count
    return found


def _left(sheets: Sequence[Sheet], names: bool) -> list[str]:
    """What is left to do by hand."""
    person = [(sheet, each) for sheet in sheets for each in sheet.results if each.state == "for a person"]
    lost = [sheet for sheet in sheets if not sheet.results]
    if not person and not lost:
        return []
    parts = ["<h2>For a person to look at</h2>", "<ul>"]
    if names:
        parts += [
            f"<li>{escape(f'{sheet.student}, {each.exercise}: {each.reason} ({sheet.path})')}</li>"
            for sheet, each in person
        ]
        parts += [
            f"<li>{escape(sheet.student)}: {escape(sheet.problem)} ({escape(sheet.path)})</li>"
            for sheet in lost
        ]
    else:
        told = (False, "that the grader could not decide"), (True, "right, with an id that is not theirs")
        for kind, words in told:
            counts = Counter(
                each.exercise.partition("@")[0] for _, each in person if (each.kind == "variant") is kind
            )
            parts += [
                f"<li>{escape(name)}: {counts[name]} {words}</li>" for name in sorted(counts, key=_order)
            ]
        parts += [f"<li>{len(lost)} hand-ins that could not be graded</li>"] if lost else []
    return [*parts, "</ul>"]


def _students(sheets: Sequence[Sheet]) -> list[str]:
    rows = []
    for sheet in sorted(sheets, key=lambda sheet: sheet.student.casefold()):
        wrong = "; ".join(
            f"{each.exercise} {each.state}" + (f" ({each.mistake})" if each.mistake else "")
            for each in sheet.results
            if each.state != "passed"
        )
        marks = f"{sheet.points} of {sheet.possible}"
        rows.append(
            f"<tr><th scope='row'>{escape(sheet.student)}</th><td>{marks}</td>"
            f"<td>{escape(wrong or sheet.problem)}</td></tr>"
        )
    head = "<tr><th scope='col'>student</th><th scope='col'>points</th><th scope='col'>not passed</th></tr>"
    table = f"<table>{head}{''.join(rows)}</table>"
    wide = f'<div class="wide" tabindex="0" role="region" aria-label="Students">{table}</div>'
    return ["<h2>Student by student</h2>", wide]
