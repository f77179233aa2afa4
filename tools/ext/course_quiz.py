"""``{quiz}``: questions that answer back, without a kernel and without JavaScript.

An author writes a question, its choices as a task list with one box ticked, and under each choice, quoted,
what to say to the reader who takes it::

    :::{quiz}
    A box edge lies at $x = 37$ in the image, the stride is 16. Where does RoIPool put it on the feature map?

    - [ ] At 2.3125.
      > That is the exact place, $37 / 16$, which {term}`RoIAlign` keeps. RoIPool goes one step further.
    - [x] At 2.
      > It rounds 2.3125 to the nearest cell.
    - [ ] At 3.
      > RoIPool rounds to the nearest cell; it does not round up.
    :::

- A line of three dashes divides a block into several questions. Questions are numbered through the page, and
  the last line of a block counts how many stand answered correctly.
- Everything is parsed as MyST: formulas, citations, roles and links work in the question, the choices and the
  answers. A question may hold code and figures; a choice is one paragraph; an answer may have several.
- The verdict ("Right." or "Not quite.") is put before each answer, so the author writes the explanation
  alone.
- A question needs at least two choices, exactly one of them ticked, and an answer under each. What is amiss
  is a build warning at its line.
- **Choices are shown in another order than written**, the same in every build, since authors put the right
  one in the middle. Its places are dealt like cards, so that each comes up equally often on a page and
  through the book. Answers must therefore not speak of "the first choice". ``:keep-order:`` under
  ``:::{quiz}`` leaves a block as it is written.

In the page these are radio buttons, and the answer to the chosen one is shown by CSS (``:has(:checked)``)
inside a region that screen readers announce. Ids count from 1 on each page, so two builds are equal. Where
the format has no radio buttons (LaTeX, plain text, ...) the same content becomes a list with all answers
shown.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, ClassVar

from course_numbers import place
from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective
from sphinx.util.logging import getLogger

logger = getLogger(__name__)

_CHOICE = re.compile(r"^[-*] \[(?P<mark>[ xX])\] (?P<text>.*)$")
_DIVIDER = re.compile(r"^---+\s*$")
_FENCE = re.compile(r"^(?P<fence>`{3,}|~{3,}|:{3,})")
RIGHT, WRONG = "Right.", "Not quite."


class quiz(nodes.General, nodes.Element):
    """A block of questions."""


class quiz_question(nodes.General, nodes.Element):
    """One question: a stem, then its choices. Attribute ``number``."""


class quiz_stem(nodes.General, nodes.Element):
    """What is asked."""


class quiz_choice(nodes.General, nodes.Element):
    """One choice: its text, then its answer. Attributes ``letter``, ``correct``."""


class quiz_text(nodes.General, nodes.TextElement):
    """The words of a choice, inline."""


class quiz_answer(nodes.General, nodes.Element):
    """What is said to the reader who takes the choice, verdict first."""


@dataclass
class Part:
    """Lines of the source with the index of the first one in the directive's content."""

    offset: int
    lines: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing but blank lines."""
        return not any(line.strip() for line in self.lines)


@dataclass
class Choice:
    """A choice as written."""

    correct: bool
    text: Part
    answer: Part


@dataclass
class Question:
    """A question as written."""

    stem: Part
    choices: list[Choice] = field(default_factory=list)


def read_questions(lines: list[str]) -> list[Question]:
    """Divide the directive's content into questions, and each into stem, choices and answers."""
    questions = [Question(Part(0))]
    fence = ""
    for index, line in enumerate(lines):
        question = questions[-1]
        choice = question.choices[-1] if question.choices else None
        if not fence and choice is None:
            opened = _FENCE.match(line)
            fence = opened["fence"] if opened else ""
        elif fence and line.startswith(fence) and not line.strip(fence[0] + " "):
            fence = ""
        elif fence:
            question.stem.lines.append(line)
            continue
        started = None if fence else _CHOICE.match(line)
        if started:
            text = Part(index, [started["text"]])
            question.choices.append(Choice(started["mark"] in "xX", text, Part(index + 1)))
        elif not fence and _DIVIDER.match(line):
            questions.append(Question(Part(index + 1)))
        elif choice is None:
            question.stem.lines.append(line)
        else:
            _continue_choice(choice, index, line)
    if len(questions) > 1 and questions[-1].stem.empty and not questions[-1].choices:
        questions.pop()  # a divider that closes the block divides nothing
    return questions


def _continue_choice(choice: Choice, index: int, line: str) -> None:
    """Give a line after ``- [ ]`` to the choice's answer (quoted, or after a quoted line) or to its text."""
    stripped = line.strip()
    if stripped.startswith(">"):
        if choice.answer.empty:
            choice.answer = Part(index)
        choice.answer.lines.append(re.sub(r"^>\s?", "", stripped))
    elif not choice.answer.empty:
        choice.answer.lines.append(stripped)
    elif stripped:
        choice.text.lines.append(stripped)


