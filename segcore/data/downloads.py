"""Downloads of large archives: whole and checked, or not there.

:func:`fetch` asks one mirror after the other, goes on where an interrupted download stopped (HTTP Range),
and compares what came with the published size and checksum before the file gets its name; until then it is
called ``NAME.part``. :func:`unpack` unpacks beside the place and moves into it. So whatever happens in
between (a cut connection, a full disk, Ctrl-C), nothing half written looks whole, and the same call goes on.

Checksums are SHA-256 where somebody has published one, else MD5 and the size. Where nothing is published, the
SHA-256 of the first download is kept in ``NAME.sha256`` beside it, and later ones must agree with that.

Why not a library: torchvision's and pooch's downloads begin again from the start, which at 2 GB from a slow
host is what hurts. Left out: several connections at once.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import os
import shutil
import ssl
import stat
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from tqdm.auto import tqdm

__all__ = ["Archive", "fetch", "prepare", "size_in_words", "unpack"]

CHUNK = 1 << 20
SILENCE = 30.0  # seconds without a byte after which a mirror is given up
SLOWEST, PATIENCE = 2000, 30.0  # bytes a second, over as many seconds, below which it is given up too
TRIES = 4  # at one mirror, as long as each brings something
SPARE = 1.1  # room that must be free, as a multiple of what is needed


@dataclass(frozen=True)
class Archive:
    """A file to download, and what is known of it.

    Attributes:
        name: What it is called on the disk.
        urls: Its mirrors, the first choice first.
        size: Bytes; None where nobody promises them.
        sha256: Its checksum, hexadecimal.
        md5: Likewise, looked at where there is no SHA-256.
        unpacked: Bytes that its content takes, about; as many as `size` unless said.
        inside: The folder in the archive whose content is wanted; all of it by default.
        gives: Paths that are there once it is unpacked, from the data set's folder.
    """

    name: str
    urls: tuple[str, ...]
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    unpacked: int = 0
    inside: str = ""
    gives: tuple[str, ...] = ()


class _Refused(Exception):
    """Why a mirror is given up; `useless` where what came from it is of no use to another."""

    def __init__(self, why: str, useless: bool = False) -> None:
        super().__init__(why)
        self.useless = useless


def size_in_words(size: float | None) -> str:
    """A number of bytes, as one says it.

    Example:
        >>> size_in_words(791918971), size_in_words(19173078), size_in_words(None)
        ('792 MB', '19 MB', 'size unknown')
    """
    if size is None:
        return "size unknown"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.{1 if unit == 'GB' and size < 1e10 else 0}f} {unit}"
    return f"{size:.0f} bytes"


# --- A data set ---


def prepare(
    title: str,
    archives: list[Archive],
    folder: Path,
    missing: Sequence[Path] = (),
    inner: Path | None = None,
) -> None:
    """Download and unpack what a data set lacks; of several processes one does it, and the others wait.

    Args:
        title: Name of the data set, for what is said before it starts.
        archives: Those that make it up; one whose `gives` are all there is left out.
        folder: Where they are unpacked. An archive that was put there by hand is taken, once it is checked.
        missing: Files that are missing in folders that are there: their archives are needed again.
        inner: An archive in one of the archives, unpacked where it lies, to a folder of its name.

    Raises:
        OSError: No mirror gave the file, the disk is full, or the folder cannot be written to. The message
            says what to do; the same call goes on.
        ValueError: An archive that is damaged, or that would write outside its folder.
    """

    def lacking() -> list[Archive]:
        tops = {path.relative_to(folder).parts[0] for path in missing if not path.exists()}
        return [
            each
            for each in archives
            if not all((folder / path).exists() for path in each.gives)
            or tops & {path.split("/")[0] for path in each.gives}
        ]

    def packed() -> bool:
        return inner is not None and inner.exists() and not inner.with_suffix("").is_dir()

    if not lacking() and not packed():
        return  # not even a lock is written, so a folder may be read-only
    with _locked(folder, title):
        needed = lacking()
        if needed:
            _announce(title, needed, folder)
        for each in needed:
            path = fetch(each, folder)
            try:
                unpack(path, folder, each.inside, each.unpacked or each.size or 0)
            except ValueError:  # of no use to anybody
                path.with_name(each.name + ".sha256").unlink(missing_ok=True)
                path.unlink()
                raise
            path.unlink()
        if inner is not None and inner.exists() and (needed or packed()):
            unpack(inner, inner.parent)


def _announce(title: str, archives: list[Archive], folder: Path) -> None:
    """Say what is about to be downloaded, before it starts."""
    sizes = [each.size for each in archives if each.size is not None]
    total = size_in_words(sum(sizes) if len(sizes) == len(archives) else None)
    parts = ", ".join(f"{each.name}, {size_in_words(each.size)}" for each in archives)
    print(
        f"{title}: downloading {total} to {folder} ({parts}). Ctrl-C keeps what came.",
        file=sys.stderr,
        flush=True,
    )


@contextlib.contextmanager
def _locked(folder: Path, title: str) -> Iterator[None]:
    """Be the only process that fills a folder; the system ends the lock of a process that was killed."""
    with _explained(folder, 0):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".download.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"{title}: another process is downloading it; waiting", file=sys.stderr, flush=True)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _explained(path: Path, needed: int | None) -> Iterator[None]:
    """Say of a disk that is full, or that may not be written to, what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(
                error.errno,
                f"the disk is full: {path} needs {size_in_words(needed)}. Make room, or choose another root; "
                "what came is kept, and the same call goes on",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise OSError(
                error.errno, f"{path} cannot be written to ({error.strerror}); choose another root"
            ) from error
        raise


# --- One file ---


def fetch(archive: Archive, folder: Path) -> Path:
    """Download a file, or take the one that lies there.

    Args:
        archive: What to get, and from where.
        folder: Where it goes to.

    Returns:
        Its path, once its size and checksum are right.

    Raises:
        OSError: As in :func:`prepare`.
    """
    path, part = folder / archive.name, folder / (archive.name + ".part")
    if path.exists():
        if (wrong := _differs(path, archive)) is None:
            return path
        aside = path.replace(path.with_name(archive.name + ".wrong"))
        print(f"{path} is not the published file ({wrong}); moved to {aside.name}", file=sys.stderr)
    needed = None if archive.size is None else archive.size + (archive.unpacked or archive.size)
    with _explained(path, needed):
        _check_room(part, archive, needed)
        reasons, waiting = [], list(archive.urls)
        while waiting:
            url, older = waiting.pop(0), part.exists()
            try:
                _download(url, part, archive)
                if (wrong := _differs(part, archive)) is not None:
                    raise _Refused(f"not the published file: {wrong}", useless=True)
                return part.replace(path)
            except _Refused as reason:
                reasons.append(f"  {urlsplit(url).netloc}: {reason}")
                if reason.useless:
                    part.unlink(missing_ok=True)
                    waiting[:0] = [url] * older  # what lay there may be to blame: once more, from the start
    there = part.stat().st_size if part.exists() else 0
    kept = f"What came ({size_in_words(there)}) is kept, and the same call goes on. " * bool(there)
    raise ConnectionError(
        f"{archive.name} ({size_in_words(archive.size)}) could not be downloaded:\n"
        + "\n".join(reasons)
        + f"\n{kept}Is this machine offline? Then download {archive.urls[0]} on another one, put it at "
        f"{path} and call again: it is checked and unpacked"
    )


def _check_room(part: Path, archive: Archive, needed: int | None) -> None:
    """Try the folder and the room on the disk, before anything is asked for."""
    part.parent.mkdir(parents=True, exist_ok=True)
    part.open("ab").close()
    there = part.stat().st_size
    if there == 0 or (archive.size is not None and there > archive.size):
        part.unlink()
        there = 0
    if needed is not None and shutil.disk_usage(part.parent).free < SPARE * (needed - there):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _download(url: str, part: Path, archive: Archive) -> None:
    """Bring the part of a file up to its whole length from one mirror, or say why not."""
    for tried in range(1, TRIES + 1):
        # Of a file whose length nobody promises one cannot tell whether a part of it is still right.
        before = part.stat().st_size if part.exists() and archive.size is not None else 0
        if archive.size is not None and before == archive.size:
            return
        try:
            if _one_request(url, part, archive, before):
                return
            cut = "the connection was cut"
        except urllib.error.HTTPError as error:
            if error.code == 416 and before:  # it has nothing from there on
                raise _Refused("it has a shorter file", useless=True) from error
            raise _Refused(f"answers {error.code} {error.reason}") from error
        except urllib.error.URLError as error:
            raise _Refused(_in_words(error.reason)) from error
        except TimeoutError:
            cut = f"nothing came for {SILENCE:g} seconds"
        except (http.client.HTTPException, ConnectionError, ssl.SSLError) as error:
            cut = f"the connection was cut ({type(error).__name__})"
        after = part.stat().st_size if part.exists() else 0
        if after <= before or tried == TRIES:
            raise _Refused(f"{cut}, {size_in_words(after)} came")


def _in_words(reason: Any) -> str:
    """Why no connection came about."""
    text = str(reason)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"its certificate cannot be verified here ({text})"
    return f"no connection ({text})"


def _one_request(url: str, part: Path, archive: Archive, before: int) -> bool:
    """Ask once for what is missing and write what comes; returns whether that was all of it."""
    headers = {"User-Agent": "segcore", "Accept-Encoding": "identity"}
    if before:
        headers["Range"] = f"bytes={before}-"
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=SILENCE) as response:
        if not (before and response.status == 206 and _starts_at(response, before)):
            before = 0  # all of it comes, from the start
        length = response.headers.get("Content-Length")
        whole = archive.size if length is None else before + int(length)
        if archive.size is not None and whole != archive.size:
            raise _Refused(f"has another file, of {whole:,} bytes instead of {archive.size:,}")
        with part.open("ab" if before else "wb") as file:
            done = _copy(response, file, before, whole, archive.name)
            file.flush()
            os.fsync(file.fileno())
    return whole is None or done == whole


