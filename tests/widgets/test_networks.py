"""The networks in the page: rays, forward passes and shipped weights against torch, and the figure in use."""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import traitlets
from PIL import Image
from torch import nn

from segcore.data.scenes import make_scenes
from segcore.encoder_decoders import SegNet, UNet
from segcore.metrics import confusion_matrix, mean_iou
from segcore.skips import FCN8s
from segcore.widgets import export_network, import_network
from segcore.widgets.networks import SIZE, NetworksWidget, worlds
from segcore.widgets.scene import networks

from .kit import PHONE, centre, measure_frames, settle

sys.path.insert(0, str(Path(__file__).parents[1]))

from test_export import unsettled

NETS = ("FCN-32s", "FCN-16s", "FCN-8s", "U-Net")
SCENES = 200 if os.environ.get("SEGCORE_ALL_SEEDS") else 20

# ---- Python ----------------------------------------------------------------------------------------------


def test_state_is_the_same_each_time_and_below_what_a_page_may_weigh():
    widget = NetworksWidget()
    assert widget.to_html() == NetworksWidget().to_html()
    weights = [len(base64.b64decode(each["weights"])) for each in widget.data["networks"].values()]
    assert sum(weights) < 400_000
    assert len(str(widget.public_state())) < 4 / 3 * sum(weights) + 40_000


def test_what_the_first_page_says_of_the_work():
    """Some hundred million multiplications for each picture."""
    total = 0
    for described in NetworksWidget().data["networks"].values():
        channels = [described["image"][0]] + [step["shape"][0] for step in described["steps"]]
        for step in (step for step in described["steps"] if step["op"] == "conv"):
            each = channels[step["from"][0]] // step["groups"] * step["kernel"][0] * step["kernel"][1]
            total += each * step["shape"][0] * step["shape"][1] * step["shape"][2]
    assert 80e6 < total < 130e6


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("scene", 6, "6"),
        ("objects", [[0, 1, 0.0, 3.0]], "must be"),
        ("objects", [[0, 4, 0.0, 3.0, -1]], "kind from 1 to 3"),
        ("objects", [[0.5, 1, 0.0, 3.0, -1]], "a whole number from 0 to 5"),
        ("objects", [[0, 1, 0.0, 9.0, -1]], "z from 2 to 6"),
        ("objects", [[0, 1, float("nan"), 3.0, -1]], "x from -4 to 4"),
        ("objects", [[0, 1, 0.0, 3.0, 400]], "a hue"),
        ("objects", [[0, 1, 0.0, 3.0, -1, 4]], "a pattern from -1 to 3"),
        ("objects", [[0, 1, 0.0, 3.0, -1, 0, 0]], "must be"),
        ("objects", [[0, 1, 0.0, 3.0, -1]] * 7, "at most 6"),
        ("lamp", [5.0], "from -4 to 4"),
        ("lamp", [0.0, 0.0], "empty or one number"),
        ("view", "depth", "mistakes"),
    ],
)
def test_bad_values_are_refused_and_leave_the_widget_as_it_was(trait: str, value: Any, words: str):
    widget = NetworksWidget()
    before = widget.public_state()
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(widget, trait, value)
    assert widget.public_state() == before


# ---- The scene in the page -------------------------------------------------------------------------------

RENDERED = """(root, [worlds, height, width]) => {
  const text = (values) => {
    const bytes = new Uint8Array(Float32Array.from(values).buffer);
    let out = '';
    for (let n = 0; n < bytes.length; n += 8192) out += String.fromCharCode(...bytes.subarray(n, n + 8192));
    return btoa(out);
  };
  return worlds.map((world) => {
    const found = root.segcore.module.sceneOf(world, height, width);
    return ['image', 'labels', 'instances', 'depth', 'normals'].map((name) => text(found[name]));
  });
}"""


def unpacked(text: str) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), np.float32).copy())


