"""Remembering, in a browser: prompts in a chapter, Review over three weeks, storage that fails, the marks."""

from __future__ import annotations

import datetime
import functools
import http.server
import json
import os
import sys
import threading
from pathlib import Path

import pytest

from segcore.prompts import prompts

from .kit import PHONE, assert_accessible, faults, settle, tab_to

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))

import book

HTML = Path(__file__).parents[2] / "_build" / "html"
CHAPTER, REVIEW = HTML / "book/13_roi_align.html", HTML / "book/review.html"
PLAIN = HTML / "book/how_to.html"  # as every page it knows what is kept

if not REVIEW.exists():
    message = "the book is not built: run `make book` first"
    if os.environ.get("CI"):
        raise RuntimeError(message)
    pytest.skip(message, allow_module_level=True)

KEY, ASIDE = "segcore-review", "segcore-review-aside"
DAY = datetime.date(2026, 3, 20)  # the clocks of Europe and America change within three weeks of it
DAYS = [0, 1, 3, 7, 16, 35, 80]  # after which a card of each box is asked again
ITEMS = json.loads(
    (HTML / "_static/review-data.js")
    .read_text(encoding="utf-8")
    .removeprefix("window.courseItems = ")
    .rstrip(";\n")
)
CARD = {"box": 2, "due": "2026-03-20", "first": "2026-03-10", "last": "2026-03-17", "seen": 3, "right": 2}


def kept(page):
    return json.loads(page.evaluate(f"localStorage.getItem('{KEY}')") or "null")


def put(page, text, seen):
    """Put a text into the storage and open the page anew, until it has read it: then `seen` is true.

    Where Chromium gives a reloaded file a new process, that one may read the storage before the old one's
    last word is there: then the page is asked again.
    """
    for _ in range(5):
        page.evaluate(f"text => localStorage.setItem('{KEY}', text)", text)
        if reread(page, seen):
            return
    raise AssertionError(f"the page keeps {kept(page)}, not {text}")


def reread(page, seen):
    page.reload()
    until(page, "() => !document.querySelector('.review-wait')")
    return seen()


def keep(page, **parts):
    """Put a state into the storage and open the page anew."""
    state = {"course": "segcore", "version": 1, "cards": {}, "pages": {}, "chosen": {}, "labs": {}} | parts
    put(page, json.dumps(state), lambda: parts.items() <= (kept(page) or {}).items())


def reopen(page, **parts):
    """Open the page anew, until it has read what was kept."""
    if not any(reread(page, lambda: parts.items() <= (kept(page) or {}).items()) for _ in range(5)):
        raise AssertionError(f"the page keeps {kept(page)}, not {parts}")


def until(page, script, arg=None):
    page.wait_for_function(script, arg=arg, timeout=20_000)


def told(page, selector, words):
    """Wait until a line says something."""
    until(
        page,
        "([selector, words]) => document.querySelector(selector)?.textContent.includes(words)",
        [selector, words],
    )


def set_day(page, day):
    page.clock.set_fixed_time(datetime.datetime.combine(day, datetime.time(10)))


# ---- Prompts in a chapter ----------------------------------------------------------------------------------


def test_a_prompt_answers_back(open_path):
    """By keyboard: what is no number is said, a usual mistake is named, with the reason; others are drawn."""
    page = (opened := open_path(CHAPTER)).page
    prompt = page.locator(".prompt").first
    field, verdict = prompt.locator(".prompt-field"), prompt.locator(".prompt-verdict")
    assert not prompt.locator(".prompt-solution").is_visible()
    field.focus()
    page.keyboard.type("half")
    page.keyboard.press("Enter")
    told(page, ".prompt .prompt-verdict", "Type a number, such as 12 or 0.5.")
    assert kept(page) is None, "what cannot be read is no answer"
    right = prompt.locator(".prompt-solution strong").text_content()
    field.fill(str(float(right) + 0.5))
    page.keyboard.press("Enter")
    told(page, ".prompt .prompt-verdict", "You left out the half")
    assert (
        "Not quite." in verdict.text_content() and f"half a cell goes off: {right}." in verdict.text_content()
    )
    field.fill(right)
    page.keyboard.press("Enter")
    told(page, ".prompt .prompt-verdict", "Right.")
    card = kept(page)["cards"]["13.index"]
    assert (card["seen"], card["right"], card["box"]) == (1, 0, 0), "the first answer counts, once"
    ask = prompt.locator(".prompt-ask").text_content()
    tab_to(opened, ".prompt-other", 3)
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.matches('.prompt-field')") and field.input_value() == ""
    assert prompt.locator(".prompt-ask").text_content() != ask and verdict.text_content() == ""
    until(page, "() => document.querySelector('.prompt-ask mjx-container')")  # its formulas are drawn anew
    opened.assert_quiet()