def _starts_at(response: Any, before: int) -> bool:
    """Whether a partial answer is the part that was asked for."""
    return response.headers.get("Content-Range", "").startswith(f"bytes {before}-")


def _copy(response: Any, file: Any, done: int, whole: int | None, name: str) -> int:
    """Write what comes, as it comes; returns how long the file is now."""
    since, there = time.monotonic(), done
    options: dict[str, Any] = {"unit": "B", "unit_scale": True, "desc": name}
    with tqdm(total=whole, initial=done, **options, disable=_silent()) as bar:
        while chunk := response.read1(CHUNK):
            if whole is not None and done + len(chunk) > whole:
                raise _Refused(f"sends more than the {whole:,} bytes of the file", useless=True)
            file.write(chunk)
            done += len(chunk)
            bar.update(len(chunk))
            if (elapsed := time.monotonic() - since) > PATIENCE:
                if done - there < SLOWEST * elapsed:
                    raise _Refused(f"too slow: {(done - there) / elapsed:.0f} bytes a second")
                since, there = time.monotonic(), done
    return done


def _silent() -> bool:
    return os.environ.get("TQDM_DISABLE", "") not in ("", "0")


def _differs(path: Path, archive: Archive) -> str | None:
    """In what a file is not the published one; None if it is."""
    size = path.stat().st_size
    if archive.size is not None and size != archive.size:
        return f"{size:,} bytes instead of {archive.size:,}"
    kind = "md5" if archive.md5 and not archive.sha256 else "sha256"
    noted = path.with_name(archive.name + ".sha256")
    wanted = archive.sha256 or archive.md5
    if wanted is None and noted.exists():
        wanted = noted.read_text(encoding="ascii").split()[0]
    with path.open("rb") as file:
        found = hashlib.file_digest(file, kind).hexdigest()
    if wanted is None:  # nobody has published one: keep this one, so that later downloads are the same
        noted.write_text(f"{found}  {archive.name}\n", encoding="ascii")
        return None
    return None if found == wanted else f"{kind.upper()} {found[:12]}… instead of {wanted[:12]}…"


