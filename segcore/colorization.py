r"""Colorization: from the lightness of each pixel to its colour, asked as a question of classes.

Every colour photograph is its own label: take L* of CIELAB as the image, and predict a* and b*. But a grey
balloon may have been red or blue. A network that makes its squared error small answers with the mean of what
may be, and the mean of many colours is grey. Zhang, Isola and Efros (2016) therefore ask which of some
hundred cells of the ab plane a pixel falls into. A distribution can say "red or blue", and leaves it to us to
choose:

- :func:`ab_bins` lists the cells, :func:`encode_ab` turns colours into distributions over them;
- :func:`class_rebalancing` weighs rare colours up, for most pixels of photographs are nearly grey;
- :func:`decode_ab` takes one colour out of a distribution, from its mean to its mode, by a temperature;
- :class:`ColorizationNet` is the U-Net of the last chapters, :func:`colorization_loss` trains it.

So nothing is new but the target and the loss. What was changed: the paper trains a deeper network of its own
on over a million photographs and predicts at a quarter of the size; ours is small and predicts at half. The
weight of a pixel is that of its likeliest bin, as in the paper; the loss is the mean over pixels, not the
sum.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segcore import inputs
from segcore.color import lab_to_rgb, rgb_to_lab
from segcore.encoder_decoders import UNet

__all__ = [
    "ColorizationNet",
    "ab_bins",
    "ab_prior",
    "class_rebalancing",
    "colorization_loss",
    "colorization_net_for_photographs",
    "decode_ab",
    "encode_ab",
]

NEIGHBORS, SIGMA = 5, 5.0  # bins that share a pixel, and the width of what they share
TEMPERATURE = 0.38  # the paper's, between mean and mode
_PIXELS = 1 << 13  # whose distances to all bins are worked out at once: some 9 MB
_NARROW = 1e-18  # as good as 0, and its square is still a number in float32
_FAR = 1e6  # beyond all bins, and its square is still a number in float32
_OFF = 1e-2  # that probabilities may be off 1, as in half precision


# --- The classes ---


def ab_bins(grid: float = 10) -> Tensor:
    """The cells of the ab plane that hold any colour of sRGB.

    The plane is cut into squares of side `grid` around its multiples; those are kept into which at least one
    of the 16.7 million colours of 8 bits falls. (The surface of the cube of colours suffices to find them.)

    With 10 there are 261. The list that the authors of the paper published has 313: it holds corners of the
    squares that the colours touch, not centres, and reaches up to 15 units beyond the colours.

    Args:
        grid: Side of a cell, in units of a* and b*, from 2 to 100.

    Returns:
        float32 ``(Q, 2)``: the centres, a* and b*, in rising order of a*, then of b*.

    Raises:
        TypeError: No number.
        ValueError: Out of range.

    Example:
        >>> ab_bins().shape, ab_bins(40).tolist()[:3]
        (torch.Size([261, 2]), [[-80.0, 0.0], [-80.0, 40.0], [-80.0, 80.0]])
    """
    return _bins(inputs.number(grid, "grid", least=2, most=100)).clone()


@lru_cache(maxsize=8)
def _bins(grid: float) -> Tensor:
    steps = torch.arange(256, dtype=torch.float32, device="cpu") / 255
    u, v = torch.meshgrid(steps, steps, indexing="ij")
    ends = (torch.zeros_like(u), torch.ones_like(u))
    faces = [torch.stack(face) for end in ends for face in ((end, u, v), (u, end, v), (u, v, end))]
    a, b = torch.floor(rgb_to_lab(torch.cat(faces, 2))[1:].flatten(1) / grid + 0.5).long()
    span = 200  # more cells than lie side by side on either axis
    cells = ((a + span) * 2 * span + b + span).unique()  # sorted
    centers = torch.stack([cells // (2 * span) - span, cells % (2 * span) - span], 1)
    return (centers * grid).float()


def encode_ab(
    ab: Tensor, bins: Tensor | None = None, neighbors: int = NEIGHBORS, sigma: float = SIGMA
) -> Tensor:
    """Colours as distributions over bins: shared among the nearest ones, by a Gaussian of their distance.

    A hard choice of one bin would say that the bin next to it is as wrong as any other. Five bins that share
    a pixel also keep what rounding would lose: their mean lies near the colour itself.

    Args:
        ab: Floating point ``(N, 2, H, W)``, a* and b*. Colours outside of all cells are shared by the bins
            that are nearest to them.
        bins: ``(Q, 2)``; :func:`ab_bins` unless said.
        neighbors: How many bins share a pixel. Of bins that are equally far any may be taken.
        sigma: Width of the Gaussian, above 0.

    Returns:
        float32 ``(N, Q, H, W)``, which adds up to 1 at each pixel. Distances are worked out some thousand
        pixels at a time, never of all pixels to all bins at once.

    Raises:
        TypeError: No tensors or numbers.
        ValueError: Another shape or dtype, NaN or infinity, more neighbours than bins, a sigma of 0.

    Example:
        >>> bins = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 50.0]])
        >>> encode_ab(torch.tensor([[[[2.5]], [[0.0]]]]), bins, neighbors=2).flatten()
        tensor([0.7311, 0.2689, 0.0000])
    """
    inputs.finite(inputs.floating(ab, "ab", "N 2 H W"), "ab", "mend those pixels first")
    bins = _known(bins, ab.device)
    neighbors = inputs.whole(neighbors, "neighbors", most=len(bins))
    sigma = inputs.number(sigma, "sigma", above=0)
    count, _, height, width = ab.shape
    pixels = ab.float().movedim(1, -1).reshape(-1, 2)
    found = [_nearest(part, bins, neighbors) for part in pixels.split(_PIXELS)]
    nearest, squared = (torch.cat(parts) for parts in zip(*found, strict=True))
    # Softmax, since far colours would all get exp(-large) = 0; and 0 at the nearest, however small sigma is.
    shares = ((squared[:, :1] - squared) / (2 * max(sigma, _NARROW) ** 2)).softmax(1)

    def as_maps(values: Tensor) -> Tensor:
        return values.reshape(count, height, width, neighbors).movedim(-1, 1)

    maps = shares.new_zeros(count, len(bins), height, width)
    return maps.scatter_(1, as_maps(nearest), as_maps(shares))


def _nearest(pixels: Tensor, bins: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Of each pixel ``(P, 2)`` the nearest bins and their squared distances, both ``(P, count)``."""
    pixels = pixels.clamp(-_FAR, _FAR)
    a, b = (pixels[:, None, k] - bins[:, k] for k in (0, 1))
    squared, nearest = (a.square() + b.square()).topk(count, largest=False)
    return nearest, squared