def faults(question: Question) -> list[tuple[int, str]]:
    """What is amiss with a question, each with the index of the line to look at."""
    found = []
    start = question.stem.offset
    if question.stem.empty:
        found.append((start, "a quiz question asks nothing: write the question before its choices"))
    if len(question.choices) < 2:
        found.append(
            (
                start,
                "a quiz question needs at least two choices (`- [ ] text`), "
                f"this one has {len(question.choices)}",
            )
        )
    ticked = [choice for choice in question.choices if choice.correct]
    if question.choices and not ticked:
        found.append((start, "no choice of this quiz question is correct: tick one with `- [x]`"))
    found += [
        (choice.text.offset, "a quiz question has one correct choice, and an earlier one is ticked already")
        for choice in ticked[1:]
    ]
    for choice in question.choices:
        if choice.text.empty:
            found.append((choice.text.offset, "this quiz choice says nothing: write its text after the box"))
        if choice.answer.empty:
            found.append(
                (
                    choice.text.offset,
                    "this quiz choice has no answer: explain it under the choice with `> ...`",
                )
            )
    return found


def _hash(*words: object) -> str:
    return hashlib.sha256("\n".join(map(str, words)).encode()).hexdigest()


def right_place(page: str, count: int, serial: int) -> int:
    """Where, from 0, the right one of ``count`` choices stands in a page's question ``serial`` with so many.

    Each run of ``count`` questions uses each place once, in an order that depends on the page. Which place
    comes first goes round with the chapter's number, so that runs cut off at a page's end balance over the
    book.
    """
    run, position = divmod(serial, count)
    numbered = re.search(r"/(\d\d)_", page)
    first = (int(numbered[1]) if numbered else int(_hash(page), 16)) + run
    order = sorted(range(count), key=lambda place: _hash(page, count, run, place))
    return (order[position] - order[0] + first) % count


def arrange(question: Question, page: str, serial: int) -> list[Choice]:
    """The choices in the order in which they are shown: the right one in its place, the others by a hash."""
    wrong = [choice for choice in question.choices if not choice.correct]
    right = [choice for choice in question.choices if choice.correct]
    wrong.sort(key=lambda choice: _hash(*question.stem.lines, *choice.text.lines))
    place = right_place(page, max(1, len(question.choices)), serial)
    return [*wrong[:place], *right, *wrong[place:]]


def item_name(page: str, stem: str) -> str:
    """What a reader's schedule knows a chapter's question by: its words, not its place. Nothing elsewhere.

    Example:
        >>> item_name("book/13_roi_align", "Which cells?"), item_name("book/how_to", "Where?")
        ('13.q-fbff3476', '')
    """
    found = place(page)
    if found is None or found[0] != "book":
        return ""
    return f"{found[1]:02d}.q-{_hash(*stem.split())[:8]}"


class Quiz(SphinxDirective):
    """The directive."""

    has_content = True
    option_spec: ClassVar = {"keep-order": directives.flag}

    def run(self) -> list[nodes.Node]:
        """Parse the content; complain of what is amiss at its line."""
        block = quiz()
        self.set_source_info(block)
        for question in read_questions(list(self.content)):
            for index, message in faults(question):
                logger.warning(
                    message, location=(self.env.docname, self._line(index)), type="course", subtype="quiz"
                )
            block += self._question(question)
        block["questions"] = len(block.children)
        return [block]

    def _line(self, index: int) -> int:
        """The line in the source of a line of the content."""
        return int(self.lineno + self.content_offset) + index + 1

    def _shown(self, question: Question) -> list[Choice]:
        if "keep-order" in self.options:
            return question.choices
        serial = self.env.new_serialno(f"quiz of {len(question.choices)}")
        return arrange(question, self.env.docname, serial)

    def _parse(self, part: Part, into: nodes.Element) -> nodes.Element:
        block = StringList(part.lines, self.get_source_info()[0])
        self.state.nested_parse(block, self.content_offset + part.offset, into)
        return into

    def _question(self, question: Question) -> nodes.Element:
        number = self.env.new_serialno("quiz") + 1
        stem = self._parse(question.stem, quiz_stem())
        node = quiz_question("", stem, number=number, item=item_name(self.env.docname, stem.astext()))
        for position, choice in enumerate(self._shown(question)):
            text = quiz_text()
            parsed = self._parse(choice.text, nodes.Element())
            if len(parsed) > 1 or not all(isinstance(child, nodes.paragraph) for child in parsed):
                line = self._line(choice.text.offset)
                message = "a quiz choice is one paragraph; put code and lists into the question or the answer"
                logger.warning(message, location=(self.env.docname, line), type="course", subtype="quiz")
            for child in parsed:
                text += child.children if isinstance(child, nodes.paragraph) else [child]
            answer = self._parse(choice.answer, quiz_answer())
            verdict = nodes.strong("", RIGHT if choice.correct else WRONG, classes=["quiz-verdict"])
            if len(answer) and isinstance(answer[0], nodes.paragraph):
                answer[0].insert(0, [verdict, nodes.Text(" ")])
            else:
                answer.insert(0, nodes.paragraph("", "", verdict))
            node += quiz_choice(
                "", text, answer, letter="abcdefghijklmnopqrstuvwxyz"[position], correct=choice.correct
            )
        return node


