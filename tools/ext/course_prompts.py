"""Prompts in the chapters: questions whose numbers are drawn anew, answered in the page.

After the quiz of a chapter that has prompts (`segcore.prompts`) stands a section "Once more, with other
numbers", without a line in the chapter's file. Each prompt's instances are drawn and answered here, when the
book is built, and stand in the page as JSON; ``review_prompts.js`` asks one of them. Without scripts, and in
other formats, the first instance is shown with its answer.
"""

from __future__ import annotations

import json
import re
import sys
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

sys.path.append(str(Path(__file__).resolve().parents[1]))
sys.path.append(str(Path(__file__).resolve().parents[2]))

from chapters import Library, imported
from course_numbers import place
from course_units import unbroken

from segcore.prompts import GAP, Drawn, Prompt, drawn, fill, gaps, prompt_slugs, prompts, shown

ROOT = Path(__file__).resolve().parents[2]
SECTION = """
## Once more, with other numbers

Short questions whose numbers are drawn anew. Type what comes out and press Enter. The course's own library
has computed the answers; where a usual mistake gives your number, it is named. {{doc}}`review` asks all of
this again, in days and weeks.

```{{prompts}} {slug}
```
"""

_QUIZ = re.compile(r"^(?P<fence>:{3,})\{quiz\}.*?^(?P=fence)[ ]*$\n", re.MULTILINE | re.DOTALL)
_TOKEN = re.compile(r"⟦(.+?)⟧")


class prompt(nodes.General, nodes.Element):
    """One prompt: its parts, with gaps. Attributes ``number`` and ``data`` (what the page's script needs)."""


class prompt_part(nodes.General, nodes.Element):
    """The question, the reason, or what to say of one wrong idea. Attribute ``kind``."""


def with_prompts(text: str, slug: str) -> str:
    """A chapter's source with its prompts after its last quiz; as it was where it has no quiz."""
    quizzes = list(_QUIZ.finditer(text))
    if not quizzes:
        return text
    end = quizzes[-1].end()
    return text[:end] + SECTION.format(slug=slug) + text[end:]


def slug_of(docname: str) -> str:
    """The slug of a chapter's page; nothing for other pages."""
    found = place(docname)
    return docname.partition("_")[2] if found and found[0] == "book" else ""


def _insert(app: Sphinx, docname: str, source: list[str]) -> None:
    slug = slug_of(docname)
    if slug in prompt_slugs():
        source[0] = with_prompts(source[0], slug)


def _tokens(text: str, names: dict[str, object]) -> str:
    """The text with its gaps as tokens, which MyST and MathJax leave as they are."""
    return GAP.sub(lambda gap: f"⟦{gap[0][1:-1]}⟧" if gap["name"] in names else gap[0], text)


def _numbers(answer: object) -> list[Any]:
    return list(answer) if isinstance(answer, tuple) else [answer]


def field_hint(asked: Prompt, instances: list[Drawn]) -> str:
    """What is to be typed, where that does not go without saying.

    Example:
        >>> draw = lambda random: {"k": random.randint(1, 9)}
        >>> pair = Prompt("00.pair", "?", draw, lambda k: (k, k / 3), "", digits=2)
        >>> field_hint(pair, drawn(pair))
        '2 numbers, to 2 decimals'
    """
    counts = {len(_numbers(each.answer)) for each in instances}
    words = []
    if counts != {1}:
        words.append(f"{counts.pop()} numbers" if len(counts) == 1 else "numbers, with commas between")
    numbers = [number for each in instances for number in _numbers(each.answer)]
    if any(abs(round(number, asked.digits) - number) > 1e-6 for number in numbers):
        words.append(f"to {asked.digits} decimal{'s' * (asked.digits != 1)}" if asked.digits else "rounded")
    return ", ".join(words)


def prompt_data(asked: Prompt, instances: list[Drawn]) -> dict[str, Any]:
    """What the script of a page needs of a prompt, but for its words."""
    texts = [asked.ask, asked.why, *asked.wrong]
    names = {**instances[0].numbers, "answer": None}
    keys = ["answer", *sorted({key for text in texts for key in gaps(text, names)} - {"answer"})]
    sentences = list(asked.wrong)
    rows = []
    for each in instances:
        filled = {**each.numbers, "answer": shown(each.answer, asked.digits)}
        values = [fill("{" + key + "}", filled) for key in keys]
        wrong = {str(sentences.index(words)): _numbers(came) for words, came in each.wrong.items()}
        rows.append([values, _numbers(each.answer), wrong])
    whole = all(isinstance(number, int) for each in instances for number in _numbers(each.answer))
    return {
        "name": asked.name,
        "unit": asked.unit,
        "hint": field_hint(asked, instances),
        "close": 1e-9 if whole else 0.5 * 10**-asked.digits + 1e-9,
        "keys": keys,
        "draws": rows,
    }


