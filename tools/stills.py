"""Still pictures of the widgets: ``python tools/stills.py [SLUG ...]``.

A page shows a widget's still picture until the widget is alive, where no script may run, and in print. This
opens each widget in Chromium as it is first drawn, measures its height at several widths, and stores the
first form, wide and narrow, as ``segcore/widgets/static/stills/<slug>-wide.avif``, ``<slug>-narrow.avif`` and
``<slug>.json``. Run it after a change that one can see; a test compares the stored pictures with the widgets.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
STATIC = ROOT / "segcore" / "widgets" / "static"
STILLS = STATIC / "stills"
WIDE, NARROW = 808, 358  # the column of a wide page, and of a phone of 390 px
WIDTHS = (288, 328, NARROW, 420, 480, 560, 640, 688, 720, WIDE)  # where the height is measured
FLAGS = ["--no-sandbox", "--disable-gpu"]
LIGHT = 22_000  # bytes; coarser where a picture is more
SHARP = 1.5  # pixels of the picture for one of the page
PAGE = (
    '<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8"><title>Widget</title>'
    '<body style="margin: 0; padding: 0 16px; font-size: 16px">{body}'
)


def widgets() -> dict[str, type[Any]]:
    """Every widget of the course by its slug."""
    from segcore.widgets.base import CourseWidget

    for path in sorted((ROOT / "segcore" / "widgets").glob("*.py")):
        if path.stem not in {"__init__", "base"}:
            importlib.import_module(f"segcore.widgets.{path.stem}")
    return {cls._slug: cls for cls in CourseWidget.__subclasses__() if cls.__module__.startswith("segcore.")}


def chromium() -> str:
    """The browser's path."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = os.environ.get("CHROMIUM") or next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        raise SystemExit("No Chromium on this machine: install one, or set CHROMIUM to its path.")
    return found


def photograph(page: Any, width: int) -> Image.Image:
    """The widget's first form at a width of its column."""
    page.set_viewport_size({"width": width + 32, "height": 900})
    page.wait_for_timeout(250)
    target = page.locator(".segcore-first").first
    return Image.open(io.BytesIO(target.screenshot(animations="disabled"))).convert("RGB")


def height_at(page: Any, width: int) -> int:
    """The height of the whole widget, folded parts closed, in CSS pixels."""
    page.set_viewport_size({"width": width + 32, "height": 900})
    page.wait_for_timeout(150)
    return int(page.evaluate("document.querySelector('.segcore-root').offsetHeight"))


def new_page(browser: Any) -> Any:
    """A page for one widget after the other."""
    return browser.new_page(device_scale_factor=SHARP, reduced_motion="reduce", color_scheme="light")


def show(page: Any, widget: Any, folder: Path) -> None:
    """The widget alone, in a window as at first, drawn and at rest."""
    path = folder / f"{widget._slug}.html"
    path.write_text(PAGE.format(body=widget.to_html()), encoding="utf-8")
    page.set_viewport_size({"width": 1280, "height": 720})
    page.goto(path.as_uri())
    page.wait_for_selector(".segcore-widget[data-ready=true]")
    page.wait_for_timeout(600)  # pictures that are decoded in their own time
    page.wait_for_function("!document.querySelector('[data-busy]')")  # and what a worker computes


def make(page: Any, slug: str, widget: Any, folder: Path) -> str:
    """Store one widget's stills; says how large they are."""
    show(page, widget, folder)
    sizes: dict[str, Any] = {"heights": [[width, height_at(page, width)] for width in WIDTHS]}
    weights = []
    STILLS.mkdir(exist_ok=True)
    for name, width in (("wide", WIDE), ("narrow", NARROW)):
        picture = photograph(page, width)
        path = STILLS / f"{slug}-{name}.avif"
        # Half of what WebP takes at the same error. Colours at full density, for words and thin lines.
        for quality in (50, 40, 30):  # pages with networks in them have little room
            picture.save(path, "AVIF", quality=quality, subsampling="4:4:4", speed=4)
            if path.stat().st_size < LIGHT:
                break
        sizes[name] = [round(side / SHARP) for side in picture.size]
        weights.append(f"{name} {path.stat().st_size // 1024} kB")
    text = json.dumps({"sizes": sizes}, separators=(", ", ": "))
    (STILLS / f"{slug}.json").write_text(text + "\n", encoding="utf-8")
    return f"{slug}: {', '.join(weights)}, heights {sizes['heights']}"


def main() -> int:
    """Make the stills of the named widgets, or of all."""
    from playwright.sync_api import sync_playwright

    known = widgets()
    wanted = sys.argv[1:] or list(known)
    if unknown := sorted(set(wanted) - set(known)):
        print(f"No widget is called {', '.join(unknown)}; there are {', '.join(known)}.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        page = new_page(browser)
        for slug in wanted:
            print(make(page, slug, known[slug](), Path(folder)))
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