class QuizAsList(SphinxPostTransform):
    """For formats without radio buttons: each question a list of its choices, with the answers shown."""

    default_priority = 100

    def run(self, **kwargs: Any) -> None:
        """Replace the quiz nodes unless the page is HTML."""
        if self.app.builder.format == "html":
            return
        for block in list(self.document.findall(quiz)):
            block.replace_self([part for question in block.children for part in self._plain(question)])

    @staticmethod
    def _plain(question: nodes.Element) -> list[nodes.Node]:
        stem, *choices = question.children
        title = nodes.paragraph("", "", nodes.strong("", f"Question {question['number']}"))
        items = nodes.bullet_list(bullet="-")
        for choice in choices:
            text, answer = choice.children
            items += nodes.list_item("", nodes.paragraph("", "", *text.children), *answer.children)
        return [title, *stem.children, items]


def _open(self: Any, node: nodes.Element, tag: str, css: str, **attributes: Any) -> None:
    self.body.append(self.starttag(node, tag, "", CLASS=css, **attributes))


def _visit_quiz(self: Any, node: nodes.Element) -> None:
    _open(self, node, "div", "quiz")


def _depart_quiz(self: Any, node: nodes.Element) -> None:
    count = node["questions"]
    noun = "question" if count == 1 else "questions"
    self.body.append(
        f'<p class="quiz-score" data-of="{count}">answered correctly, of {count} {noun}</p></div>\n'
    )


def _visit_question(self: Any, node: nodes.Element) -> None:
    number = node["number"]
    _open(
        self,
        node,
        "div",
        "quiz-question",
        role="radiogroup",
        **({"data-name": node["item"]} if node["item"] else {}),
        **{"aria-labelledby": f"quiz-{number}-title quiz-{number}-stem"},
    )
    self.body.append(f'<p class="quiz-title" id="quiz-{number}-title">Question {number}</p>\n')


def _visit_stem(self: Any, node: nodes.Element) -> None:
    _open(self, node, "div", "quiz-stem", ids=[f"quiz-{node.parent['number']}-stem"])


def _visit_choice(self: Any, node: nodes.Element) -> None:
    _open(self, node, "div", "quiz-choice " + ("quiz-right" if node["correct"] else "quiz-wrong"))


def _visit_text(self: Any, node: nodes.Element) -> None:
    choice, question = node.parent, node.parent.parent
    name = f"quiz-{question['number']}"
    formula = all(isinstance(child, nodes.math) or not child.astext().strip() for child in node.children)
    # A screen reader may find no words in a label that is only a formula: name the button by its source.
    label = f' aria-label="{self.attval(node.astext())}"' if formula else ""
    self.body.append(
        f'<label class="quiz-label"><input type="radio" autocomplete="off" name="{name}" '
        f'value="{choice["letter"]}" '
        f'id="{name}-{choice["letter"]}"{label}> <span class="quiz-text">'
    )


def _depart_text(self: Any, node: nodes.Element) -> None:
    self.body.append("</span></label>\n")


def _visit_answer(self: Any, node: nodes.Element) -> None:
    self.body.append('<div aria-live="polite"><div class="quiz-answer">\n')


def _depart_answer(self: Any, node: nodes.Element) -> None:
    self.body.append("</div></div>\n")


def _close(self: Any, node: nodes.Element) -> None:
    self.body.append("</div>\n")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive, its nodes and the fallback."""
    app.add_node(quiz, html=(_visit_quiz, _depart_quiz))
    app.add_node(quiz_question, html=(_visit_question, _close))
    app.add_node(quiz_stem, html=(_visit_stem, _close))
    app.add_node(quiz_choice, html=(_visit_choice, _close))
    app.add_node(quiz_text, html=(_visit_text, _depart_text))
    app.add_node(quiz_answer, html=(_visit_answer, _depart_answer))
    app.add_directive("quiz", Quiz)
    app.add_post_transform(QuizAsList)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
