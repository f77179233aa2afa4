"""Twists that several exercises share: axes in another order, boxes and points in another form."""

from __future__ import annotations

from segcore.checks.variants.making import Twist

__all__ = ["boxes", "channels_last", "percent", "points_yx", "turned", "width_first"]

BOXES = {
    "yxyx": (
        "y1, x1, y2, x2",
        "{0} = {0}[..., [1, 0, 3, 2]]",
        "{0} = {0}[..., [1, 0, 3, 2]]",
        "Which of the four numbers of a box is which? Here y comes before x, in both corners.",
    ),
    "xywh": (
        "x1, y1, width, height",
        "{0} = torch.cat([{0}[..., :2], {0}[..., :2] + {0}[..., 2:]], dim=-1)",
        "{0} = torch.cat([{0}[..., :2], {0}[..., 2:] - {0}[..., :2]], dim=-1)",
        "What are the last two numbers of a box here? A corner and a size are not two corners.",
    ),
    "centre-size": (
        "x and y of the centre, width, height",
        "{0} = torch.cat([{0}[..., :2] - {0}[..., 2:] / 2, {0}[..., :2] + {0}[..., 2:] / 2], dim=-1)",
        "{0} = torch.cat([({0}[..., :2] + {0}[..., 2:]) / 2, {0}[..., 2:] - {0}[..., :2]], dim=-1)",
        "Where does a box begin that is given by its centre and its size? Half of the size lies on each "
        "side.",
    ),
    "xxyy": (
        "x1, x2, y1, y2",
        "{0} = {0}[..., [0, 2, 1, 3]]",
        "{0} = {0}[..., [0, 2, 1, 3]]",
        "Which of the four numbers of a box is which? Here both of x come first, then both of y.",
    ),
}


def boxes(
    form: str, argument: str = "", shape: str = "", *, result: str = "", unit: str = "pixels of the image"
) -> Twist:
    """Boxes in another form, in an argument, in the result, or in both.

    Args:
        form: A key of BOXES.
        argument: The argument that holds boxes; none where left out.
        shape: Its shape, for the task.
        result: What the task says of the result, with ``{}`` for the form; left out where it holds no boxes.
        unit: What the numbers count.
    """
    words, take, hand, hint = BOXES[form]
    name = f"{form}-{'boxes' if argument != 'box' else 'box'}"
    return Twist(
        name,
        f"boxes as {words}" if argument != "box" else f"the box as {words}",
        hint,
        take=take.format(argument) if argument else "",
        hand=hand.format(argument) if argument else "",
        give=hand.format("result") if result else "",
        back=take.format("result") if result else "",
        given={argument: f"`{shape}`: {words}, in {unit}"} if argument else {},
        returns=result.format(words),
    )


def channels_last(arguments: dict[str, str], *, result: str = "", axis: int = 0) -> Twist:
    """The channels as the last axis, as in NumPy and most image files.

    Args:
        arguments: What the task says of each argument that has channels, by its name.
        result: What it says of the result, where that has channels too.
        axis: Which axis the lab has the channels on: 0, or 1 behind a batch.
    """
    return Twist(
        "channels-last",
        "channels last",
        "Which axis of what you are given holds the channels? Here it is the last one; the lab has it before "
        "rows and columns.",
        take="\n".join(f"{name} = {name}.movedim(-1, {axis})" for name in arguments),
        hand="\n".join(f"{name} = {name}.movedim({axis}, -1)" for name in arguments),
        give=f"result = result.movedim({axis}, -1)" if result else "",
        back=f"result = result.movedim(-1, {axis})" if result else "",
        given=arguments,
        returns=result,
    )


def points_yx(argument: str, shape: str, rest: str = "in cells") -> Twist:
    """Points as y, x."""
    return Twist(
        "yx-points",
        "points as y, x",
        "Which number of a point is which? Here the row, y, comes first; x says how far to the right.",
        take=f"{argument} = {argument}.flip(-1)",
        hand=f"{argument} = {argument}.flip(-1)",
        given={argument: f"`{shape}`: y, x, {rest}"},
    )


def percent(returns: str) -> Twist:
    """The result in percent."""
    return Twist(
        "percent",
        "in percent",
        "The right share, but not in the unit that is asked for. What is one half in percent?",
        give="result = 100 * result",
        back="result = result / 100",
        returns=returns,
    )


def turned(returns: str, what: str, rows: str) -> Twist:
    """A table whose rows and columns are exchanged.

    Args:
        returns: What the task says of the result.
        what: What a row is here: "a row for each point".
        rows: The question that the hint asks.
    """
    return Twist(
        "turned-table",
        f"the result with {what}",
        f"The numbers are right, rows and columns are exchanged. {rows}",
        give="result = result.T",
        back="result = result.T",
        returns=returns,
    )


def width_first(what: str) -> Twist:
    """A size as (width, height)."""
    return Twist(
        "width-first",
        "the size as (width, height)",
        "Which of the two numbers of the size comes first here? Most image libraries name the width first.",
        take="size = (size[1], size[0])",
        hand="size = (size[1], size[0])",
        given={"size": f"two whole numbers: width and height of {what}"},
    )
