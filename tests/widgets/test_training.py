"""Training in the page: scenes, gradients, optimizers and whole runs against torch; the figure in use."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import traitlets
from torch import Tensor, nn

from segcore.data.scenes import make_scenes
from segcore.widgets import training
from segcore.widgets.training import SwitchedNet, TrainingWidget, batch, start, train

from .kit import PHONE, settle

SWITCHES = [(down, skip, up) for down in training.DOWNS for skip in (True, False) for up in training.UPS]

# ---- Python ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("down", "skip", "up"), SWITCHES)
def test_every_choice_of_switches_gives_a_score_for_each_pixel(down: str, skip: bool, up: str):
    net = start(SwitchedNet(down, skip, up), 3)
    assert net(torch.rand(2, 3, 32, 48)).shape == (2, 4, 32, 48)
    assert sum(each.numel() for each in net.parameters()) == (11_576 if skip else 9_704)


def test_switches_that_keep_the_shapes_keep_the_start():
    """Nothing but up-convolutions, of which each output sees a quarter of the taps, starts otherwise."""
    one, other = (dict(start(SwitchedNet(down), 7).named_parameters()) for down in training.DOWNS)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(one["enc1.weight"], start(SwitchedNet(), 8).enc1.weight)


def test_what_is_halved_is_never_halved_with_dilation():
    """The dilated network answers at each pixel what the halving one answers on its grid (chapter 6)."""
    strided, dilated = (start(SwitchedNet(down), 1) for down in training.DOWNS)
    image = torch.rand(1, 3, 48, 48)
    for each in (strided, dilated):
        each.maps = []
        each.enc4.register_forward_hook(lambda module, inputs, output, each=each: each.maps.append(output))
        each(image)
    inner = slice(4, 8)  # far from the border, where both read padding, but of another grid
    found = dilated.maps[0][..., ::4, ::4][..., inner, inner]
    torch.testing.assert_close(found, strided.maps[0][..., inner, inner], rtol=0, atol=1e-4)


def test_held_out_scenes_are_in_no_training():
    held = training.held_out()[0]
    assert len(held) == training.HELD_OUT
    assert training.HELD_OUT_SEED >= training.SEEDS
    seen = torch.cat([batch(0, step)[0] for step in range(8)])
    assert (held[:, None] - seen).flatten(2).abs().amax(2).min() > 0.1


@pytest.mark.parametrize(
    ("trait", "value"),
    [("down", "pool"), ("up", "shuffle"), ("optimizer", "lion"), ("rate", 6), ("seed", 100), ("scene", -1)],
)
def test_bad_values_are_refused(trait: str, value: Any):
    with pytest.raises(traitlets.TraitError):
        TrainingWidget(**{trait: value})


# ---- The page's arithmetic -------------------------------------------------------------------------------


def test_the_page_draws_and_renders_the_scenes_that_python_does(shared_widget: Any):
    """40 scenes of two seeds: labels and image, all but a few pixels at edges."""
    opened = shared_widget(TrainingWidget)
    script = """(root, [seed, first, size]) => Array.from({ length: 20 }, (_, n) => {
      const { image, labels } = root.segcore.module.sceneOf(size, seed, first + n);
      return [Array.from(image), Array.from(labels)];
    })"""
    for seed, first, size in ((0, 0, 48), (training.HELD_OUT_SEED, 2_000, 40)):
        truth = make_scenes(20, size, seed=seed, start=first)
        found = opened.root.evaluate(script, [seed, first, size])
        images = torch.tensor([image for image, _ in found]).view_as(truth.image)
        labels = torch.tensor([each for _, each in found]).view_as(truth.labels)
        assert (labels != truth.labels).float().mean() < 2e-4
        assert ((images - truth.image).abs() > 1 / 255).float().mean() < 5e-4


def weighted(op: str, inputs: int, outputs: int, **more: Any) -> dict[str, Any]:
    plain = {"kernel": 3, "stride": 1, "dilation": 1, "relu": False, "from": [0]}
    return {"op": op, "name": op, "inputs": inputs, "outputs": outputs} | plain | more


def layer_of(step: dict[str, Any]) -> nn.Module:
    """The step as torch has it."""
    k, s, d = step["kernel"], step["stride"], step["dilation"]
    pad = d * (k - 1) // 2
    if step["op"] == "conv":
        return nn.Conv2d(step["inputs"], step["outputs"], k, s, pad, d)
    return nn.ConvTranspose2d(step["inputs"], step["outputs"], k, s, pad, s - 1, dilation=d)


def run_steps(steps: list[dict[str, Any]], layers: list[nn.Module], image: Tensor) -> Tensor:
    maps, rest = [image], iter(layers)
    for step in steps:
        x = maps[step["from"][0]]
        if step["op"] == "resize":
            smooth = {"align_corners": False} if step["mode"] == "bilinear" else {}
            x = F.interpolate(x, scale_factor=2, mode=step["mode"], **smooth)
        elif step["op"] == "concatenate":
            x = torch.cat([maps[number] for number in step["from"]], 1)
        else:
            x = next(rest)(x)
            x = F.relu(x) if step["relu"] else x
        maps.append(x)
    return maps[-1]


ONE_OF_EACH = {
    "conv": [weighted("conv", 3, 5)],
    "conv, relu": [weighted("conv", 3, 5, relu=True)],
    "conv, 1 × 1": [weighted("conv", 3, 4, kernel=1)],
    "conv, stride 2": [weighted("conv", 3, 6, stride=2)],
    "conv, dilation 2": [weighted("conv", 3, 4, dilation=2, relu=True)],
    "conv, dilation 4": [weighted("conv", 3, 2, dilation=4)],
    "transposed": [weighted("transposed", 3, 5, stride=2)],
    "transposed, relu": [weighted("transposed", 3, 4, stride=2, relu=True)],
    "nearest": [{"op": "resize", "mode": "nearest", "from": [0]}],
    "bilinear": [{"op": "resize", "mode": "bilinear", "from": [0]}],
    "concatenation": [
        weighted("conv", 3, 4, relu=True),
        weighted("conv", 4, 2, **{"from": [1]}),
        {"op": "concatenate", "from": [1, 2, 0, 1]},
        weighted("conv", 13, 3, **{"from": [3]}),
    ],
}

GRADIENTS = """(root, [shape, steps, weights, image, upstream, plain]) => {
  const net = root.segcore.module.trainedHere(shape, steps, plain);
  net.setWeights(weights);
  const found = net.gradientsAt(Float32Array.from(image), Float32Array.from(upstream));
  return [net.kernel, ...[found.output, found.weights, found.image].map((each) => Array.from(each))];
}"""


def close(found: list[float], wanted: Tensor, within: float = 1e-3) -> None:
    """Equal to a thousandth of the largest value."""
    difference = (torch.tensor(found).view_as(wanted) - wanted).abs().max() if wanted.numel() else 0
    assert difference <= within * max(float(wanted.abs().max()), 1e-6) if wanted.numel() else not found


def assert_gradients(opened: Any, steps: list[dict[str, Any]], size: tuple[int, int], plain: bool) -> None:
    layers = [layer_of(step) for step in steps if "kernel" in step]
    image = torch.randn(1, 3, *size, requires_grad=True)
    output = run_steps(steps, layers, image)
    upstream = torch.randn_like(output)
    output.backward(upstream)
    weights = [each for layer in layers for each in layer.parameters()]
    flat = [each.detach().flatten() for each in weights] or [torch.zeros(0)]
    gradients = [each.grad.flatten() for each in weights] or [torch.zeros(0)]
    given = [[3, *size], steps, torch.cat(flat).tolist(), image.flatten().tolist()]
    kernel, *found = opened.root.evaluate(GRADIENTS, [*given, upstream.flatten().tolist(), plain])
    assert kernel == ("plain" if plain else "simd")
    for values, wanted in zip(found, (output.detach(), torch.cat(gradients), image.grad), strict=True):
        close(values, wanted)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_each_layer_has_autograds_gradients(shared_widget: Any, name: str, plain: bool):
    opened = shared_widget(TrainingWidget)
    sizes = random.Random(name)
    torch.manual_seed(sizes.randrange(1000))
    for _ in range(3):
        assert_gradients(
            opened, ONE_OF_EACH[name], (2 * sizes.randint(5, 12), 2 * sizes.randint(5, 12)), plain
        )


@pytest.mark.parametrize(("down", "skip", "up"), SWITCHES)
def test_the_whole_network_has_autograds_gradients(shared_widget: Any, down: str, skip: bool, up: str):
    opened = shared_widget(TrainingWidget)
    torch.manual_seed(len(down + up) + skip)
    steps = opened.call("layersOf", {"down": down, "skip": skip, "up": up})
    assert_gradients(opened, steps, (24, 32), plain=False)


RUN = """(root, [settings, size, seed, steps, how, plain]) => {
  const { trainedHere, layersOf, sceneOf } = root.segcore.module;
  const net = trainedHere([3, size, size], layersOf(settings), plain);
  net.start(seed);
  const first = Array.from(net.weights());
  const scene = (index) => {
    const { image, labels } = sceneOf(size, seed, index);
    return { image: image.map((value) => 2 * value - 1), labels };
  };
  const [losses, begin] = [[], performance.now()];
  for (let step = 0; step < steps; step += 1) {
    losses.push(net.loss(Array.from({ length: 8 }, (_, n) => scene(8 * step + n))));
    net.step(how);
  }
  const time = (performance.now() - begin) / steps;
  return { first, losses, weights: Array.from(net.weights()), gradients: Array.from(net.gradients()), time };
}"""


def flat(net: nn.Module) -> Tensor:
    return torch.cat([each.detach().flatten() for each in net.parameters()])


@pytest.mark.parametrize("optimizer", training.OPTIMIZERS)
@pytest.mark.parametrize(
    ("down", "skip", "up"),
    [("stride", True, "bilinear"), ("stride", False, "transposed"), ("dilation", True, "nearest")],
)
def test_a_run_is_torchs_run(shared_widget: Any, optimizer: str, down: str, skip: bool, up: str):
    """The same first weights to the last bit; then ten steps, and the losses agree to a thousandth."""
    opened = shared_widget(TrainingWidget)
    net = start(SwitchedNet(down, skip, up), 4)
    settings = {"down": down, "skip": skip, "up": up}
    how = {"optimizer": optimizer, "rate": 0.003}
    found = opened.root.evaluate(RUN, [settings, training.SIZE, 4, 10, how, False])
    assert torch.equal(torch.tensor(found["first"]), flat(net))
    losses, _ = train(net, seed=4, steps=10, optimizer=optimizer, rate=0.003)
    print({"ms a step": round(found["time"], 1)})
    assert found["losses"] == pytest.approx(losses, rel=1e-3)


def test_one_step_of_each_optimizer(shared_widget: Any):
    """From torch's own gradients: the second step too, which has a memory."""
    opened = shared_widget(TrainingWidget)
    for optimizer in training.OPTIMIZERS:
        net = start(SwitchedNet(), 2)
        before = flat(net)
        train(net, seed=2, steps=2, optimizer=optimizer, rate=0.001)
        moved = flat(net) - before
        how = {"optimizer": optimizer, "rate": 0.001}
        settings = {"down": "stride", "skip": True, "up": "bilinear"}
        found = torch.tensor(opened.root.evaluate(RUN, [settings, 48, 2, 2, how, False])["weights"]) - before
        # Adam's first step is the sign of the gradient: where that is all but zero, rounding decides.
        assert ((found - moved).abs() > 1e-3 * moved.abs().max()).float().mean() < 0.01


