"""What every widget must pass, whatever it shows; those of rooms to come are found by themselves.

A widget's tests run one after the other. Those that leave it as it was look at one page, which `visit` gives
them: to open one costs more than most of what is looked at. Others have a page of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from .conftest import FAILED, Tab, Tabs, wait_until_alive, write_page
from .kit import (
    COLUMN,
    PHONE,
    OpenPage,
    alive_after,
    assert_accessible,
    first_form_height,
    keyboard_walk,
    layout_shift,
    move_a_control,
    other_value,
    refused_value,
    settle,
    thumb,
    turn,
    unfold,
    widget_classes,
)

CLASSES = {each._slug: each for each in widget_classes()}
ALL = tuple(CLASSES)


@pytest.fixture(params=ALL, scope="module")
def widget_class(request: Any) -> Any:
    return CLASSES[request.param]


class Visits:
    """A widget's pages, one for each set of options, that its tests look at in turn."""

    def __init__(self, tabs: Tabs, path: Path) -> None:
        self.tabs, self.path = tabs, path
        self.pages: dict[str, Tab] = {}
        self.unfolded: set[str] = set()

    def open(self, unfolded: bool, options: dict[str, Any]) -> tuple[str, OpenPage]:
        key = json.dumps(options)
        if key in self.unfolded and not unfolded:
            self.close(key)
        if key not in self.pages:
            self.pages[key] = self.tabs.open(self.path, **options)
            if options.get("scripts", True):
                wait_until_alive(self.pages[key].opened, 1)
        if unfolded and key not in self.unfolded:
            unfold(self.pages[key].opened)
            self.unfolded.add(key)
        return key, self.pages[key].opened

    def close(self, key: str, keep: bool = True) -> None:
        self.unfolded.discard(key)
        self.tabs.close(self.pages.pop(key), keep)


@pytest.fixture(scope="module")
def visits(tabs: Tabs, widget_class: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visits]:
    found = Visits(tabs, write_page(tmp_path_factory.mktemp("visit") / "widget.html", widget_class()))
    yield found
    for key in list(found.pages):
        found.close(key)


@pytest.fixture
def visit(
    visits: Visits, widget_class: Any, request: pytest.FixtureRequest
) -> Iterator[Callable[..., OpenPage]]:
    """``visit(unfolded=False, changes=False, **options)``: the widget's page, as the test before left it.

    It must be left in the state, at the size and as light as it was found. After a test that fails or that
    ``changes`` the state, and for a folded page where it was unfolded, it is opened anew.
    """
    used: dict[str, OpenPage] = {}
    changed: set[str] = set()

    def _visit(*, unfolded: bool = False, changes: bool = False, **options: Any) -> OpenPage:
        key, opened = visits.open(unfolded, options)
        used[key] = opened
        if changes:
            changed.add(key)
        return opened

    yield _visit
    failed, state = request.node.stash.get(FAILED, False), widget_class().public_state()
    for key, opened in used.items():
        free = failed or key in changed or not json.loads(key).get("scripts", True)
        same = free or opened.state(state) == state
        if failed or not same or key in changed:
            visits.close(key, keep=not failed and same)
        assert same, "a test that changes the state has to say so"


def test_all_rooms_are_found() -> None:
    assert len(CLASSES) >= 8


def test_alive_quiet_and_nothing_shifts(visit: Any) -> None:
    opened = visit()
    shift = layout_shift(opened)
    print({"alive after, ms": round(alive_after(opened)), "layout shift": round(shift, 3)})
    assert shift <= 0.05
    assert opened.root.get_attribute("role") == "group" and opened.root.get_attribute("aria-label")
    opened.assert_quiet()


def test_removal_leaves_nothing(visit: Any) -> None:
    visit().assert_removal_leaves_nothing()


def assert_first_form(opened: Any, most: float) -> None:
    """What a reader sees first is at the top, small enough to be seen at once, and has a control in it."""
    settle(opened)
    height = first_form_height(opened)
    print({"first form, px": round(height)})
    assert height <= most
    first = opened.root.locator(".segcore-first")
    assert first.bounding_box()["y"] - opened.root.bounding_box()["y"] < 120
    assert first.locator("button, input, select, [tabindex]").count() > 0
    opened.assert_quiet()


