"""``{copy-for}``: words that stand in one copy of the book alone.

``:::{copy-for} instructors`` holds what only the whole book has, such as a link to an instructor's page;
``:::{copy-for} students`` what only the copy without solutions says (`tools/students.py`). Which copy is
built, its table of contents says. What is left out is not read, so its links cannot be dead.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

COPIES = ("students", "instructors")


class CopyFor(SphinxDirective):
    """The directive; its argument is ``students`` or ``instructors``."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Read the content where this is its copy; else nothing."""
        if self.arguments[0] not in COPIES:
            raise self.error(f"copy-for wants one of {', '.join(COPIES)}, got {self.arguments[0]!r}")
        if self.arguments[0] != COPIES[self.config.course_solutions]:
            return []
        held = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, held)
        return list(held.children)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.setup_extension("course_cards")  # it says whether solutions stand
    app.add_directive("copy-for", CopyFor)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