# What was typed, whether the prompt asks for 12.5 or for (3, 14, 14), and what it is judged.
TYPED = [
    ("12.5", 1, True), (" 12,5 ", 1, True), ("25/2", 1, True), ("12.5 px", 1, True), ("12.54", 1, True),
    ("12.56", 1, False), ("-12.5", 1, False), ("−12.5", 1, False), ("12.5.0", 1, None), ("", 1, None),
    ("1/0", 1, None), ("0x10", 1, None), ("1e1", 1, None), ("12, 13", 1, None), ("12; 13", 1, None),
    ("3, 14, 14", 3, True), ("(3,14,14)", 3, True), ("3 14 14", 3, True), ("3×14×14", 3, True),
    ("3 x 14 x 14", 3, True), ("[3, 14, 14]", 3, True), ("14, 14, 3", 3, False), ("3, 14", 3, None),
    ("a", 3, None),
]  # fmt: skip


def test_what_is_typed_is_read_as_it_is_meant(open_path):
    page = (opened := open_path(CHAPTER)).page
    judge = "([text, wanted]) => courseReview.judge({unit: 'px', close: 0.05}, [[], wanted, {}], text)"
    for text, count, verdict in TYPED:
        found = page.evaluate(judge, [text, [12.5] if count == 1 else [3, 14, 14]])
        assert found.get("right") is verdict if verdict is not None else "fault" in found, (text, found)
    thousands = page.evaluate(judge, ["1,024", [1024]])
    assert thousands["right"] is True
    opened.assert_quiet()


def test_every_drawn_answer_is_taken_and_every_known_mistake_named(open_path):
    """What the library computed is right, typed as the page writes it; each wrong number has its sentence."""
    page = (opened := open_path(REVIEW)).page
    found = page.evaluate(
        """() => {
          const [bad, counts] = [[], [0, 0]];
          for (const [name, html] of Object.entries(window.courseItems)) {
            const box = document.createElement("div");
            box.innerHTML = html;
            const script = box.querySelector(".prompt > script");
            if (!script) continue;
            const data = JSON.parse(script.textContent);
            counts[0] += 1;
            for (const draw of data.draws) {
              counts[1] += 1;
              if (courseReview.judge(data, draw, draw[0][0]).right !== true) bad.push([name, draw[0][0]]);
              for (const [index, came] of Object.entries(draw[2])) {
                const said = courseReview.judge(data, draw, came.join(", "));
                const length = came.length === draw[1].length;
                if (length && (said.right || said.wrong === null)) bad.push([name, index, came]);
              }
            }
          }
          return [bad, counts];
        }"""
    )
    assert found[0] == []
    assert found[1][0] >= 4 and found[1][1] >= 6 * found[1][0]
    opened.assert_quiet()


def test_without_scripts_a_prompt_shows_its_answer(open_path):
    page = open_path(CHAPTER, scripts=False).page
    prompt = page.locator(".prompt").first
    assert not prompt.locator(".prompt-form").is_visible()
    assert not page.locator(".read-mark").is_visible()
    prompt.locator("summary").click()
    assert prompt.locator(".prompt-solution strong").is_visible()
    page.goto(REVIEW.as_uri())
    assert page.locator("noscript p").first.is_visible() and not page.locator(".review-card").is_visible()
    assert not page.locator(".review-chapters").is_visible()
    assert not page.locator(".review-forget").is_visible()


