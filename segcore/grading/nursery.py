"""Where processes are born: torch is imported once, and every marker, kernel and judge is a fork of it.

``python -m segcore.grading.nursery N`` talks over the socket with the number N. It splits in two. One half
never imports the course's checks: judges are its forks. The other half does: markers are its forks, and
kernels theirs.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import sys
import sysconfig
from pathlib import Path

__all__ = ["course_files", "main"]

# What the answers of students may use is there before a judge is closed to the disk.
BASE = [
    "torch",
    "torch.nn.functional",
    "torch.testing",
    "torchvision.ops",
    "numpy",
    "scipy.ndimage",
    "scipy.optimize",
    "scipy.signal",
    "scipy.sparse.csgraph",
    "skimage.segmentation",
    "skimage.measure",
    "skimage.morphology",
    "heapq",
    "statistics",
]
OWN = ["segcore.grading.judge", "segcore.grading.cage"]
COURSE = [
    "IPython.core.interactiveshell",
    "matplotlib.pyplot",
    "matplotlib_inline.backend_inline",
    "ipywidgets",
    "segcore.viz",
    "segcore.data.scenes",
    "segcore.data.images",
    "segcore.train",
    "segcore.widgets",
    "segcore.grading.marker",
]


def course_files() -> list[str]:
    """What a judge must not read: the library, and in a checkout all but the environment it runs in."""
    package = Path(__file__).resolve().parents[1]
    home = package.parent
    if home.name in {"site-packages", "dist-packages"}:
        return [str(package)]
    kept = {Path(each).resolve() for each in (sys.prefix, sys.base_prefix, *sysconfig.get_paths().values())}
    with contextlib.suppress(OSError):
        return [str(each) for each in home.iterdir() if not _holds(each.resolve(), kept)]
    return [str(package)]


def _holds(folder: Path, kept: set[Path]) -> bool:
    return any(each.is_relative_to(folder) for each in kept)


def main(number: int) -> None:
    """Serve until the other end of the socket closes.

    Args:
        number: The socket's file descriptor. Each message starts a marker; it is the marker's task as JSON,
            and brings the socket by which the marker answers.
    """
    control = socket.socket(fileno=number)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the grader's business
    for name in (*BASE, *OWN):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    with contextlib.suppress(RuntimeError):
        torch.set_num_interop_threads(1)
    asks, answers = socket.socketpair(
        socket.AF_UNIX, socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM
    )
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    if os.fork() == 0:
        answers.close()
        _markers(control, asks)
    else:
        asks.close()
        control.close()
        _judges(answers)


def _judges(answers: socket.socket) -> None:
    from segcore.grading import cage, judge
    from segcore.grading.wire import Channel, Closed

    # Nor may it read what a kernel writes: that one has the course, and could answer for it.
    hidden = [*course_files(), os.getcwd()]
    limits = cage.Limits(
        memory=4 << 30, file=0, processes=64, reads=cage.allowed(hidden), writes=("/dev/null",)
    )
    while True:
        message, descriptors, _, _ = socket.recv_fds(answers, 64, 1)
        if not message:
            return
        link = socket.socket(fileno=descriptors[0])

        def ended(status: int, link: socket.socket = link) -> None:
            with contextlib.suppress(Closed):
                Channel(link).send({"op": "ended", "why": cage.how_it_ended(status)})

        def work(link: socket.socket = link) -> None:
            answers.close()
            cage.silence()
            judge.main(link, hidden)

        cage.run(work, limits, ended, link)
        link.close()


def _markers(control: socket.socket, asks: socket.socket) -> None:
    for name in COURSE:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    from segcore.checks import CHAPTERS, exercises
    from segcore.grading import marker
    from segcore.grading.wire import Channel

    for chapter in CHAPTERS:
        with contextlib.suppress(ValueError):
            exercises(chapter)
    control.sendall(b"ready\n")
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1 << 20, 1)
        if not message:
            os._exit(0)
        if os.fork() == 0:
            control.close()
            try:
                marker.main(json.loads(message), Channel(socket.socket(fileno=descriptors[0])), asks)
            except BaseException as error:
                sys.stderr.write(f"segcore: a marker failed: {type(error).__name__}: {error}\n")
                sys.stderr.flush()
            finally:
                os._exit(0)
        for each in descriptors:
            os.close(each)


if __name__ == "__main__":
    main(int(sys.argv[1]))
