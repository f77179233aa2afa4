"""The frame of each built page: faults of the stock theme mended, dead weight left out.

- The theme's scripts (1.6 MB with its icon font, more than the text, figures and widgets of any chapter)
  are left out: ``frame.js`` does what they did, and ``layout.html`` leaves out the hidden header whose menu
  buttons they bound.
- What only some pages need (formulas, code to copy, tabs) is loaded by those alone, and no script holds a
  page up. MathJax, which takes longest, is loaded by ``frame.js`` once the page's widgets are alive.
- myst-nb writes the state of all ipywidgets, random ids included, into every page. Our widgets carry their
  own HTML, so it is dropped: pages become smaller, and two builds equal to the byte.
- The theme's nested sidebar has ``<summary>`` elements with no name, and its bibliography lists a role whose
  children do not fit it: both are mended, so that a screen reader can read them out.
- Folded boxes are ``<details>``: they stand folded from the first moment, with scripts and without.
- Long names in code may break after a dot or an underscore, and nowhere else.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sphinx.application import Sphinx
from sphinx.builders.html._assets import _JavaScript

_SUMMARY = re.compile(r"<summary>(?=<span class=\"toctree-toggle\")")
_LIST_ROLE = re.compile(r' role="(?:list|doc-biblioentry|doc-backlink)"')
_STATE = "application/vnd.jupyter.widget-state+json"

# Runs before anything is drawn. Where storage is forbidden, reading it throws: every script on the page then
# gets a store that lasts as long as the page. Where it is full, what it holds can still be read, and what it
# does not take (`unsaved`) lasts as long. The theme is set here, or a dark page would flash white.
_EARLY_SCRIPT = """
for (const name of ["localStorage", "sessionStorage"]) {
  let real = null;
  try { real = window[name]; real.getItem("probe"); } catch { real = null; }
  try { real.setItem("probe", ""); real.removeItem("probe"); } catch {
    const unsaved = Object.assign(new Map(), { why: real ? "full" : "forbidden" });
    const value = {
      unsaved,
      get length() { return real?.length ?? 0; },
      key: (index) => real?.key(index) ?? null,
      getItem: (key) => unsaved.get(key) ?? real?.getItem(key) ?? null,
      setItem: (key, text) => {
        try { real.setItem(key, text); unsaved.delete(key); } catch { unsaved.set(key, String(text)); }
      },
      removeItem: (key) => { unsaved.delete(key); real?.removeItem(key); },
      clear: () => { unsaved.clear(); real?.clear(); },
    };
    Object.defineProperty(window, name, { value, configurable: true });
  }
}
{
  const page = document.documentElement;
  page.dataset.scripts = "";
  const mode = localStorage.getItem("mode");
  page.dataset.mode = mode === "light" || mode === "dark" ? mode : "auto";
  page.dataset.theme = page.dataset.mode !== "auto" ? page.dataset.mode
    : matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}
