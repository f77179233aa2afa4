"""Prompts: every one of every chapter can be asked, and the book's pages say what the library answers."""

from __future__ import annotations

import functools
import json
import random
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest

from segcore.checks import CHAPTERS
from segcore.prompts import Prompt, drawn, fill, gaps, prompt_slugs, prompts, shown

ROOT = Path(__file__).parents[1]
NUMBERS = {slug: int(number) for number, slug in CHAPTERS.items()}
ALL = [pytest.param(slug, each, id=each.name) for slug in prompt_slugs() for each in prompts(slug)]
STRAY = re.compile(
    r"(?<![\\\w}^_{])\{[A-Za-z_]\w*\}(?!`)"
)  # a gap that nothing fills; not TeX's, not a role's
NOISE = re.compile(r"tensor\(|torch\.|\d\.\d{7,}|\bnan\b|\binf\b|True|False|None|\[\d")


@functools.cache
def drawn_of(name):
    """A prompt's instances, computed once for all tests."""
    return drawn(next(each.values[1] for each in ALL if each.id == name))


def texts(prompt, instance):
    names = {**instance.numbers, "answer": shown(instance.answer, prompt.digits)}
    return {kind: fill(text, names) for kind, text in parts(prompt)}


def parts(prompt):
    return [
        ("ask", prompt.ask),
        ("why", prompt.why),
        *((f"wrong {n}", w) for n, w in enumerate(prompt.wrong)),
    ]


def outside_formulas(text):
    return re.sub(r"(\$\$?)[^$]+\1|`[^`]*`", "", text)


@pytest.mark.parametrize(("slug", "prompt"), ALL)
def test_a_prompt_has_enough_different_instances(slug, prompt):
    instances = drawn_of(prompt.name)
    assert len(instances) >= 6, "fewer than six instances: widen its ranges"
    assert len({each.answer for each in instances}) >= 3, "the answer hardly varies"
    again = drawn(prompt, 3)
    assert [(each.numbers, each.answer) for each in again] == [(e.numbers, e.answer) for e in instances[:3]]


@pytest.mark.parametrize(("slug", "prompt"), ALL)
def test_a_wrong_idea_gives_another_number_in_most_draws(slug, prompt):
    instances = drawn_of(prompt.name)
    for sentence in prompt.wrong:
        told = sum(sentence in each.wrong for each in instances)
        assert told >= len(instances) / 2, f"{sentence!r} differs in {told} of {len(instances)} only"


@pytest.mark.parametrize(("slug", "prompt"), ALL)
def test_a_prompt_reads_well(slug, prompt):
    """Each gap is filled, marks of formulas and code come in pairs, and no number shows its noise."""
    assert prompt.why and prompt.ask.rstrip().endswith(("?", ".")), "a question, and a reason"
    assert len(prompt.ask) < 700 and prompt.digits >= 0
    instances = drawn_of(prompt.name)
    for instance in instances:
        for kind, text in texts(prompt, instance).items():
            plain = outside_formulas(text)
            assert "$" not in plain and "`" not in plain, f"{kind}: a mark without its twin in {text!r}"
            assert not STRAY.search(plain), f"{kind}: nothing fills a gap in {text!r}"
            assert not NOISE.search(plain), f"{kind}: {NOISE.search(plain)[0]!r} in {text!r}"
    asked = {fill(prompt.ask, each.numbers) for each in instances}
    assert len(asked) == len(instances), "two instances look alike and may have different answers"
    assert "answer" not in gaps(prompt.ask, {"answer": None}), "the question gives its answer away"


def test_every_chapter_has_prompts():
    assert set(prompt_slugs()) == set(NUMBERS)


def test_names_are_the_chapters_and_no_two_are_alike():
    names = [prompt.name for slug in prompt_slugs() for prompt in prompts(slug)]
    assert len(names) == len(set(names))
    for slug in prompt_slugs():
        for prompt in prompts(slug):
            assert re.fullmatch(rf"{NUMBERS[slug]:02d}\.[a-z0-9]+(-[a-z0-9]+)*", prompt.name), prompt.name


@pytest.mark.parametrize("slug", prompt_slugs())
def test_a_chapter_has_eight_to_remember(slug):
    page = (ROOT / "book" / f"{NUMBERS[slug]:02d}_{slug}.md").read_text(encoding="utf-8")
    quizzes = re.findall(r"^:{3,}\{quiz\}\n(.*?)^:{3,}$", page, re.MULTILINE | re.DOTALL)
    questions = sum(quiz.count("- [x]") for quiz in quizzes)
    assert len(prompts(slug)) >= 4
    assert questions + len(prompts(slug)) >= 8


