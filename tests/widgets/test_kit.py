"""The widgets' kit, tried on a small widget of its own: state, address, things to try, player, keys."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import traitlets

from segcore.widgets import base
from segcore.widgets.base import STATIC, CourseWidget

from .kit import disc

MODULE = (Path(__file__).parent / "probe.js").read_text(encoding="utf-8")


@pytest.fixture
def probe(tmp_path, monkeypatch):
    (tmp_path / "kit").symlink_to(STATIC / "kit")
    (tmp_path / "probe.js").write_text(MODULE)
    (tmp_path / "probe.css").write_text("")
    monkeypatch.setattr(base, "STATIC", tmp_path)

    class Probe(CourseWidget):
        _slug = "probe"
        _title = "A probe"
        count = traitlets.Int(1).tag(sync=True)
        word = traitlets.Unicode("a word").tag(sync=True)
        at = traitlets.List(default_value=[5.0, 6.0]).tag(sync=True)
        share = traitlets.Float(0.5).tag(sync=True)
        on = traitlets.Bool(False).tag(sync=True)
        secret = traitlets.Unicode("kept").tag(sync=True)

    return Probe


def text_of(opened):
    return opened.page.locator(".text").first.inner_text()


def go_to(opened, address):
    opened.page.evaluate("hash => { location.hash = hash }", address)
    opened.page.wait_for_timeout(80)


def test_state_is_shared_both_ways(probe, open_widget):
    opened = open_widget(probe())
    opened.set("count", 4)
    opened.page.wait_for_function("document.querySelector('.text').textContent.includes('a word 4')")
    opened.page.locator("input[type=range]").first.press("ArrowRight")
    assert opened.get("count") == 5
    opened.assert_quiet()
    opened.assert_removal_leaves_nothing()


def test_the_address_sets_the_state(probe, open_widget):
    opened = open_widget(probe())
    go_to(opened, "probe:count=8;word=another;at=1.5,-2;on=true")
    assert [opened.get(name) for name in ("count", "word", "at", "on")] == [8, "another", [1.5, -2], True]
    assert text_of(opened) == "another 8 at 1.5,-2"
    go_to(opened, "probe:count=2")
    assert [opened.get(name) for name in ("count", "word", "at")] == [2, "a word", [5, 6]], (
        "the rest as at the start"
    )
    opened.assert_quiet()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("probe:count=12", "count must be a whole number from 0 to 9"),
        ("probe:count=many", "count cannot be \u201cmany\u201d"),
        ("probe:size=3", "this figure has no \u201csize\u201d"),
        ("probe:toString=3", "this figure has no \u201ctoString\u201d"),
        ("probe:word=third", "word must be one of a word, another"),
        ("probe:at=1", "at must be a list of 2"),
        ("probe:at=1,x", "at cannot be"),
        ("probe:secret=told", "secret must be not part of an address"),
        ("probe:count=7;word=another", "count cannot be 7 with another"),
        ("probe:count", "this figure has no \u201ccount\u201d"),
    ],
)
def test_what_an_address_cannot_have_is_said(probe, open_widget, address, said):
    opened = open_widget(probe())
    before = {name: opened.get(name) for name in ("count", "word", "at", "secret")}
    go_to(opened, address)
    assert said in opened.page.locator(".segcore-notice").inner_text()
    assert {name: opened.get(name) for name in before} == before
    go_to(opened, "probe:count=3")
    assert opened.page.locator(".segcore-notice").inner_text() == ""
    opened.assert_quiet()


@pytest.mark.parametrize("address", ["other:count=3", "a-section", "%E0%A4%A", "probed:count=3"])
def test_other_addresses_are_none_of_its_business(probe, open_widget, address):
    opened = open_widget(probe())
    go_to(opened, address)
    assert opened.get("count") == 1
    assert opened.page.locator(".segcore-notice").inner_text() == ""


def test_the_state_is_written_to_the_address(probe, open_widget):
    opened = open_widget(probe())
    opened.page.get_by_role("button", name="Three").click()
    opened.page.wait_for_function("location.hash === '#probe:count=3'")
    opened.page.reload()
    opened.page.wait_for_selector("[data-ready=true]")
    assert opened.get("count") == 3, "a link gives the figure again"
    opened.set("count", 1)
    opened.page.wait_for_timeout(600)
    assert opened.get("count") == 1
    opened.assert_quiet()


def test_addresses_survive_the_round_trip(probe, open_widget):
    opened = open_widget(probe())
    start = {"count": 1, "word": "a", "at": [1, 2], "rows": [[1, 2], [3, 4]], "on": False}
    now = {"count": 2, "word": "b c;d#\u00e9", "at": [0.5, -1], "rows": [[1, 2], [3, 5]], "on": True}
    del now["word"], start["word"]  # words with a semicolon are not for addresses
    text = opened.call("format", "probe", now, start)
    assert opened.call("parse", text, "probe", start) == {"values": now, "problems": []}
    assert opened.call("format", "probe", start, start) == ""


def test_the_same_widget_twice_on_a_page(probe, open_widget):
    opened = open_widget(probe(), probe())
    go_to(opened, "probe.2:count=6")
    counts = "[...document.querySelectorAll('.segcore-widget')].map(w => w.segcore.model.get('count'))"
    assert opened.page.evaluate(counts) == [1, 6]
    opened.assert_quiet()


def test_things_to_try_are_ticked_and_never_stale(probe, open_widget):
    opened = open_widget(probe())
    three, turn = (opened.page.get_by_role("button", name=name) for name in ("Three", "Turn"))
    note = opened.page.locator(".segcore-note")
    assert note.inner_text() == "At rest."
    places = [button.bounding_box() for button in (three, turn)]
    three.click()
    opened.page.wait_for_function("document.querySelector('.segcore-note').textContent === 'Look: three.'")
    assert three.get_attribute("aria-pressed") == "true" and "seen" in three.get_attribute("class")
    assert [button.bounding_box() for button in (three, turn)] == places, "a tick moves no button"
    turn.click()
    assert opened.get("count") == 4
    turn.click()
    assert opened.get("count") == 5
    opened.page.wait_for_function("document.querySelector('.segcore-note').textContent === 'It is 5.'")
    opened.set("count", 9)
    opened.page.wait_for_function("document.querySelector('.segcore-note').textContent === 'At rest.'")
    assert turn.get_attribute("aria-pressed") == "false" and "seen" in turn.get_attribute("class")
    there = opened.page.get_by_role("button", name="There")
    for count in (6, 8, 6):
        there.click()
        assert opened.get("count") == count, "one press there, one press back"


def test_without_storage_it_works_all_the_same(probe, browser, tmp_path):
    page = browser.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new Error('no') } })")
    path = tmp_path / "sealed.html"
    path.write_text(f"<!doctype html><meta charset=utf-8><body>{probe().to_html()}", encoding="utf-8")
    page.goto(path.as_uri())
    page.wait_for_selector("[data-ready=true]")
    page.get_by_role("button", name="Three").click()
    page.wait_for_function("document.querySelector('.segcore-note').textContent === 'Look: three.'")
    assert errors == []
    page.close()


def test_dragging_and_arrow_keys(probe, open_widget):
    opened = open_widget(probe())
    box = opened.page.locator(".box")
    frame = box.bounding_box()
    opened.page.mouse.move(frame["x"] + 10, frame["y"] + 10)
    opened.page.mouse.down()
    opened.page.mouse.move(frame["x"] + 30, frame["y"] + 15)
    opened.page.mouse.up()
    opened.page.mouse.move(frame["x"] + 90, frame["y"] + 95)
    assert opened.get("at") == [25, 11]
    box.press("Shift+ArrowLeft")
    box.press("ArrowDown")
    assert opened.get("at") == [20, 12]


def test_a_field_keeps_what_is_being_typed(probe, open_widget):
    opened = open_widget(probe())
    opened.page.locator("summary").click()
    field = opened.page.locator("input[type=number]")
    field.fill("7")
    assert field.get_attribute("aria-invalid") == "true" and opened.get("share") == 0.5
    opened.set("share", 0.25)
    opened.page.wait_for_timeout(60)
    assert field.input_value() == "7", "the reader is still typing"
    field.blur()
    assert field.input_value() == "0.25" and field.get_attribute("aria-invalid") == "false"


def test_the_player_steps_plays_and_stops(probe, open_widget):
    opened = open_widget(probe(), reduced_motion="no-preference")
    opened.page.locator("summary").click()
    opened.page.get_by_role("button", name="To the end").click()
    assert opened.get("count") == 9
    opened.page.get_by_role("button", name="One step back").click()
    assert opened.get("count") == 8
    opened.page.get_by_role("button", name="To the beginning").click()
    opened.page.get_by_role("button", name="Play", exact=True).click()
    opened.page.wait_for_function("document.querySelector('.segcore-widget').segcore.model.get('count') >= 2")
    opened.page.get_by_role("button", name="Pause").click()
    opened.assert_quiet()


def test_words_for_numbers(probe, open_widget):
    opened = open_widget(probe())
    assert opened.call("words", 0) == [
        "0.0", "+2.0", "2.5", "1,944,100", "1 pixel", "1,200 pixels", "row 1, column 5",
    ]  # fmt: skip


def test_numbers_are_read_as_people_type_them(probe, open_widget):
    opened = open_widget(probe())
    good = {
        "2": 2, "-0.5": -0.5, "\u22123": -3, "1/4": 0.25, "-1 / 2": -0.5, ".5": 0.5, "0,25": 0.25, "+1": 1,
        "\u00bd": 0.5, "\u2212\u00be": -0.75,
    }  # fmt: skip
    assert [opened.call("read", text) for text in good] == list(good.values())
    for text in ("", "-", "a", "1/", "1e5", "--1", "1/2/3", "1\u00bd/2"):
        assert math.isnan(opened.call("read", text)), text
    for value in (0, 1, -7.5, 0.25, -0.5, 0.75, 12.125):
        assert opened.call("read", opened.call("write", value)) == value


def test_arithmetic_of_maps_against_torch(probe, open_widget):
    import torch
    import torch.nn.functional as F

    opened = open_widget(probe())
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    for k, stride, dilation in [(1, 1, 1), (3, 1, 2), (3, 2, 1), (2, 3, 2)]:
        x, w = random(9, 11), random(k, k)
        expected = F.conv2d(x[None, None], w[None, None], stride=stride, dilation=dilation)[0, 0]
        found = torch.tensor(opened.call("filtered", x.tolist(), w.tolist(), stride, dilation))
        torch.testing.assert_close(found.double(), expected)
    x = random(8, 9)
    for size, stride in [(2, 2), (3, 2), (3, 1)]:
        found = torch.tensor(opened.call("pooled", x.tolist(), size, stride))
        torch.testing.assert_close(found.double(), F.max_pool2d(x[None, None], size, stride)[0, 0])
    for by in [(1, 2, 0, 3), (-1, -2, 1, 0), (2, 2, 2, 2)]:
        top, left, bottom, right = by
        found = torch.tensor(opened.call("padded", x.tolist(), *by))
        torch.testing.assert_close(found.double(), F.pad(x, (left, right, top, bottom)))
    x = random(3, 4, 5)
    for size in [(8, 10), (3, 7), (4, 5), (13, 2)]:
        expected = F.interpolate(x[None], size, mode="bilinear", align_corners=False)[0]
        found = opened.call("resized", x.flatten().tolist(), 3, 4, 5, *size)
        torch.testing.assert_close(torch.tensor(found).double(), expected.flatten())
    assert opened.call("best", x.flatten().tolist(), 3, 4, 5) == x.argmax(0).flatten().tolist()


def test_a_stroke_is_a_disc_that_moves_without_gaps(probe, open_widget):
    opened = open_widget(probe())
    shape = {"height": 12, "width": 20}
    for size, count in ((1, 1), (3, 9), (5, 21), (9, 69)):
        assert len(opened.call("brushed", [10, 6], [10, 6], size, {"height": 20, "width": 20})) == count
        for line in (
            [(3, 5)],
            [(3, 5), (4, 5), (5, 5), (6, 5)],
            [(0, 0), (1, 1), (2, 2)],
            [(19, 11), (19, 10)],
        ):
            found = opened.call("brushed", line[0], line[-1], size, shape)
            assert len(found) == len(set(found))
            assert set(found) == disc((12, 20), line, size)
    far = opened.call("brushed", [-3, 5], [25, 9], 1, shape)
    assert {n % 20 for n in far} == set(range(20)), "no column is left out"
    assert opened.call("brushed", [-9, -9], [-9, -9], 5, shape) == []
