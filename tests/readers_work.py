"""What readers make of a lab: each function does to one file what somebody did to theirs.

``python tests/readers_work.py FOLDER`` does all of it to the labs of a clone, several things to each lab, and
puts files of the reader's own beside them. `tests/test_readers_labs.py` does it to a book of one lab.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def markdown(source: str, **more: Any) -> dict[str, Any]:
    return {
        "cell_type": "markdown",
        "id": f"mine-{abs(hash(source))}",
        "metadata": {},
        "source": source,
        **more,
    }


def code(source: str, *outputs: dict[str, Any]) -> dict[str, Any]:
    cell = {"cell_type": "code", "id": f"mine-{abs(hash(source))}", "metadata": {}, "source": source}
    return {**cell, "execution_count": 7, "outputs": list(outputs)}


def shows(data: dict[str, Any]) -> dict[str, Any]:
    return {"output_type": "display_data", "metadata": {}, "data": data}


def writes_notes(lab: dict) -> None:
    """Headings that skip levels, links that lead nowhere here, a pasted picture, a rule at the end."""
    lab["cells"].insert(0, markdown("#### my notes\n\nstrides, again"))
    lab["cells"].insert(
        5,
        markdown(
            "See [my drawing](drawing.png), [a file](../notes/plan.md), [this](#nowhere), ![](gone.jpg),\n"
            "{ref}`nothing`, {cite}`nobody2031`, {doc}`missing` and {unknown}`role`.\n\n"
            "```{directive} of no kind\n```"
        ),
    )
    pasted = {"image.png": {"image/png": PIXEL}}
    lab["cells"].append(markdown("![screenshot](attachment:image.png)", attachments=pasted))
    lab["cells"].append(markdown("$$ \\frac{1}{ $$\n\n| a | b\n|--\n\n<div><details><b>\n\n---"))


def runs_things(lab: dict) -> None:
    """Lines of the shell, Plotly, a widget without a kernel, an error with its colours, a long log."""
    text = {"output_type": "stream", "name": "stdout", "text": ["Package    Version\n", "torch      2.9\n"]}
    plotly = {"application/vnd.plotly.v1+json": {"data": [], "layout": {}}, "text/html": "<div>plot</div>"}
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "0"}}
    error = {
        "output_type": "error",
        "ename": "RuntimeError",
        "evalue": "shape '[2, 3]' is invalid",
        "traceback": ["\x1b[0;31mRuntimeError\x1b[0m: in ~/labs/mine.py"],
    }
    lab["cells"] += [
        code("!pip list", text),
        code("x = !ls\n%timeit sum(x)"),
        code("%%bash\nls | head"),
        code("fig.show()", shows(plotly)),
        code("slider", shows(widget), {"output_type": "stream", "name": "unheard-of", "text": "?"}),
        code("torch.rand(2).reshape(2, 3)", error),
        code("svg", shows({"image/svg+xml": "<svg", "text/latex": "$\\frac{$", "application/x-mine": "1"})),
        code("log", {**text, "text": "line\r" * 20_000}),
    ]


def is_half_done(lab: dict) -> None:
    """Cells in the middle of being written, some removed, one that never ends."""
    lab["cells"] = [cell for number, cell in enumerate(lab["cells"]) if number % 5 != 4]
    lab["cells"] += [
        code("def roi_align(features, boxes,"),
        code("while True:\n    pass"),
        code("raise SystemExit(1)"),
    ]
    lab["cells"].append({**code("    indented = ("), "execution_count": None})


def uses_another_kernel(lab: dict) -> None:
    """R, an older format, ids twice, metadata of three editors."""
    lab["metadata"]["kernelspec"] = {"name": "ir", "display_name": "R", "language": "R"}
    lab["metadata"]["language_info"] = {"name": "R", "codemirror_mode": "r"}
    lab["metadata"]["jupytext"] = {"formats": "ipynb,md", "text_representation": {"extension": ".md"}}
    lab["metadata"]["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {"0": {}}}}
    lab["metadata"]["mystnb"] = {"execution_mode": "force", "no_such_option": 1}
    lab["nbformat_minor"] = 2
    for cell in lab["cells"][:4]:
        cell["id"] = "same"


def in_notebook(change: Callable[[dict], None]) -> Callable[[Path], None]:
    def work(path: Path) -> None:
        lab = json.loads(path.read_text(encoding="utf-8"))
        change(lab)
        path.write_text(json.dumps(lab, indent=1), encoding="utf-8")

    work.__name__ = change.__name__
    return work


def everything(path: Path) -> None:
    for change in (writes_notes, runs_things, is_half_done, uses_another_kernel):
        in_notebook(change)(path)


def deletes_it(path: Path) -> None:
    path.unlink()


def loses_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def saves_as_latin_1(path: Path) -> None:
    path.write_bytes("# Übung, kein Notizbuch\n".encode("latin-1"))


def empties_it(path: Path) -> None:
    path.write_bytes(b"")


def puts_a_folder_there(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "part one.ipynb").write_text("{}", encoding="utf-8")


def links_it(path: Path) -> None:
    path.rename(path.with_name(f"synced {path.name}"))
    path.symlink_to(f"synced {path.name}")


def breaks_the_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere.ipynb")


def keeps_other_files_beside_it(path: Path) -> None:
    """Notebooks, Markdown of the same name, modules that shadow others, data, a link to the whole."""
    labs = path.parent
    for name in ("my_experiment.ipynb", f"{path.stem}-Copy1.ipynb", "not json.ipynb"):
        (labs / name).write_text('{"cells": [', encoding="utf-8")
    for suffix in (".md", ".rst", ".txt", ".py"):
        path.with_suffix(suffix).write_text("# My own\n\n## Notes\n\n{ref}`nothing`\n", encoding="utf-8")
    for name in ("torch.py", "conftest.py", "test_mine.py", "index.md", "_config.yml", "_toc.yml", "conf.py"):
        (labs / name).write_text("raise RuntimeError('mine')\n", encoding="utf-8")
    for folder in (".ipynb_checkpoints", "data/[raw] 1", "_static"):
        (labs / folder).mkdir(parents=True, exist_ok=True)
        (labs / folder / f"{path.stem}.ipynb").write_text("{", encoding="utf-8")
        (labs / folder / "photo.png").write_bytes(b"\x89PNG")
    (labs / "_static" / "mine.js").write_text("throw 1", encoding="utf-8")
    if not os.path.lexists(labs / "course"):
        (labs / "course").symlink_to("..")


IN_NOTEBOOK = [in_notebook(each) for each in (writes_notes, runs_things, is_half_done, uses_another_kernel)]
BREAKS = [each for each in IN_NOTEBOOK if each.__name__ != "is_half_done"]  # that breaks nbval, not a page
IN_FOLDER = [
    deletes_it,
    loses_half,
    saves_as_latin_1,
    empties_it,
    puts_a_folder_there,
    links_it,
    breaks_the_link,
    keeps_other_files_beside_it,
]
ALL = [*IN_NOTEBOOK, everything, *IN_FOLDER]


def snapshot(folder: Path) -> dict[str, bytes | str | None]:
    """Every name below a folder, with what stands there."""
    found: dict[str, bytes | str | None] = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root, name)
            link, plain = path.is_symlink(), path.is_file()
            what = os.readlink(path) if link else path.read_bytes() if plain else None
            found[path.relative_to(folder).as_posix()] = what
    return found


if __name__ == "__main__":
    place = Path(sys.argv[1])
    for at, notebook in enumerate(sorted(place.glob("[0-9][0-9]_*.ipynb"))):
        everything(notebook)
        keeps_other_files_beside_it(notebook)
        # Every second one is worse than worked in.
        if at % 2:
            IN_FOLDER[at // 2 % len(IN_FOLDER)](notebook)