def test_a_question_of_the_quiz_counts_once_its_choice_stands(open_path):
    """Arrow keys pass over other choices on their way; what stands when the reader leaves is the answer."""
    page = (opened := open_path(CHAPTER)).page
    question = page.locator(".quiz-question").first
    name = question.get_attribute("data-name")
    radios = question.locator("input")
    radios.first.focus()
    page.keyboard.press("Space")
    right = question.locator(".quiz-choice").evaluate_all(
        "all => all.findIndex(c => c.matches('.quiz-right'))"
    )
    for _ in range((right - 0) % radios.count()):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    until(page, f"name => JSON.parse(localStorage.getItem('{KEY}'))?.cards[name]", name)
    assert kept(page)["cards"][name]["right"] == 1
    second = page.locator(".quiz-question").nth(1)
    second.locator(".quiz-wrong label").first.click()
    name = second.get_attribute("data-name")
    until(page, f"name => JSON.parse(localStorage.getItem('{KEY}')).cards[name]", name)
    assert kept(page)["cards"][name]["box"] == 0
    opened.assert_quiet()


# ---- The schedule ------------------------------------------------------------------------------------------


def plus(day, count):
    return (datetime.date.fromisoformat(day) + datetime.timedelta(days=count)).isoformat()


def answered(card, right, day):
    """The rule of the page, once more: boxes, and what an answer before its day counts."""
    early = card is not None and card["due"] > day
    box = 0 if card is None else card["box"]
    new = 0 if not right else box if early else min(box + 1, len(DAYS) - 1)
    return {
        "box": new,
        "due": card["due"] if right and early else plus(day, DAYS[new]),
        "first": day if card is None else card["first"],
        "last": day,
        "seen": 1 + (card["seen"] if card else 0),
        "right": int(right) + (card["right"] if card else 0),
    }


# Answers all that the page asks, as a reader does, until it asks no more: wrong where a number made from
# name, day and try says so. Gives back what was asked and how it was answered.
SITTING = """async () => {
  const frame = () => new Promise((done) => setTimeout(done));
  const tries = {};
  const log = [];
  const card = document.querySelector(".review-card");
  while (card.querySelector(".review-item")) {
    const item = card.querySelector("[data-name]");
    const name = item.dataset.name;
    tries[name] = (tries[name] ?? 0) + 1;
    let sum = 0;
    for (const letter of name + courseReview.today()) sum = (sum * 31 + letter.charCodeAt(0)) % 1009;
    const right = tries[name] > 1 ? tries[name] > 1 + (sum % 2) : sum % 4 !== 0;
    if (item.matches(".prompt")) {
      const answer = item.querySelector(".prompt-solution strong").textContent.replace(/[^\\d.,-]/g, "");
      item.querySelector(".prompt-field").value = right ? answer : answer.replace(/[\\d.-]+/g, "-98765");
    } else {
      item.querySelector(`.quiz-${right ? "right" : "wrong"} input`).click();
    }
    item.querySelector("button[type=submit]").click();
    await frame();
    log.push([name, right]);
    card.querySelector(".review-next").click();
    await frame();
    if (log.length > 400) throw new Error("no end");
  }
  return log;
}"""


def test_three_weeks(open_path):
    """A reader comes on most days, over a change of the clocks; each answer moves its card by the rule."""
    page = (opened := open_path(REVIEW, fresh=True)).page
    set_day(page, DAY)
    chapters = ["3", "8", "13"]
    keep(page, chosen=dict.fromkeys(chapters, True))
    known = [name for name in ITEMS if str(int(name[:2])) in chapters]
    cards: dict = {}
    asked_on = {}
    for offset in [n for n in range(22) if n not in (5, 6, 13)]:  # three days off
        day = (DAY + datetime.timedelta(days=offset)).isoformat()
        set_day(page, DAY + datetime.timedelta(days=offset))
        reopen(page, cards=cards)
        due = {name for name, card in cards.items() if card["due"] <= day}
        log = page.evaluate(SITTING)
        new = {name for name, _ in log} - due
        assert {name for name, _ in log} >= due, "what is due is asked"
        assert len(new) == min(10, len(known) - len(cards)), "and ten new ones, while there are any"
        first = [name for name in dict.fromkeys(name for name, _ in log)]
        waited = [cards[name]["due"] for name in first if name in due]
        assert waited == sorted(waited) and set(first[: len(due)]) == due, "the longest overdue first"
        for name, right in log:
            cards[name] = answered(cards.get(name), right, day)
        assert all(cards[name]["box"] > 0 for name, _ in log), "what went wrong was asked until it went right"
        assert kept(page)["cards"] == cards
        asked_on[day] = len(log)
    assert set(cards) == set(known), "in three weeks all of three chapters was begun"
    assert max(card["box"] for card in cards.values()) >= 4
    assert sum(asked_on.values()) > 2 * len(known)
    told(page, ".review-card", "That is all for today")
    told(page, ".review-coming", "Coming: tomorrow")
    opened.assert_quiet()