def test_plain_arithmetic_gives_the_same_run(shared_widget: Any):
    opened = shared_widget(TrainingWidget)
    how = {"optimizer": "sgd", "rate": 0.01}
    given = [{"down": "stride", "skip": True, "up": "transposed"}, 24, 1, 3, how]
    simd, plain = (opened.root.evaluate(RUN, [*given, each])["losses"] for each in (False, True))
    assert simd == pytest.approx(plain, rel=1e-4)


# ---- In use ----------------------------------------------------------------------------------------------

STATUS = ".training-status"


def press(opened: Any, name: str) -> None:
    opened.root.get_by_role("button", name=name, exact=True).click()


def until(opened: Any, words: str) -> None:
    """Wait until the status says so; the worker answers when it can."""
    opened.page.wait_for_function(
        "([selector, words]) => document.querySelector(selector).textContent.includes(words)",
        arg=[STATUS, words],
    )


def short(**traits: Any) -> TrainingWidget:
    """A widget whose runs have four steps of two scenes."""
    widget = TrainingWidget(**traits)
    widget.set_trait("plan", widget.plan | {"batch": 2, "steps": 4, "every": 2, "heldOut": 6})
    return widget


def test_nothing_starts_by_itself_and_a_run_ends_where_it_should(open_widget: Any):
    opened = open_widget(short())
    assert "Not trained yet" in opened.root.locator(STATUS).inner_text()
    assert opened.page.workers == []
    press(opened, "Train")
    until(opened, "Step 4 of 4")
    assert len(opened.page.workers) == 1
    opened.page.wait_for_function(
        "() => document.querySelector('.prediction .segcore-label').textContent === 'Prediction'"
    )
    line = opened.root.locator(".training-lines li")
    assert line.count() == 1 and "stride, no skips, nearest: mIoU 0." in line.inner_text()
    press(opened, "Train on")
    until(opened, "Step 8 of 8")
    opened.assert_quiet()


