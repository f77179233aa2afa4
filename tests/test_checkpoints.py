"""Checkpoints: whole or not there, read only where they are as they were written."""

from __future__ import annotations

import random
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from segcore import checkpoints


def content() -> dict:
    generator = torch.Generator().manual_seed(0)
    return {
        "model": {"weight": torch.rand(7, 5, generator=generator), "steps": torch.tensor(3)},
        "history": {"losses": [0.5, float("nan")], "best": (3, 0.25)},
    }


def test_what_was_written_comes_back_and_other_tools_read_it(tmp_path):
    path = tmp_path / "deep" / "net.pt"
    checkpoints.write(path, content())
    found = checkpoints.read(path)
    assert torch.equal(found["model"]["weight"], content()["model"]["weight"])
    assert found["history"]["best"] == (3, 0.25)
    assert [*torch.load(path, weights_only=True)] == ["format", "model", "history"]
    assert zipfile.ZipFile(path).testzip() is None
    assert list(path.parent.iterdir()) == [path]


def test_every_bit_that_turns_is_noticed(tmp_path):
    path = tmp_path / "net.pt"
    checkpoints.write(path, content())
    raw = path.read_bytes()
    draw = random.Random(0)
    places = [draw.randrange(8 * len(raw)) for _ in range(300)]
    weight = raw.index(content()["model"]["weight"].numpy().tobytes())
    places += range(8 * weight, 8 * (weight + 4))  # in a weight
    places += range(8 * (len(raw) - 66), 8 * (len(raw) - 62))  # where the checksum begins
    places += range(8 * (len(raw) - 1), 8 * len(raw))
    for place in places:
        turned = bytearray(raw)
        turned[place // 8] ^= 1 << place % 8
        path.write_bytes(turned)
        with pytest.raises(ValueError, match=r"damaged|no checkpoint"):
            checkpoints.read(path)
    flipped = bytearray(raw)
    flipped[weight] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(ValueError, match=r"net.pt is damaged: its SHA-256 is not"):
        checkpoints.read(path)


@pytest.mark.parametrize("length", [0, 1, 64, 500])
def test_a_file_that_was_cut_is_refused(tmp_path, length):
    path = tmp_path / "net.pt"
    checkpoints.write(path, content())
    path.write_bytes(path.read_bytes()[:length] if length < 500 else path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"damaged|no checkpoint"):
        checkpoints.read(path)


def test_the_file_that_a_link_names_is_written(tmp_path):
    (tmp_path / "disk").mkdir()
    link, target = tmp_path / "net.pt", tmp_path / "disk" / "real.pt"
    link.symlink_to(Path("disk") / "real.pt")  # it names nothing as yet
    for steps in (1, 2):
        checkpoints.write(link, {"steps": steps})
        assert link.is_symlink()
        assert checkpoints.read(target)["steps"] == checkpoints.read(link)["steps"] == steps
    assert sorted(tmp_path.iterdir()) == [tmp_path / "disk", link]
    assert list((tmp_path / "disk").iterdir()) == [target]


def test_what_a_killed_process_left_is_written_over(tmp_path):
    path = tmp_path / "net.pt"
    script = f"""
import os, signal, torch
from pathlib import Path
from segcore import checkpoints
torch.save = lambda content, file: (file.write(b"half"), file.flush(), os.kill(os.getpid(), signal.SIGKILL))
checkpoints.write(Path({str(path)!r}), {{}})
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    assert [each.name for each in tmp_path.iterdir()] == ["net.pt.part"]
    checkpoints.write(path, content())
    assert list(tmp_path.iterdir()) == [path]


def test_a_trial_leaves_nothing_behind(tmp_path):
    path = tmp_path / "net.pt"
    checkpoints.write(path, content(), trial=True)
    assert list(tmp_path.iterdir()) == []
    checkpoints.write(path, content())
    before = path.read_bytes()
    checkpoints.write(path, {}, trial=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("trial", [True, False])
def test_where_nothing_can_be_written_it_says_so(tmp_path, trial):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(
        OSError, match=r"checkpoint .*net.pt cannot be written .*folder that you may write to"
    ):
        checkpoints.write(tmp_path / "file" / "net.pt", content(), trial)


@pytest.mark.parametrize("trial", [True, False])
def test_a_full_disk_leaves_the_old_file(tmp_path, trial):
    resource = pytest.importorskip("resource")
    path = tmp_path / "net.pt"
    checkpoints.write(path, content())
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError, match=r"net.pt cannot be written .*make room"):
            checkpoints.write(path, {"model": {"weight": torch.rand(100_000)}}, trial)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_old_checkpoint_without_a_checksum_is_read(tmp_path):
    path = tmp_path / "net.pt"
    torch.save({"format": "segcore checkpoint 1", **content()}, path)
    assert checkpoints.read(path)["history"]["best"] == (3, 0.25)
    torch.save({"format": "segcore checkpoint 2", **content()}, path)  # one of now has a checksum
    with pytest.raises(ValueError, match="damaged"):
        checkpoints.read(path)


def states(make, steps: int = 1) -> dict:
    p = torch.nn.Parameter(torch.ones(2))
    optimizer = make([p])
    for _ in range(steps):
        p.grad = torch.ones(2)
        optimizer.step()
    return optimizer.state_dict()


OPTIMIZERS = {
    "AdamW": torch.optim.AdamW,
    "Adam": torch.optim.Adam,
    "AdamW, amsgrad": lambda p: torch.optim.AdamW(p, amsgrad=True),
    "Adamax": torch.optim.Adamax,
    "NAdam": torch.optim.NAdam,
    "RAdam": torch.optim.RAdam,
    "SGD": lambda p: torch.optim.SGD(p, 0.1),
    "SGD, momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
    "RMSprop": torch.optim.RMSprop,
    "RMSprop, momentum": lambda p: torch.optim.RMSprop(p, momentum=0.9),
    "RMSprop, centred": lambda p: torch.optim.RMSprop(p, centered=True),
    "Adagrad": torch.optim.Adagrad,
    "two groups": lambda p: torch.optim.AdamW([{"params": p}, {"params": [torch.nn.Parameter(p[0])]}]),
}


@pytest.mark.parametrize("there", OPTIMIZERS)
@pytest.mark.parametrize("here", OPTIMIZERS)
def test_another_optimizer_is_refused(here, there):
    own, other = states(OPTIMIZERS[here], steps=0), states(OPTIMIZERS[there])
    if here == there:
        checkpoints.check_same_optimizer(own, other, Path("net.pt"))
    else:
        with pytest.raises(ValueError, match="written with another optimizer"):
            checkpoints.check_same_optimizer(own, other, Path("net.pt"))


def test_what_an_optimizer_does_not_remember_may_differ():
    own = states(lambda p: torch.optim.AdamW(p, 0.1, (0.8, 0.9), weight_decay=0.0, foreach=True), steps=0)
    checkpoints.check_same_optimizer(own, states(torch.optim.AdamW), Path("net.pt"))
