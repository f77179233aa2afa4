"""A trained network as a few numbers and a list of steps, which a page runs: ``static/kit/network.js``.

:func:`export_network` follows a network with `segcore.tracing` and writes down what it does to an image of
one size, as convolutions, poolings, up-samplings, sums and concatenations. Batch normalisation is folded into
the convolution before it, a ReLU becomes a mark on it. Weights travel as eight-bit integers, each output
channel with a scale of its own, or as floating-point numbers. :func:`import_network` reads that back as a
module, which computes what the page computes.

What is no such step is refused by its name. A network for pages is fixed to one size of image, and what it
decides by numbers in a map is out of reach.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segcore import inputs
from segcore.tracing import Map, Operation, trace
from segcore.windows import both

__all__ = ["edited", "export_network", "import_network", "repacked"]

KINDS = {"int8": np.int8, "int6": np.int8, "float16": np.float16, "float32": np.float32}
LARGEST = {"int8": 127, "int6": 31}
SAME = ("Dropout", "Dropout2d", "Identity", "dropout", "to", "contiguous", "float")


def export_network(model: nn.Module, example: Tensor, weights: str = "int8") -> dict[str, Any]:
    """What a network does to an image, as plain JSON values.

    Args:
        model: It returns a map, or several by name. It stays as it is; it is written down as in eval mode.
        example: Image float32 ``(1, C, H, W)`` of the size that the network will be asked about.
        weights: ``"int8"``, ``"int6"``, which travels as one letter of base64 each, ``"float16"`` or
            ``"float32"``. Biases and scales are always float32.

    Returns:
        dict: ``image``, the shape (C, H, W); ``steps``, a list of dicts with ``op``, ``name``, ``from`` (the
        numbers of the maps that come in; 0 is the image and k what step k, counted from 1, gave) and
        ``shape`` (C, H, W) of what comes out; ``outputs``, a number for each name; ``weights``, base64, and
        their ``kind``.

    Raises:
        TypeError: ``model`` is no module or ``example`` no tensor.
        ValueError: Another shape, an unknown kind of weights, or a step that a page cannot do; the message
            names it.
        TracingError: The network cannot be followed.

    Example:
        >>> layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)]
        >>> network = nn.Sequential(*layers)
        >>> described = export_network(network, torch.rand(1, 3, 16, 16))
        >>> [(step["op"], step["shape"]) for step in described["steps"]]
        [('conv', [8, 16, 16]), ('max_pool', [8, 8, 8])]
    """
    inputs.instance(model, "model", nn.Module)
    inputs.image(example, "example")
    if len(example) != 1:
        raise ValueError(f"expected one example (1, C, H, W), got {tuple(example.shape)}; give example[:1]")
    inputs.option(weights, "weights", tuple(KINDS))
    writer = _Writer(model)
    followed = trace(model, tuple(example.shape[1:]))
    writer.maps[followed.image] = 0
    for operation in followed.operations:
        writer.write(operation)
    names = followed.outputs
    outputs = {name.removeprefix("output."): writer.maps[value] for name, value in names.items()}
    steps = _joined(writer.steps, outputs)
    numbers = base64.b64encode(_packed(steps, weights)).decode("ascii")
    image = list(example.shape[1:])
    return {"image": image, "steps": steps, "outputs": outputs, "kind": weights, "weights": numbers}


def import_network(described: dict[str, Any]) -> nn.Module:
    """A module that computes what :func:`export_network` has written down.

    Args:
        described: What it returned.

    Returns:
        It takes images ``(N, C, H, W)`` of the size of the example and returns a map, or a dict of maps where
        the network did.

    Raises:
        ValueError: The weights do not belong to the steps.
    """
    return _Read(described)


def edited(described: dict[str, Any], edits: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A described network in which some steps do something else, as the page may run it.

    Args:
        described: What `export_network` returned. It stays as it is.
        edits: What changes, for each name of a step: ``{"zero": [0]}`` takes zeros in place of the first of
            the maps that a sum or a concatenation reads; ``{"op": "nearest"}`` repeats each value where it
            was unpooled, and with ``"share": 0.25`` each pixel gets a quarter of it; ``{"dilation": [2, 2],
            "padding": [2, 2]}`` spreads a 3×3 filter.

    Raises:
        ValueError: No step has such a name.

    Example:
        >>> described = export_network(nn.Conv2d(1, 1, 3, padding=1), torch.rand(1, 1, 8, 8))
        >>> name = described["steps"][0]["name"]
        >>> wider = edited(described, {name: {"dilation": [2, 2], "padding": [2, 2]}})
        >>> wider["steps"][0]["dilation"], described["steps"][0]["dilation"]
        ([2, 2], [1, 1])
    """
    names = [step["name"] for step in described["steps"]]
    if unknown := sorted(edits.keys() - set(names)):
        raise ValueError(f"expected names of steps, got {', '.join(unknown)}; there are {', '.join(names)}")
    return {**described, "steps": [step | edits.get(step["name"], {}) for step in described["steps"]]}


