"""The labs' pages and downloads are made from the solutions, not from what lies in `labs/`.

That folder belongs to the reader: headings of their own, pasted screenshots, outputs of any library, half a
cell, no file at all. None of it is a page of the book. Before anything is read, the clean labs are written to
`_build/labs/` (a file whose text stays is not touched, so its page is not read again), and Sphinx is told
that this is where the documents `labs/NN_slug` have their files. In `labs/` it opens nothing.

A document's name and its path within the source (`labs/13_roi_align.ipynb`) stay as they are, and so do the
page's address and links that are relative to it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.project import Project
from sphinx.util.logging import getLogger

sys.path.append(str(Path(__file__).resolve().parents[1]))

from lab_generate import CLEAN, LabError, write_clean

logger = getLogger(__name__)
FOLDER = "labs/"


class CleanLabs(Project):
    """Sphinx's list of documents, where those of `labs/` stand in `_build/labs/`."""

    labs: frozenset[str] = frozenset()

    def discover(self, exclude_paths: Iterable[str] = (), include_paths: Iterable[str] = ("**",)) -> set[str]:
        """Find the documents as ever, all but the labs, and add the clean labs."""
        super().discover(exclude_paths, include_paths)
        self.docnames |= self.labs
        return self.docnames

    def doc2path(self, docname: str, absolute: bool) -> Any:
        """The file to read, for a lab the clean one; or the path that the document goes by."""
        path = super().doc2path(docname, absolute)
        if docname not in self.labs:
            return path
        name = f"{docname}.ipynb"
        name = os.path.join(self.srcdir, CLEAN, name.removeprefix(FOLDER)) if absolute else name
        return type(path)(name)  # a string, and a path since Sphinx 9


def _listed(config: Config) -> list[str]:
    """The labs that the table of contents names."""
    names = (str(name).removesuffix(".ipynb") for name in config.external_site_map)
    return sorted(name for name in names if name.startswith(FOLDER))


def _configure(app: Sphinx, config: Config) -> None:
    """Keep Sphinx out of the reader's folder; let download links lead to the clean labs."""
    config.exclude_patterns = [*config.exclude_patterns, FOLDER.rstrip("/")]
    config.course_lab_folder = CLEAN


def _make(app: Sphinx) -> None:
    """Write the clean labs and put them in the place of the reader's."""
    labs = []
    for name in _listed(app.config):
        try:
            write_clean(name.removeprefix(FOLDER), Path(app.srcdir))
        except (LabError, OSError) as error:
            logger.warning("%s cannot be made: %s", name, error, type="course", subtype="lab")
        else:
            labs.append(name)
    project = CleanLabs(app.srcdir, app.project.source_suffix)
    project.restore(app.project)
    project.labs = frozenset(labs)
    app.project = app.env.project = project


def setup(app: Sphinx) -> dict[str, Any]:
    """Take part before the table of contents is read and before documents are looked for."""
    app.setup_extension("course_cards")  # it owns the folder that download links lead to
    app.connect("config-inited", _configure)
    app.connect("builder-inited", _make)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
