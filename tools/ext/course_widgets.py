"""``{figure-state}``: a sentence that sets the figure above or below it.

``{figure-state}`move the box by 0.2 px <roi_align:box=55.9,5,135.9,70>` `` becomes a link to
``#roi_align:box=55.9,5,135.9,70``. The widget of that name on the same page takes the state (its kit's
``address.js`` says how it is written), and the address can be handed on. What it names is checked where the
course is tested, with the widget's own traits. On a page that has no widgets (`book/lecture`,
an instructor's page) the link leads to the chapter that has the widget.

And what the widgets of one page have in common stands in it once: each brings all that it needs, since it
does not know what it will stand beside.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

from course_cards import CHAPTERS
from docutils import nodes
from docutils.parsers.rst.states import Inliner
from sphinx.application import Sphinx

from segcore.widgets import modules
from segcore.widgets.base import KIT_ENDS, STATIC

_HOMES = {name[3:]: name for name in CHAPTERS} | {
    "scribbles": "02_grouping",
    "skip_paths": "07_skips",
    "training": "08_upsampling",
    "bridges": "09_encoder_decoders",
    "pyramid": "11_deeplab",
    "instances": "14_mask_rcnn",
    "networks": "index",
}
_FORM = re.compile(r"^(?P<words>.+?)\s*<(?P<state>(?P<slug>\w+)(?:\.\d+)?(?::[^<>]+)?)>$", re.DOTALL)


def read_state(text: str) -> tuple[str, str, str]:
    """Words, address and slug of the role's text.

    Raises:
        ValueError: it has not the form ``words <slug:trait=value;...>``.

    Example:
        >>> read_state("a small box <roi_align:box=1,2,3,4;aligned=false>")
        ('a small box', 'roi_align:box=1,2,3,4;aligned=false', 'roi_align')
    """
    matched = _FORM.match(text)
    if matched is None:
        raise ValueError(f"a figure's state is written `words <slug:trait=value;...>`, got {text!r}")
    return matched["words"], matched["state"], matched["slug"]


def home(docname: str, slug: str) -> str:
    """What stands before the ``#`` of a link to a widget's state: nothing where the page has widgets.

    Raises:
        ValueError: the page is one without widgets, and no page has a widget of that name.

    Example:
        >>> home("book/13_roi_align", "roi_align"), home("book/teaching/13_roi_align", "roi_align")
        ('', '../13_roi_align.html')
    """
    if not docname.startswith(("book/lecture", "book/teaching/")):
        return ""
    if slug not in _HOMES:
        raise ValueError(f"no page has a widget {slug!r}; those with a page are {', '.join(sorted(_HOMES))}")
    return posixpath.relpath(f"book/{_HOMES[slug]}.html", posixpath.dirname(docname))


def figure_state(
    name: str,
    rawtext: str,
    text: str,
    lineno: int,
    inliner: Inliner,
    options: Any = None,
    content: Any = None,
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """The role."""
    try:
        words, state, slug = read_state(text)
        page = home(inliner.document.settings.env.docname, slug)  # type: ignore[attr-defined]
    except ValueError as error:
        message = inliner.reporter.error(str(error), line=lineno)
        return [inliner.problematic(rawtext, rawtext, message)], [message]
    link = nodes.reference(rawtext, words, refuri=f"{page}#{state}", internal=True, classes=["figure-state"])
    return [link], []


_WIDGET = re.compile(r'<div class="segcore-widget" data-key="[^"]*" data-widget="(?P<slug>\w+)"')
_KIT = re.compile(rf'(?<=<script type="module" async>).*?(?={re.escape(KIT_ENDS)})', re.DOTALL)
_STYLE = re.compile(r'<style data-kit="\w+">.*?</style>', re.DOTALL)


def kit_once(body: str) -> str:
    """A page whose widgets share one copy of the kit, in a script before the first, and of its styles."""
    widgets = list(_WIDGET.finditer(body))
    if len(widgets) < 2:
        return body
    slugs = [widget["slug"] for widget in widgets]
    parts = [body[: widgets[0].start()]]
    parts.append(f"<script>{modules.lean(modules.shared(modules.kit(STATIC, *slugs)))}</script>")
    seen: set[str] = set()

    def first(style: re.Match[str]) -> str:
        if style[0] in seen:
            return ""
        seen.add(style[0])
        return style[0]

    ends = [*(widget.start() for widget in widgets[1:]), len(body)]
    for slug, widget, end in zip(slugs, widgets, ends, strict=True):
        names = ", ".join(f"kit_{name}" for name in modules.kit(STATIC, slug))
        text = _STYLE.sub(first, body[widget.start() : end])
        parts.append(_KIT.sub(f"const {{ {names} }} = segcoreKit;\n", text, count=1))
    return "".join(parts)


def _share(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    if body := context.get("body"):
        context["body"] = kit_once(body)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the role, and the hook that makes pages lighter."""
    app.add_role("figure-state", figure_state)
    app.connect("html-page-context", _share)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
