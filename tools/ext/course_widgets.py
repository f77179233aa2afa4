"""``{figure-state}``: a sentence that sets the figure above or below it.

``{figure-state}`move the box by 0.2 px <roi_align:box=55.9,5,135.9,70>` `` becomes a link to
``#roi_align:box=55.9,5,135.9,70``. The widget of that name on the same page takes the state (its kit's
``address.js`` says how it is written), and the address can be handed on. What it names is checked where the
course is tested, with the widget's own traits. On a page that has no widgets (`book/lecture`,
an instructor's page) the link leads to the chapter that has the widget.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

from course_cards import CHAPTERS
from docutils import nodes
from docutils.parsers.rst.states import Inliner
from sphinx.application import Sphinx

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


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the role."""
    app.add_role("figure-state", figure_state)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