def test_the_page_says_torchs_losses(open_widget: Any):
    opened = open_widget(short(skip=True, seed=5))
    press(opened, "One step")
    until(opened, "Step 1 of")
    wanted = F.cross_entropy(start(SwitchedNet(up="nearest"), 5)(batch(5, 0)[0][:2]), batch(5, 0)[1][:2])
    assert f"loss {float(wanted.detach()):.2f}" in opened.root.locator(STATUS).inner_text()


def test_runs_stay_as_lines_and_the_same_seed_comes_out_the_same(open_widget: Any):
    opened = open_widget(short())
    lines = opened.root.locator(".training-lines li")
    for count in range(1, 7):
        press(opened, "Train")
        until(opened, "Step 4 of 4")
        assert lines.count() == min(count, 5)
        press(opened, "Start anew")
        until(opened, "Not trained yet")
    said = {text for text in lines.all_inner_texts() if "mIoU" in text}
    assert len(said) == 1, "the same switches and seed, the same score"
    opened.set("skip", True)
    settle(opened)
    assert "skips" in lines.last.inner_text() and "no skips" not in lines.last.inner_text()
    opened.assert_quiet()


def test_pause_and_hidden_tabs_stop_the_training(open_widget: Any):
    widget = TrainingWidget()
    widget.set_trait("plan", widget.plan | {"batch": 1, "steps": 100_000, "heldOut": 6})
    opened = open_widget(widget, fresh=True)
    steps = """() => {
      const status = document.querySelector('.training-status').textContent;
      return Number(status.match(/Step (\\d+)/)?.[1] ?? 0);
    }"""
    counted = """async () => {
      const post = Worker.prototype.postMessage;
      let asked = 0;
      Worker.prototype.postMessage = function (...args) { asked += 1; return post.apply(this, args); };
      await new Promise((done) => setTimeout(done, 300));
      Worker.prototype.postMessage = post;
      return asked;
    }"""
    press(opened, "Train")
    opened.page.wait_for_function(f"() => ({steps})() > 2")
    opened.page.evaluate("""() => {
      Object.defineProperty(document, 'hidden', { configurable: true, get: () => true });
      document.dispatchEvent(new Event('visibilitychange'));
    }""")
    opened.page.wait_for_function("""() => new Promise((done) => {
      const status = document.querySelector('.training-status');
      const before = status.textContent;
      setTimeout(() => done(status.textContent === before), 400);
    })""")
    assert opened.page.evaluate(counted) == 0, "a hidden tab asks for nothing"
    before = opened.page.evaluate(steps)
    opened.page.evaluate("""() => {
      delete document.hidden;
      document.dispatchEvent(new Event('visibilitychange'));
    }""")
    opened.page.wait_for_function(f"(before) => ({steps})() > before", arg=before)
    press(opened, "Pause")
    opened.root.get_by_role("button", name="Go on", exact=True).wait_for()
    opened.assert_quiet()


