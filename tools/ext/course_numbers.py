"""Numbers and order: what stands before a title, a figure and an equation, and which page comes next.

The address is the number: ``book/13_roi_align`` is chapter 13, whether or not the twelve before it stand.
So its title reads "13 RoIAlign" in the sidebar, on the page and in the browser's tab, its figures "Fig. 13.1"
and its equations "(13.1)". Sections inside a chapter have no numbers. Exercises count from 1 in each chapter,
since "13.1" is the first exercise of the lab. Figures of a lab would be L13.1, of its solution S13.1.

Reading goes from a chapter to its lab to the next chapter. The solution stands aside: it leads back to its
lab and on to the next chapter, and nothing leads into it but the lab's own link.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.environment.collectors.toctree import TocTreeCollector

_SLUG = re.compile(r"(?P<folder>book|labs|solutions)/(?P<number>\d\d)_\w+")
_LETTER = {"book": "", "labs": "L", "solutions": "S"}
_OWN_COUNT = ("exercise",)  # kinds that count from 1 on each page, without the chapter's number


def place(docname: str) -> tuple[str, int] | None:
    """The folder and the chapter's number of a page, or None where a page belongs to no chapter.

    Example:
        >>> place("labs/03_metrics")
        ('labs', 3)
        >>> place("book/glossary") is None
        True
    """
    found = _SLUG.fullmatch(docname)
    return (found["folder"], int(found["number"])) if found else None


def number(docname: str) -> tuple[int, ...]:
    """The number before a page's title: the chapter's for a chapter, none for all else."""
    found = place(docname)
    return (found[1],) if found and found[0] == "book" else ()


def short_title(docname: str) -> str | None:
    """What the sidebar calls a lab, its solution and its instructor's page; None: the page's title.

    Example:
        >>> short_title("solutions/03_metrics"), short_title("book/teaching/03_metrics")
        ('Lab 3, solved', 'Teaching 3')
    """
    if docname.startswith("book/teaching/"):
        own = place(docname.replace("/teaching", ""))
        return f"Teaching {own[1]}" if own else None
    found = place(docname)
    if found is None or found[0] == "book":
        return None
    return f"Lab {found[1]}" + (", solved" if found[0] == "solutions" else "")


def neighbours(docname: str, order: list[str]) -> tuple[str | None, str | None]:
    """The pages before and after, where ``order`` lists all pages as the sidebar does.

    Example:
        >>> order = ["book/03_a", "labs/03_a", "solutions/03_a", "book/04_b"]
        >>> neighbours("labs/03_a", order), neighbours("solutions/03_a", order)
        (('book/03_a', 'book/04_b'), ('labs/03_a', 'book/04_b'))
    """
    if docname not in order:
        return None, None
    here = order.index(docname)
    read = [page for page in order if not page.startswith("solutions/")]
    before = [page for page in order[:here] if page in read]
    after = [page for page in order[here + 1 :] if page in read]
    return (before[-1] if before else None), (after[0] if after else None)


class ChapterNumbers(TocTreeCollector):
    """Sphinx's own collector, with numbers from the address in place of positions in the contents."""

    def assign_section_numbers(self, env: BuildEnvironment) -> list[str]:
        """Number each chapter's title and leave its sections without."""
        before, env.toc_secnumbers = env.toc_secnumbers, {}
        for docname, title in env.titles.items():
            own = number(docname)
            if not own:
                continue
            title["secnumber"] = env.longtitles[docname]["secnumber"] = own
            numbers: dict[str, tuple[int, ...]] = {"": own}
            for reference in env.tocs[docname].findall(nodes.reference):
                anchor = reference.get("anchorname", "")
                numbers[anchor] = () if anchor else own
                reference["secnumber"] = numbers[anchor] or None
            env.toc_secnumbers[docname] = numbers
        return [name for name, numbers in env.toc_secnumbers.items() if numbers != before.get(name)]

    def assign_figure_numbers(self, env: BuildEnvironment) -> list[str]:
        """Number figures, equations and tables within their chapter, with a letter in labs and solutions."""
        before, titles = env.toc_fignumbers, env.toc_secnumbers
        env.toc_secnumbers = {
            docname: {"": (f"{_LETTER[found[0]]}{found[1]}",)}  # type: ignore[dict-item]  # joined by dots
            for docname in env.found_docs
            if (found := place(docname))
        }
        super().assign_figure_numbers(env)
        env.toc_secnumbers = titles
        for docname, kinds in env.toc_fignumbers.items():
            if place(docname):
                for kind in _OWN_COUNT:
                    kinds[kind] = {name: numbers[1:] for name, numbers in kinds.get(kind, {}).items()}
        return [name for name, kinds in env.toc_fignumbers.items() if kinds != before.get(name)]


def _name_labs(app: Sphinx, doctree: nodes.document) -> None:
    for toctree in doctree.findall(addnodes.toctree):
        toctree["entries"] = [(title or short_title(page), page) for title, page in toctree["entries"]]


def _set_neighbours(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    if doctree is None:  # search, the index
        return
    builder: Any = app.builder
    order = list(app.env.collect_relations())
    for key, page in zip(("prev", "next"), neighbours(pagename, order), strict=True):
        context[key] = page and {
            "link": builder.get_relative_uri(pagename, page),
            "title": builder.render_partial(app.env.titles[page])["title"],
        }


def add_static(app: Sphinx, *names: str, everywhere: bool = True) -> None:
    """Copy files of ``tools/ext/static`` among the book's own; load them on every page unless told not to.

    Not by ``html_static_path``, for Jupyter Book loads every script that lies there on every page.
    """
    folder = Path(app.outdir) / "_static"

    def copy(app: Sphinx) -> None:
        if app.builder.format == "html":
            folder.mkdir(parents=True, exist_ok=True)
            for name in names:
                shutil.copyfile(Path(__file__).parent / "static" / name, folder / name)

    app.connect("builder-inited", copy)
    for name in names if everywhere else ():
        if name.endswith(".css"):
            app.add_css_file(name, priority=600)
        else:
            app.add_js_file(name, defer="defer")


def setup(app: Sphinx) -> dict[str, Any]:
    """Take the place of the collector that counts positions; register the hooks and the sidebar's style."""
    for listener in list(app.events.listeners["env-get-updated"]):
        collector = getattr(listener.handler, "__self__", None)
        if isinstance(collector, TocTreeCollector):
            collector.disable(app)
    app.add_env_collector(ChapterNumbers)
    app.connect("doctree-read", _name_labs, priority=400)  # before the collector copies the contents
    app.connect("html-page-context", _set_neighbours)
    add_static(app, "numbers.css")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
