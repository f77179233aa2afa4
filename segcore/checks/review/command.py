"""``python -m segcore review``: a variant of an exercise that is due, as a file, and its check."""

from __future__ import annotations

import argparse
import linecache
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from segcore.checks import ladder
from segcore.checks.chapters import CHAPTERS, exercise
from segcore.checks.engine import judge
from segcore.checks.hints import error_text, reader_line
from segcore.checks.progress import read as progress_read
from segcore.checks.review import memory, schedule
from segcore.checks.review.memory import Memory
from segcore.checks.review.schedule import Item
from segcore.checks.variants import Variant, variants, varied
from segcore.checks.variants.making import head_and_body
from segcore.checks.variants.wording import in_a_terminal

__all__ = ["HELP", "options", "run"]

HELP = """\
Asks for an exercise that you have passed, with another convention: another axis order, other boxes, other
numbers. It prints the task and writes a small file to complete, or opens it in $EDITOR; then

    python -m segcore review check FILE        checks it, and says when the exercise comes again
    python -m segcore review check FILE --hint 2   ... and opens the hints up to that rung
    python -m segcore review skip FILE         puts it back: the exercise comes again tomorrow
    python -m segcore review list              shows what is due when

What is passed at the first check, without the last two hints, waits longer each time: 1, 3, 7, 14, 30 and 60
days. What was hard comes sooner. Exercises come in when their lab's check was passed; --chapter 13 takes
those of a chapter, passed or not.

Exit code: 0 where it was done or passed, 1 where a check was not passed, 2 where it could not be done.
"""
MARK = re.compile(r"^# review: *(\S+) *$", re.MULTILINE)
STUB = '''\
"""{title}

{task}

Check it with:  python -m segcore review check {file}
"""
# review: {id}

import torch
import torch.nn.functional as F


def {name}({parameters}):
    raise NotImplementedError()
'''


def options(parser: argparse.ArgumentParser) -> None:
    """What may stand behind ``review``."""
    parser.add_argument(
        "action",
        nargs="?",
        default="next",
        choices=("next", "check", "skip", "list"),
        metavar="ACTION",
        help="next (where left out), check, skip or list",
    )
    parser.add_argument("file", nargs="?", metavar="FILE", help="the file to check, or to put back")
    parser.add_argument("--chapter", metavar="N", help="only exercises of this chapter, passed or not")
    parser.add_argument("--hint", type=int, metavar="RUNG", help="open the hints up to rung 1, 2, 3 or 4")
    parser.add_argument("--no-edit", action="store_true", help="do not open $EDITOR")
    parser.add_argument("--date", type=_day, help=argparse.SUPPRESS)  # a clock for tests


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a date such as 2026-03-02, got {text!r}") from None


def run(asked: argparse.Namespace) -> int:
    """Do what the command line says.

    Raises:
        ValueError: It names a chapter, file, exercise or rung that is not there; the message says which.
        OSError: A file cannot be read or written.
    """
    today = asked.date or date.today()
    if asked.action in ("check", "skip"):
        if asked.file is None:
            raise ValueError(f"which file? Say: python -m segcore review {asked.action} review_13_2.py")
        found = _of_file(Path(asked.file))
        if asked.action == "skip":
            return _skip(found, today)
        return _check(found, Path(asked.file), today, ladder.depth(asked.hint))
    if asked.file is not None:
        raise ValueError(f"review {asked.action} takes no file; to check one: review check {asked.file}")
    chapters = [str(asked.chapter)] if asked.chapter is not None else [str(each) for each in CHAPTERS]
    known = [each.of for chapter in chapters for each in varied(chapter)]
    if asked.action == "list":
        return _list(known, today)
    return _next(asked, known, today)


# What is next ---------------------------------------------------------------------------------------------