def decode_ab(probabilities: Tensor, temperature: float = TEMPERATURE, bins: Tensor | None = None) -> Tensor:
    r"""One colour for each pixel: the mean of its distribution, sharpened before (the "annealed mean").

    :math:`\sum_q f_q\, c_q` with :math:`f_q \propto p_q^{1 / T}`. Temperature 1 gives the mean, which lies
    between all that may be and is dull; towards 0 it goes to the mode, which is vivid and may jump from pixel
    to pixel; the paper takes 0.38.

    Args:
        probabilities: Floating point ``(N, Q, H, W)``, 0 or more, which add up to 1 at each pixel.
        temperature: T, above 0; 0.01 is the mode wherever one bin is likelier than all others by a few
            per cent.
        bins: ``(Q, 2)``; :func:`ab_bins` unless said.

    Returns:
        float32 ``(N, 2, H, W)``: a* and b*. Differentiable in `probabilities`.

    Raises:
        TypeError: No tensors or numbers.
        ValueError: Another shape or dtype, NaN, no probabilities, a temperature of 0 or less.

    Example:
        >>> bins = torch.tensor([[60.0, 0.0], [-40.0, 0.0]])
        >>> even = torch.tensor([0.6, 0.4]).reshape(1, 2, 1, 1)
        >>> [round(decode_ab(even, t, bins)[0, 0].item(), 1) for t in (1, 0.38, 0.01)]
        [20.0, 34.4, 60.0]
    """
    temperature = inputs.number(temperature, "temperature", above=0)
    inputs.floating(probabilities, "probabilities", "N Q H W")
    bins = _known(bins, probabilities.device)
    if probabilities.shape[1] != len(bins):
        raise ValueError(
            f"expected probabilities of {len(bins)} bins along axis 1, got {tuple(probabilities.shape)}; "
            "give the bins that belong to them"
        )
    p = _probabilities(probabilities, "probabilities", 1, "take logits through softmax(1) first")
    logs = torch.where(p > 0, p, 1).log().masked_fill(p <= 0, -torch.inf)
    logs = logs - logs.amax(1, keepdim=True).detach()  # 0 at the mode, whatever it is divided by
    shares = (logs / max(temperature, _NARROW)).softmax(1)
    with inputs.full_precision(shares):
        return torch.einsum("nqhw,qk->nkhw", shares, bins)


# --- Rare colours ---


