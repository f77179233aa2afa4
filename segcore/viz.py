"""Pictures of what the course computes: images, labels, masks, boxes, keypoints, heat maps and normals.

Each `show_*` takes tensors in the house's conventions (or arrays; for anything else it raises TypeError),
draws on `ax` (or on a new figure) and returns the Axes. Pixel (0, 0) covers [0, 1)², so boxes and keypoints
in continuous coordinates land where they belong, and outlines of masks run along pixel edges. Backgrounds
are transparent and every colour keeps a contrast of at least 3 on the book's white page and on its dark one
(#15191e).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from inspect import Parameter
from typing import Any

if find_spec("matplotlib") is None:
    raise ModuleNotFoundError("pictures need matplotlib: pip install 'segcore[widgets]'", name="matplotlib")

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, PathPatch, Rectangle
from matplotlib.path import Path
from torch import Tensor

from segcore import inputs
from segcore.inputs import IGNORE

__all__ = [
    "GREY",
    "IGNORE",
    "PALETTE",
    "class_colors",
    "explore",
    "on_a_phone",
    "show_boxes",
    "show_grid",
    "show_heatmap",
    "show_image",
    "show_keypoints",
    "show_labels",
    "show_masks",
    "show_normals",
    "show_panoptic",
    "use_style",
]

PALETTE = ("#1c90f7", "#f16a01", "#23a862", "#c81664", "#766729", "#7f34f4", "#1c6e92")
"""Blue, orange, green, crimson, olive, violet, teal: the Okabe-Ito hues, moved until each has a contrast of 3
on white and on #15191e and any two stay apart (CIEDE2000 above 11) for red-, green- and blue-blind
readers."""

GREY = "#777c84"
"""Text, axes and background classes: readable on both pages."""


def use_style() -> None:
    """Set matplotlib's defaults to the course's: transparent, mid-grey text, the palette, modest size.

    Where the book is built (`SEGCORE_FIGURES=svg`), figures are then shown as `segcore.figures` draws them.

    Example:
        >>> use_style()
        >>> plt.rcParams["text.color"]
        '#777c84'
    """
    plt.rcParams.update(
        {
            "figure.figsize": (6.4, 4.0),
            "figure.dpi": 110,
            "figure.facecolor": "none",
            "figure.constrained_layout.use": True,
            "savefig.dpi": 110,
            "savefig.facecolor": "none",
            "savefig.transparent": True,
            "axes.facecolor": "none",
            "axes.edgecolor": GREY,
            "axes.labelcolor": GREY,
            "axes.titlecolor": GREY,
            "axes.titlesize": 10,
            "axes.labelsize": 9.5,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": plt.cycler(color=PALETTE),
            "axes.grid": False,
            "grid.color": GREY,
            "grid.alpha": 0.3,
            "lines.linewidth": 2.0,
            "text.color": GREY,
            "xtick.color": GREY,
            "ytick.color": GREY,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "font.size": 9.5,
            "legend.fontsize": 9,
            "legend.frameon": False,
            "hatch.linewidth": 0.8,
        }
    )
    if os.environ.get("SEGCORE_FIGURES") == "svg" and "IPython" in sys.modules:
        from segcore.figures import show_figures_as_svg

        show_figures_as_svg()


def class_colors(count: int) -> list[str]:
    """Colours of `count` classes: grey for class 0, which is background as a rule, then the palette.

    Example:
        >>> class_colors(3)
        ['#777c84', '#1c90f7', '#f16a01']
    """
    return [GREY, *(PALETTE[k % len(PALETTE)] for k in range(count - 1))][:count]


def show_image(image: Tensor, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw an image.

    Args:
        image: float (3, H, W) RGB, or (H, W) or (1, H, W) grey; values in [0, 1].
        ax: where to draw; a new figure if None.
        title: the heading.

    Returns:
        The Axes.

    Raises:
        ValueError: wrong shape or dtype, or values outside [0, 1].

    Example:
        >>> show_image(torch.rand(3, 4, 6)).get_xlim()
        (np.float64(0.0), np.float64(6.0))
    """
    pixels = _image_array(image)
    ax = _axes(ax, title, pixels.shape[:2])
    ax.imshow(pixels, extent=_extent(pixels), cmap="gray", vmin=0, vmax=1)
    return ax