def _next(asked: argparse.Namespace, known: list[str], today: date) -> int:
    done = {name for name, state in progress_read().items() if state == "passed"}
    new = known if asked.chapter is not None else [each for each in known if each in done]
    with memory.opened() as kept:
        _notes(kept)
        limit = len(known) if asked.chapter is not None else schedule.NEW
        chosen = schedule.pick(kept.items, known, new, today, limit)
        if chosen is None:
            _say(_nothing(kept, known, new, today))
            return 0
        item = kept.items.get(chosen, Item(0, today, today))
        found = _open(chosen, item)
        file = Path(item.file) if item.file else None
        begun = item.open == found.label and file is not None and file.exists()
        if not begun:
            file = _write(found)
        kept.items[chosen] = replace(
            item,
            open=found.label,
            seen=(*(label for label in item.seen if label != found.label), found.label),
            file=str(file.resolve()) if file is not None else "",
        )
    assert file is not None
    _say(f"{found.base.id} {found.title}\n\n{in_a_terminal(found)}\n")
    _say(f"You have begun it in {_short(file)}." if begun else f"Write it in {_short(file)}.")
    if not asked.no_edit and _edited(file):
        return _check(_of_file(file), file, today, 0)
    _say(f"Then: python -m segcore review check {_short(file)}")
    return 0


def _open(chosen: str, item: Item) -> Variant:
    """The variant that is asked of an exercise."""
    known = {each.label: each for each in variants(chosen)}
    return known.get(item.open) or known[schedule.which(chosen, list(known), item.seen)]


def _nothing(kept: Memory, known: Sequence[str], new: Sequence[str], today: date) -> str:
    waiting = [kept.items[each].due for each in known if each in kept.items]
    fresh = [each for each in new if each not in kept.items]
    if not waiting and not fresh:
        return (
            "Nothing to review yet: exercises come in when their check in a lab was passed. To begin with a "
            "chapter's all the same: python -m segcore review --chapter 13"
        )
    words = "All done for today."
    if waiting:
        day = min(waiting)
        days = (day - today).days
        words += f" The next one is due on {day:%d %B %Y}, in {days} day{'s' * (days != 1)}."
    if fresh:
        words += f" {len(fresh)} new one{'s' * (len(fresh) != 1)} will come in, {schedule.NEW} a day."
    return f"{words} Not enough? python -m segcore review --chapter 13 takes one more."


def _write(found: Variant) -> Path:
    """A file to complete, in the folder one is in; no file is ever written over."""
    stem = "review_" + found.base.id.replace(".", "_")
    number = 1
    while True:
        file = Path(f"{stem}.py" if number == 1 else f"{stem}-{number}.py")
        text = STUB.format(
            title=f"{found.base.id} {found.title}",
            task=in_a_terminal(found),
            file=file.name,
            id=found.id,
            name=found.name,
            parameters=head_and_body(found)[0],
        )
        try:
            with open(file, "x", encoding="utf-8") as out:
                out.write(text)
            return file
        except FileExistsError:
            number += 1


def _edited(file: Path) -> bool:
    """Open the file in the reader's editor, where they have one and sit in front of it."""
    words = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "")
    if not words or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    try:
        return subprocess.run([*words, _short(file)]).returncode == 0
    except OSError as error:
        _say(f"{words[0]} cannot be started ({error.strerror}).")
        return False


# A file is checked ----------------------------------------------------------------------------------------


def _of_file(file: Path) -> Variant:
    """The variant that a file answers."""
    text = _text(file)
    mark = MARK.search(text)
    if mark is None:
        raise ValueError(
            f"{file} has no line '# review: ...' that says which exercise it answers: keep that line"
        )
    found = exercise(mark[1])
    if not isinstance(found, Variant):
        raise ValueError(f"{file} names {mark[1]}, which is no variant; its lab checks it")
    return found


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ValueError(f"there is no file {file}; python -m segcore review writes one") from None
    except UnicodeDecodeError:
        raise ValueError(f"{file} is no text in UTF-8: save it so, and check again") from None


def _check(found: Variant, file: Path, today: date, opened: int) -> int:
    function, fault = _function(found, file)
    if fault:
        _say(fault)
        return 1
    report = judge(found, function)
    if report.state == "not attempted":
        _say(f"{found.name} still raises NotImplementedError: write it in {_short(file)}, then check again.")
        return 1
    card = report.card
    card.title = f"{found.base.id} {found.title}"
    ladder.climb(card, found, opened)
    if card.more:
        next_rung = card.more.rpartition("hint=")[2].rstrip(")")
        words = card.more.partition(":")[0]
        card.more = f"{words}: python -m segcore review check {_short(file)} --hint {next_rung}"
    _say(repr(card))
    _say(_scheduled(found, file, report.state == "passed", today, opened))
    return 0 if report.state == "passed" else 1


