"""The command line: ``python -m segcore`` and what to do, from ``grade`` to ``variant``."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from importlib.util import find_spec

__all__ = ["main"]

TRAIN = """\
Trains a network of the course: unet, fcn8s, deeplab or mask_rcnn, on rendered scenes (nothing to download) or
on real data. It says what it will do, trains, and leaves checkpoint, curve, scores and a page of pictures in
the folder --out. Ctrl-C ends it and keeps what was learnt; the same command goes on where it stopped. Under
torchrun --nproc-per-node N -m segcore train ... it trains on N processes.

Exit code: 0 where it was done, 130 after Ctrl-C, 2 where it could not begin.
"""


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and do what it says.

    Args:
        arguments: Words of the command line; those of this process where None is given.

    Returns:
        The exit code.
    """
    parser = _parser(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    if options.command == "progress":
        return _progress(options.chapter)
    if options.command == "train":
        return _train(options)
    if options.command == "review":
        return _review(options)
    if options.command == "variant":
        return _variant(options)
    from segcore.grading import command

    if options.command == "report":
        return command.report(options)
    if options.json == options.csv == "-":
        parser.error("--json and --csv cannot both go to stdout")
    return command.grade(options)


def _parser(words: list[str]) -> argparse.ArgumentParser:
    from segcore.grading import command

    parser = argparse.ArgumentParser(
        prog="python -m segcore", description="Tools for the labs of the segmentation course."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    command.add_grade(commands)
    command.add_report(commands)
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
    _variants(commands, words[:1])
    return parser


def _variants(commands: argparse._SubParsersAction[argparse.ArgumentParser], words: list[str]) -> None:
    """The commands that ask for variants of exercises; torch comes with them, so only where one is asked."""
    for name, line, room in (
        ("review", "exercises that are due, with other conventions", "review"),
        ("variant", "a lab of one's own for each student", "variants"),
    ):
        if words != [name]:
            commands.add_parser(name, help=line)
            continue
        module = import_module(f"segcore.checks.{room}.command")
        made = commands.add_parser(
            name,
            help=line,
            description=module.HELP,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.options(made)


def _train_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="unet, fcn8s, deeplab or mask_rcnn")
    parser.add_argument("--data", default="scenes", help="scenes (default), pets, voc, camvid or penn_fudan")
    parser.add_argument("--root", default="data", metavar="FOLDER", help="where data sets lie (data)")
    parser.add_argument("--download", action="store_true", help="download the data set if it is missing")
    parser.add_argument(
        "--pretrained", action="store_true", help="begin with ImageNet's weights in the backbone (deeplab)"
    )
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


def _review(options: argparse.Namespace) -> int:
    from segcore.checks.review import command

    try:
        return command.run(options)
    except KeyboardInterrupt:
        _fail("stopped; what you wrote is in its file")
        return 130
    except (ValueError, OSError) as error:
        return _fail(str(error))


def _variant(options: argparse.Namespace) -> int:
    from segcore.checks.variants import command

    if find_spec("nbformat") is None:
        return _fail("writing labs needs nbformat: pip install 'segcore[lab]'")
    try:
        written = command.run(options)
    except (ValueError, OSError) as error:
        return _fail(str(error))
    for path in written:
        _say(path, sys.stdout)
    return 0


def _say(text: str, out: object) -> None:
    """Print now, in whatever encoding the terminal has."""
    encoding = getattr(out, "encoding", None) or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), file=out, flush=True)  # type: ignore[call-overload]


def _fail(text: str) -> int:
    _say(f"segcore: {text}", sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