def test_first_form_fits_a_window(visit: Any) -> None:
    """In the column between both sidebars of a window of 1280, and in the widest one."""
    opened = visit()
    for width in (720, COLUMN):
        opened.page.set_viewport_size({"width": width, "height": 900})
        assert_first_form(opened, 700)
    opened.page.set_viewport_size({"width": 1280, "height": 900})


def test_hidden_at_first(open_path: Any, visit: Any, tmp_path: Any, widget_class: Any) -> None:
    """In a closed tab it comes alive, and it is drawn as it always is once the tab opens."""
    path = write_page(tmp_path / "hidden.html", widget_class())
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("<main>", '<main style="display: none">'), encoding="utf-8")
    opened = open_path(path)
    wait_until_alive(opened, 1)
    opened.page.evaluate("document.querySelector('main').style.display = ''")
    settle(opened)
    settle(opened)
    shown = visit()
    assert opened.root.bounding_box()["height"] == pytest.approx(shown.root.bounding_box()["height"], abs=2)
    sizes = """(root) => [...root.querySelectorAll("canvas")].filter((el) => el.checkVisibility())
        .map((el) => [el.width, el.height])"""
    assert opened.root.evaluate(sizes) == shown.root.evaluate(sizes)
    opened.assert_quiet()


def test_accessible_unfolded(visit: Any) -> None:
    opened = visit(unfolded=True)
    assert_accessible(opened)
    turn(opened, "light")
    opened.assert_quiet()


def test_every_control_by_keyboard(visit: Any) -> None:
    """Tab comes to every control, shows where it is, and leaves the widget again."""
    opened = visit(unfolded=True, changes=True)  # what has the focus may be shown
    walk = keyboard_walk(opened)
    assert walk["stops"] > 0
    assert walk["missed"] == [], "not reached by Tab or as part of a group that is"
    assert walk["dim"] == [], "nothing shows that they have the focus"
    opened.assert_quiet()


CANVASES = """(root) => [...root.querySelectorAll("canvas")].filter((el) => el.width && el.checkVisibility())
    .map((el) => [el.toDataURL(), el.width / el.getBoundingClientRect().width])"""


def test_canvases_follow_the_theme(visit: Any) -> None:
    opened = visit(unfolded=True)
    light = [pixels for pixels, _ in opened.root.evaluate(CANVASES)]
    turn(opened, "dark")
    dark = [pixels for pixels, _ in opened.root.evaluate(CANVASES)]
    assert not light or light != dark, "no canvas is drawn anew"
    turn(opened, "light")
    opened.assert_quiet()


def test_canvases_follow_the_screen(visit: Any) -> None:
    """As sharp as the screen, also when the page moves to one of other density."""
    opened = visit(unfolded=True)
    plain = [scale for _, scale in opened.root.evaluate(CANVASES)]
    session = opened.page.context.new_cdp_session(opened.page)
    # Chromium tells the page of an emulated density only together with another size of the window.
    screen = {"width": 1280, "height": 901, "deviceScaleFactor": 2, "mobile": False}
    session.send("Emulation.setDeviceMetricsOverride", screen)
    settle(opened)
    assert opened.page.evaluate("devicePixelRatio") == 2
    settle(opened)
    dense = [scale for _, scale in opened.root.evaluate(CANVASES)]
    for before, after in zip(plain, dense, strict=True):
        if before == pytest.approx(1, abs=0.05):  # others have pixels of their own that CSS enlarges
            assert after == pytest.approx(2, rel=0.05), "pixels of the canvas per CSS pixel"
    session.detach()
    for height in (899, 900):  # another size of the window ends what was emulated
        opened.page.set_viewport_size({"width": 1280, "height": height})
    settle(opened)
    assert opened.page.evaluate("devicePixelRatio") == 1
    opened.assert_quiet()