def _scheduled(found: Variant, file: Path, passed: bool, today: date, opened: int) -> str:
    """Put the answer into the schedule; what there is to say of it."""
    with memory.opened() as kept:
        _notes(kept)
        known = kept.items.get(found.base.id)
        item = known or Item(0, today, today)
        if item.open != found.label:
            if item.last == today:
                return "It was answered today already: the schedule stays as it is."
            item = replace(item, open=found.label, tries=0, rung=0, seen=(*item.seen, found.label))
        item = replace(item, rung=max(item.rung, opened))
        after = schedule.passed(item, today) if passed else replace(item, tries=item.tries + 1)
        kept.items[found.base.id] = after
    if memory.path() is None:
        return "Nothing is kept of it: SEGCORE_PROGRESS or SEGCORE_STATIC says so."
    if not passed:
        return f"It stays open until it is passed, or put back: python -m segcore review skip {_short(file)}"
    days = (after.due - today).days
    when = f"in {days} day{'s' * (days != 1)}, on {after.due:%d %B %Y}"
    return f"The exercise comes again {when}, as another variant."


def _function(found: Variant, file: Path) -> tuple[Any, str]:
    """The function that a file defines, or what is wrong with the file."""
    text, name = _text(file), str(file)
    space: dict[str, Any] = {"__name__": "review", "__file__": name}
    linecache.checkcache(name)

    def here() -> None:
        """Stands for the file, to find its own line in a traceback."""

    try:
        code = compile(text, name, "exec")
        here.__code__ = here.__code__.replace(co_filename=name)
        exec(code, space)
    except SyntaxError as error:
        return None, f"{_short(file)}, line {error.lineno}: {error.msg}."
    except (Exception, SystemExit) as error:
        where = reader_line(error, here)
        line = f", line {where[0]}" if where else ""
        return (
            None,
            f"{_short(file)}{line}: {error_text(error)}. Only the function and what it needs belong there.",
        )
    if found.name not in space:
        return (
            None,
            f"{_short(file)} defines no function {found.name}: keep the name that it was written with.",
        )
    return space[found.name], ""


def _skip(found: Variant, today: date) -> int:
    with memory.opened() as kept:
        _notes(kept)
        item = kept.items.get(found.base.id)
        if item is None or item.open != found.label:
            _say(f"{found.base.id} is not open: nothing to put back.")
            return 0
        after = kept.items[found.base.id] = schedule.given_up(item, today)
    _say(f"Put back. {found.base.id} {found.title} comes again on {after.due:%d %B %Y}, as another variant.")
    return 0


# A list ---------------------------------------------------------------------------------------------------


def _list(known: list[str], today: date) -> int:
    with memory.opened() as kept:
        _notes(kept)
        items = {each: kept.items[each] for each in known if each in kept.items}
    width = max((len(exercise(each).title) for each in known), default=0)
    for each, item in sorted(items.items(), key=lambda pair: (pair[1].due, known.index(pair[0]))):
        when = "open" if item.open else "due today" if item.due <= today else f"due {item.due:%d %b %Y}"
        asked = f"{len(item.seen)} of {len(variants(each))} variants asked"
        _say(
            f"{each.ljust(5)} {exercise(each).title.ljust(width)}  box {item.box + 1}  {when.ljust(15)}  "
            f"{asked}"
        )
    total = sum(len(variants(each)) for each in known)
    due = sum(bool(item.open) or item.due <= today for item in items.values())
    _say(f"{len(known)} exercises with {total} variants; {len(items)} under review, {due} of them due.")
    return 0


def _notes(kept: Memory) -> None:
    for note in kept.notes:
        _say(note)


def _short(file: Path) -> str:
    """A file as one would type it here."""
    try:
        return str(file.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(file)


def _say(text: str) -> None:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), flush=True)