def repacked(described: dict[str, Any], weights: str) -> dict[str, Any]:
    """A described network with numbers of another kind, made from those that it has.

    Args:
        described: What `export_network` returned. It stays as it is.
        weights: ``"int8"``, ``"int6"``, ``"float16"`` or ``"float32"``.

    Raises:
        ValueError: An unknown kind of weights.

    Example:
        >>> described = export_network(nn.Conv2d(3, 8, 3), torch.rand(1, 3, 16, 16))
        >>> len(described["weights"]), len(repacked(described, "int6")["weights"])
        (376, 304)
    """
    inputs.option(weights, "weights", tuple(KINDS))
    numbers, steps = base64.b64decode(described["weights"]), []
    channels = [described["image"][0]] + [step["shape"][0] for step in described["steps"]]
    for step in described["steps"]:
        kept = {key: value for key, value in step.items() if key != "scale"}
        if "weight" in step:
            each = channels[step["from"][0]] // step["groups"]
            weight, bias = _weighted(numbers, step, each, described["kind"])
            kept |= {"weight": weight.double(), "bias": bias.double()}
        steps.append(kept)
    packed = base64.b64encode(_packed(steps, weights)).decode("ascii")
    return {**described, "steps": steps, "kind": weights, "weights": packed}


# --- Writing ---