def test_the_package_is_light():
    code = "import sys, segcore.prompts; print([m for m in ('torch', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- The class -------------------------------------------------------------------------------------------


def prompt_of(answer, **more):
    return Prompt(
        "00.test", "Of {k}?", lambda r: {"k": r.randint(1, 40), "_x": r.random()}, answer, "", **more
    )


def test_instances_differ_in_what_is_asked_and_hidden_numbers_are_not_passed_on():
    instances = drawn(prompt_of(lambda k: k))
    assert len(instances) == 24 == len({each.numbers["k"] for each in instances})
    assert len(drawn(Prompt("00.two", "", lambda r: {"k": r.randint(0, 1)}, lambda k: k, ""))) == 2


def test_a_wrong_idea_that_comes_to_the_same_is_left_out():
    ideas = {
        "twice": lambda k: 2 * k,
        "same": lambda k: k,
        "none": lambda k: None,
        "even": lambda k: k - k % 2,
    }
    for each in drawn(prompt_of(lambda k: k, wrong=ideas)):
        assert set(each.wrong) == {"twice"} | ({"even"} if each.numbers["k"] % 2 else set())
    near = drawn(prompt_of(lambda k: k / 3, wrong={"near": lambda k: k / 3 + 0.004}, digits=2))
    assert not any(each.wrong for each in near), "two decimals cannot tell them apart"


def test_what_torch_gives_becomes_plain_numbers():
    import torch

    assert drawn(prompt_of(lambda k: torch.tensor(k)))[0].answer.__class__ is int
    assert drawn(prompt_of(lambda k: torch.empty(1, k).shape))[0].answer[0] == 1
    assert drawn(prompt_of(lambda k: torch.tensor([0.5, 1.0])))[0].answer == (0.5, 1.0)


@pytest.mark.parametrize("bad", ["3", None, True, (), (1, "2"), ((1, 2), 3)])
def test_an_answer_that_is_no_number_is_refused(bad):
    with pytest.raises(TypeError, match=r"00\.test .*expected an int, a float or a tuple"):
        drawn(prompt_of(lambda k: bad))


def test_an_answer_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match=r"00\.test .*draw numbers that have an answer"):
        drawn(prompt_of(lambda k: float("nan")))


def test_an_unknown_chapter_is_named_and_known_ones_are_listed():
    with pytest.raises(ValueError, match=r"'roi_pool'; expected one of .*roi_align"):
        prompts("roi_pool")


def test_numbers_are_shown_without_noise():
    assert shown(0.1 + 0.2) == "0.3" and shown(-0.0) == "0" and shown(1e-9) == "0"
    assert shown((1, 2.50, -3), 1) == "1, 2.5, −3"
    assert shown(2 / 3, 0) == "1" and shown(100.0, 2) == "100" and shown("a b") == "a b"


# ---- In the pages ----------------------------------------------------------------------------------------

pytest.importorskip("sphinx")
pytest.importorskip("myst_parser")
sys.path.insert(0, str(ROOT / "tools" / "ext"))

import course_prompts  # noqa: E402
import course_review  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402
from sphinx.util.docutils import docutils_namespace, patch_docutils  # noqa: E402

CHAPTER = """# RoIAlign

## Check yourself

:::{quiz}
Of $2^3$?

- [x] Eight.
  > Yes.
- [ ] Six.
  > No.
:::

## The lab

Text.
"""
PAGES = {
    "index.md": "# Course\n\n```{toctree}\nbook/13_roi_align\nbook/review\n```\n",
    "book/13_roi_align.md": CHAPTER,
    "book/review.md": "# Review\n\n"
    + "\n".join(f"```{{review}} {p}\n```\n" for p in ("questions", "chapters", "keeping")),
}


def build(folder, builder="html"):
    source = folder / "source"
    for name, text in PAGES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text, encoding="utf-8")
    settings = {
        "project": "Test",
        "extensions": ["myst_parser", "course_quiz", "course_prompts", "course_review"],
        "myst_enable_extensions": ["dollarmath", "colon_fence", "tasklist"],
        "html_theme": "basic",
        "nitpicky": True,
    }
    warnings = StringIO()
    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            source, None, folder / builder, folder / f"{builder}-trees", builder, settings,
            status=None, warning=warnings, freshenv=True,
        )  # fmt: skip
        app.build()
    return folder / builder, warnings.getvalue()


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    return build(tmp_path_factory.mktemp("book"))