def test_an_answer_before_its_day_counts_only_if_it_is_wrong(open_path):
    page = open_path(REVIEW).page
    moved = "([card, right, day]) => courseReview.answered(card, right, day)"
    for day in ("2026-03-19", "2026-03-20", "2026-04-30"):
        for right in (True, False):
            for box in range(len(DAYS)):
                card = CARD | {"box": box, "due": min("2026-03-20", plus(day, DAYS[box]))}
                assert page.evaluate(moved, [card, right, day]) == answered(card, right, day)
    assert page.evaluate(moved, [None, True, "2026-02-28"])["due"] == "2026-03-01"
    ahead = CARD | {
        "box": 1,
        "due": "2031-01-01",
        "last": "2030-12-31",
    }  # the clock was wrong, and was set right
    assert (
        page.evaluate("([card, day]) => courseReview.dueOn(card, day)", [ahead, "2026-03-20"]) == "2026-03-21"
    )


# ---- The page Review ---------------------------------------------------------------------------------------


def test_a_sitting_by_keyboard(open_path):
    """Choose a chapter, answer questions and prompts, hear what came, go on: by Tab, Space and Enter."""
    page = (opened := open_path(REVIEW)).page
    told(page, ".review-card", "Nothing to ask yet")
    tab_to(opened, "tr[data-chapter='13'] input", 200)
    page.keyboard.press("Space")
    told(page, ".review-card", f"{sum(name.startswith('13.') for name in ITEMS)} questions to go")
    seen = set()
    page.locator(".review-head").focus()
    for _ in range(8):
        item = page.locator(".review-card [data-name]")
        kind = "prompt" if "prompt" in item.get_attribute("class") else "question"
        name = item.get_attribute("data-name")
        if kind == "prompt":
            tab_to(opened, ".prompt-field", 20)  # formulas are stops on the way
            page.keyboard.type(item.locator(".prompt-solution strong").text_content().removesuffix(" px"))
        else:
            assert not any(answer.is_visible() for answer in item.locator(".quiz-answer").all())
            page.keyboard.press("Tab")
            while not page.evaluate("document.activeElement.matches('input[type=radio]')"):
                page.keyboard.press("Tab")
            page.keyboard.press("Enter")
            told(page, ".review-item .prompt-verdict", "Choose one first.")
            page.keyboard.press("Space")
        page.keyboard.press("Enter")
        until(page, "() => document.activeElement.matches('.review-next')")
        described = page.locator(f"#{page.locator('.review-next').get_attribute('aria-describedby')}")
        assert described.text_content().startswith(("Right. ", "Not quite. "))
        assert name in kept(page)["cards"]
        if kind == "question":
            assert item.locator(".quiz-choice:has(:checked) .quiz-answer").is_visible()
        if kind not in seen:
            assert faults(opened) == []
        seen.add(kind)
        page.keyboard.press("Enter")
        until(page, "() => document.activeElement.matches('.review-head')")
    assert seen == {"prompt", "question"}
    assert_accessible(opened)
    for width in (390, 320):
        opened.assert_no_sideways_scroll(width)
    opened.assert_quiet()


def test_more_than_a_day_gives(open_path):
    page = open_path(REVIEW).page
    keep(page, chosen={str(n): True for n in range(1, 19)})
    page.evaluate(SITTING)
    assert len(kept(page)["cards"]) == 10
    page.get_by_role("button", name="Go on with 10 new questions").click()
    told(page, ".review-card", "10 questions to go")


@pytest.fixture
def told_file(tmp_path):
    def write(text):
        path = tmp_path / "file.json"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def load(page, path):
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Load a file").click()
    chooser.value.set_files(path)