# --- Unpacking ---


def unpack(path: Path, folder: Path, inside: str = "", needed: int = 0) -> None:
    """Unpack a tar or zip archive into a folder, all of it or nothing.

    Args:
        path: The archive.
        folder: Where its content goes; files of the same names are replaced.
        inside: The folder in the archive whose content is wanted.
        needed: Bytes that the content takes, for the message where there is no room.

    Raises:
        OSError: There is no room, or the folder cannot be written to.
        ValueError: It is no such archive, it is damaged, or a member would be written outside the folder.
    """
    half = folder / f".unpacking-{path.name}"
    try:
        with _explained(folder, needed or None):
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir(parents=True)
            if zipfile.is_zipfile(path):
                _unzip(path, half, inside)
            else:
                _untar(path, half, inside)
            content = half / inside
            if not content.is_dir():
                raise ValueError(f"expected a folder {inside} in {path.name}, got none: another archive")
            _move(content, folder)
    except (tarfile.FilterError, zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        kind = "unsafe" if isinstance(error, tarfile.FilterError) else "damaged, or no archive"
        why = str(error).partition("\n")[0]
        raise ValueError(f"{path.name} is {kind} ({why}); nothing was unpacked") from error
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _untar(path: Path, half: Path, inside: str) -> None:
    """Python's own filter refuses absolute names, ``..``, links that lead outside, and devices."""
    if not hasattr(tarfile, "data_filter"):
        raise ValueError("unpacking safely needs Python 3.11.4 or newer; update it")
    with tarfile.open(path) as tar:
        tar.extractall(half, members=(each for each in tar if _wanted(each.name, inside)), filter="data")


def _unzip(path: Path, half: Path, inside: str) -> None:
    """Python changes such names quietly and writes links as files; here they are refused."""
    with zipfile.ZipFile(path) as archive:
        members = [each for each in archive.infolist() if _wanted(each.filename, inside)]
        for each in members:
            parts = each.filename.replace("\\", "/").split("/")
            if ".." in parts or parts[0] == "" or ":" in parts[0] or stat.S_ISLNK(each.external_attr >> 16):
                raise ValueError(
                    f"{path.name} is unsafe ({each.filename!r} leads outside); nothing was unpacked"
                )
        if sum(each.file_size for each in members) > shutil.disk_usage(half).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        archive.extractall(half, members)


def _wanted(name: str, inside: str) -> bool:
    """Whether a member belongs to what is wanted, by its name; what the Mac adds to archives does not."""
    base = name.rsplit("/", 1)[-1]
    return name.removeprefix("./").startswith(inside) and not (base.startswith("._") or "__MACOSX" in name)


def _move(content: Path, folder: Path) -> None:
    """Move what is in a folder into another, in as few steps as there can be."""
    for each in sorted(content.iterdir()):
        place = folder / each.name
        if each.is_dir() and place.is_dir():
            _move(each, place)
        else:
            os.replace(each, place)