class _Writer:
    """Steps with their weights as tensors; each ``_of_...`` writes one kind of operation."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.maps: dict[Map, int] = {}
        self.steps: list[dict[str, Any]] = []

    def write(self, operation: Operation) -> None:
        """Write an operation down, or refuse it."""
        kind = {"BatchNorm2d": "batch_norm", "ReLU": "relu", "Softmax": "softmax"}.get(
            operation.kind, operation.kind
        )
        if kind in SAME:
            self.maps[operation.output] = self.maps[operation.inputs[0]]
            return
        rule = RULES.get(kind)
        if rule is None:
            known = ", ".join(sorted({*RULES, "ReLU", "BatchNorm2d"}))
            raise _refused(operation, f"a page cannot do that; it can do {known}")
        step = rule(self, operation)
        same = operation.output.shape == operation.inputs[0].shape
        if same and step["op"] == "pad" and step["top"] == step["left"] == 0:  # cuts nothing off
            self.maps[operation.output] = self.maps[operation.inputs[0]]
            return
        self.steps.append(
            {
                "name": operation.name,
                "from": [self.maps[each] for each in operation.inputs],
                "shape": list(operation.output.shape[1:]),
                **step,
            }
        )
        for output in operation.outputs:  # the indices of a pooling stand for the pooling
            self.maps[output] = len(self.steps)

    def of_convolution(self, operation: Operation) -> dict[str, Any]:
        """A convolution, transposed or not, as a module or as a function of a module's weights."""
        layer: Any = operation.module or self._owner(operation)
        padding, mode = layer.padding, layer.padding_mode
        if isinstance(padding, str) or mode != "zeros":
            raise _refused(operation, f"padding {padding!r} of {mode}; give its width in numbers, of zeros")
        weight, groups = layer.weight.detach().double(), layer.groups
        transposed = isinstance(layer, nn.ConvTranspose2d)
        if transposed:  # (C, out / groups, h, w), where a convolution has (out, C / groups, h, w)
            weight = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
        bias = torch.zeros(len(weight)) if layer.bias is None else layer.bias.detach()
        places = {"stride": layer.stride, "padding": padding, "dilation": layer.dilation}
        return {
            "op": "transposed" if transposed else "conv",
            **{name: list(both(value)) for name, value in places.items()},
            "groups": groups,
            "relu": False,
            "weight": weight,
            "bias": bias.double(),
        }

    def _owner(self, operation: Operation) -> nn.Module:
        """The module whose weights a function was called with."""
        path, _, _ = operation.name.rpartition(".")
        owner = self.model.get_submodule(path)
        if not isinstance(owner, nn.Conv2d | nn.ConvTranspose2d) or operation.kind.endswith("2d_1"):
            raise _refused(operation, "its weights belong to no Conv2d or ConvTranspose2d; call the module")
        return owner

    def of_batch_norm(self, operation: Operation) -> dict[str, Any]:
        """Batch normalisation as a convolution of one pixel, each channel by itself."""
        layer: Any = operation.module
        if layer is None or layer.running_var is None:
            raise _refused(operation, "it has no running statistics; use a BatchNorm2d that has tracked them")
        scale = (layer.running_var.double() + layer.eps).rsqrt()
        scale = scale if layer.weight is None else scale * layer.weight.detach().double()
        shift = -layer.running_mean.double() * scale
        shift = shift if layer.bias is None else shift + layer.bias.detach().double()
        return _channel_by_channel(scale, shift)

    def of_number(self, operation: Operation) -> dict[str, Any]:
        """A map times or less a number: a convolution of one pixel, too."""
        number = operation.argument(1, "other")
        if (
            len(operation.inputs) != 1
            or not isinstance(number, int | float)
            or operation.argument(2, "alpha")
        ):
            raise _refused(operation, "a map can be multiplied by a number, or a number taken off it")
        factor, shift = (number, 0.0) if operation.kind.startswith("mul") else (1.0, -number)
        channels = operation.output.shape[1]
        return _channel_by_channel(*(torch.full((channels,), float(n)).double() for n in (factor, shift)))

    def of_max_pool(self, operation: Operation) -> dict[str, Any]:
        """Max pooling; its output's size says whether it rounds up."""
        kernel = operation.argument(1, "kernel_size")
        stride = operation.argument(2, "stride") or kernel
        padding, dilation = operation.argument(3, "padding", 0), operation.argument(4, "dilation", 1)
        sizes = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}
        return {"op": "max_pool", **{name: list(both(value)) for name, value in sizes.items()}}

    def of_unpool(self, operation: Operation) -> dict[str, Any]:
        """Each value goes back to where its maximum was; ``from`` names the map and the pooling."""
        return {"op": "unpool"}

    def of_average(self, operation: Operation) -> dict[str, Any]:
        """Adaptive average pooling: the means of as many windows as the output has units."""
        return {"op": "average"}

    def of_resize(self, operation: Operation) -> dict[str, Any]:
        """Bilinear resizing by the sizes alone, or each value repeated a whole number of times."""
        mode, corners = operation.argument(3, "mode", "nearest"), operation.argument(4, "align_corners")
        if mode not in ("bilinear", "nearest") or corners:
            raise _refused(operation, f"mode {mode!r}, align_corners={corners}; use bilinear, False")
        (source,), factor = operation.inputs, operation.argument(2, "scale_factor")
        if mode == "nearest":
            sizes = zip(source.shape[2:], operation.output.shape[2:], strict=True)
            if any(after % before for before, after in sizes):
                raise _refused(
                    operation, "mode 'nearest' that repeats no whole number of times; use bilinear"
                )
            return {"op": "nearest"}
        factors = both(factor) if factor is not None else (None, None)
        for before, after, by in zip(source.shape[2:], operation.output.shape[2:], factors, strict=True):
            if by is not None and before * by != after:
                raise _refused(operation, f"a factor {by} that makes {before} no whole number; give the size")
        return {"op": "resize"}

    def of_pad(self, operation: Operation) -> dict[str, Any]:
        """A border of zeros, or of the outermost pixels."""
        around, mode = operation.argument(1, "pad"), operation.argument(2, "mode", "constant")
        if len(around) != 4 or mode not in ("constant", "replicate") or operation.argument(3, "value"):
            raise _refused(operation, f"a border {tuple(around)} of {mode}; pad four sides by 0 or replicate")
        return {"op": "pad", "top": around[2], "left": around[0], "mode": mode}

    def of_slice(self, operation: Operation) -> dict[str, Any]:
        """A part of the rows and columns."""
        given = operation.args[1] if isinstance(operation.args[1], tuple) else (operation.args[1],)
        shape = operation.inputs[0].shape
        if Ellipsis in given:
            at = given.index(Ellipsis)
            given = given[:at] + (slice(None),) * (len(shape) + 1 - len(given)) + given[at + 1 :]
        cut = [part.indices(size) for part, size in zip(given, shape, strict=False)]
        if any(step != 1 for *_, step in cut) or any(
            part[:2] != (0, size) for part, size in zip(cut[:2], shape, strict=False)
        ):
            raise _refused(operation, "only rows and columns can be cut off, none between")
        top, left = [part[0] for part in cut[2:]] + [0] * (4 - max(2, len(cut)))
        return {"op": "pad", "top": -top, "left": -left, "mode": "constant"}

    def of_cat(self, operation: Operation) -> dict[str, Any]:
        """Channels of one map after those of another."""
        if operation.argument(1, "dim", 0) not in (1, -3):
            raise _refused(operation, "maps can be joined along their channels only, dim=1")
        return {"op": "concatenate"}

    def of_sum(self, operation: Operation) -> dict[str, Any]:
        """The sum of two maps of one shape."""
        if len(operation.inputs) != 2 or len({each.shape for each in operation.inputs}) > 1:
            raise _refused(operation, "only two maps of one shape can be added")
        return {"op": "add"}

    def of_relu(self, operation: Operation) -> dict[str, Any]:
        """Negative numbers become 0."""
        return {"op": "relu"}

    def of_softmax(self, operation: Operation) -> dict[str, Any]:
        """Probabilities of each pixel's channels."""
        if operation.argument(1, "dim") not in (1, -3):
            raise _refused(operation, "the softmax must be over the channels, dim=1")
        return {"op": "softmax"}