# What reaches beyond the widget's right edge: a column of the book would cut it, or scroll sideways.
STICKS_OUT = """(root) => {
  const edge = root.getBoundingClientRect().right + 1;
  return [...root.querySelector(".segcore-first").querySelectorAll("*")]
    .filter((el) => el.checkVisibility({ visibilityProperty: true }) && !el.closest(".segcore-hidden"))
    .filter((el) => el.getBoundingClientRect().width > 0 && el.getBoundingClientRect().right > edge)
    .map((el) => el.outerHTML.slice(0, 100));
}"""


def test_first_form_fits_a_phone(visit: Any) -> None:
    """Down to the narrowest; and nothing shifts there either while it comes alive."""
    opened = visit(**PHONE)
    assert layout_shift(opened) <= 0.05
    for width in (390, 360, 320):
        opened.page.set_viewport_size({"width": width, "height": 844})
        assert_first_form(opened, 900)
        assert opened.root.evaluate(STICKS_OUT) == [], f"sticks out at {width} px"
    opened.page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})


# Heights of the widget at which a thumb finds no way on: everywhere across, something takes its touches.
WALLS = """(root) => {
  const top = root.getBoundingClientRect().top + scrollY;
  const pans = (x, y) => {
    for (let el = document.elementFromPoint(x, y); el; el = el.parentElement)
      if (!/auto|manipulation|pan-y/.test(getComputedStyle(el).touchAction)) return false;
    return true;
  };
  const [free, walls] = [[], []];
  for (let y = 8; y < root.offsetHeight; y += 16) {
    scrollTo(0, top + y - 400);
    const x = [340, 195, 110, 280, 30].find((x) => pans(x, top + y - scrollY));
    if (x) free.push([x, y]);
    else if (walls.at(-1)?.[1] === y - 16) walls.at(-1)[1] = y;
    else walls.push([y, y]);
  }
  return { free, walls: walls.filter(([from, to]) => to - from > 160), top };
}"""


