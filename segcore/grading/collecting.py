"""Hand-ins: found in folders, in zips and in zips inside them; what holds no notebook is named, too."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path, PurePosixPath

from segcore.checks.chapters import CHAPTERS
from segcore.grading.journal import NAME as JOURNAL
from segcore.grading.submissions import BESIDE, FILES, Submission

__all__ = ["Lost", "find", "label"]

UNPACKED = 2 << 30  # bytes of all that a zip holds
INSIDE = 8 << 30  # bytes of all zips inside zips
NESTED = 3  # zips inside zips inside a zip
ARCHIVES = (".rar", ".7z", ".tar", ".gz", ".tgz", ".bz2", ".xz")
LINK = "a link, which is not followed; name what it points to"


@dataclass(frozen=True)
class Lost:
    """Something in which no notebook can be graded, and why.

    ``student`` is empty where it is no hand-in, but a path of the command line.
    """

    path: str
    why: str
    student: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


def label(path: str | Path) -> str:
    """A path as a text that can be written anywhere, also where its name is not UTF-8."""
    raw = os.fsencode(path)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return "".join(each if each.isprintable() else "�" for each in text).replace(os.sep, "/")


def find(paths: Iterable[str | Path], temporary: Path) -> tuple[list[Submission], list[Lost]]:
    """The hand-ins that paths name, and what holds none.

    Args:
        paths: Notebooks, zips, and folders that are searched to the bottom. Links in them are not followed.
        temporary: A folder in which zips are unpacked.
    """
    search = _Search(temporary)
    typed = [Path(path) for path in paths]
    zips = sum(_is_zip(path) for path in typed)
    for path in typed:
        name, home = label(path), label(path.resolve().name)
        if not path.exists():
            search.lost.append(Lost(name, "no such file or folder"))
        elif path.is_dir():
            before = len(search.lost)
            if not search.folder(_Place(path, name, home)) and len(search.lost) == before:
                search.lost.append(Lost(name, "no notebook in this folder"))
        elif _is_zip(path):
            stem = label(path.stem)
            search.zip(path, _Place(path, name, stem, _student((stem,), stem) if zips > 1 else "", True))
        else:
            search.notebook(path, name, _student((home,), label(path.resolve().parent.name)))
    return list(search.found.values()), search.lost


@dataclass(frozen=True)
class _Place:
    """A folder or a zip that is searched."""

    path: Path
    name: str
    home: str  # stands for the student where folders and files say nothing
    student: str = ""  # where all that it holds is one student's
    unsure: bool = False  # a zip of several folders would still be a class's
    zips: int = 0  # around it


@dataclass
class _Seen:
    """What lies in one folder and in those below."""

    notebooks: list[Path] = field(default_factory=list)
    zips: list[Path] = field(default_factory=list)
    faulty: list[tuple[Path, str]] = field(default_factory=list)  # no notebook, though it is called so
    others: list[tuple[Path, str]] = field(default_factory=list)  # a hand-in where no notebook lies beside it
    folders: list[Path] = field(default_factory=list)


class _Search:
    def __init__(self, temporary: Path) -> None:
        self.temporary, self.room = temporary, INSIDE
        self.found: dict[str, Submission] = {}
        self.lost: list[Lost] = []

    def notebook(self, file: Path, name: str, student: str) -> None:
        self.found.setdefault(os.path.realpath(file), Submission(name, student, file))

    def folder(self, place: _Place) -> bool:
        """Search a folder to the bottom; whether it holds a notebook, also in a zip."""
        top, seen = place.path, _look(place.path)
        several = len({each.parent for each in seen.notebooks}) > 1
        whose = "" if place.unsure and several else place.student

        def named(path: Path, inside: tuple[str, ...] = ()) -> tuple[str, str]:
            way = tuple(label(part) for part in path.relative_to(top).parts)
            full = (*way, *inside)
            return "/".join((place.name, *way)), _of_moodle(full) or whose or _student(full, place.home)

        for path in seen.notebooks:
            self.notebook(path, *named(path))
        holds = bool(seen.notebooks)
        others = [*seen.others, *((each, _empty(each)) for each in _barren(seen, top))]
        for path in seen.zips:
            name, student = named(path)
            # A zip in a folder is one student's; so is one of several, or in a zip, if it holds one folder.
            unsure = path.parent == top and not whose
            own = not unsure or place.zips or len(seen.zips) > 1
            before = len(self.lost)
            inner = _Place(path, name, label(path.stem), student if own else "", unsure, place.zips)
            if self.zip(path, inner):
                holds = True
            elif len(self.lost) == before:
                others.append((path, "no notebook in this zip"))
        apart = [pair for pair in others if not _material(pair[0], seen.notebooks, top)]
        for path, why in sorted([*seen.faulty, *apart], key=lambda pair: os.fsencode(pair[0])):
            name, student = named(path, ("lab.ipynb",) if path.is_dir() else ())
            self.lost.append(Lost(name, why, student))
        return holds

    def zip(self, path: Path, place: _Place) -> bool:
        """Search a zip; whether it holds a notebook."""
        folder = self.temporary / hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()[:16]
        try:
            if place.zips > NESTED:
                raise ValueError(f"it lies in {place.zips} others")
            if not folder.exists():
                folder.mkdir(parents=True)
                used = _unpack(path, folder, min(BESIDE, self.room) if place.zips else UNPACKED)
                self.room -= used if place.zips else 0
        except Exception as error:  # a broken zip raises anything: zlib.error, struct.error, ...
            shutil.rmtree(folder, ignore_errors=True)
            why = f"a zip that cannot be unpacked ({error})"
            self.lost.append(Lost(place.name, why, place.student or place.home))
            return False
        return self.folder(replace(place, path=folder, zips=place.zips + 1))


def _look(top: Path) -> _Seen:
    seen = _Seen()

    def closed(error: OSError) -> None:
        seen.faulty.append(
            (Path(os.fsdecode(error.filename)), f"a folder that cannot be read ({error.strerror})")
        )

    for root, folders, files in os.walk(top, onerror=closed):
        here = Path(root)
        if JOURNAL in files:  # results that lie among the hand-ins
            folders.clear()
            continue
        folders[:] = sorted((each for each in folders if not _hidden(each)), key=os.fsencode)
        seen.folders.append(here)
        for name in [*folders, *sorted((each for each in files if not _hidden(each)), key=os.fsencode)]:
            path, kind = here / name, Path(name).suffix.lower()
            if path.is_symlink():
                if kind in (".ipynb", ".zip"):
                    seen.faulty.append((path, LINK))
                elif path.is_dir():
                    seen.others.append((path, LINK))
            elif path.is_dir():
                continue
            elif kind in (".ipynb", ".zip"):
                if path.is_file():
                    (seen.notebooks if kind == ".ipynb" else seen.zips).append(path)
                else:
                    seen.faulty.append((path, "no file, though it is called so"))
            elif kind in ARCHIVES:
                seen.others.append((path, f"{kind} is not unpacked here; unpack it, or make a zip of it"))
    return seen


def _barren(seen: _Seen, top: Path) -> list[Path]:
    """The topmost folders that hold nothing to grade and nothing that is named otherwise."""
    named = [*seen.notebooks, *seen.zips, *(path for path, _ in [*seen.faulty, *seen.others])]
    full = {folder for each in named for folder in each.parents if folder.is_relative_to(top)}
    full |= {path for path, _ in seen.faulty}
    return [each for each in seen.folders if each not in full and each.parent in full and each != top]


def _empty(folder: Path) -> str:
    """Words for a folder without a notebook."""
    held = sorted(label(each.name) for each in folder.rglob("*") if each.is_file())
    more = f" and {len(held) - 3} more" if len(held) > 3 else ""
    return f"no notebook in this folder; it holds {', '.join(held[:3]) or 'no file'}{more}"


def _material(path: Path, notebooks: Sequence[Path], top: Path) -> bool:
    """Whether something belongs to a notebook above it, as a folder of pictures does."""
    holding = {each.parent for each in notebooks}
    around = [folder for folder in path.parents if folder.is_relative_to(top) and folder != top]
    single = sum(each.parent == top for each in notebooks) == 1  # of several, the folder is a class's
    return single or any(folder in holding for folder in around)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip" and path.is_file()


def _unpack(path: Path, folder: Path, most: int) -> int:
    """Unpack a zip: files inside its folder alone, no links, no more than the limits; how many bytes."""
    with zipfile.ZipFile(path) as archive:
        members = [each for each in archive.infolist() if not each.is_dir()]
        size = sum(each.file_size for each in members)
        if len(members) > FILES or size > most:
            raise ValueError(f"more than {FILES} files or {most >> 20} MB")
        for each in members:
            name = PurePosixPath(each.filename.replace("\\", "/"))
            linked = stat.S_ISLNK(each.external_attr >> 16)
            if not name.parts or name.is_absolute() or ".." in name.parts or linked or ":" in name.parts[0]:
                raise ValueError(f"{each.filename!r} would lie outside")
            target = folder.joinpath(*name.parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            plain, number = target, 1
            while target.exists():  # two of one name
                target, number = plain.with_stem(f"{plain.stem} ({number})"), number + 1
            left = each.file_size
            with archive.open(each) as source, open(target, "wb") as file:
                while part := source.read(1 << 20):
                    left -= len(part)
                    if left < 0:
                        raise ValueError(f"{each.filename!r} is larger than it says")
                    file.write(part)
    return size


def _of_moodle(way: Sequence[str]) -> str:
    """The name in the folder or file that Moodle makes for a hand-in."""
    found = (re.fullmatch(r"(.+?)_\d+_assignsubmission.*", part) for part in reversed(way))
    return next((each[1] for each in found if each), "")


def _student(way: Sequence[str], home: str) -> str:
    """Who handed in: a folder's name, or the file's where it lies among others.

    Args:
        way: The folders and the file, from the path that was typed.
        home: The name around them, for a file that says nothing.
    """
    if found := _of_moodle(way):
        return found
    own = re.sub(r"\.(ipynb|zip)$", "", way[-1], flags=re.IGNORECASE)
    if len(way) > 1:
        return way[-2].strip() or way[-2]
    rest = re.sub(rf"(?i)[\s_\-.()]*(?:{'|'.join(_labs())})[\s_\-.()]*", " ", own).strip()
    for nothing in (r"^(copy of|kopie von|untitled|lab|solution)\b\s*\d*", r"^(\(?\d+\)?|copy\d*)$"):
        rest = re.sub(nothing, "", rest, flags=re.IGNORECASE).strip()
    return rest or home or own


@cache
def _labs() -> tuple[str, ...]:
    return tuple(f"{int(number):02d}_{slug}" for number, slug in CHAPTERS.items())
