"""A process that can do no harm: it has limits, a world of its own, and an end for all it starts.

`run` starts a warden, which starts the inmate. On Linux the inmate lives in namespaces of its own (no
network; it sees and can signal nothing but itself and what it starts, which dies with it) and under Landlock
(it reads and writes what it is allowed to). Neither needs root. Where one is missing, the warden still finds
and kills what the inmate left behind, and `what_holds` says what does not hold.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

__all__ = [
    "Limits",
    "allowed",
    "descendants",
    "end_with_parent",
    "how_it_ended",
    "run",
    "silence",
    "what_holds",
]

NEW_USER, NEW_PID, NEW_NET, NEW_NS, NEW_IPC = 0x10000000, 0x20000000, 0x40000000, 0x00020000, 0x08000000
PRIVATE, BIND = 0x40000 | 0x4000, 0x1000  # MS_PRIVATE | MS_REC, MS_BIND
SET_DEATH_SIGNAL, SET_SUBREAPER, NO_NEW_PRIVILEGES = 1, 36, 38  # of prctl
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446  # system calls, the same on all machines
READ = 1 << 0 | 1 << 2 | 1 << 3  # execute, read a file, read a folder
PROCESSES = 256


@dataclass(frozen=True)
class Limits:
    """What a process may use.

    Args:
        memory: Bytes of memory, beyond what it starts with.
        file: Bytes of one file that it writes.
        processes: How many processes it and all it starts may be, where the system counts them.
        reads: Files and folders that it may read; None where it may read all.
        writes: Files and folders that it may also write.
    """

    memory: int = 6 << 30
    file: int = 512 << 20
    processes: int = PROCESSES
    reads: Sequence[str] | None = None
    writes: Sequence[str] = field(default_factory=tuple)


def run(
    inmate: Callable[[], None],
    limits: Limits,
    ended: Callable[[int], None] | None = None,
    link: socket.socket | None = None,
) -> int:
    """Start a process that calls a function, and return the number of its warden.

    Args:
        inmate: What it does; the process ends when it returns or raises.
        limits: What it may use.
        ended: Called by the warden with the inmate's wait status.
        link: The inmate's line to whoever asked for it; when the other end closes, the inmate is killed.

    Returns:
        The warden's process number. When the warden is killed, so is the inmate with all it started.
    """
    warden = os.fork()
    if warden:
        return warden
    try:
        os.setsid()
        end_with_parent()
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(each, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sockets = _sockets()
        apart = _apart()
        _control(SET_SUBREAPER, 1)
        child = os.fork()
        if child == 0:
            _become(inmate, limits, apart, sockets)
        signal.signal(signal.SIGINT, lambda *_: _signal(child, signal.SIGINT))
        status = _wait(child, link)
        _kill_all()
        if ended is not None:
            ended(status)
    finally:
        os._exit(0)


def _become(inmate: Callable[[], None], limits: Limits, apart: bool, sockets: Sequence[bytes]) -> None:
    code = 1
    try:
        end_with_parent()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if apart:
            _own_view(sockets)
        _limit(limits, apart)
        inmate()
        code = 0
    except BaseException as error:
        with contextlib.suppress(Exception):
            sys.__stderr__.write(f"{type(error).__name__}: {error}\n")  # type: ignore[union-attr]
    finally:
        os._exit(code)


def _wait(child: int, link: socket.socket | None) -> int:
    """Wait for the inmate's end, and bring it about where nobody is left who asked for it."""
    poll = select.poll()
    if link is not None:
        poll.register(link, 0)  # tells of a hang-up, whatever is asked for
    if hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            poll.register(os.pidfd_open(child), select.POLLIN)
    while True:
        for descriptor, event in poll.poll(200):
            if link is not None and descriptor == link.fileno() and event:
                _signal(child, signal.SIGKILL)
                poll.unregister(link)
        try:
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == child:
                    return found[1]
        except ChildProcessError:
            return 0