"""

# Without scripts the menu stands below the text, where the button leads.
_NO_SCRIPT_STYLE = """
.pst-js-only { display: none !important; }
@media (max-width: 959.98px) {
  .bd-container .bd-container__inner { flex-direction: column-reverse; }
  #pst-primary-sidebar {
    position: static; visibility: visible; margin: 0;
    width: auto; max-width: none; height: auto; max-height: none;
  }
}
"""


def _needs(body: str) -> dict[str, bool]:
    """Which files that some pages need this one needs, by a piece of their names."""
    code = '<div class="highlight' in body
    return {
        "scripts/sphinx-book-theme.js": False,
        "togglebutton": False,
        "clipboard": code,
        "copybutton": code,
        "design-tabs": "sd-tab-set" in body,
        "sphinx-design": re.search(r'class="[^"]*\bsd-', body) is not None,
        "mathjax": 'class="math' in body or 'class="review-card' in body,
        "review_prompts": 'class="prompt"' in body or 'class="review-card' in body,
        "review_page": 'class="review-card' in body,
        "mystnb": 'class="cell ' in body,
    }


def _inline_needed(body: str | None, needs: dict[str, bool]) -> bool:
    text = body or ""
    if "window.MathJax" in text:
        return needs["mathjax"]
    # Of the theme's scripts, which are left out, and of sphinx-togglebutton, which has no work left.
    return "DOCUMENTATION_OPTIONS" not in text and "toggle" not in text


def _wanted(files: Iterable[Any], needs: dict[str, bool]) -> list[Any]:
    """The files that the page needs."""
    kept = []
    for file in files:
        attributes = getattr(file, "attributes", {})
        name = str(getattr(file, "filename", file) or "")
        wanted = (
            all(wanted for piece, wanted in needs.items() if piece in Path(name).as_posix())
            if name
            else _inline_needed(attributes.get("body"), needs)
        )
        if wanted and attributes.get("type") != _STATE:
            kept.append(file)
    return kept


FORMULAS = "formulas"  # the type of MathJax's script: a browser leaves it, `frame.js` loads it in time


def _deferred(script: Any) -> Any:
    """The same script, run when the page has been read."""
    if not getattr(script, "filename", "") or "body" in script.attributes:
        return script
    when = {"type": FORMULAS} if "mathjax" in Path(script.filename).as_posix() else {"defer": "defer"}
    kept = {name: value for name, value in script.attributes.items() if name not in ("async", "defer")}
    return _JavaScript(script.filename, priority=script.priority, **{**kept, **when})


_FOLDED = re.compile(
    r'<div class="(?P<kind>[^"]*\bdropdown\b[^"]*)"(?P<rest>[^>]*)>\s*'
    r'<p class="admonition-title">(?P<title>.*?)</p>',
    re.S,
)


def fold(body: str) -> str:
    """Boxes of the class ``dropdown`` as ``<details>``, whose title opens them."""
    while found := _FOLDED.search(body):
        depth, end = 1, found.end()
        for tag in re.compile(r"<(/?)div\b[^>]*>").finditer(body, found.end()):
            depth += -1 if tag[1] else 1
            if depth == 0:
                inside, end = body[found.end() : tag.start()], tag.end()
                break
        else:
            return body
        kind = " ".join(name for name in found["kind"].split() if name != "dropdown")
        title = _LINK.sub("", found["title"])  # a link inside what opens the box would be two controls in one
        summary = f'<summary class="admonition-title">{title}</summary>'
        details = f'<details class="{kind}"{found["rest"]}>{summary}{inside}</details>'
        body = body[: found.start()] + details + body[end:]
    return body


_LINK = re.compile(r"</?a\b[^>]*>")
_NAME = re.compile(r'(?<=<span class="pre">)[^<]{9,}(?=</span>)')
_JOINT = re.compile(r"(?<=[A-Za-z0-9)\]])([._/=,-]|::)(?=[A-Za-z0-9(\[*])")


def breakable(body: str) -> str:
    """Long names in code with places to break: after a dot, an underscore, a slash, never inside a word."""
    return _NAME.sub(lambda name: _JOINT.sub(r"\1<wbr>", name[0]), body)


_IMAGE = re.compile(r'<img (?![^>]*\b(?:width|height)=)[^>]*?\bsrc="(?:\.\./)*_images/(?P<name>[^"]+)"')
_POINT = 96 / 72  # pixels


def picture_size(path: Path) -> tuple[int, int] | None:
    """Width and height of a picture in pixels of the page; None where it does not say."""
    if path.suffix != ".svg":
        from PIL import Image

        with Image.open(path) as picture:
            return picture.size
    head = re.search(r"<svg\b[^>]*>", path.read_text(encoding="utf-8"))
    sides = (
        [re.search(rf'\b{side}="([\d.]+)(pt|px)?"', head[0]) for side in ("width", "height")] if head else []
    )
    if len(sides) < 2 or None in sides:
        return None
    width, height = (float(side[1]) * (_POINT if side[2] == "pt" else 1) for side in sides if side)
    return round(width), round(height)


def sized(body: str, sources: dict[str, Path]) -> str:
    """The pictures with their sizes, so that what stands below them is in its place before they come."""

    def size(found: re.Match[str]) -> str:
        path = sources.get(unquote(found["name"]))
        sides = picture_size(path) if path and path.is_file() else None
        return found[0] + (f' width="{sides[0]}" height="{sides[1]}"' if sides else "")

    return _IMAGE.sub(size, body)


_FORMULA = re.compile(r'<span class="math notranslate nohighlight">\\\((?P<tex>.*?)\\\)</span>', re.S)
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[^\s]")
_WIDE = {
    *"+-=<>",
    *(rf"\{name}" for name in ("times", "cdot", "le", "ge", "to", "approx", "in", "mapsto", "sum")),
}
_NONE = {
    *"{}^_",
    *(rf"\{name}" for name in ("left", "right", "big", "Big", "text", "mathrm", "tfrac", "frac", "top")),
}


def formula_width(tex: str) -> float:
    """About how wide MathJax will draw a formula in a line, in em of the text.

    Example:
        >>> formula_width("x")
        0.6
        >>> 2.5 < formula_width("x = 37") < 3.5
        True
    """
    width, small = 0.0, False
    for token in _TOKEN.findall(html.unescape(tex)):
        if token in "^_":
            small = True
            continue
        base = 1.5 if token in _WIDE else 0 if token in _NONE else 0.4 if token in ".,()[]|" else 0.6
        width += base * (0.7 if small else 1)
        small = small and token == "{"
    return round(width, 1)


def reserved(body: str) -> str:
    """The formulas in a line with about the width that they will have, or lines break anew once they come."""
    return _FORMULA.sub(
        lambda found: found[0].replace('hlight"', f'hlight" style="--w:{formula_width(found["tex"])}em"', 1),
        body,
    )


def _tidy(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    body = context.get("body", "")
    needs = _needs(body)
    context["early_script"] = _EARLY_SCRIPT
    context["no_script_style"] = _NO_SCRIPT_STYLE
    scripts = _wanted(context.get("script_files", []), needs)
    context["script_files"] = [_deferred(script) for script in scripts]
    context["css_files"] = _wanted(context.get("css_files", []), needs)
    if body:
        pictures = {name: Path(app.srcdir) / source for source, name in app.builder.images.items()}
        context["body"] = sized(reserved(breakable(fold(_LIST_ROLE.sub("", body)))), pictures)
    render = context.get("generate_toctree_html")
    if render is not None:

        def named_summaries(*args: Any, **kwargs: Any) -> Any:
            tree = render(*args, **kwargs)
            if isinstance(tree, str):
                return _SUMMARY.sub('<summary aria-label="Show or hide the pages below">', tree)
            for summary in tree.find_all("summary"):
                summary["aria-label"] = "Show or hide the pages below"
            return tree

        context["generate_toctree_html"] = named_summaries


_ICONS = re.compile(r"(?:\.fa-[\w-]+:(?:before|after),?)+\{content:\"[^\"]*\"\}")
_FONT = re.compile(r"@font-face\{[^}]*fontawesome[^}]*\}")


# Parts of Bootstrap and of the theme that no page has; a test looks.
UNUSED = (
    "ablog", "accordion", "bs-tooltip", "btn-close", "btn-group", "btn-outline", "carousel", "dropdown",
    "ethical", "focus-ring", "form-check", "form-floating", "form-range", "form-select", "form-switch",
    "input-group", "link-underline", "list-group", "modal", "nav-tabs", "navbar-expand", "nboutput",
    "object-fit", "offcanvas", "page-link", "pagination", "placeholder", "popover", "row-cols",
    "spinner", "toast", "tooltip-arrow",
)  # fmt: skip
_RULE = re.compile(r"([^{}]+)\{[^{}]*\}")
_OF_UNUSED = re.compile(rf"\.(?:{'|'.join(UNUSED)})(?![a-z])")


def _trim_theme(app: Sphinx, error: Exception | None) -> None:
    """Of the theme's style two fifths are for icons of a font and parts of Bootstrap that no page has."""
    style = Path(app.outdir) / "_static" / "styles" / "pydata-sphinx-theme.css"
    if error is None and style.exists():
        text = _FONT.sub("", _ICONS.sub("", style.read_text(encoding="utf-8")))
        style.write_text(_RULE.sub(_without_unused, text), encoding="utf-8")


def _without_unused(rule: re.Match[str]) -> str:
    return "" if all(_OF_UNUSED.search(each) for each in rule[1].split(",")) else rule[0]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the page hook, after the theme's own."""
    app.connect("html-page-context", _tidy, priority=900)
    app.connect("build-finished", _trim_theme)
    app.add_js_file("frame.js", priority=100)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