def ab_prior(ab: Tensor, bins: Tensor | None = None, sigma: float = SIGMA) -> Tensor:
    r"""How often each bin occurs, smoothed: the paper's :math:`\tilde p`.

    Each pixel counts for its nearest bin; then a Gaussian in the ab plane spreads what was counted over the
    bins around, so that a bin that happened to be empty is not infinitely rare.

    Args:
        ab: Floating point ``(N, 2, H, W)``.
        bins: ``(Q, 2)``; :func:`ab_bins` unless said.
        sigma: Width of the Gaussian, above 0.

    Returns:
        float32 ``(Q,)``, adding up to 1.

    Raises:
        TypeError: No tensors or numbers.
        ValueError: As for :func:`encode_ab`.

    Example:
        >>> bins = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 50.0]])
        >>> ab_prior(torch.zeros(1, 2, 4, 4), bins).round(decimals=4)
        tensor([0.8808, 0.1192, 0.0000])
    """
    inputs.finite(inputs.floating(ab, "ab", "N 2 H W"), "ab", "mend those pixels first")
    bins = _known(bins, ab.device)
    sigma = inputs.number(sigma, "sigma", above=0)
    pixels = inputs.filled(ab, "ab").detach().float().movedim(1, -1).reshape(-1, 2)
    nearest = torch.cat([_nearest(part, bins, 1)[0][:, 0] for part in pixels.split(_PIXELS)])
    counts = torch.bincount(nearest, minlength=len(bins)) / len(nearest)
    spread = 2 * max(sigma, _NARROW) ** 2
    kernel = (-torch.cdist(bins, bins).square() / spread).softmax(1)  # each row is spread out whole
    with inputs.full_precision(kernel):
        return counts.to(kernel) @ kernel


def class_rebalancing(prior: Tensor, uniform: float = 0.5) -> Tensor:
    r"""Weights of the bins in the loss: large for rare colours, and 1 on average over the pixels.

    :math:`w_q \propto 1 / ((1 - \lambda)\, \tilde p_q + \lambda / Q)` with :math:`\sum_q \tilde p_q w_q = 1`.
    Without the part that is uniform a bin that never occurs would weigh infinitely much; with λ = ½ no bin
    weighs more than :math:`\tilde p_\text{max} Q + 1` times as much as the commonest.

    Args:
        prior: Floating point ``(Q,)``, 0 or more, adding up to 1; :func:`ab_prior` makes one.
        uniform: λ, above 0 and at most 1, where all weights are 1.

    Returns:
        float32 ``(Q,)``.

    Raises:
        TypeError: No tensor or number.
        ValueError: Another shape or dtype, no distribution, or a share that is out of range.

    Example:
        >>> class_rebalancing(torch.tensor([0.7, 0.2, 0.1]))
        tensor([0.7542, 1.4612, 1.7984])
    """
    inputs.floating(prior, "prior", "Q")
    uniform = inputs.number(uniform, "uniform", above=0, most=1)
    p = _probabilities(prior, "prior", 0, "divide counts by their sum")
    p = p / p.sum()
    weights = 1 / ((1 - uniform) * p + uniform / len(p))
    return weights / (p * weights).sum()


# --- The network ---


class ColorizationNet(nn.Module):
    """A U-Net from lightness to logits over the bins of the ab plane.

    Logits come at half the size, unless another stride is said: Q maps of full size would cost more than the
    whole trunk, and the eye sees lightness sharply and colour softly.

    Args:
        bins: ``(Q, 2)``; :func:`ab_bins` unless said.
        width: Channels of the trunk's first and last map.
        depth: How many times it pools.
        stride: Pixels from one prediction to the next.

    Attributes:
        trunk: The :class:`segcore.encoder_decoders.UNet`, with nothing in the place of its last convolution.
        score: The 1×1 convolution to Q channels, on the trunk's maps averaged over squares of the stride.
        bins: The bins; not among the weights.

    Raises:
        TypeError: A number is not whole, or the bins are no tensor.
        ValueError: It is too small, or the bins have another shape.

    Example:
        >>> network = ColorizationNet(width=4)
        >>> network(50 * torch.ones(2, 1, 32, 40)).shape
        torch.Size([2, 261, 16, 20])
        >>> network.colorize(torch.rand(2, 3, 32, 40)).shape
        torch.Size([2, 3, 32, 40])
    """

    bins: Tensor

    def __init__(self, bins: Tensor | None = None, width: int = 16, depth: int = 3, stride: int = 2) -> None:
        super().__init__()
        self.stride = inputs.whole(stride, "stride")
        self.register_buffer("bins", _known(bins, torch.device("cpu")).clone(), persistent=False)
        self.trunk = UNet(1, 1, width, depth)
        self.trunk.score = nn.Identity()  # type: ignore[assignment]
        self.score = nn.Conv2d(width, len(self.bins), 1)

    def forward(self, lightness: Tensor) -> Tensor:
        """Lightness ``(N, 1, H, W)``, 0 to 100, to logits ``(N, Q, h, w)``.

        h and w are H and W divided by the stride, rounded up.
        """
        features = self.trunk(lightness / 50 - 1)
        return self.score(F.avg_pool2d(features, self.stride, ceil_mode=True))

    def colorize(self, image: Tensor, temperature: float = TEMPERATURE) -> Tensor:
        """Images ``(N, 3, H, W)`` in new colours, by their lightness alone."""
        lightness = rgb_to_lab(inputs.image(image, channels=3))[:, :1]
        ab = decode_ab(self(lightness).float().softmax(1), temperature, self.bins)
        ab = F.interpolate(ab, lightness.shape[-2:], mode="bilinear")
        return lab_to_rgb(torch.cat([lightness, ab], 1))