RULES: dict[str, Callable[[_Writer, Operation], dict[str, Any]]] = {
    **dict.fromkeys(("Conv2d", "ConvTranspose2d", "conv2d", "conv_transpose2d"), _Writer.of_convolution),
    **dict.fromkeys(("MaxPool2d", "max_pool2d", "max_pool2d_with_indices"), _Writer.of_max_pool),
    **dict.fromkeys(("MaxUnpool2d", "max_unpool2d"), _Writer.of_unpool),
    **dict.fromkeys(("AdaptiveAvgPool2d", "adaptive_avg_pool2d"), _Writer.of_average),
    **dict.fromkeys(("interpolate", "Upsample", "UpsamplingBilinear2d"), _Writer.of_resize),
    **dict.fromkeys(("add", "iadd"), _Writer.of_sum),
    **dict.fromkeys(("cat", "concat"), _Writer.of_cat),
    **dict.fromkeys(("mul", "sub"), _Writer.of_number),
    "batch_norm": _Writer.of_batch_norm,
    "pad": _Writer.of_pad,
    "getitem": _Writer.of_slice,
    "relu": _Writer.of_relu,
    "softmax": _Writer.of_softmax,
}


def _channel_by_channel(scale: Tensor, shift: Tensor) -> dict[str, Any]:
    """Each channel times a number of its own, and another number added."""
    pixel = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": len(scale)}
    return {"op": "conv", **pixel, "relu": False, "weight": scale[:, None, None, None], "bias": shift}


def _refused(operation: Operation, why: str) -> ValueError:
    return ValueError(f"cannot export step {operation.name!r} ({operation.kind}): {why}")