def test_the_page_renders_what_python_does(shared_widget: Any):
    """200 scenes: the image to 1/255, all but a few pixels at edges; labels, instances, depth and normals."""
    opened = shared_widget(NetworksWidget)
    count, size = 200, (40, 56)
    truth = make_scenes(count, size, seed=11)
    off, other, pixels = 0, 0, count * size[0] * size[1]
    for first in range(0, count, 50):
        given = [worlds(1, size, 11, start=first + k)[0] for k in range(50)]
        for k, found in enumerate(opened.root.evaluate(RENDERED, [given, *size])):
            scene = truth[first + k]
            image, labels, instances, depth, normals = map(unpacked, found)
            wrong = (labels != scene.labels.flatten()) | (instances != scene.instances.flatten())
            other += int(wrong.sum())
            difference = (image - scene.image.flatten()).reshape(3, -1).abs().amax(0)
            off += int((difference > 1 / 255).sum())
            far = (depth / scene.depth.flatten() - 1).abs() > 1e-3
            turned = (normals - scene.normals.flatten()).reshape(3, -1).abs().amax(0) > 1e-2
            assert ((far | turned) & ~wrong).sum() <= 3, "where a ray grazes a ball, or meets an edge"
    assert other < 1e-4 * pixels and off < 2e-4 * pixels


# ---- The networks ----------------------------------------------------------------------------------------

ANSWERED = """(root, [described, image, plain]) => {
  const network = root.segcore.module.networkOf(described, plain);
  const outputs = network.run(Float32Array.from(image));
  for (const name of Object.keys(outputs)) outputs[name] = Array.from(outputs[name]);
  return [network.kernel, outputs];
}"""


LABELLED = """(root, [described, image]) => {
  const { networkOf, labelsOf } = root.segcore.module;
  const outputs = Object.entries(networkOf(described).run(Float32Array.from(image)));
  return Object.fromEntries(outputs.map(([name, each]) => [name, labelsOf(each, image.length / 3).join("")]));
}"""


def everything(seed: int) -> list[tuple[nn.Module, tuple[int, int]]]:
    """Networks that use every step, and none of the same size."""
    torch.manual_seed(seed)
    strided = nn.Conv2d(3, 6, (3, 2), (2, 1), (1, 0), (1, 2), groups=3)
    layers = [
        strided,
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        nn.ConvTranspose2d(6, 4, 3, 2, 1, 1, groups=2),
        nn.ReLU(),
    ]
    layers += [nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d((3, 5)), nn.Upsample(size=(20, 21), mode="bilinear")]
    return [
        (nn.Sequential(*layers, nn.Conv2d(4, 7, 1), nn.Softmax(1)), (33, 41)),
        (FCN8s(3, 4, width=4), (70, 90)),
        (UNet(3, 4, width=4, depth=3), (61, 50)),
        (UNet(3, 2, width=3, depth=2, padding="valid", fusion="sum"), (92, 92)),
        (SegNet(3, 4, width=4), (64, 96)),
    ]


@pytest.mark.parametrize("plain", [False, True], ids=["simd", "plain"])
def test_forward_passes_are_torchs(shared_widget: Any, plain: bool):
    opened = shared_widget(NetworksWidget)
    for seed in range(4):
        for network, size in everything(seed):
            image = torch.rand(1, 3, *size)
            described = export_network(unsettled(network, seed), image, ("float32", "int8")[seed % 2])
            wanted = import_network(described)(image)
            kernel, found = opened.root.evaluate(ANSWERED, [described, image.flatten().tolist(), plain])
            assert kernel == ("plain" if plain else "simd")
            error = (torch.tensor(found["output"]) - wanted.flatten()).abs().max()
            assert error < 1e-4 * max(1.0, float(wanted.abs().max()))


def test_the_shipped_networks_say_in_the_page_what_they_say_in_torch(shared_widget: Any):
    """Label maps alike on 99.9 % of the pixels; and what the first page's say is worth something."""
    opened = shared_widget(NetworksWidget)
    scenes = make_scenes(SCENES, SIZE, seed=2)
    names = (*NETS, "SegNet", "DeepLabv3")
    alike, pixels = dict.fromkeys(names, 0), scenes.labels.numel()
    matrices = {name: torch.zeros(4, 4, dtype=torch.int64) for name in names}
    for described in networks("skips", "unet", "segnet", "deeplab").values():
        with torch.no_grad():
            wanted = import_network(described)(scenes.image)
        for k, image in enumerate(scenes.image):
            found = opened.root.evaluate(LABELLED, [described, image.flatten().tolist()])
            for name, text in found.items():
                labels = torch.tensor([int(each) for each in text]).view(SIZE, SIZE)
                alike[name] += int((labels == wanted[name][k].argmax(0)).sum())
                matrices[name] += confusion_matrix(labels, scenes.labels[k], 4)
    print({name: count / pixels for name, count in alike.items()})
    assert all(count >= 0.999 * pixels for count in alike.values())
    ious = [float(mean_iou(matrices[name])) for name in NETS]
    assert ious == sorted(ious) and ious[0] > 0.4 and ious[-1] > 0.85


