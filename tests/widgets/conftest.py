"""The browser test kit: widgets and pages in Chromium, from ``file://``, with the network off.

Fixtures (here):

- ``open_widget(widget, *more, width=1280, height=900, theme="light", touch=False, scripts=True,
  storage=True, fragment="", scale=1, reduced_motion="reduce", wait=True, fresh=False)``: the static form of
  one widget, or of several, in a page of its own, alive. ``fragment="#slug:trait=value"`` opens it at that
  address; `PHONE` holds the options of a phone. A page serves one test after the other: one that does to it
  what no other address undoes (an init script, an emulated device) asks for ``fresh=True``.
- ``open_path(path, ...)``: any HTML file, with the same options.
- ``shared_widget(WidgetClass)``: one page for the tests that only call the module's arithmetic: it stays open
  from one to the next. A test that leaves the widget's state changed fails.

What they give is an `OpenPage`: ``page`` (Playwright's), ``root``, ``call(function, *args)``, ``get(trait)``,
``set(trait, value)``, ``state(names)``, ``assert_quiet()``, ``assert_removal_leaves_nothing()``,
``assert_no_sideways_scroll(width)``.

Functions (``from .kit import ...``), each of an open page:

- ``settle``: fonts are there, two frames have passed and no worker computes; ``unfold``: all ``<details>``
  open; ``turn(opened, "dark")``: the theme of the open page.
- ``centre(locator)``, ``tab_to(opened, selector)``, ``touch_drag(opened, start, *points)``,
  ``thumb(opened, x, y)``: how far a thumb scrolls the page.
- ``faults``: what axe finds serious; ``assert_accessible``: none in light and dark.
- ``keyboard_walk``: Tab through the widget; controls missed, and stops whose focus cannot be seen.
- ``move_a_control(opened, names)``: the first control that changes the state, by key.
- ``measure_frames(opened, moves)``: processor time of script and page per frame; ``.assert_smooth()``.
- ``first_form_height``, ``alive_after``, ``layout_shift``.
- ``widget_classes()``: all widgets; ``other_value(widget)``: a trait and another value that it takes.

With xdist a file stays with one worker (``--dist loadfile``), so that JupyterLab and Firefox start once.
A test that fails is tried once more (``--reruns 1``), and then alone: the other workers' tests wait.

``SEGCORE_SLOWED=4 pytest tests/widgets`` runs the pages four times as slow and their workers late: what then
fails reads too early, or measures time.

What every widget must pass is in ``test_every_widget.py``: a widget's own test does not repeat it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

try:
    import fcntl
except ImportError:  # Windows: nobody waits there
    fcntl = None

from .kit import PAGE, WATCH, OpenPage, settle

torch.set_num_threads(1)  # a browser works beside each worker

CHROMIUM = os.environ.get("CHROMIUM") or next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome", "chrome")
        if (path := shutil.which(name))
    ),
    None,
)
# One process for a context's pages: another might read the storage before the first's last word is there.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--process-per-site"]
SLOWED = float(os.environ.get("SEGCORE_SLOWED", "1"))  # times: shows tests that read what is not there yet
LATE_WORKERS = """Object.defineProperty(Worker.prototype, "onmessage", { set(hear) {
  this.addEventListener("message", (event) => setTimeout(() => hear.call(this, event), 400));
} });"""
PATIENCE = 120_000  # milliseconds to wait for what must come: a busy machine must not make a test fail
ELSEWHERE = re.compile("^(?!file:|data:|blob:|about:)")

# As in a browser that keeps nothing of a site: merely naming the storage is an error.
NO_STORAGE = """for (const name of ["localStorage", "sessionStorage", "indexedDB"])
  Object.defineProperty(window, name, { get() { throw new DOMException("denied", "SecurityError"); } });"""


HERE = Path(__file__).parent
SLOW = {"test_live", "test_firefox", "test_pages"}  # few tests, but whole programs and pages
ROOM = pytest.StashKey[int]()
FAILED = pytest.StashKey[bool]()


def enter(alone: bool) -> int:
    """Wait for a place among the tests that run, or until none runs; closing what is returned gives it back.

    Whoever waits for the room keeps the turn, so that no other test overtakes.
    """
    turn, room = (os.open(path, os.O_RDONLY) for path in (__file__, HERE))
    fcntl.flock(turn, fcntl.LOCK_EX)
    fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
    os.close(turn)
    return room


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, so that no worker is left alone with one at the end."""
    count = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path.stem not in SLOW, -count[item.path], item.path))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if fcntl and "PYTEST_XDIST_WORKER" in os.environ:
        item.stash[ROOM] = enter(alone=getattr(item, "execution_count", 1) > 1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    try:
        yield
    finally:
        if ROOM in item.stash:
            os.close(item.stash[ROOM])
            del item.stash[ROOM]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs a browser: install Debian's chromium, or set CHROMIUM to the path of one.")
        pytest.skip(
            "no Chromium on this machine: install one, or set CHROMIUM to its path, to run the browser tests"
        )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


def slow(page: Any, times: float) -> None:
    """Chromium slows a page by keeping its thread busy: one that waits for its next test must not be slow."""
    if SLOWED > 1:
        page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": times})


@dataclass
class Tab:
    """A page of Chromium, what can only be said when it is made, and the test that it serves."""

    page: Any
    kind: tuple[Any, ...]
    opened: OpenPage


class Tabs:
    """Pages that serve one test after the other: a page in a context of its own costs a second to make.

    Each test has its pages to itself, each page its context, and none is handed on with anything left in it.
    """

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self.free: dict[tuple[Any, ...], list[Tab]] = defaultdict(list)

    def open(
        self,
        path: Path,
        *,
        width: int = 1280,
        height: int = 900,
        theme: str = "light",
        touch: bool = False,
        scripts: bool = True,
        storage: bool = True,
        fragment: str = "",
        scale: float = 1,
        reduced_motion: str = "reduce",
        fresh: bool = False,
    ) -> Tab:
        kind = (theme, touch, scripts, storage, scale)
        tab = self.free[kind].pop() if self.free[kind] and not fresh else self._make(*kind)
        tab.opened = OpenPage(tab.page)
        slow(tab.page, SLOWED)
        tab.page.set_viewport_size({"width": width, "height": height})
        tab.page.emulate_media(media="null", color_scheme=theme, reduced_motion=reduced_motion)
        tab.page.goto(path.resolve().as_uri() + fragment)
        return tab

    def _make(self, theme: str, touch: bool, scripts: bool, storage: bool, scale: float) -> Tab:
        context = self.browser.new_context(
            has_touch=touch, is_mobile=touch, java_script_enabled=scripts, device_scale_factor=scale
        )
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        tab = Tab(page, (theme, touch, scripts, storage, scale), OpenPage(page))

        def refuse(request_route: Any) -> None:
            tab.opened.requests.append(request_route.request.url)
            request_route.abort()

        def complain(message: Any) -> None:
            if message.type in ("error", "warning"):
                tab.opened.errors.append(message.text)

        context.route(ELSEWHERE, refuse)
        page.on("request", lambda request: tab.opened.loaded.append(request.url))
        page.on("console", complain)
        page.on("pageerror", lambda error: tab.opened.errors.append(str(error)))
        page.add_init_script(WATCH)
        keep = f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}')"
        page.add_init_script(keep if storage else NO_STORAGE)
        if SLOWED > 1:
            page.add_init_script(LATE_WORKERS)
        return tab

    def close(self, tab: Tab, keep: bool) -> None:
        """Clean a page for the next test; where that cannot be, or is not wanted, throw it away."""
        try:
            if keep:
                if tab.kind[3]:
                    tab.page.evaluate("localStorage.clear(); sessionStorage.clear()")
                tab.page.goto("about:blank", timeout=20_000)
                slow(tab.page, 1)
                tab.page.mouse.up()
                tab.page.mouse.move(-1, -1)
                self.free[tab.kind].append(tab)
                return
        except Exception as error:
            print(f"a page is thrown away: {error}")
        tab.page.context.close()