def _joined(steps: list[dict[str, Any]], outputs: dict[str, int]) -> list[dict[str, Any]]:
    """The steps with normalisations and ReLUs taken into the convolutions before them; changes `outputs`."""
    uses = [0] * (len(steps) + 1)
    for number in [number for step in steps for number in step["from"]] + list(outputs.values()):
        uses[number] += 1
    kept: list[dict[str, Any]] = []
    number_of = [0]
    for step in steps:
        source = step["from"][0]
        before = kept[number_of[source] - 1] if source and uses[source] == 1 else None
        if before is None or not _taken_in(step, before):
            kept.append({**step, "from": [number_of[each] for each in step["from"]]})
            number_of.append(len(kept))
        else:
            number_of.append(number_of[source])
    outputs.update({name: number_of[number] for name, number in outputs.items()})
    return kept


def _taken_in(step: dict[str, Any], before: dict[str, Any]) -> bool:
    """Whether a convolution can do the next step, too; if so, it does now."""
    if before["op"] not in ("conv", "transposed") or before["relu"]:
        return False
    if step["op"] == "relu":
        before["relu"] = True
        return True
    own = (
        step["op"] == "conv" and step["weight"].shape[1:] == (1, 1, 1) and step["groups"] == step["shape"][0]
    )
    if not own or any(step["padding"]) or step["stride"] != [1, 1]:
        return False
    scale = step["weight"][:, :1]
    before["weight"], before["bias"] = (
        before["weight"] * scale,
        before["bias"] * scale.flatten() + step["bias"],
    )
    return True


def _packed(steps: list[dict[str, Any]], kind: str) -> bytes:
    """The numbers of all steps, one after another; in the steps, where they begin, in bytes."""
    numbers = bytearray()

    def put(values: np.ndarray) -> int:
        numbers.extend(bytes(-len(numbers) % 4))
        at = len(numbers)
        numbers.extend(values.tobytes())
        return at

    for step in steps:
        if "weight" in step:
            weight, bias = step["weight"], step["bias"].float().numpy()
            if kind in LARGEST:
                scale = (weight.abs().amax((1, 2, 3)) / LARGEST[kind]).clamp(min=1e-12).float().double()
                weight = (weight / scale[:, None, None, None]).round()
                step["scale"] = put(scale.float().numpy())
            step["kernel"] = list(weight.shape[2:])
            values = weight.numpy().astype(KINDS[kind])
            step["bias"], step["weight"] = put(bias), put(_in_six_bits(values) if kind == "int6" else values)
    return bytes(numbers)


def _in_six_bits(values: np.ndarray) -> np.ndarray:
    """Whole numbers from -32 to 31, four in three bytes."""
    flat = np.pad(values.ravel(), (0, -values.size % 4)).astype(np.int32) + 32
    a, b, c, d = flat.reshape(-1, 4).T
    word = a << 18 | b << 12 | c << 6 | d
    return np.stack([word >> 16, word >> 8 & 255, word & 255], axis=1).astype(np.uint8)


def _of_six_bits(packed: np.ndarray) -> np.ndarray:
    """The numbers that `_in_six_bits` has packed, and up to three more."""
    word = packed.reshape(-1, 3).astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.int32)
    return (word[:, None] >> np.array([18, 12, 6, 0]) & 63) - 32


# --- Reading ---