def test_removal_stops_the_worker(open_widget: Any):
    opened = open_widget(TrainingWidget(), fresh=True)
    ended = opened.root.evaluate(
        """async (root) => {
          const { module, model } = root.segcore;
          const terminate = Worker.prototype.terminate;
          let ended = 0;
          Worker.prototype.terminate = function () { ended += 1; terminate.call(this); };
          const el = document.createElement('div');
          document.body.append(el);
          const stop = module.default.render({ model: { ...model, set() {}, save_changes() {} }, el });
          [...el.querySelectorAll('button')].find((each) => each.textContent === 'One step').click();
          stop();
          return ended;
        }"""
    )
    assert ended == 1
    opened.assert_quiet()


def test_a_run_that_diverges_stops_and_says_so(open_widget: Any):
    """A learning rate of 1: whatever becomes of Adam's loss, descent with momentum ends in no number."""
    widget = TrainingWidget(optimizer="sgd", rate=5, skip=True)
    widget.set_trait(
        "plan", widget.plan | {"batch": 1, "steps": 200, "heldOut": 2, "rates": [0.1, 1, 2, 5, 10, 1e6]}
    )
    opened = open_widget(widget)
    press(opened, "Train")
    until(opened, "Diverged")
    assert opened.root.get_by_role("button", name="Go on", exact=True).is_disabled()
    assert "diverged" in opened.root.locator(".training-lines li").inner_text()
    opened.assert_quiet()