def show_labels(
    labels: Tensor,
    classes: Sequence[str] | None = None,
    image: Tensor | None = None,
    alpha: float = 0.6,
    legend: bool = True,
    colors: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw a label map with a legend of the classes that occur; 255 (ignored) is hatched.

    Args:
        labels: integer (H, W).
        classes: names by class index; "0", "1", ... if None.
        image: drawn below the labels, which are then as opaque as `alpha` says.
        alpha: opacity of the labels over an image.
        legend: whether to add the legend.
        colors: colours by class index; `class_colors` if None.
        ax: where to draw; a new figure if None.
        title: the heading.

    Returns:
        The Axes.

    Raises:
        ValueError: wrong shape or dtype, a negative label, or a label without a name or colour.

    Example:
        >>> ax = show_labels(torch.tensor([[0, 1], [1, 255]]), classes=["floor", "box"])
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['floor', 'box', 'ignored']
    """
    array = _label_array(labels)
    present = [int(k) for k in np.unique(array) if k != IGNORE]
    count = max(present, default=0) + 1
    for what, given in (("classes", classes), ("colors", colors)):
        if given is not None and len(given) < count:
            raise ValueError(
                f"{what} has {len(given)} entries, but labels go up to {count - 1}; give one for each class"
            )
    names = classes or [str(k) for k in range(count)]
    table = np.array([to_rgb(color) for color in (colors or class_colors(count))])
    ignored = array == IGNORE

    if image is not None:
        _same_size(image, array.shape, "labels")
    ax = _axes(ax, title, array.shape)
    if image is not None:
        show_image(image, ax)
    opacity = np.where(ignored, 0.0, 1.0 if image is None else alpha)
    rgba = np.dstack([table[np.where(ignored, 0, array)], opacity])
    ax.imshow(rgba, extent=_extent(array), interpolation="nearest")
    _hatch(ax, ignored)
    if legend:
        handles = [Patch(facecolor=table[k], label=names[k]) for k in present]
        if ignored.any():
            handles.append(Patch(facecolor="none", edgecolor=GREY, hatch="/////", label="ignored"))
        _legend(ax, handles)
    return ax


def show_masks(
    image: Tensor | None,
    masks: Tensor,
    labels: Sequence[str] | None = None,
    alpha: float = 0.45,
    colors: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw instance masks over an image, each tinted and outlined along its pixel edges.

    Args:
        image: as in `show_image`; None draws the masks alone.
        masks: bool (N, H, W), or (H, W) for one.
        labels: a word for each mask, written at its centre.
        alpha: opacity of the tint.
        colors: a colour for each mask; the palette in turn if None.
        ax: where to draw; a new figure if None.
        title: the heading.

    Returns:
        The Axes.

    Raises:
        ValueError: wrong shape or dtype, or sizes that differ.

    Example:
        >>> masks = torch.zeros(2, 8, 8, dtype=torch.bool)
        >>> masks[0, 1:3, 1:3] = True
        >>> len(show_masks(None, masks).collections)  # an outline each
        2
    """
    array = inputs.masks(_tensor(masks), "masks", "N H W | H W").numpy()
    array = array[None] if array.ndim == 2 else array
    size = array.shape[1:]
    chosen = _one_each(colors, labels, len(array), "mask")
    if image is not None:
        _same_size(image, size, "masks")
    ax = _axes(ax, title, size)
    if image is not None:
        show_image(image, ax)
    for k, mask in enumerate(array):
        rgba = np.zeros((*size, 4))
        rgba[..., :3] = to_rgb(chosen[k])
        rgba[..., 3] = mask * alpha
        if alpha > 0:
            ax.imshow(rgba, extent=_extent(mask), interpolation="nearest")
        edges = _outline(mask)
        if image is not None:  # a light rim, so that the outline stands out from whatever lies beside it
            ax.add_collection(
                LineCollection(edges, colors="white", linewidths=3, alpha=0.6, capstyle="round")
            )
        ax.add_collection(LineCollection(edges, colors=[chosen[k]], linewidths=1.6, capstyle="round"))
        if labels is not None and mask.any():
            rows, columns = np.nonzero(mask)
            _tag(ax, columns.mean() + 0.5, rows.mean() + 0.5, labels[k], chosen[k], ha="center", va="center")
    return ax


def show_boxes(
    image: Tensor | None,
    boxes: Tensor,
    labels: Sequence[str] | None = None,
    colors: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw boxes, on an image or on what `ax` already holds.

    Args:
        image: as in `show_image`; None draws on `ax` as it is.
        boxes: float (N, 4) as x1, y1, x2, y2 in continuous coordinates, or (4,) for one.
        labels: a word for each box, written at its upper left corner.
        colors: a colour for each box; the palette in turn if None.
        ax: where to draw; needed if `image` is None.
        title: the heading.

    Returns:
        The Axes.

    Raises:
        ValueError: wrong shape, corners in the wrong order, values that are not finite, or nothing to draw
        on.

    Example:
        >>> ax = show_boxes(torch.rand(3, 8, 8), torch.tensor([[1.0, 2.0, 5.5, 7.0]]), labels=["cup"])
        >>> ax.patches[0].get_bbox().extents.tolist()
        [1.0, 2.0, 5.5, 7.0]
    """
    rows = _tensor(boxes)
    rows = rows[None] if isinstance(rows, Tensor) and rows.shape == (4,) else rows
    array = inputs.boxes(rows, "boxes").numpy()
    chosen = _one_each(colors, labels, len(array), "box")
    ax = _canvas(image, ax, title)
    for k, (x1, y1, x2, y2) in enumerate(array.tolist()):
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=chosen[k], linewidth=2))
        if labels is not None:
            _tag(ax, x1, y1, labels[k], chosen[k], ha="left", va="bottom")
    return ax


def show_keypoints(
    image: Tensor | None,
    keypoints: Tensor,
    names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw keypoints: filled where visible (2), hollow where occluded (1), not at all where absent (0).

    Args:
        image: as in `show_image`; None draws on `ax` as it is.
        keypoints: float (N, K, 3) as x, y, visibility, or (K, 3) for one object.
        names: names of the K keypoints, for the legend. Each keypoint has one colour on all objects.
        ax: where to draw; needed if `image` is None.
        title: the heading.

    Returns:
        The Axes.

    Raises:
        ValueError: wrong shape, a visibility that is not 0, 1 or 2, or nothing to draw on.

    Example:
        >>> points = torch.tensor([[[2.5, 2.5, 2.0], [4.0, 3.0, 1.0]]])
        >>> len(show_keypoints(torch.rand(3, 8, 8), points).lines)  # each with a white rim
        4
    """
    array = inputs.tensor(_tensor(keypoints), "keypoints", "N K 3 | K 3").numpy()
    array = array[None] if array.ndim == 2 else array
    if not np.isin(array[..., 2], (0, 1, 2)).all():
        raise ValueError("expected keypoints of x, y and visibility, which is 0, 1 or 2, got another number")
    chosen = _one_each(None, names, array.shape[1], "keypoint")
    ax = _canvas(image, ax, title)
    for k in range(array.shape[1]):
        visible, occluded = (array[array[:, k, 2] == visibility, k, :2].T for visibility in (2, 1))
        _points(ax, visible, 8.5, "white")
        _points(ax, visible, 6, chosen[k])
        _points(ax, occluded, 7, "none", "white", 3.4)
        _points(ax, occluded, 7, "none", chosen[k], 1.8)
    if names is not None:
        handles = [
            plt.Line2D([], [], marker="o", ls="", color=c, label=n)
            for c, n in zip(chosen, names, strict=True)
        ]
        _legend(ax, handles)
    return ax


def show_heatmap(
    values: Tensor,
    label: str | None = None,
    limits: tuple[float, float] | None = None,
    diverging: bool = False,
    colorbar: bool = True,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw a map of numbers in a perceptually uniform colour scale; NaN (missing) is hatched.

    Args:
        values: (H, W), any real dtype.
        label: what the numbers are, with their unit, beside the colour bar.
        limits: smallest and largest value of the scale; from the finite values if None.
        diverging: a scale from blue over white to red, white at zero, for signed values.
        colorbar: whether to add the colour bar.
        ax: where to draw; a new figure if None.
        title: the heading.

    Returns:
        The Axes.

    Raises:
        ValueError: wrong shape, or limits in the wrong order.

    Example:
        >>> ax = show_heatmap(torch.tensor([[-1.0, 0.0], [3.0, torch.nan]]), diverging=True)
        >>> ax.images[0].get_clim()
        (-3.0, 3.0)
    """
    array = inputs.tensor(_tensor(values), "values", "H W").numpy().astype(np.float64)
    finite = array[np.isfinite(array)]
    if limits is None:
        low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
        low, high = (-max(-low, high), max(-low, high)) if diverging else (low, high)
    else:
        low, high = limits
        if not low < high:
            raise ValueError(f"expected limits as (smallest, largest), got {limits}; turn them round")
    ax = _axes(ax, title, array.shape)
    cmap = "RdBu_r" if diverging else "viridis"
    drawn = ax.imshow(
        np.ma.masked_invalid(array),
        extent=_extent(array),
        cmap=cmap,
        vmin=low,
        vmax=high,
        interpolation="nearest",
    )
    _hatch(ax, ~np.isfinite(array))
    if colorbar:
        bar = ax.figure.colorbar(drawn, cax=ax.inset_axes((1.03, 0, 0.045, 1)))  # as high as the map
        bar.outline.set_visible(False)
        bar.ax.tick_params(colors=GREY, labelsize=9)
        if label is not None:
            bar.set_label(label, color=GREY)
    return ax


def show_normals(normals: Tensor, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw surface normals as colours: red to the right, green up, blue towards the camera.

    Args:
        normals: float (3, H, W), camera axes x right, y down, z forward; NaN or zero vectors are left blank.
        ax: where to draw; a new figure if None.
        title: the heading.

    Returns:
        The Axes.

    Raises:
        ValueError: wrong shape, or vectors longer than 1.

    Example:
        >>> wall = torch.tensor([0.0, 0.0, -1.0])[:, None, None].expand(3, 2, 2)
        >>> show_normals(wall).images[0].get_array()[0, 0].tolist()
        [0.5, 0.5, 1.0, 1.0]
    """
    array = inputs.tensor(_tensor(normals), "normals", "3 H W").numpy()
    length = np.sqrt((array**2).sum(0))
    if (length > 1.001).any():
        raise ValueError(
            f"expected normals of length 1, got one of {np.nanmax(length):.3g}; divide them by their length"
        )
    known = length > 0  # NaN compares False
    towards = np.array([1.0, -1.0, -1.0])[:, None, None] * np.where(known, array, 0.0)
    rgba = np.dstack([*(0.5 + 0.5 * towards), known.astype(float)])
    ax = _axes(ax, title, length.shape)
    ax.imshow(rgba.clip(0, 1), extent=_extent(length), interpolation="nearest")
    return ax


def show_panoptic(
    panoptic: Tensor,
    classes: Sequence[str] | None = None,
    colors: Sequence[str] | None = None,
    legend: bool = False,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw a panoptic map: a colour for each class, shades and outlines for instances; void is hatched.

    Args:
        panoptic: integer (H, W, 2), class (255 is void) and instance; instance 0 gets no outline.
        classes: names by class index, for the legend.
        colors: colours by class index; `class_colors` if None.
        legend: whether to add the legend.
        ax: where to draw; a new figure if None.
        title: the heading.

    Returns:
        The Axes.

    Raises:
        ValueError: wrong shape or dtype, or a class without a name or colour.

    Example:
        >>> maps = torch.tensor([[[0, 0], [1, 1], [1, 2]]])
        >>> len(show_panoptic(maps).collections)  # the outlines of two instances
        2
    """
    values = inputs.tensor(_tensor(panoptic), "panoptic", "H W 2")
    ax = show_labels(values[..., 0], classes, legend=legend, colors=colors, ax=ax, title=title)
    numbers = _label_array(values[..., 1])
    light = np.array([0.0, 0.45, 0.2, 0.65])[numbers % 4] * (
        (numbers > 0) & (_label_array(values[..., 0]) != IGNORE)
    )
    ax.imshow(
        np.dstack([np.ones((*numbers.shape, 3)), light]), extent=_extent(numbers), interpolation="nearest"
    )
    for kind, number in sorted({tuple(pair) for pair in values.reshape(-1, 2).tolist()}):
        if number and kind != IGNORE:
            edges = _outline((values == values.new_tensor([kind, number])).all(-1).numpy())
            ax.add_collection(LineCollection(edges, colors="#15191e", linewidths=1.1, capstyle="round"))
    return ax


def show_grid(
    images: Tensor | Sequence[Tensor],
    titles: Sequence[str] | None = None,
    columns: int = 6,
    width: float = 1.4,
) -> np.ndarray:
    """Draw images side by side, `columns` to a row, each `width` inches wide.

    Args:
        images: (N, 3, H, W), or a list of images as in `show_image`, of any sizes.
        titles: one for each image.
        columns: the most images in a row.
        width: of one image in inches.

    Returns:
        Array of the N Axes, so that more can be drawn on each.

    Raises:
        ValueError: no image, or a number of titles that differs.

    Example:
        >>> len(show_grid(torch.rand(5, 3, 8, 8), columns=3))
        5
    """
    if len(images) == 0:
        raise ValueError("expected at least one image, got none")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"{len(titles)} titles for {len(images)} images; give one for each")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height = max(width * image.shape[-2] / image.shape[-1] for image in images) + (0.25 if titles else 0.06)
    size = columns * (width + 0.06), rows * height
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False)
    figure.patch.set_alpha(0)
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
    axes = grid.ravel()
    for k, image in enumerate(images):
        show_image(image, axes[k], None if titles is None else titles[k])
    for ax in axes[len(images) :]:
        ax.set_axis_off()
    return axes[: len(images)]


def on_a_phone(
    figure: Figure, *, columns: int | None = None, height: float | None = None, down: bool = False
) -> None:
    """Say how the panels of `figure` stand on a phone, where the rule does not fit.

    The rule is: pictures in two columns, plots in one.

    Args:
        figure: a figure of one grid of panels.
        columns: how many panels side by side; by the rule if None.
        height: of each row in inches; from the panels' shapes if None.
        down: whether the panels follow each other column by column of the wide layout, not row by row.

    Raises:
        TypeError: no whole number of columns, or a height that is no number.
        ValueError: fewer than one column, or no height.

    Example:
        >>> figure, axes = plt.subplots(1, 3)
        >>> on_a_phone(figure, columns=3)
        >>> plt.close(figure)
    """
    if columns is not None:
        inputs.whole(columns, "columns")
    if height is not None:
        inputs.number(height, "height", above=0)
    vars(figure)["segcore_phone"] = (columns, height, down)


def explore(f: Callable[..., object], **controls: Any) -> None:
    """Let the reader turn the arguments of `f`; in a static page, show its first picture.

    With a kernel this is `ipywidgets.interact`. Under `SEGCORE_STATIC=1` (solutions that are stored, pages
    that are built) the controls are made, so that a wrong one fails here too, but not shown, and `f` is
    called once with their first values: its figure is stored, and runs compare equal.

    Args:
        f: draws; its arguments are the controls' names.
        controls: as `ipywidgets.interact` takes them: a number, a (low, high, step) tuple, a list of choices,
            a bool, a text or a widget.

    Raises:
        ValueError: no controls, or one that ipywidgets can make nothing of.

    Example:
        >>> import os; os.environ["SEGCORE_STATIC"] = "1"
        >>> explore(lambda stride, mode: print(stride, mode), stride=(0, 8, 2), mode=["max", "mean"])
        4 max
        >>> del os.environ["SEGCORE_STATIC"]
    """
    from ipywidgets import interact, interactive

    if not controls:
        raise ValueError("explore needs at least one control, such as stride=(1, 8)")
    for name, value in controls.items():
        if interactive.widget_from_abbrev(value, Parameter.empty) is None:
            raise ValueError(
                f"explore can make no control of {name}={value!r}; give a number, a (low, high, step) tuple, "
                "a list of choices, a bool, a text or a widget"
            )
    if os.environ.get("SEGCORE_STATIC") != "1":
        interact(f, **controls)
        return
    made = interactive(f, {"manual": True}, **controls)
    result = f(**{widget._kwarg: widget.get_interact_value() for widget in made.kwargs_widgets})
    for widget in (*made.children, made):
        widget.close()
    if result is not None:
        from IPython.display import display

        display(result)


def _tensor(values: Any) -> Any:
    """Values on the CPU, of a dtype that numpy has; an array of numpy's as a tensor."""
    values = torch.as_tensor(values) if isinstance(values, np.ndarray) else values
    if not isinstance(values, Tensor):
        return values
    values = values.detach().cpu()
    return values.float() if values.dtype == torch.bfloat16 else values


def _image_array(image: Tensor) -> np.ndarray:
    """(H, W, 3) or (H, W), checked."""
    array = inputs.image(_tensor(image), "image", form="3 H W | 1 H W | H W").numpy()
    if not (array.min() >= -1e-3 and array.max() <= 1.001):
        raise ValueError(
            f"expected image from 0 to 1, got {array.min():.3g} to {array.max():.3g}; "
            "for other values use show_heatmap"
        )
    array = array.clip(0, 1).astype(np.float32)
    return (
        array.transpose(1, 2, 0) if len(array) == 3 and array.ndim == 3 else array.reshape(array.shape[-2:])
    )


def _label_array(labels: Tensor) -> np.ndarray:
    """(H, W) in int64, of whole numbers of any size."""
    values = _tensor(labels)
    if isinstance(values, Tensor) and values.dtype != torch.bool and not values.is_floating_point():
        values = values.long()
    return inputs.label_map(values, "labels", form="H W").numpy()


def _same_size(image: Tensor, size: tuple[int, ...], name: str) -> None:
    if tuple(image.shape[-2:]) != tuple(size):
        raise ValueError(
            f"expected {name} of the image's size, {inputs.size_of(image.shape[-2:])}, got "
            f"{inputs.size_of(size)}; make them alike"
        )


def _one_each(colors: Sequence[str] | None, labels: Sequence[str] | None, count: int, what: str) -> list[str]:
    """Colours of `count` things, after checking that colours and labels are one for each."""
    for name, given in (("colors", colors), ("labels", labels)):
        if given is not None and len(given) != count:
            raise ValueError(f"{len(given)} {name} for {count} of kind {what}; give one for each")
    return list(colors) if colors is not None else [PALETTE[k % len(PALETTE)] for k in range(count)]


def _axes(ax: Axes | None, title: str | None, size: tuple[int, ...]) -> Axes:
    """Axes without ticks that show an image of `size` (H, W) in continuous coordinates."""
    if ax is None:
        height, width = size
        scale = 3.6 / max(height, width)
        figure, ax = plt.subplots(figsize=(width * scale + 0.4, height * scale + 0.4))
        figure.patch.set_alpha(0)
    ax.set(xlim=(0, size[1]), ylim=(size[0], 0), aspect="equal", xticks=[], yticks=[])
    ax.set_facecolor("none")
    for spine in ax.spines.values():
        spine.set_visible(False)
    if title is not None:
        ax.set_title(title, color=GREY)
    return ax


def _canvas(image: Tensor | None, ax: Axes | None, title: str | None) -> Axes:
    if image is not None:
        return show_image(image, ax, title)
    if ax is None:
        raise ValueError("nothing to draw on: give an image or ax")
    if title is not None:
        ax.set_title(title, color=GREY)
    return ax


def _legend(ax: Axes, handles: Sequence[Any]) -> None:
    """A legend to the right of the picture, where it covers nothing."""
    style = {"labelcolor": GREY, "frameon": False, "borderaxespad": 0}
    ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.02, 0.5), **style)


def _extent(array: np.ndarray) -> tuple[float, float, float, float]:
    return (0, array.shape[1], array.shape[0], 0)


def _tag(ax: Axes, x: float, y: float, text: str, color: str, ha: str, va: str) -> None:
    box = {"facecolor": color, "edgecolor": "none", "boxstyle": "square,pad=0.15"}
    ax.text(x, y, text, color=_ink(color), fontsize=8.5, ha=ha, va=va, bbox=box, zorder=5)


def _ink(color: str) -> str:
    """Black or white, whichever reads better on `color`."""
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color))
    return "black" if 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 else "white"


