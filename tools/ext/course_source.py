"""``{segcore-source} module.function``: a function of the library shown from its source.

The chapter shows the code that runs, not a copy that ages. The docstring is left out, for the chapter's prose
says it better; ``:docstring:`` keeps it. A function of more lines than ``:max-lines:`` (24 unless told) is a
warning: what does not fit one glance wants to be divided. The library's lines may be longer than a page is
wide: those of a listing are broken again where they are.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.logging import getLogger

logger = getLogger(__name__)
COLUMNS = 84  # of a listing, in a window of 1280 pixels and in print


def function_source(path: Path, name: str, *, docstring: bool = False) -> str:
    """The source of a top-level function or class, as written, its docstring dropped unless asked for."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            kept = list(range(first, (node.end_lineno or first) + 1))
            if not docstring and ast.get_docstring(node) is not None:
                drop = range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
                kept = [number for number in kept if number not in drop]
            return "\n".join(lines[number - 1] for number in kept)
    raise LookupError(f"{path.name} has no top-level function or class named {name!r}")


def narrowed(source: str) -> str:
    """The same code with its long lines broken as the formatter breaks them."""
    if max(map(len, source.splitlines()), default=0) <= COLUMNS:
        return source
    words = [sys.executable, "-m", "ruff", "format", "--isolated", f"--line-length={COLUMNS}", "-"]
    done = subprocess.run(words, input=source, capture_output=True, text=True, encoding="utf-8", check=True)
    return done.stdout.rstrip("\n")


class SegcoreSource(SphinxDirective):
    """The directive; its argument is ``slug.function``."""

    required_arguments = 1
    option_spec: ClassVar = {"docstring": directives.flag, "max-lines": directives.nonnegative_int}

    def run(self) -> list[nodes.Node]:
        """Read the function and hand it on as a code block."""
        module, _, name = self.arguments[0].rpartition(".")
        path = Path(self.env.srcdir) / "segcore" / f"{module.replace('.', '/')}.py"
        self.env.note_dependency(str(path))
        try:
            source = function_source(path, name, docstring="docstring" in self.options)
        except (OSError, LookupError) as error:
            return [self.state.document.reporter.error(str(error), line=self.lineno)]
        limit = self.options.get("max-lines", 24)
        if len(source.splitlines()) > limit:
            where = self.get_location()
            logger.warning("%s has more than %d lines: divide it", self.arguments[0], limit, location=where)
        source = narrowed(source)
        block = nodes.literal_block(source, source, language="python", classes=["segcore-source"])
        self.set_source_info(block)
        caption = nodes.caption("", "", nodes.literal("", f"segcore/{path.name}"), nodes.Text(f": {name}"))
        return [nodes.container("", caption, block, literal_block=True, classes=["literal-block-wrapper"])]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("segcore-source", SegcoreSource)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
