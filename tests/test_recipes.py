"""Trainings from the command line: what they say, what they leave, and that they go on where they stopped."""

from __future__ import annotations

import copy
import csv
import dataclasses
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest
import torch
import torchvision
from test_datasets import library, server  # noqa: F401  (fixtures)

from segcore import recipes, report, viz
from segcore.__main__ import main
from segcore.data import pretrained
from segcore.encoder_decoders import UNet
from segcore.train import History, load

QUICK = ("--device", "cpu", "--precision", "float32")
SMALL = ("--steps", "6", "--batch", "2", "--size", "32", *QUICK)
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """A few scenes to score on are enough here."""
    monkeypatch.setenv("TQDM_DISABLE", "1")
    for name, count in (("HELD_OUT", 6), ("CHOOSING", 4), ("FEW", 4), ("SHOWN", 2)):
        monkeypatch.setattr(recipes, name, count)


def run(*words: str) -> int:
    return main(["train", *map(str, words)])


def losses(folder: Path) -> list[float]:
    return torch.load(folder / "checkpoint.pt", weights_only=True)["history"]["losses"]


def weights(folder: Path) -> torch.Tensor:
    content = torch.load(folder / "checkpoint.pt", weights_only=True)["model"]
    return torch.cat([each.double().flatten() for each in content.values()])


# ---- What it says


def test_it_says_what_it_will_do_and_a_dry_run_stops_there(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("unet", "--dry-run", "--device", "cpu") == 0
    said = capsys.readouterr().out
    assert "recipe      U-Net, 1,085,812 parameters" in said
    assert "1,800 steps of 8 images of 64 × 64, learning rate 0.003, seed 0" in said
    assert "device      cpu (" in said and "precision auto" in said
    assert "writes      runs/unet-scenes: checkpoint.pt, run.json" in said
    assert "nothing to download" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "said"),
    [("pets", "811 MB"), ("voc", "2.0 GB"), ("camvid", "size unknown")],
)
def test_a_dry_run_without_the_data_says_how_large_they_are(tmp_path, capsys, data, said):
    assert run("unet", "--data", data, "--root", tmp_path, "--dry-run", "--download", "--device", "cpu") == 0
    out = capsys.readouterr().out
    assert f"is not there: in {tmp_path}" in out and said in out
    assert list(tmp_path.iterdir()) == []  # and nothing was downloaded


REFUSED = [
    (
        ["unett"],
        r"no recipe is called 'unett'; did you mean 'unet'\? There are: unet, fcn8s, deeplab, mask_rcnn",
    ),
    (["what"], r"no recipe is called 'what'. There are"),
    (["mask_rcnn", "--data", "pets"], r"mask_rcnn learns from scenes, penn_fudan, voc, not from 'pets'"),
    (["unet", "--data", "imagenet"], r"unet learns from scenes, pets, voc, camvid, not from 'imagenet'"),
    (["unet", "--steps", "0"], r"expected --steps of 1 or more, got 0"),
    (["unet", "--size", "4"], r"expected --size of 16 or more, got 4"),
    (["unet", "--batch", "-1"], r"expected --batch of 1 or more, got -1"),
    (["unet", "--lr", "0"], r"expected --lr of 1e-12 or more, got 0"),
    (["unet", "--device", "quantum"], r"--device quantum is not to be had here \(.*\); \w+ is"),
    (
        ["unet", "--data", "pets", "--pretrained"],
        r"unet on pets has no backbone whose weights could be fetched; leave --pretrained out, or take "
        r"deeplab with --data pets, voc, camvid",
    ),
    (["deeplab", "--pretrained"], r"deeplab on scenes has no backbone whose weights could be fetched"),
    (["unet", "--resume"], r"there is nothing to go on from in .*; leave --resume out to begin"),
    (
        ["unet", "--data", "pets", "--root", "nowhere"],
        r"Oxford-IIIT Pet is not there: .* \(811 MB\); here: add --download",
    ),
]