def test_a_saved_file_brings_all_to_another_browser(open_path, tmp_path):
    """The schedule survives: the other browser asks what this one would; later answers there stay."""
    page = open_path(REVIEW, fresh=True).page
    set_day(page, DAY)
    older = CARD | {"box": 1, "last": "2026-03-12"}
    keep(page, cards={"13.index": CARD, "13.bins": older}, pages={"13": "2026-03-10"}, chosen={"3": True})
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as a file").click()
    told(page, ".review-said", "Saved.")
    assert download.value.suggested_filename == "segcore-review-2026-03-20.json"
    path = tmp_path / "saved.json"
    download.value.save_as(path)
    before = page.evaluate(
        "courseReview.queue(courseReview.read().kept, Object.keys(courseItems), courseReview.today())"
    )

    other = open_path(REVIEW, fresh=True).page
    set_day(other, DAY)
    later = CARD | {"box": 4, "last": "2026-03-19", "due": "2026-04-04"}
    keep(other, cards={"13.bins": later, "13.between": CARD}, labs={"13.1": "passed"})
    load(other, path)
    told(other, ".review-said", "Loaded: 2 questions and 1 chapter read.")
    state = kept(other)
    assert state["cards"] == {"13.index": CARD, "13.bins": later, "13.between": CARD}
    assert state["pages"] == {"13": "2026-03-10"} and state["labs"] == {"13.1": "passed"}
    other.evaluate("courseReview.forget()")
    load(other, path)
    told(other, ".review-said", "Loaded: 2 questions")
    assert (
        other.evaluate(
            "courseReview.queue(courseReview.read().kept, Object.keys(courseItems), courseReview.today())"
        )
        == before
    )


BROKEN = {
    "": "is none that this page has saved, or it is damaged. Nothing was changed.",
    '{"course": "segcore", "version": 1, "cards": {"13.': "damaged. Nothing was changed.",
    '{"course": "other", "version": 1}': "is none that this page has saved",
    '{"course": "segcore", "version": 2, "cards": {}}': "of a newer edition of the course. Nothing",
    "[1, 2]": "damaged",
    '{"exercises": "all"}': "damaged",
    json.dumps({"course": "segcore", "version": 1, "cards": {"13.bins": CARD, "x": {"due": "a"}}}):
        "Loaded: 1 question and 0 chapters read. Where this browser knew a later answer, it stays. 1 entry",
    json.dumps({"version": 2, "exercises": {"13.1": "passed", "13.2": "tried"}, "rungs": {}}):
        "Loaded: the progress of your labs, 2 exercises.",
}  # fmt: skip


def test_files_that_are_broken_foreign_or_newer_change_nothing(open_path, told_file):
    page = (opened := open_path(REVIEW)).page
    keep(page, cards={"13.index": CARD})
    for text, words in BROKEN.items():
        before = kept(page)
        load(page, told_file(text))
        told(page, ".review-said", words)
        if "othing" in words or "is none" in words or words == "damaged":
            assert kept(page) == before
    assert set(kept(page)["cards"]) == {"13.index", "13.bins"}
    assert kept(page)["labs"] == {"13.1": "passed", "13.2": "tried"}
    told(page, "tr[data-chapter='13'] .review-lab", "1 of")
    opened.assert_quiet()


def test_forgetting_asks_first(open_path):
    page = (opened := open_path(REVIEW)).page
    page.evaluate(
        f"localStorage.setItem('{ASIDE}', '[\"x\"]'); localStorage.setItem('segcore-seen-skips', '[1]')"
    )
    keep(page, cards={"13.index": CARD})
    forget = page.locator(".review-forget")
    forget.click()
    assert page.locator("dialog.review-ask").is_visible()
    page.keyboard.press("Escape")
    page.locator("dialog.review-ask").wait_for(state="hidden")
    assert kept(page)["cards"]
    forget.click()
    page.locator(".review-yes").click()
    told(page, ".review-said", "Forgotten.")
    assert page.evaluate("Object.keys(localStorage).filter(key => key.startsWith('segcore'))") == []
    told(page, ".review-card", "Nothing to ask yet")
    opened.assert_quiet()


# ---- Storage that fails ------------------------------------------------------------------------------------

ANSWER = "() => courseReview.answer('13.bins', true)"


def test_storage_that_is_forbidden(open_path):
    """What is answered lasts as long as the page, it is said, and a file can be saved."""
    page = (opened := open_path(REVIEW, storage=False)).page
    told(page, ".review-notes", "does not let the page keep anything")
    page.locator("tr[data-chapter='13'] input").check()
    log = page.evaluate(SITTING)
    assert len({name for name, _ in log}) == min(10, sum(name.startswith("13.") for name in ITEMS))
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as a file").click()
    assert len(json.loads(download.value.path().read_text())["cards"]) == len({name for name, _ in log})
    opened.assert_quiet()


