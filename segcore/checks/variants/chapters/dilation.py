"""Variants of chapter 6: gaps and spans in place of dilations, kernels in other forms."""

from __future__ import annotations

from segcore.checks.variants.making import Twist, Varied

__all__ = ["VARIED"]

SPARSE = Varied(
    "6.1",
    "A dilated convolution reads its input with gaps. It is an ordinary convolution with a larger kernel: "
    "the same "
    "weights, {apart} along both axes, and zeros between them; no zeros around. Return that kernel{form}. "
    "The "
    "gradient must reach `kernel`.",
    {
        "kernel": "`(h, w)`: the weights",
        "dilation": "whole number, 1 or more: distance of two neighbouring weights",
    },
    "`(h', w')`: the same weights, zeros between them",
    (
        Twist(
            "gaps",
            "the zeros between in place of the dilation",
            "What are you told here: how far apart two weights stand, or how many zeros lie between them?",
            take="dilation = dilation + 1",
            hand="dilation = dilation - 1",
            given={"dilation": "whole number, 0 or more: zeros between two neighbouring weights"},
            says={"apart": "moved apart"},
        ),
        Twist(
            "turned-round",
            "the kernel turned by 180 degrees",
            "The weights are in their order. A convolution in the strict sense reads its kernel from the "
            "end.",
            give="result = result.flip(0, 1)",
            back="result = result.flip(0, 1)",
            returns="`(h', w')`: the same weights, zeros between them, turned by 180 degrees",
            says={
                "form": " **turned by 180 degrees**, last row and last column first, as a convolution in "
                "the strict sense "
                "needs it"
            },
        ),
        Twist(
            "as-a-weight",
            "the kernel as a weight of F.conv2d",
            "How many axes has a weight of F.conv2d? One output and one input channel have an axis each.",
            give="result = result[None, None]",
            back="result = result[0, 0]",
            returns="`(1, 1, h', w')`: the same weights, zeros between them, as `F.conv2d` takes it",
        ),
    ),
    says={"apart": "moved apart by the dilation", "form": ""},
    keeps=("zeros after the last weight", "rows only", "columns only", "weights repeated", "zeros around"),
    notes={"dilation 1: nothing changes": "no zeros: the weights stay together"},
)

PATHS = Varied(
    "6.3",
    "Layers of three taps lie one on the other, along one axis. An output reads three places of the last "
    "map, each of "
    "these reads three places of the map before it, and so on down to the pixels. Return how many paths "
    "lead from one "
    "output to each pixel of its field{how}.",
    {"dilations": "list of whole numbers, first layer to last: distance of two neighbouring taps"},
    "`(n,)`, float32: paths to each pixel of the field, left to right",
    (
        Twist(
            "gaps",
            "the zeros between in place of the dilations",
            "What are you told of a layer here: how far apart its taps stand, or how many zeros lie between "
            "them?",
            take="dilations = [zeros + 1 for zeros in dilations]",
            hand="dilations = [dilation - 1 for dilation in dilations]",
            given={
                "dilations": "list of whole numbers, first layer to last: zeros between two neighbouring taps"
            },
        ),
        Twist(
            "spans",
            "each layer's span in place of its dilation",
            "How wide is a layer of three taps that touch? The span counts from its first tap to its last, "
            "both included.",
            take="dilations = [(span - 1) // 2 for span in dilations]",
            hand="dilations = [2 * dilation + 1 for dilation in dilations]",
            given={
                "dilations": "list of odd whole numbers, first layer to last: the span of the layer's taps, "
                "from the first "
                "to the last, both included"
            },
        ),
        Twist(
            "shares",
            "shares of all paths",
            "Are counts asked here? All numbers together are 1.",
            give="result = result / result.sum()",
            back="result = result * 3.0 ** len(dilations)",
            returns="`(n,)`, float32: for each pixel of the field, left to right, the share of all paths; "
            "their sum is 1",
            says={"how": ", as a share of all paths"},
        ),
        Twist(
            "from-the-middle",
            "the right half alone",
            "The counts are right. Which pixels are asked for here? The field is the same to the left.",
            give="result = result[len(result) // 2 :]",
            back="result = torch.cat([result.flip(0)[:-1], result])",
            returns="`(m,)`, float32: paths to the pixel in the middle, to the one right of it, and so on "
            "to the last",
            says={"how": ", from the middle one to the right"},
        ),
    ),
    says={"how": ""},
    keeps=("added up", "seen or not", "no tap in the middle", "last layer only"),
    example=3,
    notes={
        "two layers of dilation 2": "two layers, every second pixel",
        "dilation 1, then 2": "taps that touch, then taps with a gap",
        "one layer of dilation 3": "one layer with wide gaps",
    },
)

VARIED = (SPARSE, PATHS)