def write_page(path: Path, *widgets: Any, theme: str = "light") -> Path:
    body = "".join(widget.to_html() for widget in widgets)
    path.write_text(PAGE.format(theme=theme, body=body), encoding="utf-8")
    return path


def wait_until_alive(opened: OpenPage, count: int, timeout: float = PATIENCE) -> None:
    opened.page.wait_for_function(
        "(count) => document.querySelectorAll('.segcore-widget[data-ready=true]').length === count",
        arg=count,
        timeout=timeout,
    )


@pytest.fixture(scope="session")
def tabs(browser: Any) -> Tabs:
    return Tabs(browser)


@pytest.fixture
def open_path(tabs: Tabs, request: pytest.FixtureRequest) -> Iterator[Callable[..., OpenPage]]:
    """Open an HTML file from ``file://``; everything that is not local is refused and noted."""
    used: list[tuple[Tab, bool]] = []

    def _open(path: Path, *, fresh: bool = False, **options: Any) -> OpenPage:
        tab = tabs.open(path, fresh=fresh, **options)
        used.append((tab, not fresh))
        return tab.opened

    yield _open
    for tab, keep in used:
        tabs.close(tab, keep and not request.node.stash.get(FAILED, False))


@pytest.fixture
def open_widget(open_path: Callable[..., OpenPage], tmp_path: Path) -> Callable[..., OpenPage]:
    """Write widgets' static forms into a page of their own, open it and wait until they are alive."""
    count = 0

    def _open(*widgets: Any, theme: str = "light", wait: bool = True, **options: Any) -> OpenPage:
        nonlocal count
        count += 1
        path = write_page(tmp_path / f"widget-{count}.html", *widgets, theme=theme)
        opened = open_path(path, theme=theme, **options)
        if wait:
            wait_until_alive(opened, len(widgets))
        return opened

    return _open


@pytest.fixture(scope="session")
def _shared(tabs: Tabs, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    folder, pages = tmp_path_factory.mktemp("shared"), {}

    def _open(widget_class: Any, busy: set[Any]) -> tuple[OpenPage, dict[str, Any]]:
        if widget_class in pages:
            pages[widget_class] = pages.pop(widget_class)  # the latest comes last
        else:
            for other in [each for each in pages if each not in busy][: max(0, len(pages) - 2)]:
                tabs.close(pages.pop(other)[0], keep=True)  # to be opened again costs less than one more page
            widget = widget_class()
            tab = tabs.open(write_page(folder / f"{widget_class.__name__}.html", widget))
            wait_until_alive(tab.opened, 1)
            pages[widget_class] = tab, tab.opened.state(widget.public_state())
        tab, state = pages[widget_class]
        return tab.opened, state

    return _open


@pytest.fixture
def shared_widget(_shared: Callable[..., Any]) -> Iterator[Callable[..., OpenPage]]:
    """One page per widget for tests that only call its module: they must leave it as it was."""
    used: dict[Any, tuple[OpenPage, dict[str, Any]]] = {}

    def _open(widget_class: Any) -> OpenPage:
        used[widget_class] = _shared(widget_class, set(used))
        return used[widget_class][0]

    yield _open
    for opened, state in used.values():
        settle(opened)
        assert opened.state(state) == state, "a test that changes the state needs `open_widget`"
        opened.assert_quiet()