def colorization_loss(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy with distributions for targets, each pixel weighed by its likeliest bin.

    Args:
        logits: ``(N, Q, H, W)``.
        target: Distributions of the same shape, as :func:`encode_ab` makes them.
        weights: ``(Q,)``, as :func:`class_rebalancing` makes them; all 1 unless said.

    Returns:
        A scalar, the mean over all pixels.

    Raises:
        TypeError: No tensors.
        ValueError: Shapes or dtypes that do not fit.

    Example:
        >>> target = torch.tensor([0.5, 0.5]).reshape(1, 2, 1, 1)
        >>> colorization_loss(torch.zeros(1, 2, 1, 1), target)
        tensor(0.6931)
    """
    inputs.floating(logits, "logits", "N Q H W")
    inputs.same_shape(inputs.floating(target, "target", "N Q H W"), "target", logits, "logits")
    inputs.same_place(target, "target", logits, "logits")
    losses = F.cross_entropy(logits.float(), target.float(), reduction="none")  # (N, H, W)
    if weights is not None:
        if inputs.floating(weights, "weights", "Q").shape != logits.shape[1:2]:
            raise ValueError(
                f"expected one weight for each of {logits.shape[1]} bins, got {tuple(weights.shape)}; "
                "make them by class_rebalancing of the same bins"
            )
        inputs.same_place(weights, "weights", logits, "logits")
        losses = losses * weights.float()[target.argmax(1)]
    return losses.mean()


def colorization_net_for_photographs() -> ColorizationNet:
    """A network that knows six photographs, and no seventh.

    The weights come with the library, in half precision; ``benchmarks/trainings/colorization.py`` makes them
    and says which photographs it saw.

    Returns:
        The network in evaluation mode, on the processor.

    Raises:
        FileNotFoundError: The library was installed without its weights.

    Example:
        >>> colorization_net_for_photographs()(50 * torch.ones(1, 1, 64, 64)).shape
        torch.Size([1, 261, 32, 32])
    """
    path = files("segcore") / "data" / "weights" / "colorization.pt"
    if not path.is_file():
        raise FileNotFoundError("the weights lie in segcore/data/weights; install the library whole")
    network = ColorizationNet(width=8)
    with path.open("rb") as file:
        weights = torch.load(file, map_location="cpu", weights_only=True)
    network.load_state_dict({name: w.float() if w.is_floating_point() else w for name, w in weights.items()})
    return network.eval()


# --- What comes in ---


def _known(bins: Tensor | None, device: torch.device) -> Tensor:
    """The bins on a device, the usual ones where none are given."""
    if bins is None:
        return _bins(10.0).to(device)
    inputs.finite(inputs.floating(bins, "bins", "Q 2"), "bins", "drop those bins")
    return (bins if device.type == "meta" else inputs.filled(bins, "bins")).float().to(device)


def _probabilities(values: Tensor, name: str, dim: int, cure: str) -> Tensor:
    """The values in float32, once they are distributions along an axis."""
    p = inputs.finite(inputs.filled(values, name), name, "drop or mend those first").float()
    if (p < 0).any():
        raise ValueError(f"expected {name} of 0 or more, got {p.min().item():g}; {cure}")
    sums = p.detach().sum(dim)
    if ((sums - 1).abs() > _OFF).any():
        worst = sums.flatten()[(sums - 1).abs().argmax()].item()
        raise ValueError(f"expected {name} that add up to 1, got a sum of {worst:g}; {cure}")
    return p