class Prompts(SphinxDirective):
    """All prompts of a chapter; its argument is the chapter's slug."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Draw the instances and parse the words."""
        slug = self.arguments[0]
        self._depend_on(slug)
        found: list[nodes.Node] = []
        for number, each in enumerate(prompts(slug), start=1):
            instances = drawn(each)
            names = {**instances[0].numbers, "answer": None}
            node = prompt(number=number, data=prompt_data(each, instances))
            self.set_source_info(node)
            for kind, text in (("ask", each.ask), ("why", each.why), *(("wrong", w) for w in each.wrong)):
                part = prompt_part(kind=kind)
                block = StringList([_tokens(text, names)], f"segcore/prompts/{slug}.py: {each.name}")
                self.state.nested_parse(block, 0, part)
                node += part
            found.append(node)
        return found

    def _depend_on(self, slug: str) -> None:
        """The page is read again where the prompts change, or what computes their answers."""
        library, file = Library(ROOT), ROOT / "segcore" / "prompts" / f"{slug}.py"
        names = {name for name in imported(file.read_text(encoding="utf-8")) if "prompts" not in name}
        for path in [file, file.with_name("__init__.py"), *library.files(library.reached(names))]:
            if path.suffix == ".py":
                self.env.note_dependency(str(path))


def _filled(text: str, data: dict[str, Any], quote: bool = True) -> str:
    """A text with its tokens filled by the first instance."""
    values = dict(zip(data["keys"], data["draws"][0][0], strict=True))
    return _TOKEN.sub(
        lambda token: escape(values[token[1]], quote=False) if quote else values[token[1]], text
    )


class PromptAsParagraphs(SphinxPostTransform):
    """For formats without scripts: the first instance of each prompt, with its answer."""

    default_priority = 100

    def run(self, **kwargs: Any) -> None:
        """Replace the prompts unless the page is HTML."""
        if self.app.builder.format == "html":
            return
        for node in list(self.document.findall(prompt)):
            ask, why, *_ = node.children
            for text in list(node.findall(nodes.Text)):
                text.parent.replace(text, nodes.Text(_filled(str(text), node["data"], quote=False)))
            title = nodes.paragraph("", "", nodes.strong("", f"Prompt {node['number']}"))
            answer = nodes.paragraph("", "Answer: " + node["data"]["draws"][0][0][0] + ".")
            node.replace_self([title, *ask.children, answer, *why.children])


def _visit_prompt(self: Any, node: nodes.Element) -> None:
    node["html"] = []


def _visit_part(self: Any, node: nodes.Element) -> None:
    node["start"] = len(self.body)


def _depart_part(self: Any, node: nodes.Element) -> None:
    node.parent["html"].append(unbroken("".join(self.body[node["start"] :]).strip()))
    del self.body[node["start"] :]


PROMPT = """<div class="prompt" data-name="{name}">
<p class="prompt-title" id="{id}-title">Prompt {number}</p>
<div class="prompt-ask" id="{id}-ask">{ask}</div>
<form class="prompt-form pst-js-only" aria-labelledby="{id}-title">
<label for="{id}-field">Answer{hint}</label>
<span class="prompt-line"><input class="prompt-field" id="{id}-field" type="text" name="answer"
 autocomplete="off" autocapitalize="off" spellcheck="false" aria-describedby="{id}-ask">{unit}
<button type="submit">Check</button> <button type="button" class="prompt-other">Other numbers</button></span>
</form>
<div class="prompt-verdict" role="status"></div>
<details class="prompt-solution"><summary>Answer</summary>
<div><p><strong>{answer}</strong></p>{why}</div></details>
<script type="application/json">{data}</script>
</div>
"""


def _depart_prompt(self: Any, node: nodes.Element) -> None:
    ask, why, *wrong = node["html"]
    data = node["data"]
    words = {"ask": ask, "why": why, "wrong": wrong}
    stored = json.dumps({**data, **words}, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    unit = escape(data["unit"])
    self.body.append(
        PROMPT.format(
            id=f"prompt-{node['number']}",
            number=node["number"],
            name=escape(data["name"]),
            ask=_filled(ask, data),
            why=_filled(why, data),
            answer=escape(data["draws"][0][0][0] + f" {data['unit']}".rstrip()),
            hint=f' <span class="prompt-hint">({data["hint"]})</span>' if data["hint"] else "",
            unit=f'<span class="prompt-unit">{unit}</span>' if unit else "",
            data=stored,
        )
    )


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive, its nodes, the fallback and the section."""
    app.add_node(prompt, html=(_visit_prompt, _depart_prompt))
    app.add_node(prompt_part, html=(_visit_part, _depart_part))
    app.add_directive("prompts", Prompts)
    app.add_post_transform(PromptAsParagraphs)
    app.connect("source-read", _insert)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