TRIED = """(root, objects) => {
  const { module, model } = root.segcore, { size, worlds, networks } = model.get('data');
  const shown = module.sceneOf(module.worldOf(worlds[0], { objects, lamp: [] }), size, size);
  const found = {};
  for (const each of Object.values(networks)) Object.assign(found, module.networkOf(each).run(shown.image));
  for (const name of Object.keys(found)) {
    const labels = module.labelsOf(found[name], size * size);
    found[name] = [module.meanIou(labels, shown.labels), Array.from(labels)];
  }
  return [Array.from(shown.instances), found];
}"""


def test_what_the_things_to_try_claim(shared_widget: Any):
    opened = shared_widget(NetworksWidget)

    def tried(objects: list[list[float]]) -> tuple[list[int], dict[str, Any]]:
        return opened.root.evaluate(TRIED, objects)

    near, far = (tried([[0, 1, 0.2, z, -1], [1, 2, -0.9, z, -1]])[1] for z in (2.4, 5.8))
    assert far["FCN-32s"][0] < near["FCN-32s"][0] - 0.3
    assert min(near["U-Net"][0], far["U-Net"][0]) > 0.95
    others = [[0, 1, 0.91, 2.61, -1], [2, 1, 0.17, 4.85, -1], [3, 3, 1.15, 4.24, -1]]
    instances, olive = tried([others[0], [1, 2, -0.59, 2.72, 60], *others[1:]])
    box = [n for n, each in enumerate(instances) if each == 2]
    shares = {name: sum(labels[n] == 3 for n in box) / len(box) for name, (_, labels) in olive.items()}
    assert all(shares[name] > 0.5 for name in NETS[:3]), "they call it a cylinder"
    assert shares["U-Net"] < 0.3
    plain = tried([])[1]
    scores = [plain[name][0] for name in NETS]
    assert scores == sorted(scores), "each skip takes mistakes away"


PAINTED = """(root, pattern) => {
  const { module, model } = root.segcore, { worlds } = model.get('data');
  const world = module.worldOf(worlds[0], { objects: [[0, 2, 0, 3, -1, pattern]], lamp: [] });
  const { image, labels } = module.sceneOf(world, 64, 64);
  return [world.objects[0].surface, Array.from(image.subarray(0, 4096)), Array.from(labels)];
}"""


def test_a_pattern_changes_what_is_painted_and_nothing_else(shared_widget: Any):
    """Its own colours; -1 is its own; plain has no second colour; stripes lie along one way."""
    opened = shared_widget(NetworksWidget)
    own, plain, upright, level, checks = (opened.root.evaluate(PAINTED, n) for n in range(-1, 4))
    assert own[0] == opened.get("data")["worlds"][0]["objects"][0]["surface"]
    assert plain[0][:3] == plain[0][3:6] == own[0][:3]
    assert upright[0][:7] == level[0][:7] == checks[0][:7] == own[0][:7]
    assert all(each[2] == own[2] for each in (plain, upright, level, checks))
    inside = torch.tensor(own[2]).view(64, 64) == 2
    shares = []
    for each in (upright, level):
        # Brightness against the plain one: what stripes make of it, the light left out.
        ratio = torch.tensor(each[1]).view(64, 64) / torch.tensor(plain[1]).view(64, 64)
        down, across = inside[1:] & inside[:-1], inside[:, 1:] & inside[:, :-1]
        steps = (
            (ratio[1:] - ratio[:-1]).abs()[down].mean(),
            (ratio[:, 1:] - ratio[:, :-1]).abs()[across].mean(),
        )
        shares.append(float(steps[0] / steps[1]))
    assert shares[0] < 0.7 and shares[1] > 1.4


# ---- The figure in use -----------------------------------------------------------------------------------


def test_a_pattern_is_chosen_and_stays_when_the_object_moves(open_widget: Any):
    opened = open_widget(NetworksWidget())
    opened.root.locator("summary", has_text="Change an object").click()
    opened.page.get_by_role("radio", name="Checks").check()
    assert opened.get("objects")[0][5:] == [3] and all(len(each) == 5 for each in opened.get("objects")[1:])
    opened.root.locator(".scene canvas").focus()
    opened.page.keyboard.press("ArrowRight")
    assert opened.get("objects")[0][5:] == [3]
    opened.page.get_by_role("button", name="One more like it").click()
    assert opened.get("objects")[-1][5:] == [3]
    opened.page.get_by_role("radio", name="Own").check()
    settle(opened)
    assert opened.get("objects")[-1][5:] == [-1]
    opened.assert_quiet()


