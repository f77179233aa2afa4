r"""Depth and surface normals: the network of the last chapters with another target and another loss.

A network that labels every pixel can as well say how far away each pixel is and which way its surface faces:
the last convolution gets one channel, or three, in the place of one a class (Eigen & Fergus 2015). What is
new is what counts as an error:

- :func:`depth_metrics` and :func:`scale_invariant_loss` compare *ratios* of depths, and the loss forgives in
  part a factor that a whole image shares, which one picture hardly shows (Eigen, Puhrsch & Fergus 2014);
- :func:`normals_from_depth` takes normals from depth by one cross product, :func:`normal_metrics` measures
  angles;
- :class:`GeometryNet` predicts depth, normals and labels with one trunk, :func:`geometry_loss` trains it.

A depth is missing where it is zero, negative, infinite or NaN, a normal where it is zero or not finite; what
is missing counts nowhere. Lengths are in metres; camera axes are x right, y down, z forward.

What was changed: one U-Net in place of the paper's three scales, and all three tasks share all of it but the
last convolution (the paper trains the labels apart). Left out: the paper's gradient term in depth's loss.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segcore import inputs
from segcore.encoder_decoders import UNet

__all__ = [
    "LOSS_WEIGHTS",
    "TASKS",
    "GeometryNet",
    "depth_metrics",
    "geometry_loss",
    "geometry_net_for_scenes",
    "normal_metrics",
    "normals_from_depth",
    "scale_invariant_loss",
]

TASKS = ("depth", "normals", "labels")
"""What :class:`GeometryNet` predicts."""

LOSS_WEIGHTS = {"depth": 5.0, "normals": 3.0, "labels": 1.0}
"""So that none of the three losses drowns the others: on scenes the one of depth is by far the smallest."""

IGNORE = 255  # the label that does not count
WITHIN = (11.25, 22.5, 30.0)  # degrees, the usual thresholds


# --- Depth ---


def depth_metrics(prediction: Tensor, target: Tensor) -> dict[str, float]:
    r"""The usual numbers for depth, over all pixels where both depths are there.

    With :math:`\hat y` the prediction, :math:`y` the truth and :math:`g = \ln \hat y - \ln y`:

    ============ ==========================================================================
    ``AbsRel``   mean of :math:`|\hat y - y| / y`
    ``SqRel``    mean of :math:`(\hat y - y)^2 / y`, in metres (over y, not its square)
    ``RMSE``     root of the mean of :math:`(\hat y - y)^2`, in metres
    ``RMSE log`` root of the mean of :math:`g^2`
    ``SILog``    root of the mean of :math:`g^2` less the squared mean of :math:`g`
    ``δ1`` ...   share with :math:`\max(\hat y / y, y / \hat y) < 1.25`, 1.25², 1.25³
    ============ ==========================================================================

    Pixels of all images count together. Whoever leaves pixels out is not punished for them.

    Args:
        prediction: Metres, any shape, floating point. Zero, negative, infinite and NaN are missing.
        target: The same shape and device, likewise.

    Returns:
        The eight numbers; all NaN where no pixel has both depths.

    Raises:
        TypeError: No tensors.
        ValueError: Other dtypes, or shapes or devices that differ.

    Example:
        >>> found = depth_metrics(torch.tensor([2.0, 3.0, 1.0]), torch.tensor([2.0, 2.0, 0.0]))
        >>> found["AbsRel"], found["SqRel"], found["δ1"]
        (0.25, 0.25, 0.5)
    """
    _two_depths(prediction, target)
    both = _present(prediction) & _present(target)
    y_hat, y = (each.detach()[both].double() for each in (prediction, target))
    g, off = y_hat.log() - y.log(), y_hat - y
    ratio = torch.maximum(y_hat / y, y / y_hat)
    numbers = {
        "AbsRel": (off.abs() / y).mean(),
        "SqRel": (off.square() / y).mean(),
        "RMSE": off.square().mean().sqrt(),
        "RMSE log": g.square().mean().sqrt(),
        "SILog": (g - g.mean()).square().mean().sqrt(),  # the same, and never below zero
        **{f"δ{k}": (ratio < 1.25**k).double().mean() for k in (1, 2, 3)},
    }
    return {name: number.item() for name, number in numbers.items()}


def scale_invariant_loss(prediction: Tensor, target: Tensor, weight: float = 0.5) -> Tensor:
    r"""Squared error of the logarithms, of which a factor common to the image is partly forgiven.

    :math:`\overline{g^2} - \lambda\,\overline{g}^2` with :math:`g = \ln \hat y - \ln y`, for each image over
    its own pixels, then the mean over the images. Weight 0 is the plain squared error of logarithms; weight 1
    is their variance, which a factor does not change at all. Eigen, Puhrsch and Fergus 2014 train with 0.5.

    Args:
        prediction: Metres, ``(..., H, W)``, floating point.
        target: The same shape and device. Pixels where either depth is missing (zero, negative, infinite or
            NaN) do not count, nor do images that have no others.
        weight: From 0 to 1, the λ above.

    Returns:
        A scalar, differentiable in ``prediction``, float32 for half precision; NaN where all is missing.

    Raises:
        TypeError: No tensors, or no number.
        ValueError: Other dtypes, shapes or devices that differ, or a weight outside 0 to 1.

    Example:
        >>> truth = torch.tensor([[1.0, 2.0, 4.0]])
        >>> [round(scale_invariant_loss(2 * truth, truth, w).item(), 4) for w in (0, 0.5, 1)]
        [0.4805, 0.2402, 0.0]
    """
    _two_depths(prediction, target, "... H W")
    weight = inputs.number(weight, "weight", least=0, most=1)
    both = _present(prediction) & _present(target)
    g = torch.where(both, _precise(prediction), 1).log() - torch.where(both, _precise(target), 1).log()
    count = both.sum((-2, -1))
    mean = g.sum((-2, -1)) / count
    off = torch.where(both, g - mean.nan_to_num()[..., None, None], 0)
    losses = off.square().sum((-2, -1)) / count + (1 - weight) * mean.square()  # variance, and what is left
    return losses[count > 0].mean()


# --- Normals ---


def normals_from_depth(
    depth: Tensor, focal_length: float, center: tuple[float, float] | None = None
) -> Tensor:
    """The normal of each pixel's surface, from the depths around it.

    Each pixel's centre is put out into space at its depth. The point right of it less the point left of it is
    one direction in the surface, the point below less the point above another; their cross product is the
    normal, and it always faces the camera. Where a neighbour is missing, or lies outside the image, the pixel
    itself stands in for it. On a plane the result is exact; across an edge of depth it belongs to neither
    side.

    Args:
        depth: Metres along the optical axis, ``(..., H, W)``, floating point. Zero, negative, infinite and
            NaN are missing.
        focal_length: In pixels, for both axes, above 0.
        center: x and y of the principal point, in coordinates; the middle of the image, (W/2, H/2), unless
            said.

    Returns:
        Unit normals ``(..., 3, H, W)`` in the dtype of ``depth``; x right, y down, z forward. NaN where the
        depth is missing, or both neighbours across, or both down.

    Raises:
        TypeError: No tensor, or no number.
        ValueError: Another shape or dtype, a focal length that is not above 0, a center that is no pair.

    Example:
        A wall that faces the camera:

        >>> normals_from_depth(torch.full((4, 6), 3.0), focal_length=10)[:, 2, 3]
        tensor([ 0.,  0., -1.])
    """
    inputs.floating(depth, "depth", "... H W")
    focal_length = inputs.number(focal_length, "focal_length", above=0)
    height, width = depth.shape[-2:]
    middle_x, middle_y = (width / 2, height / 2) if center is None else _center(center)
    z = _precise(depth)
    z = torch.where(_present(z), z, torch.nan)
    x = (torch.arange(width, device=z.device, dtype=z.dtype) + 0.5 - middle_x) / focal_length
    y = (torch.arange(height, device=z.device, dtype=z.dtype) + 0.5 - middle_y) / focal_length
    points = torch.stack([z * x, z * y[:, None], z], -3)  # (..., 3, H, W)
    size = z.detach()[..., None, :, :]  # by which steps are divided, so that no product leaves float32
    normals = torch.linalg.cross(_step(points, -2) / size, _step(points, -1) / size, dim=-3)
    return F.normalize(normals, dim=-3, eps=0).to(depth.dtype)


def _step(points: Tensor, dim: int) -> Tensor:
    """The next point less the one before, along an axis; NaN where there is neither, or no point."""
    size = points.shape[dim]
    hole = torch.full_like(points.narrow(dim, 0, 1), torch.nan)
    after = torch.cat([points.narrow(dim, 1, size - 1), hole], dim)
    before = torch.cat([hole, points.narrow(dim, 0, size - 1)], dim)
    step = torch.where(after.isnan(), points, after) - torch.where(before.isnan(), points, before)
    return torch.where(points.isnan() | (after.isnan() & before.isnan()), torch.nan, step)


def normal_metrics(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> dict[str, float]:
    """Angles between two maps of normals, over all pixels where both are there.

    Args:
        prediction: ``(..., 3, H, W)``, floating point, of any length. Zero, infinite and NaN are missing.
        target: The same shape and device, likewise.
        mask: bool ``(..., H, W)``, the pixels that count; all unless said.

    Returns:
        ``mean`` and ``median`` of the angles in degrees, and the shares ``within 11.25°``, ``within 22.5°``
        and ``within 30°`` (below, not at); all NaN where no pixel counts.

    Raises:
        TypeError: No tensors.
        ValueError: Shapes, dtypes or devices that do not fit.

    Example:
        >>> away, aside = torch.tensor([0.0, 0, -1]), torch.tensor([0.0, 1, -1])
        >>> found = normal_metrics(aside.reshape(3, 1, 1), away.reshape(3, 1, 1))
        >>> round(found["mean"], 4), found["within 30°"]
        (45.0, 0.0)
    """
    inputs.floating(prediction, "prediction", "... 3 H W")
    inputs.floating(target, "target", "... 3 H W")
    inputs.same_shape(target, "target", prediction, "prediction")
    inputs.same_place(target, "target", prediction, "prediction")
    a, b = (each.detach().double() for each in (prediction, target))
    counts = (a.isfinite() & b.isfinite()).all(-3) & (a != 0).any(-3) & (b != 0).any(-3)
    if mask is not None:
        inputs.same_shape(inputs.masks(mask, "mask", "... H W"), "mask", counts, "the pixels")
        inputs.same_place(mask, "mask", counts, "prediction")
        counts &= mask
    across, along = torch.linalg.cross(a, b, dim=-3).norm(dim=-3), (a * b).sum(-3)
    angles = torch.atan2(across, along).rad2deg()[counts].sort().values  # arccos is blind to small angles
    count = len(angles)
    middle = (angles[(count - 1) // 2] + angles[count // 2]) / 2 if count else torch.tensor(torch.nan)
    found = {"mean": angles.mean(), "median": middle}
    found |= {f"within {limit:g}°": (angles < limit).double().mean() for limit in WITHIN}
    return {name: number.item() for name, number in found.items()}


# --- The network ---


class GeometryNet(nn.Module):
    """One U-Net as the trunk, and on its last map one 1×1 convolution for each task.

    Depth is the exponential of one channel, so that it is positive and errors count as factors; normals are
    three channels scaled to length 1; labels are logits.

    Args:
        num_classes: Channels of the logits.
        width: Channels of the trunk's first and last map.
        depth: How many times the trunk pools.
        tasks: Which of :data:`TASKS` to predict.

    Attributes:
        trunk: The :class:`segcore.encoder_decoders.UNet`, with nothing in the place of its last convolution.
        heads: The 1×1 convolutions, by task.

    Raises:
        TypeError: A number is not whole.
        ValueError: It is too small, or a task is unknown, missing or named twice.

    Example:
        >>> found = GeometryNet(num_classes=4, width=4)(torch.rand(2, 3, 32, 40))
        >>> {task: tuple(each.shape) for task, each in found.items()}
        {'depth': (2, 32, 40), 'normals': (2, 3, 32, 40), 'labels': (2, 4, 32, 40)}
    """

    def __init__(
        self, num_classes: int = 4, width: int = 16, depth: int = 3, tasks: Sequence[str] = TASKS
    ) -> None:
        super().__init__()
        tasks = (tasks,) if isinstance(tasks, str) else tuple(inputs.several(tasks, "tasks", str(TASKS)))
        for task in tasks:
            inputs.option(task, "each of tasks", TASKS)
        if not tasks or len(set(tasks)) < len(tasks):
            raise ValueError(f"expected one or more different tasks, got {tasks}; use {TASKS}")
        channels = {"depth": 1, "normals": 3, "labels": inputs.whole(num_classes, "num_classes")}
        self.trunk = UNet(3, 1, width, depth)
        self.trunk.score = nn.Identity()  # type: ignore[assignment]
        self.heads = nn.ModuleDict({task: nn.Conv2d(width, channels[task], 1) for task in tasks})

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Images ``(N, 3, H, W)`` to a map of each task, by its name.

        Depth ``(N, H, W)`` in metres, normals ``(N, 3, H, W)``, and logits
        ``(N, num_classes, H, W)`` under "labels".
        """
        features = self.trunk(image)
        found = {task: _precise(head(features)) for task, head in self.heads.items()}
        if "depth" in found:
            found["depth"] = found["depth"][:, 0].exp()
        if "normals" in found:
            found["normals"] = F.normalize(found["normals"], dim=1)
        return found