def test_the_prompts_stand_after_the_quiz_and_say_what_the_library_answers(book):
    out, warnings = book
    assert warnings == ""
    html = (out / "book" / "13_roi_align.html").read_text(encoding="utf-8")
    order = ['id="check-yourself"', 'id="once-more-with-other-numbers"', 'id="the-lab"']
    assert [html.index(name) for name in order] == sorted(html.index(name) for name in order)
    found = dict(course_review.items(html))
    for prompt in prompts("roi_align"):
        data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', found[prompt.name])[1])
        for instance, (values, answer, wrong) in zip(drawn(prompt), data["draws"], strict=True):
            assert answer == (
                list(instance.answer) if isinstance(instance.answer, tuple) else [instance.answer]
            )
            assert len(wrong) == len(instance.wrong)
            plain = re.sub(r"<[^>]+>", "", data["ask"])
            for key, value in zip(data["keys"], values, strict=True):
                plain = plain.replace(f"⟦{key}⟧", value)
            wanted = fill(prompt.ask, instance.numbers).replace("$", "").replace("`", "")
            assert re.sub(r"\\[()]", "", plain).split() == wanted.split()
        assert f"<strong>{data['draws'][0][0][0]}</strong>" in found[prompt.name], "without scripts"
        assert "⟦" not in found[prompt.name].split("<script")[0]
    assert re.search(r"⟦\w", html.split("<script type=")[0]) is None


def test_the_finished_pages_give_what_the_review_asks(book):
    out, _ = book
    text = (out / "_static" / "review-data.js").read_text(encoding="utf-8")
    data = json.loads(text.removeprefix("window.courseItems = ").rstrip(";\n"))
    assert list(data)[1:] == [prompt.name for prompt in prompts("roi_align")]
    question = next(iter(data))
    assert re.fullmatch(r"13\.q-[0-9a-f]{8}", question)
    assert data[question].count("<div") == data[question].count("</div") and "Eight." in data[question]
    index = (out / "_static" / "review-index.js").read_text(encoding="utf-8")
    assert json.loads(index.removeprefix("window.courseIndex = ").rstrip(";\n")) == {
        "13_roi_align": {"items": list(data), "exercises": []}  # no lab stands beside this page
    }
    review = (out / "book" / "review.html").read_text(encoding="utf-8")
    assert '<a class="reference internal" href="13_roi_align.html">13 RoIAlign</a>' in review
    assert "mathjax" in review.lower(), "its questions may hold formulas"


def test_other_formats_show_the_answers(tmp_path):
    out, warnings = build(tmp_path, "text")
    text = " ".join((out / "book" / "13_roi_align.txt").read_text(encoding="utf-8").split())
    assert warnings == "" and "⟦" not in text
    assert f"Answer: {shown(drawn(prompts('roi_align')[0])[0].answer, 2)}." in text


def test_a_source_without_a_quiz_stays():
    assert course_prompts.with_prompts("# A\n\ntext\n", "roi_align") == "# A\n\ntext\n"
    two = ":::{quiz}\nA\n:::\n\n::::{quiz}\n```\n:::\n```\n::::\n\n## The lab\n"
    made = course_prompts.with_prompts(two, "roi_align")
    assert made.index("::::{quiz}") < made.index("{prompts} roi_align") < made.index("## The lab")


@pytest.mark.parametrize(
    ("answer", "digits", "hint"),
    [
        (lambda k: k, 0, ""),
        (lambda k: k / 4, 2, ""),
        (lambda k: k / 7, 2, "to 2 decimals"),
        (lambda k: k / 7, 1, "to 1 decimal"),
        (lambda k: k / 7, 0, "rounded"),
        (lambda k: (k, k, 1), 0, "3 numbers"),
        (lambda k: (1,) * (2 + k % 2), 0, "numbers, with commas between"),
    ],
)
def test_what_is_to_be_typed_is_said(answer, digits, hint):
    prompt = prompt_of(answer, digits=digits)
    assert course_prompts.field_hint(prompt, drawn(prompt)) == hint


def test_a_part_that_is_none_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(PAGES, "book/review.md", "# Review\n\n```{review} answers\n```\n")
    _, warnings = build(tmp_path, "text")
    assert "review has the parts questions, chapters, keeping; got 'answers'" in warnings


def test_draws_do_not_depend_on_what_was_drawn_before():
    before = random.getstate()
    drawn(prompts("roi_align")[0])
    assert random.getstate() == before