def test_a_thumb_scrolls_past(visit: Any) -> None:
    """On a phone nothing higher than 160 px takes all touches across; elsewhere a real thumb scrolls on."""
    opened = visit(**PHONE, changes=True)  # a thumb that begins on a slider moves it, too
    opened.page.evaluate("document.body.style.paddingBottom = '1600px'")
    found = opened.root.evaluate(WALLS)
    assert found["walls"] == [], "from and to, in pixels below the widget's top"
    free = found["free"]
    for x, y in (free[len(free) * n // 8] for n in (1, 4, 7)):
        opened.page.evaluate("(y) => scrollTo(0, y)", found["top"] + y - 480)
        settle(opened)
        at = found["top"] + y - opened.page.evaluate("scrollY")
        assert thumb(opened, x, at) > 50, f"a thumb at {x}, {y} px below the widget's top does not scroll"
    opened.assert_quiet()


def test_narrow_without_sideways_scroll(visit: Any) -> None:
    opened = visit(**PHONE)
    for width in (390, 320):
        opened.assert_no_sideways_scroll(width)
    opened.page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    opened = visit(unfolded=True, **PHONE)
    for width in (320, 390):
        opened.assert_no_sideways_scroll(width)
    opened.assert_quiet()


def test_scripts_off(visit: Any, widget_class: Any) -> None:
    opened = visit(scripts=False)
    fallback = opened.page.locator(".segcore-fallback")
    assert fallback.is_visible() and widget_class._title in fallback.inner_text()
    assert "{" not in opened.page.locator("main").inner_text(), "code stands in the page"


def test_scripts_off_shows_a_still_picture(visit: Any) -> None:
    """As in print, and before the widget is alive."""
    opened = visit(scripts=False)
    still = opened.page.locator(".segcore-still :is(img, svg)")
    assert still.count() >= 1
    assert still.first.bounding_box()["width"] > 200


def picture(opened: Any) -> Any:
    """All that is drawn: markup, what fields hold, and the pixels of canvases."""
    return opened.root.evaluate(
        """(root) => [root.querySelector(".segcore-root").innerHTML,
          ...[...root.querySelectorAll("input, select")].map((el) => [el.value, el.checked]),
          ...[...root.querySelectorAll("canvas")].map((el) => el.width && el.toDataURL())]"""
    )


def test_controls_set_the_state_and_the_state_the_picture(open_widget: Any, widget_class: Any) -> None:
    """A control changes the state; a value set from outside is drawn, and nothing sets it back."""
    widget = widget_class()
    name, value = other_value(widget)
    opened = open_widget(widget)
    assert move_a_control(opened, widget.public_state())
    before, now = picture(opened), opened.get(name)
    value = value if now != value else widget.public_state()[name]
    opened.set(name, value)
    settle(opened)
    assert picture(opened) != before, f"{name} = {value!r} changes nothing to be seen"
    assert opened.get(name) == value
    opened.assert_quiet()


def test_a_fold_opens_in_the_frame_that_draws_a_change(open_widget: Any, widget_class: Any) -> None:
    """On a slow machine a frame comes between the opening of a fold and the browser's word of it."""
    widget = widget_class()
    name, value = other_value(widget)
    opened = open_widget(widget)
    settle(opened)
    opened.root.evaluate(
        """(root, [name, value]) => {
          const folds = root.querySelectorAll("details");
          requestAnimationFrame(() => folds.forEach((each) => { each.open = true; }));
          root.segcore.model.set(name, value); // the widget draws in the same frame, right after
          return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        }""",
        [name, value],
    )
    opened.assert_quiet()


def test_storage_forbidden(open_widget: Any, widget_class: Any) -> None:
    widget = widget_class()
    opened = open_widget(widget, storage=False)
    assert move_a_control(opened, widget.public_state())
    opened.assert_quiet()


def test_twice_on_a_page(open_widget: Any, widget_class: Any) -> None:
    """The same widget in the same state: both are alive, each has its own state, ids and groups."""
    widget = widget_class()
    opened = open_widget(widget, widget_class(), wait=False)
    opened.page.wait_for_selector(".segcore-widget[data-ready=true]")
    wait_until_alive(opened, 2)
    ids = opened.page.evaluate("Array.from(document.querySelectorAll('[id]'), (node) => node.id)")
    assert len(ids) == len(set(ids))
    first, second = opened.page.evaluate(
        """Array.from(document.querySelectorAll('[data-widget]'), (root) =>
            Array.from(root.querySelectorAll('input[type=radio]'), (input) => input.name))"""
    )
    assert not set(first) & set(second)
    name, value = other_value(widget)
    opened.set(name, value)
    settle(opened)
    values = opened.page.evaluate(
        "(name) => Array.from(document.querySelectorAll('[data-widget]'), (r) => r.segcore.model.get(name))",
        name,
    )
    assert values == [value, widget.public_state()[name]]
    opened.assert_quiet()


def address(widget: Any, **values: Any) -> str:
    """`#slug:trait=value;trait=value`, values as JSON but for plain words."""
    texts = {
        name: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for name, value in values.items()
    }
    return f"#{widget._slug}:" + ";".join(f"{name}={quote(text)}" for name, text in texts.items())


def test_the_address_sets_the_state(open_widget: Any, widget_class: Any) -> None:
    widget = widget_class()
    name, value = other_value(widget)
    opened = open_widget(widget, fragment=address(widget, **{name: value}))
    assert opened.state(widget.public_state()) == widget.public_state() | {name: value}
    opened.assert_quiet()


def test_a_wrong_address_is_ignored_and_said(open_widget: Any, widget_class: Any) -> None:
    """A name that does not exist, a value out of range: the rest counts, and the page says so."""
    widget = widget_class()
    name, value = other_value(widget)
    opened = open_widget(widget, fragment=address(widget, nonsense=7, **{name: value}))
    assert opened.state(widget.public_state()) == widget.public_state() | {name: value}
    assert "nonsense" in opened.page.locator("main").inner_text()
    name, value = refused_value(widget)
    opened = open_widget(widget, fragment=address(widget, **{name: value}))
    assert opened.state(widget.public_state()) == widget.public_state()
    assert name in opened.page.locator("main").inner_text()
    opened.assert_quiet()