FILL = """() => {
  let size = 4_000_000;
  let count = 0;
  while (size >= 1) {
    try {
      localStorage.setItem(`other-${count}`, "x".repeat(size));
      count += 1;
    } catch {
      size = Math.floor(size / 2);
    }
  }
}"""


def test_storage_that_is_full(open_path):
    """What it holds is read; what it does not take is said to last as long as the page, and can be saved."""
    page = (opened := open_path(REVIEW, fresh=True)).page
    keep(page, cards={"13.index": CARD})
    page.evaluate(FILL)
    for early in (False, True):  # it is found to be full when it is written to, or before anything is drawn
        if early:
            page.reload()
            told(page, ".review-notes", "has no room left")
        page.evaluate(ANSWER)
        told(page, ".review-notes", "has no room left")
        assert page.evaluate("Object.keys(courseReview.read().kept.cards)") == ["13.index", "13.bins"]
        with page.expect_download() as download:
            page.get_by_role("button", name="Save as a file").click()
        assert set(json.loads(download.value.path().read_text())["cards"]) == {"13.index", "13.bins"}
    page.evaluate(
        "for (const key of Object.keys(localStorage)) if (key.startsWith('other')) delete localStorage[key]"
    )
    page.reload()
    assert set(kept(page)["cards"]) == {"13.index"}, "what was there is still there"
    opened.assert_quiet()


def test_what_an_older_edition_kept_is_taken_over(open_path):
    page = open_path(REVIEW).page
    older = {"course": "segcore", "version": 0, "cards": {"13.index": CARD, "13.q-gone": CARD}}
    put(page, json.dumps(older), page.locator(".review-notes p").is_visible)
    told(page, ".review-notes", "An older edition of the course kept your answers here")
    assert kept(page) == {
        "course": "segcore", "version": 1, "cards": {"13.index": CARD, "13.q-gone": CARD},
        "pages": {}, "chosen": {}, "labs": {},
    }  # fmt: skip
    told(page, ".review-card", "to go")
    assert (
        page.evaluate("() => document.querySelector('.review-card [data-name]').dataset.name") == "13.index"
    )


def test_what_a_newer_edition_keeps_is_left_alone(open_path):
    page = (opened := open_path(REVIEW)).page
    newer = json.dumps({"course": "segcore", "version": 2, "boxes": "other"})
    put(page, newer, page.locator(".review-notes p").is_visible)
    told(page, ".review-notes", "A newer edition of the course")
    page.evaluate(ANSWER)
    assert page.evaluate("Object.keys(courseReview.read().kept.cards)") == ["13.bins"]
    assert page.evaluate(f"localStorage.getItem('{KEY}')") == newer
    page.goto(PLAIN.as_uri())
    page.evaluate(ANSWER)
    assert page.evaluate(f"localStorage.getItem('{KEY}')") == newer
    opened.assert_quiet()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "null",
        '{"course": "segcore", "version": 1, "cards": {"13.index": ' + json.dumps(CARD) + ', "x": 1}}',
    ],
)
def test_what_cannot_be_understood_is_set_aside(open_path, text):
    """With a word: what could be understood is in use, the whole can be saved, until it is thrown away."""
    page = (opened := open_path(PLAIN)).page
    page.evaluate(f"text => localStorage.setItem('{KEY}', text)", text)
    page.evaluate(ANSWER)  # a chapter sets it aside as well, and the page Review tells of it later
    assert json.loads(page.evaluate(f"localStorage.getItem('{ASIDE}')")) == [text]
    assert set(kept(page)["cards"]) == {"13.bins"} | ({"13.index"} if "13.index" in text else set())
    page.goto(REVIEW.as_uri())
    told(page, ".review-notes", "could not be understood")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save it as a file").click()
    assert download.value.path().read_text() == text
    page.get_by_role("button", name="Throw it away").click()
    until(page, "() => !document.querySelector('.review-notes p')")
    assert page.evaluate(f"localStorage.getItem('{ASIDE}')") is None
    opened.assert_quiet()


