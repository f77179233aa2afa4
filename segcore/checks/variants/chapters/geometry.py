"""Variants of chapter 17: depths in other units, normals in other camera axes."""

from __future__ import annotations

from segcore.checks.variants.making import Twist, Varied

__all__ = ["VARIED"]

SCORES = Varied(
    "17.1",
    "Score a depth map y' against the true one y, over the pixels where the truth is known. **AbsRel** is "
    "the mean of "
    "|y' − y| / y. **SILog** is the root of the mean of (g − mean of g)², with g = ln y' − ln y and plain "
    "means. **δ1** "
    "is the share of pixels in which the larger one of y' / y and y / y' is below 1.25. Predictions are "
    "above 0. Where "
    "all true depths are missing, all three are NaN.",
    {
        "prediction": "`(H, W)`, float32, metres",
        "target": "`(H, W)`, float32, metres; 0 or NaN is missing",
    },
    "`(3,)`: AbsRel, SILog, δ1",
    (
        Twist(
            "millimetres",
            "the true depth in millimetres",
            "In which unit does each of the two maps come? Both must be in one before they are compared.",
            take="target = target / 1000",
            hand="target = target * 1000",
            given={"target": "`(H, W)`, float32, **millimetres**; 0 or NaN is missing"},
        ),
        Twist(
            "centimetres",
            "the predicted depth in centimetres",
            "What does 250 mean in the prediction here? Bring both maps to one unit before you compare them.",
            take="prediction = prediction / 100",
            hand="prediction = prediction * 100",
            given={"prediction": "`(H, W)`, float32, **centimetres**"},
        ),
        Twist(
            "delta-first",
            "the scores as δ1, AbsRel, SILog",
            "The numbers are right. In which order are they asked here?",
            give="result = result.roll(1)",
            back="result = result.roll(-1)",
            returns="`(3,)`: δ1, AbsRel, SILog",
        ),
    ),
    keeps=("divided by all pixels", "mean not taken off", "sign kept", "median"),
    notes={"the by-hand example": "four pixels, one depth missing"},
)

NORMALS = Varied(
    "17.3",
    "Compute the normals of a surface from its depth map. Pixel (x, y), with its centre at x = column + "
    "1/2, y = row + "
    "1/2, shows the point Z · ((x − W/2) / f, (y − H/2) / f, 1). For the inner pixels, all but the "
    "outermost rows and "
    "columns: the step across is the point to the right less the point to the left, the step down the point "
    "below "
    "less the point above; the normal stands on both, has length 1, and points {way}.",
    {
        "depth": "`(H, W)`, float32, metres along the optical axis, all there",
        "focal_length": "number: f, in pixels",
    },
    "`(3, H − 2, W − 2)`: x to the right, y down, z forward",
    (
        Twist(
            "away",
            "normals that point away from the camera",
            "To which side should a normal point here? A wall that faces the camera has one or the other "
            "sign.",
            give="result = -result",
            back="result = -result",
            says={"way": "**away from the camera**: a wall that faces it has (0, 0, 1)"},
        ),
        Twist(
            "y-up",
            "the normals' y upwards",
            "To which side does y of a normal grow here? Rows of an image are counted downwards.",
            give="result = result * torch.tensor([1.0, -1.0, 1.0])[:, None, None]",
            back="result = result * torch.tensor([1.0, -1.0, 1.0])[:, None, None]",
            returns="`(3, H − 2, W − 2)`: x to the right, y **up**, z forward",
        ),
        Twist(
            "normals-last",
            "the three numbers of a normal as the last axis",
            "The numbers are right. Which axis holds the three numbers of a normal here?",
            give="result = result.movedim(0, -1)",
            back="result = result.movedim(-1, 0)",
            returns="`(H − 2, W − 2, 3)`: x to the right, y down, z forward as the last axis",
        ),
        Twist(
            "inverse-depth",
            "inverse depth in place of depth",
            "What does the map hold here: how far a pixel is, or one over that?",
            take="depth = 1 / depth",
            hand="depth = 1 / depth",
            given={"depth": "`(H, W)`, float32: **one over** the depth along the optical axis, all there"},
        ),
        Twist(
            "focal-length-in-widths",
            "the focal length in widths of the image",
            "In which unit does the focal length come here? The formula wants pixels.",
            take="focal_length = focal_length * depth.shape[1]",
            hand="focal_length = focal_length / depth.shape[1]",
            given={"focal_length": "number: **f / W**, the focal length in widths of the image"},
        ),
    ),
    says={"way": "**to the camera**: a wall that faces it has (0, 0, −1)"},
    keeps=("length not 1", "counted from the corner", "forward differences", "place not scaled by depth"),
    notes={
        "the by-hand example": "three rows with the same depths",
        "the by-hand example, lying": "three columns with the same depths",
    },
)

VARIED = (SCORES, NORMALS)