def answered(opened: Any) -> dict[str, str]:
    """Each network's score, once the first answer is there."""
    settle(opened)
    opened.page.wait_for_function(
        "[...document.querySelectorAll('.networks .net b')].every((each) => each.textContent)"
    )
    return opened.root.evaluate(
        """root => Object.fromEntries([...root.querySelectorAll('.net .segcore-label')]
             .map((each) => [each.firstChild.textContent, each.lastChild.textContent]))"""
    )


SHOWN = """root => {
  const { module, model } = root.segcore, { size, worlds } = model.get('data');
  const state = { objects: model.get('objects'), lamp: model.get('lamp') };
  const world = module.worldOf(worlds[model.get('scene')], state);
  const box = root.querySelector('.scene canvas').getBoundingClientRect();
  return [Array.from(module.sceneOf(world, size, size).instances), box.left, box.top, box.width / size];
}"""


def grip(opened: Any, number: int = 1) -> tuple[float, float]:
    """A place on the screen where an object of the scene is seen."""
    instances, left, top, unit = opened.root.evaluate(SHOWN)
    seen = [n for n, each in enumerate(instances) if each == number]
    y, x = divmod(seen[len(seen) // 2], SIZE)
    return left + (x + 0.5) * unit, top + (y + 0.5) * unit


def under(opened: Any, x: float, y: float) -> int:
    """The number of the object at a place on the screen."""
    instances, left, top, unit = opened.root.evaluate(SHOWN)
    return instances[int((y - top) / unit) * SIZE + int((x - left) / unit)]


def test_it_answers_without_being_asked_beside_the_page(open_widget: Any):
    opened = open_widget(NetworksWidget())
    scores = answered(opened)
    assert list(scores) == list(NETS)
    assert all(0 <= float(score) <= 1 for score in scores.values())
    assert "beside the page" in opened.root.locator(".words").inner_text()
    opened.assert_quiet()


def test_an_object_follows_the_hand_and_the_networks_follow(open_widget: Any):
    opened = open_widget(NetworksWidget())
    answered(opened)
    opened.root.locator(".scene canvas").scroll_into_view_if_needed()
    start = [[0, 2, 0.0, 3.0, -1], [1, 1, -1.0, 4.5, -1]]
    opened.set("objects", start)
    settle(opened)
    x, y = grip(opened)
    mouse = opened.page.mouse
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + 40, y + 20, steps=5)
    mouse.up()
    moved = opened.get("objects")
    assert moved[1:] == start[1:] and moved[0][:2] == start[0][:2], "that one alone, and only its place"
    assert moved[0][2] > start[0][2] and moved[0][3] < start[0][3], "to the right, and towards the reader"
    assert under(opened, x + 40, y + 20) == 1, "it stays under the hand"
    opened.assert_quiet()


def test_the_scene_by_keys(open_widget: Any):
    opened = open_widget(NetworksWidget())
    answered(opened)
    start = opened.call("objectsOf", opened.get("data")["worlds"][0])
    canvas = opened.root.locator(".scene canvas")
    canvas.focus()
    opened.page.keyboard.press("ArrowRight")
    assert opened.get("objects")[0][2] == pytest.approx(start[0][2] + 0.1, abs=0.006)
    opened.page.keyboard.press("ArrowUp")
    assert opened.get("objects")[0][3] == pytest.approx(start[0][3] + 0.1, abs=0.006)
    opened.page.keyboard.press("Space")
    assert opened.get("chosen") == 1
    for _ in range(30):
        opened.page.keyboard.press("Shift+ArrowUp")
    assert opened.get("objects")[1][3] == 6, "not through the wall"


def test_kind_colour_lamp_one_more_and_one_less(open_widget: Any):
    opened = open_widget(NetworksWidget())
    answered(opened)
    page = opened.page
    page.get_by_text("Change an object or the light").click()
    start = opened.call("objectsOf", opened.get("data")["worlds"][0])
    kind = next(k for k in (1, 2, 3) if k != start[0][1])
    page.get_by_role("radio", name=("Sphere", "Box", "Cylinder")[kind - 1]).check()
    assert opened.get("objects")[0][1] == kind
    page.get_by_role("slider", name="Its colour").fill("120")
    assert opened.get("objects")[0][4] == 120
    page.get_by_role("slider", name="Lamp").fill("-20")
    assert opened.get("lamp") == [-2]
    count = len(start)
    while not page.get_by_role("button", name="One more like it").is_disabled():
        page.get_by_role("button", name="One more like it").click()
        settle(opened)
        count += 1
    assert count == len(opened.get("objects")) == 6
    for _ in range(5):
        page.get_by_role("button", name="Take it away").click()
        settle(opened)
    page.get_by_role("button", name="Take it away", disabled=True).wait_for()
    assert len(opened.get("objects")) == 1
    page.get_by_role("radio", name="3", exact=True).check()
    assert opened.get("scene") == 2 and opened.get("objects") == [] and opened.get("lamp") == []
    opened.assert_quiet()


def test_a_photograph_of_the_readers_stays_in_the_page(open_widget: Any, tmp_path: Path):
    """Wide and transparent, tall and of one colour: cut to a square; a file that is none is said."""
    opened = open_widget(NetworksWidget())
    answered(opened)
    wide = tmp_path / "wide.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 300, 4), np.uint8)).save(wide)
    tall = tmp_path / "tall.jpg"
    Image.new("RGB", (200, 900), (200, 30, 30)).save(tall)
    chooser = opened.root.locator("input[type=file]")
    for path in (wide, tall):
        chooser.set_input_files(path)
        opened.page.wait_for_function(
            "[...document.querySelectorAll('.net b')].every((each) => each.textContent === '\u2013')"
        )
        assert opened.root.locator(".truth .segcore-label").inner_text() == "Truth: nobody knows"
    broken = tmp_path / "broken.png"
    broken.write_text("no picture")
    chooser.set_input_files(broken)
    opened.page.wait_for_function(
        "document.querySelector('.segcore-notice').textContent.includes('cannot be read as a picture')"
    )
    opened.page.get_by_role("radio", name="2", exact=True).check()
    opened.page.wait_for_function(
        "[...document.querySelectorAll('.net b')].every((each) => Number(each.textContent) > 0)"
    )
    assert opened.root.locator(".truth .segcore-label").inner_text() == "Truth"
    opened.assert_quiet()


@pytest.mark.parametrize("missing", ["Worker", "WebAssembly"])
def test_without_a_worker_or_webassembly_it_answers_all_the_same(open_widget: Any, missing: str):
    with_all = answered(open_widget(NetworksWidget()))
    opened = open_widget(NetworksWidget(), wait=False, fresh=True)
    opened.page.add_init_script(f"delete window.{missing}; window.{missing} = undefined;")
    opened.page.reload()
    opened.page.wait_for_selector("[data-ready=true]")
    assert answered(opened) == with_all


MOVE = """async (root) => {
  const times = [], { model, module } = root.segcore;
  const start = module.objectsOf(model.get('data').worlds[0]);
  let last = await new Promise(requestAnimationFrame);
  for (let n = 0; n < 110; n++) {
    const x = 0.4 * Math.sin(n / 9);
    model.set('objects', start.map((each, k) => (k ? each : [each[0], each[1], x, 3.2, -1])));
    const now = await new Promise(requestAnimationFrame);
    times.push(now - last);
    last = now;
  }
  return times;
}"""


def test_dragging_leaves_the_page_free(open_widget: Any):
    opened = open_widget(NetworksWidget())
    answered(opened)
    measure_frames(opened, MOVE).assert_smooth()
    opened.assert_quiet()


def test_it_fits_a_phone(open_widget: Any):
    opened = open_widget(NetworksWidget(), **PHONE)
    answered(opened)
    opened.assert_no_sideways_scroll(390)
    x, y = centre(opened.root.locator(".scene canvas"))
    assert 0 < x < 390 and y > 0


def test_the_key_shows_background_as_it_is_shown(open_widget: Any):
    """Grey among the classes; white among the mistakes, where it covers what was an object."""
    opened = open_widget(NetworksWidget())
    mark = opened.root.locator(".segcore-mark").last
    colour = "(node) => getComputedStyle(node).backgroundColor"
    assert mark.evaluate(colour) == "rgb(119, 124, 132)"
    opened.set("view", "mistakes")
    settle(opened)
    assert mark.evaluate(colour) == "rgb(255, 255, 255)"