class _Read(nn.Module):
    """The steps in torch's words."""

    def __init__(self, described: dict[str, Any]) -> None:
        super().__init__()
        self.described = described
        numbers, kind = base64.b64decode(described["weights"]), described["kind"]
        channels = [described["image"][0]] + [step["shape"][0] for step in described["steps"]]
        for at, step in enumerate(described["steps"]):
            if "weight" not in step:
                continue
            groups = step["groups"]
            weight, bias = _weighted(numbers, step, channels[step["from"][0]] // groups, kind)
            if step["op"] == "transposed":
                weight = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
            self.register_buffer(f"weight{at}", weight)
            self.register_buffer(f"bias{at}", bias)

    def forward(self, image: Tensor) -> Any:
        """The map, or maps by name, as the network gave them."""
        inputs.image(image, channels=self.described["image"][0])
        maps: list[Tensor] = [image]
        places: dict[int, Tensor] = {}  # where the maxima of each pooling were
        for at, step in enumerate(self.described["steps"]):
            sources, size = [maps[number] for number in step["from"]], tuple(step["shape"][1:])
            for number in step.get("zero", ()):
                sources[number] = torch.zeros_like(sources[number])
            if "weight" in step:
                maps.append(self._convolved(at, step, sources[0], size))
            elif step["op"] == "max_pool":
                kernel, stride, around, apart = (
                    step[name] for name in ("kernel", "stride", "padding", "dilation")
                )
                x, where = F.max_pool2d(sources[0], kernel, stride, around, apart, True, True)
                places[at + 1] = where[..., : size[0], : size[1]]
                maps.append(x[..., : size[0], : size[1]])
            elif step["op"] == "unpool":
                empty = sources[0].new_zeros(*sources[0].shape[:2], size[0] * size[1])
                where = places[step["from"][1]].flatten(2)
                maps.append(empty.scatter(2, where, sources[0].flatten(2)).unflatten(2, size))
            else:
                maps.append(PLAIN[step["op"]](sources, step, size))
        found = {name: maps[number] for name, number in self.described["outputs"].items()}
        return found["output"] if list(found) == ["output"] else found

    def _convolved(self, at: int, step: dict[str, Any], x: Tensor, size: tuple[int, ...]) -> Tensor:
        """A convolution, transposed or not, and its ReLU."""
        weight, bias = getattr(self, f"weight{at}"), getattr(self, f"bias{at}")
        stride, padding, dilation = step["stride"], step["padding"], step["dilation"]
        if step["op"] == "conv":
            x = F.conv2d(x, weight, bias, stride, padding, dilation, step["groups"])
        else:  # the whole of it, of which the padding is cut off; what is missing is the bias alone
            x = F.conv_transpose2d(x, weight, None, stride, 0, 0, step["groups"], dilation)
            x = _bordered(x, -padding[0], -padding[1], size) + bias[:, None, None]
        return x.relu() if step["relu"] else x


def _bordered(x: Tensor, top: int, left: int, size: tuple[int, ...], mode: str = "constant") -> Tensor:
    """The map in another size, moved down and right: a border where numbers are positive, a cut else."""
    bottom, right = size[0] - x.shape[2] - top, size[1] - x.shape[3] - left
    return F.pad(x, (left, right, top, bottom), mode=mode)


PLAIN: dict[str, Callable[[list[Tensor], dict[str, Any], tuple[int, ...]], Tensor]] = {
    "average": lambda maps, step, size: F.adaptive_avg_pool2d(maps[0], (size[0], size[1])),
    "nearest": lambda maps, step, size: F.interpolate(maps[0], size) * step.get("share", 1),
    "resize": lambda maps, step, size: F.interpolate(maps[0], size, mode="bilinear", align_corners=False),
    "pad": lambda maps, step, size: _bordered(maps[0], step["top"], step["left"], size, step["mode"]),
    "concatenate": lambda maps, step, size: torch.cat(maps, 1),
    "add": lambda maps, step, size: maps[0] + maps[1],
    "relu": lambda maps, step, size: maps[0].relu(),
    "softmax": lambda maps, step, size: maps[0].softmax(1),
}


def _weighted(numbers: bytes, step: dict[str, Any], each: int, kind: str) -> tuple[Tensor, Tensor]:
    """Weights ``(out, each, h, w)`` of a step, and its biases."""
    out = step["shape"][0]
    weight = _numbers(numbers, step["weight"], (out, each, *step["kernel"]), kind)
    if "scale" in step:
        weight = weight * _numbers(numbers, step["scale"], (out, 1, 1, 1))
    return weight, _numbers(numbers, step["bias"], (out,))


def _numbers(packed: bytes, at: int, shape: tuple[int, ...], kind: str = "float32") -> Tensor:
    """Numbers of a shape, which begin at a byte."""
    count = int(np.prod(shape))
    end = at + (-(-count // 4) * 3 if kind == "int6" else count * np.dtype(KINDS[kind]).itemsize)
    if end > len(packed):
        raise ValueError(
            f"expected {end} bytes of weights or more, got {len(packed)}: they do not belong to these steps; "
            "export the network again"
        )
    if kind == "int6":
        values = _of_six_bits(np.frombuffer(packed, np.uint8, end - at, at)).ravel()[:count]
    else:
        values = np.frombuffer(packed, KINDS[kind], count, at)
    return torch.from_numpy(values.astype(np.float32)).reshape(shape)