def _points(
    ax: Axes, xy: np.ndarray, size: float, face: str, edge: str = "none", edge_width: float = 0.0
) -> None:
    if xy.size:
        ax.plot(*xy, "o", ms=size, mfc=face, mec=edge, mew=edge_width, clip_on=False, zorder=4)


def _outline(mask: np.ndarray) -> list[np.ndarray]:
    """Closed lines (P, 2) along the pixel edges where `mask` begins or ends, a point at each corner."""
    padded = np.pad(mask, 1).astype(np.int8)
    upright, level = np.diff(padded[1:-1], axis=1), np.diff(padded[:, 1:-1], axis=0)
    steps = [(0, 1, upright == -1), (0, -1, upright == 1), (1, 0, level == 1), (-1, 0, level == -1)]
    leaving: dict[tuple[int, int], list[tuple[int, int]]] = {}  # each edge runs with the mask at its right
    for dx, dy, there in steps:
        for y, x in np.argwhere(there).tolist():
            leaving.setdefault((x + (dx < 0), y + (dy < 0)), []).append((dx, dy))
    loops = []
    while leaving:
        x, y = start = next(iter(leaving))
        corners, before = [start], (0, 0)
        while (x, y) in leaving:
            ways = leaving[x, y]
            dx, dy = step = ways.pop(ways.index(before) if before in ways else -1)
            if not ways:
                del leaving[x, y]
            if step == before:
                corners[-1] = (x + dx, y + dy)
            else:
                corners.append((x + dx, y + dy))
            x, y, before = x + dx, y + dy, step
        loops.append(np.array(corners))
    return loops


def _hatch(ax: Axes, mask: np.ndarray) -> None:
    """Hatch the pixels of `mask` exactly: one rectangle for each run of pixels in a row."""
    if not mask.any():
        return
    steps = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, begin = np.nonzero(steps == 1)
    _, end = np.nonzero(steps == -1)
    corners = np.stack(
        [
            np.stack([begin, row], 1),
            np.stack([end, row], 1),
            np.stack([end, row + 1], 1),
            np.stack([begin, row + 1], 1),
            np.stack([begin, row], 1),
        ],
        1,
    )  # (runs, 5, 2)
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    path = Path(corners.reshape(-1, 2), np.tile(codes, len(row)))
    ax.add_patch(PathPatch(path, facecolor="none", edgecolor=GREY, hatch="/////", linewidth=0))