@pytest.mark.parametrize(("words", "said"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_what_cannot_be_done_is_said_before_it_begins(tmp_path, capsys, words, said):
    assert run(*words, "--out", tmp_path / "out") == 2
    err = capsys.readouterr().err
    assert re.search(said, err) and err.startswith("segcore: ")
    assert not (tmp_path / "out" / "checkpoint.pt").exists()


def test_a_folder_that_cannot_be_written_to_is_said_first(tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    assert run("unet", "--out", tmp_path / "file" / "out") == 2
    assert re.search(
        r"cannot be written to \(.*\); choose another folder with --out", capsys.readouterr().err
    )


def test_a_full_disk_is_said_first(tmp_path, capsys, monkeypatch):
    usage = dataclasses.make_dataclass("Usage", ["total", "used", "free"])(10, 5, 1_000_000)
    monkeypatch.setattr(recipes.shutil, "disk_usage", lambda _: usage)
    assert run("unet", "--out", tmp_path / "out") == 2
    assert "has less than 0.3 GB left; make room" in capsys.readouterr().err


def test_deeplab_says_where_it_is_missing(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "segcore.deeplab", None)
    assert run("deeplab", "--out", tmp_path / "out") == 2
    assert "has no segcore/deeplab.py yet: take another recipe" in capsys.readouterr().err


# ---- What it leaves


def test_a_training_leaves_weights_scores_curve_and_pictures(tmp_path, capsys):
    out = tmp_path / "deep" / "out"
    assert run("unet", *SMALL, "--out", out) == 0
    said = capsys.readouterr().out
    assert re.search(r"held out    mean IoU 0\.\d{4} on 6 images\nwritten     .*report.html", said)
    assert {path.name for path in out.iterdir()} == {
        *("checkpoint.pt", "run.json", "curve.csv", "curve.svg", "report.html")
    }
    content = json.loads((out / "run.json").read_text())
    assert content["plan"]["steps"] == content["steps"] == 6
    assert content["parameters"] == 1_085_812 and content["processes"] == 1
    assert list(content["held_out"]["iou"]) == ["background", "sphere", "box", "cylinder"]
    rows = list(csv.DictReader((out / "curve.csv").read_text().splitlines()))
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [float(row["loss"]) for row in rows] == pytest.approx(losses(out), rel=1e-5)
    assert all(row["score"] for row in rows)
    ElementTree.parse(out / "curve.svg")
    network = load(UNet(3, 4, width=24, depth=3), out / "checkpoint.pt")
    assert network(torch.rand(1, 3, 32, 32)).shape == (1, 4, 32, 32)
    check_page((out / "report.html").read_text(), 2)


def check_page(text: str, count: int) -> None:
    """A page that needs nothing beside it, with every picture described."""
    assert re.findall(r'(?:src|href)="(?!data:image/png;base64,)', text) == []
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    images = re.findall(r'<img src="data:[^"]+" alt="([^"]+)">', text)
    assert len(images) == 3 * count == text.count("<img")
    assert images[1].startswith("Truth: ") and images[2].startswith("Prediction: ")
    assert "prefers-color-scheme: dark" in text and "<title>" in text and 'lang="en"' in text
    assert "<svg" in text and 'aria-label="Loss from' in text


def test_mask_rcnn_learns_from_scenes(tmp_path, capsys):
    out = tmp_path / "out"
    assert run("mask_rcnn", "--steps", "2", "--batch", "2", "--size", "64", *QUICK, "--out", out) == 0
    content = json.loads((out / "run.json").read_text(), parse_constant=pytest.fail)  # no NaN
    assert content["held_out"]["APl"] is None
    assert set(content["held_out"]) == {"AP", "AP50", "AP75", "APs", "APm", "APl", "images"}
    check_page((out / "report.html").read_text(), 2)


def test_a_finished_training_is_not_done_again(tmp_path, capsys):
    out = tmp_path / "out"
    run("unet", *SMALL, "--out", out)
    before = (out / "checkpoint.pt").stat().st_mtime_ns
    capsys.readouterr()
    assert run("unet", *SMALL, "--out", out, "--resume") == 0
    assert "goes on     from step 6" in capsys.readouterr().out
    assert (out / "checkpoint.pt").stat().st_mtime_ns == before


def test_another_training_is_never_written_over(tmp_path, capsys):
    out = tmp_path / "out"
    run("unet", *SMALL, "--out", out)
    for words, said in (
        (["unet", *SMALL, "--seed", "1"], "with seed 0 and not 1"),
        (["fcn8s", *SMALL], "with recipe unet and not fcn8s"),
        (["unet", *SMALL, "--batch", "3"], "with batch 2 and not 3"),
    ):
        assert run(*words, "--out", out) == 2
        assert said in capsys.readouterr().err
    (out / "checkpoint.pt").write_bytes(b"damaged")
    assert run("unet", *SMALL, "--out", out) == 2
    assert "is no checkpoint that can be read" in capsys.readouterr().err
    assert (out / "checkpoint.pt").read_bytes() == b"damaged"


# ---- Interrupted and resumed


@pytest.mark.parametrize("recipe", ["unet", "mask_rcnn"])
def test_interrupted_and_resumed_is_as_if_never_interrupted(tmp_path, capsys, monkeypatch, recipe):
    words = [recipe, "--steps", "5", "--batch", "2", "--size", "48", *QUICK]
    assert run(*words, "--out", tmp_path / "whole") == 0
    fit = recipes.fit

    def interrupted(model, data, *rest, **options):
        def stops(step):
            if step == 3:
                raise KeyboardInterrupt
            return data(step)

        return fit(model, stops, *rest, **options)

    monkeypatch.setattr(recipes, "fit", interrupted)
    capsys.readouterr()
    assert run(*words, "--out", tmp_path / "part") == 130
    said = capsys.readouterr().out
    assert "stopped     at step 3 of 5; the same command goes on" in said
    assert (tmp_path / "part" / "report.html").exists()  # an early result
    monkeypatch.setattr(recipes, "fit", fit)
    assert run(*words, "--out", tmp_path / "part") == 0
    assert "goes on     from step 3" in capsys.readouterr().out
    assert losses(tmp_path / "part") == losses(tmp_path / "whole")
    assert torch.equal(weights(tmp_path / "part"), weights(tmp_path / "whole"))
    both = [json.loads((tmp_path / name / "run.json").read_text())["held_out"] for name in ("part", "whole")]
    assert json.dumps(both[0]) == json.dumps(both[1])


def started(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "segcore", "train", *map(str, words), *QUICK]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, **pipes)


def test_ctrl_c_keeps_what_was_learnt(tmp_path):
    out = tmp_path / "out"
    process = started("unet", "--steps", "100000", "--batch", "2", "--size", "16", "--out", out)
    for line in process.stdout:
        if line.startswith("time "):
            assert re.search(r"ms a step: about \d+ (s|minutes) to go", line)
            break
    process.send_signal(signal.SIGINT)
    said, err = process.communicate(timeout=300)
    assert process.returncode == 130, err[-2000:]
    assert re.search(r"stopped     at step \d+ of 100,000; the same command goes on", said)
    assert {path.name for path in out.iterdir()} >= {"checkpoint.pt", "run.json", "report.html", "curve.csv"}


# ---- Several processes


def together(out: Path, steps: int = 60) -> subprocess.Popen[str]:
    """Two processes that train together."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    command += ["segcore", "train", "unet", "--steps", str(steps), "--batch", "4", "--size", "16", *QUICK]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*command, "--out", str(out)], cwd=ROOT, env=ENVIRONMENT, **pipes)


def test_two_processes_one_of_which_writes_also_after_both_were_killed(tmp_path):
    whole, part = tmp_path / "whole", tmp_path / "part"
    process = together(whole)
    said, err = process.communicate(timeout=400)
    assert process.returncode == 0, err[-2000:]
    assert said.count("recipe      U-Net") == said.count("held out    mean IoU") == 1
    assert "2 processes together" in said
    assert json.loads((whole / "run.json").read_text())["processes"] == 2
    process = together(part)
    until = time.monotonic() + 300
    while not (part / "checkpoint.pt").exists() and time.monotonic() < until:
        time.sleep(0.02)
    for each in (*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)):
        each.kill()
    process.communicate()
    first = len(losses(part))
    assert first < 60
    process = together(part)
    said, err = process.communicate(timeout=400)
    assert process.returncode == 0, err[-2000:]
    assert f"goes on     from step {first}" in said
    assert losses(part) == pytest.approx(losses(whole), rel=1e-5)
    torch.testing.assert_close(weights(part), weights(whole), rtol=1e-4, atol=1e-5)


def test_one_ctrl_c_stops_two_processes_after_the_same_step(tmp_path):
    process = together(tmp_path, 100_000)
    for line in process.stdout:
        if line.startswith("time "):
            break
    process.send_signal(signal.SIGINT)  # a terminal sends it to torchrun, which hands it on
    said, err = process.communicate(timeout=300)
    found = re.search(r"stopped     at step (\d+) of 100,000; the same command goes on", said)
    assert found, err[-2000:]
    assert said.count("stopped  ") == said.count("held out") == 1
    assert "(torchrun itself ends with a traceback and code 1" in said
    assert process.returncode == 1 and "SignalException" in err
    assert len(losses(tmp_path)) == int(found[1]) > recipes.WATCHED
    assert json.loads((tmp_path / "run.json").read_text())["steps"] == int(found[1])
    assert not re.search("SIGKILL|KeyboardInterrupt", err)  # both ended by themselves


# ---- A backbone that was trained before


@pytest.fixture
def published(server, tmp_path, monkeypatch):  # noqa: F811
    """What torchvision publishes, from this machine: a ResNet-50 that nobody trained."""
    torch.manual_seed(3)
    network, content = torchvision.models.resnet50(), io.BytesIO()
    torch.save(network.state_dict(), content)
    name = f"resnet50-{hashlib.sha256(content.getbuffer()).hexdigest()[:8]}.pth"
    server.files[name] = content.getvalue()
    value = torchvision.models.ResNet50_Weights.IMAGENET1K_V1.value
    monkeypatch.setattr(value, "url", server.url("torchvision", name))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return network.eval(), tmp_path / "torch" / "hub" / "checkpoints" / name


def test_a_backbone_begins_with_the_weights_that_torchvision_publishes(
    library,  # noqa: F811
    published,
    server,  # noqa: F811
    tmp_path,
    capsys,
    monkeypatch,
):
    network, path = published
    words = ["deeplab", "--data", "pets", "--root", tmp_path / "data", "--out", tmp_path / "out", *QUICK]
    words += ["--workers", "0", "--steps", "1", "--batch", "1", "--size", "32", "--pretrained", "--download"]
    assert run(*words, "--dry-run") == 0
    assert re.search(
        rf"backbone    resnet50 with .* 103 MB from 127.0.0.1:\d+ to {path}", capsys.readouterr().out
    )
    assert not path.exists()
    server.manner = {"torchvision": "404"}
    assert run(*words) == 2
    err = capsys.readouterr().err
    assert "could not be fetched (HTTP Error 404: Not Found). Is this machine offline? Then download" in err
    assert f"(103 MB) on another machine and put it at {path}, or leave --pretrained out" in err
    server.manner = {"torchvision": "wrong"}
    assert run(*words) == 2
    assert f"{path} is not the published file (invalid hash value" in capsys.readouterr().err
    assert not path.exists()
    server.manner, begun = {}, []

    def seen(model, *rest, **options):
        begun.append(copy.deepcopy(model).eval())
        return History([1.0], [], None, 1, 1.0)

    monkeypatch.setattr(recipes, "fit", seen)
    assert run(*words) == 0
    assert path.exists()
    image = torch.rand(1, 3, 64, 64)
    mean, spread = (torch.tensor(each)[:, None, None] for each in (pretrained.MEAN, pretrained.SPREAD))
    stem = torch.nn.Sequential(network.conv1, network.bn1)((image - mean) / spread)
    ours = torch.nn.Sequential(begun[0].backbone.conv1, begun[0].backbone.bn1)(image)
    assert torch.allclose(ours[..., 2:-2, 2:-2], stem[..., 2:-2, 2:-2], atol=1e-4)
    assert torch.equal(begun[0].backbone.layer4[2].conv3.weight, network.layer4[2].conv3.weight)
    capsys.readouterr()
    assert run(*words[: words.index("--pretrained")], "--download") == 2
    assert "with pretrained True and not False" in capsys.readouterr().err
    assert run(*words, "--dry-run") == 0
    assert f"with ImageNet's weights, from {path}" in capsys.readouterr().out


def test_weights_of_another_network_are_refused(published):
    _, path = published
    path.parent.mkdir(parents=True)
    torch.save({"conv1.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"holds another network than resnet50: .*delete the file"):
        pretrained.load(torchvision.models.resnet50(), "resnet50")
    path.write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"is not the published file .*delete it and call again"):
        pretrained.fetch("resnet50")
    with pytest.raises(ValueError, match="begins with conv1 and bn1"):
        pretrained.take_raw_images(
            torch.nn.ModuleDict({"conv1": torch.nn.Flatten(), "bn1": torch.nn.Flatten()})
        )


# ---- Real data, in miniature


def test_pets_are_downloaded_and_learnt_from(library, tmp_path, capsys):  # noqa: F811
    words = [
        "unet",
        "--data",
        "pets",
        "--root",
        tmp_path / "data",
        "--out",
        tmp_path / "out",
        "--workers",
        "0",
    ]
    words += ["--steps", "2", "--batch", "1", "--size", "32", *QUICK]
    assert run(*words) == 2
    assert "here: add --download" in capsys.readouterr().err
    assert run(*words, "--download") == 0
    said = capsys.readouterr()
    assert "Oxford-IIIT Pet: downloading" in said.err
    assert "1 images to learn from, 1 to choose the weights by, 1 held out" in said.out
    content = json.loads((tmp_path / "out" / "run.json").read_text())
    assert list(content["held_out"]["iou"]) == ["background", "cat", "dog"]
    check_page((tmp_path / "out" / "report.html").read_text(), 1)
    again = [*words, "--batch", "2"]
    assert run(*again, "--out", tmp_path / "other") == 2
    assert "1 images are too few for batches of 2; choose a smaller --batch" in capsys.readouterr().err


def test_people_are_learnt_from_by_workers(library, tmp_path, capsys):  # noqa: F811
    words = ["mask_rcnn", "--data", "penn_fudan", "--root", tmp_path / "data", "--out", tmp_path / "out"]
    words += ["--steps", "2", "--batch", "2", "--size", "64", "--workers", "1", "--download", *QUICK]
    assert run(*words) == 0
    assert "4 images to learn from, 1 to choose the weights by, 1 held out" in capsys.readouterr().out
    page = (tmp_path / "out" / "report.html").read_text()
    check_page(page, 1)
    assert "Truth: 2 person" in page


def test_a_batch_of_objects_as_maps():
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[0, :2], masks[1, 3, 3] = True, True
    one = {"labels": torch.tensor([5, 7]), "masks": masks}
    none = {"labels": torch.zeros(0, dtype=torch.int64), "masks": masks[:0]}
    (images, instances, kinds), _ = recipes._gathered(
        [(torch.rand(3, 4, 4), one), (torch.rand(3, 4, 4), none)]
    )
    assert images.shape == (2, 3, 4, 4) and kinds.tolist() == [[5, 7], [0, 0]]
    assert instances[0, 0].tolist() == [1] * 4 and instances[0, 3].tolist() == [0, 0, 0, 2]
    assert instances[1].sum() == 0
    network = recipes.RECIPES["mask_rcnn"].build(8, False, 64)
    empty = torch.zeros(1, 64, 64, dtype=torch.int64), torch.zeros(1, 1, dtype=torch.int64)
    total = sum(network((torch.rand(1, 3, 64, 64), *empty)).values())
    total.backward()
    assert all(each.grad is not None for each in network.parameters())  # also where there is no object


# ---- The drawing


def test_colors_stay_apart():
    found = report.colors(21)
    ours = [tuple(bytes.fromhex(each[1:])) for each in (viz.GREY, *viz.PALETTE)]
    assert found[:8] == ours
    assert len(set(found)) == 21
    least = min(
        sum(abs(a - b) for a, b in zip(one, other, strict=True))
        for n, one in enumerate(found)
        for other in found[:n]
    )
    assert least > 30


def test_a_curve_of_nothing_is_drawn():
    for seen, scores in (([], []), ([1.0], []), ([0.0, 0.0], [(1, float("nan")), (2, 0.5)])):
        ElementTree.fromstring(report.curve_svg(seen, scores, "mean IoU"))
    assert 'aria-label="No step was done"' in report.curve_svg([], [], "AP")


# ---- The book


def lines_of_the_book() -> list[str]:
    """The trainings that pages and README tell the reader to start."""
    found = []
    for name in ("README.md", "book/how_to.md"):
        for block in re.findall(r"```sh\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL):
            found += [
                line.partition("#")[0].strip() for line in block.splitlines() if "segcore train" in line
            ]
    return sorted(set(found))


@pytest.mark.parametrize("line", lines_of_the_book())
def test_every_command_line_of_the_book_is_understood(tmp_path, monkeypatch, line):
    head, _, words = line.partition("-m segcore train ")
    assert re.fullmatch(r"\.venv/bin/(python|torchrun --nproc-per-node 4) ", head)
    monkeypatch.chdir(tmp_path)
    try:
        assert run(*words.split(), "--dry-run") == 0
    finally:
        assert list(tmp_path.iterdir()) == []


def test_the_books_run_is_summed_up(tmp_path):
    from benchmarks.trainings import training_run

    run("unet", *SMALL, "--out", tmp_path)
    found = training_run.summary(tmp_path)
    stored = json.loads((ROOT / "book" / "results" / "training_run.json").read_text())
    assert set(found) == set(stored["runs"][0])
    assert found["losses"] == [round(sum(losses(tmp_path)) / 6, 4)]
    assert stored["runs"][0]["steps"] == 1800 and len(stored["runs"][0]["losses"]) == 90
