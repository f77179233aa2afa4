"""Variants of chapter 5: fields with a centre or a first pixel, layers in other words, open intervals."""

from __future__ import annotations

from segcore.checks.variants.making import Twist, Varied

__all__ = ["VARIED"]

GAPS = Twist(
    "gaps",
    "zeros between taps in place of a dilation",
    "How many pixels apart are two taps with no zero between them? And with one?",
    take="layer = (*layer[:3], layer[3] + 1)",
    hand="layer = (*layer[:3], layer[3] - 1)",
    given={
        "layer": "(k, s, p, z): kernel, stride, padding on each side, and the zeros between two "
        "neighbouring taps, 0 or "
        "more"
    },
)

FIELD = Varied(
    "5.1",
    "A map has a receptive field of R pixels; neighbouring units see pixels S apart. {place} On top of it "
    "comes a "
    "layer, whose first unit has its first tap p units before unit 0 of the map. Return the field of the "
    "map that "
    "comes out.",
    {
        "field": "(R, S, P): of the map that comes in",
        "layer": "(k, s, p, d): kernel, stride, padding on each side, dilation",
    },
    "(R, S, P) of the map that comes out, whole numbers",
    (
        Twist(
            "first-pixel",
            "the first pixel of unit 0 in place of the padding before it",
            "What does the third number say here? A field that begins before the image begins at a negative "
            "pixel.",
            take="field = (field[0], field[1], -field[2])",
            hand="field = (field[0], field[1], -field[2])",
            give="result = (result[0], result[1], -result[2])",
            back="result = (result[0], result[1], -result[2])",
            given={"field": "(R, S, A): of the map that comes in"},
            returns="(R, S, A) of the map that comes out, whole numbers",
            says={
                "place": "A is the number of the first pixel that unit 0 sees; it is negative in the padding."
            },
        ),
        Twist(
            "centre",
            "the centre of unit 0's field in place of the padding before it",
            "What does the third number say here? The middle of a field of R pixels lies (R - 1) / 2 after "
            "its first "
            "one.",
            take="field = (field[0], field[1], int((field[0] - 1) / 2 - field[2]))",
            hand="field = (field[0], field[1], (field[0] - 1) / 2 - field[2])",
            give="result = (result[0], result[1], (result[0] - 1) / 2 - result[2])",
            back="result = (result[0], result[1], int((result[0] - 1) / 2 - result[2]))",
            given={"field": "(R, S, M): of the map that comes in"},
            returns="(R, S, M) of the map that comes out; M may be a half",
            says={
                "place": "M is where the middle of unit 0's field lies, counted so that pixel 0 is at 0, "
                "pixel 1 at 1."
            },
        ),
        GAPS,
        Twist(
            "both-paddings",
            "the padding of both sides together",
            "On how many sides does the padding stand that you are given? Only what comes before the first "
            "unit moves "
            "the field.",
            take="layer = (layer[0], layer[1], layer[2] // 2, layer[3])",
            hand="layer = (layer[0], layer[1], 2 * layer[2], layer[3])",
            given={
                "layer": "(k, s, q, d): kernel, stride, padding of both sides together (p = q / 2), dilation"
            },
        ),
    ),
    says={"place": "P is how many pixels before the image unit 0's field begins."},
    keeps=("new stride", "whole kernel", "fields multiplied", "stride replaced", "stride stays"),
    example=2,
)

PIXELS = Varied(
    "5.2",
    "Units of the top map of a network see an interval of pixels. Unit u of a layer with kernel k, stride "
    "s, padding "
    "p and dilation d has its window on the units from u·s − p to u·s − p + d·(k − 1) of the map below. "
    "Return the "
    "pixels that the units see: {what}. Pixels in the padding have negative numbers. Without any layer the "
    "units are "
    "the pixels.",
    {
        "layers": "list of (k, s, p, d), the first one is nearest to the image",
        "first": "whole number: the first unit of the top map",
        "last": "whole number: the last unit, which is included",
    },
    "two whole numbers: first and last pixel, both included",
    (
        Twist(
            "half-open",
            "intervals without their ends",
            "Does the end that you are given, and the one that you return, belong to the interval here?",
            take="last = last - 1",
            hand="last = last + 1",
            give="result = (result[0], result[1] + 1)",
            back="result = (result[0], result[1] - 1)",
            given={"last": "whole number: the unit **after** the last one"},
            returns="two whole numbers: the first pixel, and the one after the last",
            says={"what": "the first one and the one **after** the last"},
        ),
        Twist(
            "top-layer-first",
            "the layers from the top down",
            "Which layer comes first in the list here: the one nearest to the image, or the topmost one?",
            take="layers = list(layers)[::-1]",
            hand="layers = list(layers)[::-1]",
            given={"layers": "list of (k, s, p, d), the **topmost** one first"},
        ),
        Twist(
            "how-many",
            "the first pixel and how many there are",
            "What is the second number here: the last pixel, or how many there are?",
            give="result = (result[0], result[1] - result[0] + 1)",
            back="result = (result[0], result[0] + result[1] - 1)",
            returns="two whole numbers: the first pixel, and how many there are",
            says={"what": "the first one, and how many there are"},
        ),
        Twist(
            "gaps",
            "zeros between taps in place of a dilation",
            "How many units apart are two taps with no zero between them? And with one?",
            take="layers = [(k, s, p, z + 1) for k, s, p, z in layers]",
            hand="layers = [(k, s, p, d - 1) for k, s, p, d in layers]",
            given={
                "layers": "list of (k, s, p, z), the first one is nearest to the image; z is the number of "
                "zeros between "
                "two neighbouring taps, so d = z + 1"
            },
        ),
    ),
    says={"what": "the first one and the last"},
    keeps=("padding forgotten", "only the first unit", "padding before the stride"),
    example=3,
)

VARIED = (FIELD, PIXELS)