def geometry_loss(
    outputs: Mapping[str, Tensor],
    targets: Mapping[str, Tensor],
    weights: Mapping[str, float] = LOSS_WEIGHTS,
) -> Tensor:
    """The weighted sum of the losses of all tasks that were predicted.

    Depth: :func:`scale_invariant_loss`. Normals: 1 less the cosine of the angle, the mean over the pixels
    whose true normal is there. Labels: cross-entropy, 255 ignored.

    Args:
        outputs: What :class:`GeometryNet` gives.
        targets: By the same names: depth ``(N, H, W)``, normals ``(N, 3, H, W)``, labels int64 ``(N, H, W)``.
            More than what was predicted does no harm.
        weights: Of each task's loss.

    Returns:
        A scalar.

    Raises:
        TypeError: An argument is no mapping, or what stands in it no tensor.
        ValueError: A target or a weight is missing, or has another shape or dtype than its output wants.

    Example:
        >>> network = GeometryNet(width=4, tasks=("normals",))
        >>> towards = torch.tensor([0.0, 0, -1]).reshape(1, 3, 1, 1).expand(1, 3, 16, 16)
        >>> 0 <= geometry_loss(network(torch.rand(1, 3, 16, 16)), {"normals": towards}).item() <= 6
        True
    """
    for name, value in (("outputs", outputs), ("targets", targets), ("weights", weights)):
        inputs.instance(value, name, Mapping, "name each task's, as in {'depth': ...}")
    losses = {"depth": scale_invariant_loss, "normals": _cosine_loss, "labels": _label_loss}
    for name, given in (("outputs", losses), ("targets", targets), ("weights", weights)):
        if unknown := [task for task in outputs if task not in given]:
            raise ValueError(
                f"expected {name} for {', '.join(outputs)}, got none for {unknown[0]}; the tasks are {TASKS}"
            )
    if not outputs:
        raise ValueError(f"expected outputs of one task or more, got none; known tasks are {TASKS}")
    parts = [weights[task] * losses[task](outputs[task], targets[task]) for task in outputs]
    return torch.stack(parts).sum()


