"""The command line: ``python -m segcore`` followed by ``grade``, ``progress`` or ``train``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

__all__ = ["main"]

TRAIN = """\
Trains a network of the course: unet, fcn8s, deeplab or mask_rcnn, on rendered scenes (nothing to download) or
on real data. It says what it will do, trains, and leaves checkpoint, curve, scores and a page of pictures in
the folder --out. Ctrl-C ends it and keeps what was learnt; the same command goes on where it stopped. Under
torchrun --nproc-per-node N -m segcore train ... it trains on N processes.

Exit code: 0 where it was done, 130 after Ctrl-C, 2 where it could not begin.
"""

GRADE = """\
Runs each notebook in a kernel of its own and prints what became of each exercise: passed, failed, error, not
attempted or not reached, its points, and the mistake where it is a known one. Folders are searched to the
bottom. The notebooks are left as they are. They run with your rights: grade strangers' work on a machine that
can be lost.

Exit code: 0 where the command ran, 2 where there was nothing to grade or a result could not be written; with
--strict, 1 where not everything passed.
"""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and do what it says.

    Args:
        arguments: Words of the command line; those of this process where None is given.

    Returns:
        The exit code.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    if options.command == "progress":
        return _progress(options.chapter)
    if options.command == "train":
        return _train(options)
    if options.json == options.csv == "-":
        parser.error("--json and --csv cannot both go to stdout")
    return _grade(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m segcore", description="Tools for the labs of the segmentation course."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    grade = commands.add_parser(
        "grade",
        help="run notebooks and mark their exercises",
        description=GRADE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    grade.add_argument("paths", nargs="+", metavar="PATH", help="a notebook, or a folder of notebooks")
    grade.add_argument("--json", metavar="FILE", help="write the results as JSON (- is stdout)")
    grade.add_argument(
        "--csv", metavar="FILE", help="write the results as CSV, one exercise a row (- is stdout)"
    )
    grade.add_argument(
        "--timeout", type=_seconds, default=120.0, metavar="S", help="seconds a cell may take (120)"
    )
    grade.add_argument("--strict", action="store_true", help="exit with 1 where not everything passed")
    progress = commands.add_parser(
        "progress",
        help="show what you have passed",
        description="Shows your progress, as this machine has kept it.",
    )
    progress.add_argument(
        "chapter", nargs="?", metavar="CHAPTER", help="its number; every chapter where left out"
    )
    train = commands.add_parser(
        "train",
        help="train a network of the course",
        description=TRAIN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _train_options(train)
    return parser


def _train_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="unet, fcn8s, deeplab or mask_rcnn")
    parser.add_argument("--data", default="scenes", help="scenes (default), pets, voc, camvid or penn_fudan")
    parser.add_argument("--root", default="data", metavar="FOLDER", help="where data sets lie (data)")
    parser.add_argument("--download", action="store_true", help="download the data set if it is missing")
    parser.add_argument("--steps", type=int, metavar="N", help="batches to learn from")
    parser.add_argument(
        "--batch", type=int, metavar="N", help="examples in a batch, of all processes together"
    )
    parser.add_argument(
        "--size", type=int, metavar="PIXELS", help="side of the images, or of crops from them"
    )
    parser.add_argument("--lr", type=float, metavar="RATE", help="learning rate at its highest")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of weights, batches and crops (0)")
    parser.add_argument("--out", metavar="FOLDER", help="what comes out (runs/RECIPE-DATA)")
    parser.add_argument("--resume", action="store_true", help="only go on; refuse to begin")
    parser.add_argument("--device", metavar="NAME", help="cuda, cuda:1, mps, cpu; the best one unless said")
    parser.add_argument(
        "--precision",
        default="auto",
        choices=("auto", "float32", "bfloat16", "float16"),
        help="of the forward pass",
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes that read real data (as many as cores)"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and stop")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a positive number of seconds, got {text}")
    return seconds


def _grade(options: argparse.Namespace) -> int:
    from segcore.checks import grade as marks

    if (missing := _missing()) is not None:
        return _fail(f"grading needs {missing}: pip install 'segcore[lab]'")
    out = sys.stderr if "-" in (options.json, options.csv) else sys.stdout
    found, problems = marks.notebooks(options.paths)
    for problem in problems:
        _fail(problem)
    if not found:
        return 2
    sheets = []
    try:
        for path in found:
            sheets.append(marks.grade(path, options.timeout))
            _say(marks.table(sheets[-1]) + "\n", out)
    except KeyboardInterrupt:
        _fail(f"stopped after {len(sheets)} of {len(found)} notebooks")
    if len(sheets) > 1:
        _say(marks.total(sheets), out)
    written = [
        _write(target, text(sheets))
        for target, text in ((options.json, marks.to_json), (options.csv, marks.to_csv))
        if target is not None
    ]
    if not all(written):
        return 2
    if len(sheets) < len(found):
        return 130
    clear = not problems and all(sheet.results and sheet.passed == len(sheet.results) for sheet in sheets)
    return 1 if options.strict and not clear else 0


def _missing() -> str | None:
    """The first package that grading needs and that is not installed."""
    from importlib.util import find_spec

    return next((name for name in ("nbformat", "nbclient", "ipykernel") if find_spec(name) is None), None)


def _progress(chapter: str | None) -> int:
    from segcore.checks import progress
    from segcore.checks.chapters import CHAPTERS, exercises
    from segcore.checks.progress import location, recall

    recall()
    if chapter is not None:
        try:
            progress(chapter)
        except ValueError as error:
            return _fail(str(error))
    else:
        for number in CHAPTERS:
            try:
                exercises(number)
            except ValueError:
                continue
            progress(number)
    path = location()
    _say(
        f"kept in {path}" if path else "kept in no file: SEGCORE_PROGRESS or SEGCORE_STATIC says so",
        sys.stdout,
    )
    return 0


def _train(options: argparse.Namespace) -> int:
    from segcore import recipes

    try:
        return recipes.train(options)
    except KeyboardInterrupt:
        _fail("stopped before the training began; the same command goes on")
        return 130
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        return _fail(str(error))


def _write(target: str, text: str) -> bool:
    if target == "-":
        sys.stdout.write(text)
        return True
    try:
        Path(target).write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        _fail(f"{target} cannot be written ({error.strerror})")
        return False
    return True


def _say(text: str, out: object) -> None:
    """Print now, in whatever encoding the terminal has."""
    encoding = getattr(out, "encoding", None) or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), file=out, flush=True)  # type: ignore[call-overload]


def _fail(text: str) -> int:
    _say(f"segcore: {text}", sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
