r"""Labs from solutions: ``python tools/labs.py generate | check | clean | execute | lint [SLUG ...]``.

``solutions/NN_slug.ipynb`` is the one source of a lab. From it comes ``labs/NN_slug.ipynb``: solutions
taken out as nbgrader 0.9 takes them out, outputs cleared, pictures of the right result put in. Never edit a
lab; edit its solution.

How to write a solution notebook
--------------------------------
Write plain cells; ``execute`` and ``annotate`` add the metadata (nbgrader's and ``course``) from what
stands in them:

- **Task**: a Markdown cell with the shapes and the aim. Nothing special.
- **Skeleton**: a code cell with the whole function, docstring included. What the reader has to write stands
  between the lines ``### BEGIN SOLUTION`` and ``### END SOLUTION``; the lab has ``# YOUR CODE HERE`` and
  ``raise NotImplementedError()`` there. It belongs to the exercise of the next check cell.
  Each step of the solution begins with one or two comment lines of their own that give its reason; from
  them `lab_shown` makes what the last rung of a hint shows.
- **Check**: a code cell that holds the line ``name = check("13.2", name)``, and nothing that the reader
  should see fail.
- **Expected picture**: the plotting code cell after the check, tagged ``expected-picture``, with
  ``course.alt`` in its metadata: one sentence that says what the picture shows. It stays in the lab; its
  stored PNG also appears in the lab right before the exercise's skeleton, folded away under "Expected
  picture". It belongs to the check before it.
- **Question**: a Markdown cell. Its answer is a Markdown cell tagged ``answer``, of which the lab keeps
  ``YOUR ANSWER HERE``; ``<!-- BEGIN SOLUTION -->`` and ``<!-- END SOLUTION -->`` limit what is taken out.
- **Only in the solution** (why it is right, running times): any cell tagged ``solution-only``; the lab
  drops it.
- **Last cell**: ``progress("13")``.

So the only metadata to write by hand are tags and ``course.alt``. ``course.exercise`` may be set by hand
where a cell belongs to another exercise than the rules say; ``annotate`` leaves it. Checks come in the
order of their ids, and no cell uses a reader's function before its check (``lint`` says so).

What a reader has made of a lab is never overwritten: a lab records a hash over all that was generated. Where
the lab on disk no longer has that hash, be it for one output or one attachment, ``generate`` keeps it and
says so; ``--force`` moves it to ``NN_slug.edited-1.ipynb``. The book and the tests take the labs that
``clean`` makes from the solutions into ``_build/labs/``, so whatever a reader does in ``labs/`` breaks
neither. ``check`` passes a lab that was worked in, with a word; ``--strict`` does not, and CI does not pass
what was committed so.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from lab_author import annotate, execute
from lab_generate import CLEAN, ROOT, LabError, difference, generate, read, slugs, text_of, write, write_clean
from lab_lint import lint
from lab_shown import generate_shown, stale

COMMANDS = {
    "generate": "make the labs, and what their hints show, from the solutions",
    "check": "exit 1 where an untouched lab, or what hints show, is not what the solution makes",
    "clean": f"make the labs into {CLEAN}/, for the book and the tests, whatever lies in labs/",
    "annotate": "add nbgrader's and the course's metadata to the solutions",
    "execute": "annotate the solutions, re-run them and store their outputs",
    "lint": "look for faults in solutions and labs",
}
DONE = {
    "kept": "kept: it was edited by hand (--force makes a new one and keeps the edited one beside it)",
    "replaced": "made anew; the edited one stands beside it",
}


def run(options: argparse.Namespace, slug: str) -> list[str]:
    """Do one command for one slug; return the faults."""
    root, path = options.root, options.root / "solutions" / f"{slug}.ipynb"
    if options.command == "generate":
        done = generate(slug, root, force=options.force)
        shown = "; what its hints show: updated" if generate_shown(slug, options.root) else ""
        print(f"labs/{slug}.ipynb: {DONE.get(done, done)}{shown}")
    elif options.command == "annotate":
        write(path, text_of(annotate(read(path), slug)))
        print(f"solutions/{slug}.ipynb: annotated")
    elif options.command == "execute":
        seconds = execute(slug, root, timeout=options.timeout)
        print(f"solutions/{slug}.ipynb: executed in {seconds:.0f} s")
    elif options.command == "check":
        faults = stale(slug, root)
        if found := difference(slug, root, strict=options.strict):
            fault, words = found
            if fault:
                return [words, *faults]
            print(words)
        return faults
    elif options.command == "clean":
        write_clean(slug, root)
    else:
        return lint(slug, root)
    return []


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and do what it says, for one notebook after the other."""
    parser = argparse.ArgumentParser(
        prog="labs.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("slug", nargs="*", help="13_roi_align, roi_align or 13; all where none is named")
        command.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
        if name == "generate":
            command.add_argument(
                "--force", action="store_true", help="move edited labs aside and make new ones"
            )
        if name == "check":
            command.add_argument("--strict", action="store_true", help="labs that were worked in fail too")
        if name == "execute":
            command.add_argument("--timeout", type=float, default=1200, help="seconds a cell may take (1200)")
    options = parser.parse_args(arguments)
    try:
        chosen = slugs(options.root, options.slug)
    except LabError as error:
        chosen, faults = [], [str(error)]
    else:
        faults = []
    if options.command == "clean" and not options.slug:
        for path in (options.root / CLEAN).glob("*.ipynb"):
            if path.stem not in chosen:
                path.unlink()  # its solution is gone
    for slug in chosen:
        try:
            faults += run(options, slug)
        except (LabError, OSError) as error:
            faults.append(str(error))
    for fault in faults:
        print(f"labs.py: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