def test_two_tabs_do_not_undo_each_other(open_path):
    page = open_path(REVIEW, fresh=True).page
    keep(page, pages={"13": "2026-03-10"})
    other = page.context.new_page()
    other.goto(PLAIN.as_uri())
    known: set[str] = set()
    # A browser takes a moment to tell its other tabs what one has written.
    for tab, name in ((page, "13.index"), (other, "13.bins"), (page, "13.between")):
        tab.evaluate(f"courseReview.answer('{name}', true)")
        known.add(name)
        for each in (page, other):
            cards = f"Object.keys((JSON.parse(localStorage.getItem('{KEY}')) || {{}}).cards || {{}})"
            until(each, f"() => {cards}.length === {len(known)}")
    assert set(kept(other)["cards"]) == known
    told(page, "tr[data-chapter='13'] .review-answered", "3 of")
    other.evaluate("courseReview.answer('13.roipool-cells', true)")
    told(page, "tr[data-chapter='13'] .review-answered", "4 of")  # the page hears of it


# ---- What was read, and the marks --------------------------------------------------------------------------

LINKS = """() => [...document.querySelectorAll("nav.bd-links a, .chapter-map a, .bd-article h2")]
  .map((e) => e.getBoundingClientRect())
  .map((box) => [box.x, box.y + scrollY, box.width, box.height].map(Math.round))"""


def test_a_chapter_is_read_at_its_end_or_when_the_reader_says_so(open_path):
    page = (opened := open_path(CHAPTER)).page
    box = page.locator(".read-mark input")
    assert not box.is_checked() and kept(page) is None
    box.scroll_into_view_if_needed()
    until(page, "() => document.querySelector('.read-mark input').checked")
    assert set(kept(page)["pages"]) == {"13"}
    box.uncheck()
    assert kept(page)["pages"] == {}
    page.wait_for_timeout(2500)  # longer than the end must be in sight
    assert not box.is_checked(), "whoever unticks it means it"
    box.check()
    assert set(kept(page)["pages"]) == {"13"}
    opened.assert_quiet()


@pytest.mark.parametrize("phone", [False, True])
def test_marks_stand_in_the_menu_and_on_the_map_and_move_nothing(phone, open_path):
    page = (opened := open_path(HTML / "book/index.html", **(PHONE if phone else {}))).page
    settle(opened)
    assert page.locator(".course-mark").count() == 0, "nothing kept, nothing shown"
    assert not any("review-index" in url for url in opened.loaded), "and nothing loaded for it"
    before = page.evaluate(LINKS)
    items = [name for name in ITEMS if name.startswith("13.")]
    keep(page, pages={"13": "2026-03-10"}, cards=dict.fromkeys(items[:3], CARD), labs={"3.1": "passed"})
    until(page, "() => document.querySelectorAll('.course-mark').length === 4")
    settle(opened)
    assert page.evaluate(LINKS) == before
    mark = page.locator(".chapter-map .course-mark").nth(1)
    words = f"read, 3 of {len(items)} questions answered"
    assert mark.get_attribute("title") == words
    assert page.locator(".chapter-map a", has_text="RoIAlign").text_content() == f"RoIAlign ({words})"
    assert mark.is_visible() and mark.bounding_box()["x"] >= 0
    share = float(mark.evaluate("e => e.style.getPropertyValue('--share')"))
    assert share == pytest.approx((1 + 3 / len(items)) / 3, abs=0.001)
    if not phone:
        assert faults(opened) == []
    page.goto(PLAIN.as_uri())
    until(page, "() => document.querySelectorAll('.course-mark').length === 2")  # no map there
    opened.assert_quiet()


def test_where_the_book_is_served_the_labs_progress_is_shown(browser, tmp_path, monkeypatch):
    progress = tmp_path / "progress.json"
    progress.write_text(json.dumps({"version": 2, "exercises": {"13.1": "passed", "13.2": "tried"}}))
    monkeypatch.setenv("SEGCORE_PROGRESS", str(progress))

    class Host(book.Pages):
        def log_message(self, *args):
            pass

    host = functools.partial(Host, directory=str(HTML))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), host) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/book/review.html")
        told(page, "tr[data-chapter='13'] .review-lab", "1 of")
        until(page, "() => document.querySelectorAll('nav.bd-links .course-mark').length === 1")
        assert kept(page) is None, "it is shown, not kept"
        context.close()
        server.shutdown()


def test_every_prompt_of_the_library_stands_in_the_book():
    assert {prompt.name for prompt in prompts("roi_align")} <= set(ITEMS)
    assert all(name.startswith(tuple(f"{n:02d}." for n in range(1, 19))) for name in ITEMS)