def test_without_workers_the_page_trains_by_itself(open_path: Any, tmp_path: Any):
    from .conftest import wait_until_alive, write_page

    path = write_page(tmp_path / "alone.html", short())
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("<head>", "<head><script>delete window.Worker</script>", 1), encoding="utf-8"
    )
    opened = open_path(path, fresh=True)
    wait_until_alive(opened, 1)
    press(opened, "One step")
    until(opened, "Step 1 of")
    opened.assert_quiet()


def test_things_to_try_set_the_switches(open_widget: Any):
    opened = open_widget(short(), **PHONE)
    for name, wanted in (
        ("2. With skips", {"skip": True, "up": "nearest"}),
        ("3. Up-sampling", {"skip": False, "up": "bilinear"}),
        ("3. Up-sampling", {"skip": False, "up": "transposed"}),
        ("4. Dilation", {"down": "dilation", "skip": False}),
        ("5. Too fast", {"skip": True, "rate": 4}),
    ):
        opened.root.locator(".segcore-trials button").filter(has_text=name).click()
        assert opened.state(wanted) == wanted
    dimmed = "(root) => [...root.querySelectorAll('fieldset')].filter((each) => each.disabled).length"
    opened.set("down", "dilation")
    settle(opened)
    assert opened.root.evaluate(dimmed) == 1, "what is not halved is not doubled"
    opened.assert_quiet()