def _cosine_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """1 less the cosine, the mean over the pixels that have a normal."""
    inputs.same_shape(inputs.floating(target, "target", "N 3 H W"), "target", prediction, "prediction")
    there = target.isfinite().all(1) & (target != 0).any(1)
    target = F.normalize(torch.where(there[:, None], _precise(target), 0), dim=1)
    return (1 - (prediction * target).sum(1))[there].mean()


def _label_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy over the pixels that are not ignored."""
    inputs.label_map(target, "target", prediction.shape[1], form="N H W")
    return F.cross_entropy(prediction, target, ignore_index=IGNORE)


def geometry_net_for_scenes() -> GeometryNet:
    """A network that knows the course's scenes: trained on 48×48 scenes, seed 0.

    The weights come with the library, in half precision; ``benchmarks/trainings/geometry.py`` makes them.

    Returns:
        The network in evaluation mode, on the processor.

    Raises:
        FileNotFoundError: The library was installed without its weights.

    Example:
        >>> from segcore.data.scenes import make_scenes
        >>> scenes = make_scenes(1, size=48, seed=2)
        >>> found = geometry_net_for_scenes()(scenes.image)
        >>> depth_metrics(found["depth"], scenes.depth)["δ1"] > 0.8
        True
    """
    path = files("segcore") / "data" / "weights" / "geometry.pt"
    if not path.is_file():
        raise FileNotFoundError("the weights lie in segcore/data/weights; install the library whole")
    network = GeometryNet(num_classes=4)
    with path.open("rb") as file:
        weights = torch.load(file, map_location="cpu", weights_only=True)
    network.load_state_dict({name: w.float() if w.is_floating_point() else w for name, w in weights.items()})
    return network.eval()


# --- What comes in ---


def _present(depth: Tensor) -> Tensor:
    """Where there is a depth."""
    return (depth > 0) & depth.isfinite()


def _precise(values: Tensor) -> Tensor:
    """Float32 at least: half precision loses sums and small differences."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _two_depths(prediction: Tensor, target: Tensor, form: str = "...") -> None:
    inputs.floating(prediction, "prediction", form)
    inputs.floating(target, "target", form)
    inputs.same_shape(target, "target", prediction, "prediction")
    inputs.same_place(target, "target", prediction, "prediction")


def _center(center: tuple[float, float]) -> tuple[float, float]:
    """The principal point."""
    if not isinstance(center, (tuple, list)) or len(center) != 2:
        raise ValueError(f"expected center as (x, y), got {center!r}; give two numbers")
    return inputs.number(center[0], "center's x"), inputs.number(center[1], "center's y")
