"""The browser test kit: a widget's static form in Chromium, from ``file://``, with the network off."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome", "chrome")
        if (path := shutil.which(name))
    ),
    None,
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
LOCAL = ("file:", "data:", "blob:", "about:")

PAGE = """<!doctype html><html lang="en" data-theme="{theme}"><head><meta charset="utf-8">
<title>Widget</title><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<style>body {{ margin: 16px; font-family: sans-serif }}
html[data-theme=dark] body {{ background: #15191e; color: #dfe4ea }}</style>
</head><body><main><h1>Widget</h1>{body}</main></body></html>"""


# Renders a widget once more and takes it away; counts listeners on the model, observers, listeners outside.
REMOVAL = """
async (root) => {
  const { module, model } = root.segcore;
  let [listeners, outer] = [0, 0];
  const spy = {
    get: model.get, set() {}, save_changes() {},
    on() { listeners += 1; }, off() { listeners -= 1; },
  };
  const undo = [];
  const wrap = (owner, name, by) => {
    const original = owner[name];
    owner[name] = function (...args) { by(this); return original.apply(this, args); };
    undo.push(() => { owner[name] = original; });
  };
  const seen = new Set();
  for (const Observer of [MutationObserver, ResizeObserver]) {
    wrap(Observer.prototype, "observe", (o) => seen.add(o));
    wrap(Observer.prototype, "disconnect", (o) => seen.delete(o));
  }
  for (const Target of [window, document, MediaQueryList.prototype]) {
    wrap(Target, "addEventListener", () => { outer += 1; });
    wrap(Target, "removeEventListener", () => { outer -= 1; });
  }
  const el = document.createElement("div");
  document.body.append(el);
  const stop = module.default.render({ model: spy, el });
  await new Promise((done) => setTimeout(done, 200));
  const during = [listeners, seen.size, outer];
  stop();
  const after = [listeners, seen.size, outer];
  undo.forEach((call) => call());
  return { during, after, empty: el.children.length === 0 };
}
"""


@dataclass
class OpenPage:
    """A page in the browser, with what it complained of and what it asked the outside for."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def root(self) -> Any:
        return self.page.locator(".segcore-widget[data-widget]").first

    def call(self, function: str, *args: Any) -> Any:
        """Call a function that the widget's module exports, with JSON arguments."""
        script = "(root, [name, args]) => root.segcore.module[name](...args)"
        return self.root.evaluate(script, [function, list(args)])

    def get(self, trait: str) -> Any:
        return self.root.evaluate("(root, name) => root.segcore.model.get(name)", trait)

    def set(self, trait: str, value: Any) -> None:
        self.root.evaluate("(root, [name, value]) => root.segcore.model.set(name, value)", [trait, value])

    def assert_removal_leaves_nothing(self) -> None:
        """What `render` returns undoes it: no listener on model, page or window remains, and no observer."""
        left = self.root.evaluate(REMOVAL.strip())
        assert all(count > 0 for count in left["during"]), "the counts see nothing"
        assert left["after"] == [0, 0, 0] and left["empty"]

    def assert_quiet(self) -> None:
        assert self.errors == [], "console errors"
        assert self.requests == [], "requests outside the page's own folder"


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


@pytest.fixture
def open_path(browser: Any) -> Iterator[Callable[..., OpenPage]]:
    """Open an HTML file from ``file://``; everything that is not local is refused and noted."""
    contexts = []

    def _open(
        path: Path,
        *,
        width: int = 1280,
        height: int = 900,
        theme: str = "light",
        touch: bool = False,
        reduced_motion: str = "reduce",
    ) -> OpenPage:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=theme,
            has_touch=touch,
            is_mobile=touch,
            reduced_motion=reduced_motion,
        )
        contexts.append(context)
        page = context.new_page()
        opened = OpenPage(page)

        def route(request_route: Any) -> None:
            url = request_route.request.url
            if url.startswith(LOCAL):
                request_route.continue_()
            else:
                opened.requests.append(url)
                request_route.abort()

        context.route("**/*", route)
        page.on("console", lambda m: opened.errors.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: opened.errors.append(str(error)))
        page.add_init_script(
            f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}')"
        )
        page.goto(path.resolve().as_uri())
        return opened

    yield _open
    for context in contexts:
        context.close()


@pytest.fixture
def open_widget(open_path: Callable[..., OpenPage], tmp_path: Path) -> Callable[..., OpenPage]:
    """Write a widget's static form into a page of its own, open it and wait until it is alive."""
    count = 0

    def _open(widget: Any, *, theme: str = "light", **options: Any) -> OpenPage:
        nonlocal count
        count += 1
        path = tmp_path / f"widget-{count}.html"
        path.write_text(PAGE.format(theme=theme, body=widget.to_html()), encoding="utf-8")
        opened = open_path(path, theme=theme, **options)
        opened.page.wait_for_selector(".segcore-widget[data-ready=true]", timeout=20_000)
        return opened

    return _open