def _signal(process: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(process, number)


def _kill_all() -> None:
    """Kill whatever descends from this process; what is orphaned becomes its child, so none is missed."""
    for _ in range(100):
        found = descendants(os.getpid())
        if not found:
            return
        for each in found:
            _signal(each, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)


def end_with_parent() -> None:
    """Let this process be killed when the one that started it ends (Linux)."""
    _control(SET_DEATH_SIGNAL, signal.SIGKILL)


def silence() -> None:
    """Send this process's output nowhere, and let it read nothing."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    sys.stdin = os.fdopen(0, "r", closefd=False)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", closefd=False)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", closefd=False)  # type: ignore[misc]


def descendants(process: int) -> list[int]:
    """The processes that descend from one, as far as the system tells (Linux)."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        if entry.isdecimal():
            with (
                contextlib.suppress(OSError, ValueError, IndexError),
                open(f"/proc/{entry}/stat", "rb") as file,
            ):
                fields = file.read().rpartition(b")")[2].split()
                if fields[0] not in (b"Z", b"X"):
                    parents.setdefault(int(fields[1]), []).append(int(entry))
    found, front = [], [process]
    while front:
        front = [child for each in front for child in parents.get(each, [])]
        found += front
    return found


def _linux() -> tuple[int, ...]:
    """The version of Linux."""
    return tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _control(option: int, value: int) -> bool:
    return sys.platform == "linux" and _libc().prctl(option, int(value), 0, 0, 0) == 0


def _apart() -> bool:
    """Give the next child namespaces of its own; whether the system lets us."""
    if sys.platform != "linux":
        return False
    user, group = os.getuid(), os.getgid()
    if _libc().unshare(NEW_USER | NEW_PID | NEW_NET | NEW_NS | NEW_IPC):
        return False
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    return True


def _sockets() -> list[bytes]:
    """The files by which programs of this machine take orders, such as Docker's or systemd's.

    Neither a network of one's own nor Landlock keeps anybody from them.
    """
    with contextlib.suppress(OSError), open("/proc/net/unix", "rb") as file:
        return [line.split(b" /", 1)[1] for line in file.read().split(b"\n") if b" /" in line]
    return []


def _own_view(sockets: Iterable[bytes] = ()) -> None:
    """A /proc that shows this process and its children alone, its own shared memory, no others' sockets."""
    libc = _libc()
    if libc.mount(None, b"/", None, PRIVATE, None) == 0:
        for each in sorted(set(sockets)):
            libc.mount(b"/dev/null", b"/" + each, None, BIND, None)
        libc.mount(b"proc", b"/proc", b"proc", 0, None)
        libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", 0, b"size=512m")


def _limit(limits: Limits, apart: bool) -> None:
    """Set the limits of this process, for good."""
    with contextlib.suppress(OSError, ValueError):
        with open("/proc/self/statm", "rb") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + limits.memory,) * 2)
    wanted = [(resource.RLIMIT_FSIZE, limits.file), (resource.RLIMIT_CORE, 0)]
    if apart and _linux() >= (5, 14):  # else it would count all that the user runs
        wanted.append((resource.RLIMIT_NPROC, limits.processes))
    for name, value in wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(name, (value, value))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing too much is an error, not the end
    if limits.reads is not None:
        _landlock(limits.reads, limits.writes)


@cache
def _landlock_version() -> int:
    if sys.platform != "linux":
        return 0
    return max(0, _libc().syscall(LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1))


def _landlock(reads: Iterable[str], writes: Iterable[str]) -> bool:
    """Allow this process and all that it starts to read and write these files and folders alone."""
    version = _landlock_version()
    if not version:
        return False
    every = (1 << {1: 13, 2: 14}.get(version, 15)) - 1
    scope = 3 if version >= 6 else 0  # no signals and no abstract sockets to the world outside
    rules = struct.pack("<QQQ", every, 3 if version >= 4 else 0, scope)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    libc = _libc()
    ruleset = libc.syscall(LANDLOCK_CREATE, ctypes.c_char_p(rules), ctypes.c_size_t(size), 0)
    if ruleset < 0:
        return False
    for path, rights in [*((path, READ) for path in reads), *((path, every) for path in writes)]:
        with contextlib.suppress(OSError):
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            if not os.path.isdir(path):
                rights &= 1 << 0 | 1 << 1 | 1 << 2 | (1 << 14 if version >= 3 else 0)
            rule = struct.pack("<Qi", rights, place)
            libc.syscall(LANDLOCK_ADD, ruleset, 1, ctypes.c_char_p(rule), 0)
            os.close(place)
    _control(NO_NEW_PRIVILEGES, 1)
    done: bool = libc.syscall(LANDLOCK_RESTRICT, ruleset, 0) == 0
    os.close(ruleset)
    return done


def allowed(hidden: Iterable[str], root: str = "/") -> list[str]:
    """The fewest files and folders that hold everything but what is to be hidden.

    Args:
        hidden: Files and folders that must not be read.
        root: Where to begin.
    """
    inside = [os.path.realpath(each) for each in hidden]
    inside = [each for each in inside if each == root or each.startswith(root.rstrip("/") + "/")]
    if not inside:
        return [root]
    if root in inside:
        return []
    found = []
    with contextlib.suppress(OSError):
        for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
            if not entry.is_symlink():
                found += allowed(inside, entry.path)
    return found


def what_holds() -> dict[str, bool]:
    """What this system can keep apart: tried in a process of its own."""
    code = "from segcore.grading import cage; print(int(cage._apart()), int(bool(cage._landlock_version())))"
    home = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
    words = [sys.executable, "-P", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    answer = done.stdout.split() if done.returncode == 0 else []
    return dict(
        zip(
            ("processes and network", "files"),
            [*(each == "1" for each in answer), False, False],
            strict=False,
        )
    )


def how_it_ended(status: int) -> str:
    """A wait status in words."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        words = {signal.SIGKILL: "it was killed", signal.SIGSEGV: "it crashed (segmentation fault)"}
        words[signal.SIGXCPU] = "its time was up"
        return words.get(signal.Signals(number), f"signal {signal.Signals(number).name}")
    return f"it left with exit code {os.WEXITSTATUS(status)}"
