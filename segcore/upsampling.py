r"""Up-sampling: an up-convolution paints its filter, and every linear way of up-sampling is a matrix.

A transposed convolution (*up-convolution*) multiplies its filter by each input value, puts the product down
in the output, one ``stride`` further for each input cell, and adds up what overlaps
(:func:`transposed_conv2d`). The same numbers come from the other side: put ``stride - 1`` zeros between the
input cells (:func:`zero_insert`) and convolve with the flipped filter (:func:`fractional_conv2d`). Both are
the product with :math:`C^T`, where :math:`C` is the matrix of the convolution with the same filter, stride
and padding (:func:`transposed_conv_matrix`); hence the name. It is not the inverse of a convolution, so
*deconvolution* is a poor name for it.

Bilinear up-sampling by a whole factor is one of them, with a fixed filter (:func:`bilinear_kernel`); to any
size it is a matrix along each axis, :math:`Y = W_y X W_x^T` (:func:`resize_bilinear`). Max unpooling puts
each maximum back where it came from and leaves the rest zero (:func:`max_unpool2d`).

Names, layouts of weights and defaults are torch's. Sources: Long et al. 2015 (bilinear filters that learn),
Dumoulin and Visin 2016 (the arithmetic), Odena et al. 2016 (:func:`overlap_count` and its checkerboards), Noh
et al. 2015 (unpooling). Left out: bias, dilation, groups, and maps without a batch axis.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv2d, fold, pad
from torch.overrides import wrap_torch_function

__all__ = [
    "bilinear_kernel",
    "fractional_conv2d",
    "max_unpool2d",
    "overlap_count",
    "resize_bilinear",
    "transposed_conv2d",
    "transposed_conv_matrix",
    "zero_insert",
]


# --- Painting, and the other view ---


def transposed_conv2d(
    x: Tensor,
    weight: Tensor,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    output_padding: int | tuple[int, int] = 0,
) -> Tensor:
    """Paint the filter into the output, once for each input value, and add up what overlaps.

    Input cell (i, j) paints ``x[i, j] * weight`` with its upper left corner at (i, j) times the stride. Then
    ``padding`` cells are cut off at each border, and ``output_padding`` cells more are kept below and to the
    right (zero where nothing was painted). Along each axis the output has
    ``(size - 1) * stride + kernel - 2 * padding + output_padding`` cells.

    The values and gradients are those of ``torch.nn.functional.conv_transpose2d``, and so are the options,
    but that an output of 0 cells is refused.

    Args:
        x: Maps ``(N, C, H, W)``, floating point.
        weight: A filter from each input to each output channel, ``(C, O, kernel height, kernel width)``, as
            torch has it here: a convolution with the same weight goes from O channels to C.
        stride: Output cells from one stroke to the next, one number or (down, across).
        padding: Cells cut off at each border: what the convolution in the other direction adds.
        output_padding: Cells more below and to the right, fewer than the stride. A convolution of stride 2
            makes 4 cells of 7 and of 8; this says which of the two to come back to.

    Returns:
        ``(N, O, H', W')``, dtype and device of ``x``. Differentiable in ``x`` and ``weight``.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: Wrong rank, dtype, device or number of channels; a stride below 1, a negative padding, an
            output padding that is not below the stride; or a padding that cuts everything off.

    Example:
        The values 1 and 10 paint the filter 1 2 1 with stride 2. The strokes overlap in the middle:

        >>> x = torch.tensor([[[[1.0, 10.0]]]])
        >>> transposed_conv2d(x, torch.tensor([[[[1.0, 2.0, 1.0]]]]), stride=2)
        tensor([[[[ 1.,  2., 11., 20., 10.]]]])
    """
    stride, padding, _, size = _options(x, weight, stride, padding, output_padding)
    # Each value times each filter, (N, O kh kw, H W); then put down and added up.
    strokes = weight.flatten(1).T @ x.flatten(2)
    return fold(strokes, size, weight.shape[2:], padding=padding, stride=stride)


def zero_insert(x: Tensor, stride: int | tuple[int, int]) -> Tensor:
    """Put ``stride - 1`` zeros between the cells of a map, none around them.

    Args:
        x: Maps ``(..., H, W)``.
        stride: Cells from one value to the next, one number or (down, across).

    Returns:
        ``(..., (H - 1) * down + 1, (W - 1) * across + 1)``, dtype and device of ``x``. Differentiable.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: ``x`` has fewer than two axes or no cell, or a stride is below 1.

    Example:
        >>> zero_insert(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), stride=2)
        tensor([[1., 0., 2.],
                [0., 0., 0.],
                [3., 0., 4.]])
    """
    _check_tensor(x, "x", "(..., H, W)")
    if x.dim() < 2 or 0 in x.shape[-2:]:
        raise ValueError(
            f"expected x of shape (..., H, W) with H, W of 1 or more, got {tuple(x.shape)}; reshape it"
        )
    down, across = _pair(stride, "stride", 1)
    height, width = x.shape[-2:]
    spread = x.new_zeros(*x.shape[:-2], (height - 1) * down + 1, (width - 1) * across + 1)
    spread[..., ::down, ::across] = x
    return spread


def fractional_conv2d(
    x: Tensor,
    weight: Tensor,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    output_padding: int | tuple[int, int] = 0,
) -> Tensor:
    """Insert zeros, then convolve with the flipped filter: :func:`transposed_conv2d` from the other side.

    The convolution has stride 1 on a map spread by ``stride``, so it moves by a *fraction* of an input cell,
    1 / stride. Arguments, result and errors are those of :func:`transposed_conv2d`; painting is faster, for
    here most products are with zeros.

    Example:
        >>> x = torch.tensor([[[[1.0, 10.0]]]])
        >>> fractional_conv2d(x, torch.tensor([[[[1.0, 2.0, 1.0]]]]), stride=2)
        tensor([[[[ 1.,  2., 11., 20., 10.]]]])
    """
    stride, (top, left), (more_rows, more_columns), _ = _options(x, weight, stride, padding, output_padding)
    above, before = weight.shape[2] - 1 - top, weight.shape[3] - 1 - left  # negative: cut off, not added
    spread = pad(zero_insert(x, stride), (before, before + more_columns, above, above + more_rows))
    return conv2d(spread, weight.flip(2, 3).transpose(0, 1))


def transposed_conv_matrix(
    weight: Tensor,
    size: int | tuple[int, int],
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
) -> Tensor:
    """Write a convolution as a matrix C; the transposed convolution is the product with its transpose.

    With maps flattened, ``C @ x`` is ``conv2d(x, weight, stride=stride, padding=padding)`` for x of shape
    ``(O, *size)``, and ``C.T @ y`` is :func:`transposed_conv2d` of y with the same weight, stride and
    padding. ``size`` fixes the output padding: it is the size that ``C.T`` comes back to.

    Args:
        weight: ``(C, O, kernel height, kernel width)``, as in :func:`transposed_conv2d`.
        size: Height and width of the map that the convolution takes and the transposed convolution makes.
        stride: Of the convolution, one number or (down, across).
        padding: Of the convolution, one number or (down, across).

    Returns:
        ``(C h w, O H W)`` for ``size`` (H, W) and the convolution's output size (h, w). Differentiable in
        ``weight``.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: ``weight`` is not of rank 4 and floating point; a size or stride is below 1; a padding is
            negative; or the filter does not fit into the padded map.

    Example:
        The filter 1 2 3 on five cells, with stride 2:

        >>> matrix = transposed_conv_matrix(torch.tensor([[[[1.0, 2.0, 3.0]]]]), (1, 5), stride=(1, 2))
        >>> matrix
        tensor([[1., 2., 3., 0., 0.],
                [0., 0., 1., 2., 3.]])
        >>> matrix.T @ torch.tensor([1.0, 10.0])
        tensor([ 1.,  2., 13., 20., 30.])
    """
    _check_map(weight, "weight", "(C, O, kernel height, kernel width)")
    strides, paddings = _pair(stride, "stride", 1), _pair(padding, "padding", 0)
    axes = zip(weight.shape[2:], _pair(size, "size", 1), strides, paddings, strict=True)
    rows, columns = (_reads(*axis).to(weight) for axis in axes)  # (kh, h, H) and (kw, w, W)
    return torch.einsum("cokl,kyv,lxu->cyxovu", weight, rows, columns).flatten(3).flatten(0, 2)


def overlap_count(
    kernel: int | tuple[int, int], stride: int | tuple[int, int], size: int | tuple[int, int]
) -> Tensor:
    """Count the strokes that reach each output cell.

    Where the stride divides the kernel, all cells but those near the border have the same count. Else the
    counts make a checkerboard, and so does an up-convolution whose filter has not learned to undo it.

    Args:
        kernel: Size of the filter, one number or (height, width).
        stride: Output cells from one stroke to the next, one number or (down, across).
        size: Size of the input, one number or (height, width).

    Returns:
        int64 ``((H - 1) * down + kernel height, (W - 1) * across + kernel width)``: no padding cut off.

    Raises:
        TypeError: An argument is neither a whole number nor a pair of them.
        ValueError: One of them is below 1.

    Example:
        >>> overlap_count((1, 3), stride=2, size=(1, 4))
        tensor([[1, 1, 2, 1, 2, 1, 2, 1, 1]])
        >>> overlap_count((1, 4), stride=2, size=(1, 4))
        tensor([[1, 1, 2, 2, 2, 2, 2, 2, 1, 1]])
    """
    kernels, strides, sizes = _pair(kernel, "kernel", 1), _pair(stride, "stride", 1), _pair(size, "size", 1)
    down, across = (
        _reads(cells, (count - 1) * step + cells, step, 0).sum(dim=(0, 1)).long()
        for cells, step, count in zip(kernels, strides, sizes, strict=True)
    )
    return torch.outer(down, across)


# --- Bilinear ---


def bilinear_kernel(stride: int, even: bool = False) -> Tensor:
    """The filter that makes a transposed convolution up-sample bilinearly by a whole factor.

    Along each axis it is a tent, ``max(0, 1 - distance / stride)``, with the distance in output cells from
    the filter's centre. There are two, for two opinions of where pixels lie:

    - *odd*, ``2 * stride - 1`` cells, 1 in the middle. With ``padding=stride - 1``, n cells become
      ``(n - 1) * stride + 1``, the old ones stay as they are, and the result is everywhere that of
      ``interpolate(..., mode="bilinear", align_corners=True)``.
    - *even*, ``2 * stride`` cells, the centre between two of them (FCN's). With ``padding=stride // 2``, n
      cells become ``n * stride``, and the result is that of ``align_corners=False``, except within
      ``stride // 2`` cells of the border. There it fades, for nothing is painted from outside; repeat the
      border once, with ``padding=stride + stride // 2``, and it is equal everywhere.

    For an odd stride the odd filter serves both: with ``padding=(stride - 1) // 2`` it is that of
    ``align_corners=False``, except near the border.

    Args:
        stride: The factor.
        even: Which of the two; an even filter needs an even stride.

    Returns:
        ``(k, k)``, float32 (torch's default). For C channels, each on its own:
        ``torch.eye(C)[:, :, None, None] * bilinear_kernel(stride)``.

    Raises:
        TypeError: ``stride`` is not a whole number.
        ValueError: It is below 1, or odd where an even filter is asked for.

    Example:
        >>> bilinear_kernel(2)
        tensor([[0.2500, 0.5000, 0.2500],
                [0.5000, 1.0000, 0.5000],
                [0.2500, 0.5000, 0.2500]])
        >>> bilinear_kernel(2, even=True)[1]
        tensor([0.1875, 0.5625, 0.5625, 0.1875])
    """
    stride = _whole(stride, "stride", 1)
    if even and stride % 2:
        raise ValueError(
            f"expected an even stride for an even filter, got stride={stride}; at an odd stride the centres "
            "fall on cells: use even=False with padding=(stride - 1) // 2"
        )
    cells = 2 * stride if even else 2 * stride - 1
    distance = torch.arange(cells) - (cells - 1) / 2
    tent = 1 - distance.abs() / stride
    return torch.outer(tent, tent)


def resize_bilinear(x: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Resize maps bilinearly to any size: two matrix products.

    Each new pixel centre is brought to the old map, ``(new + 0.5) * old size / new size`` in continuous
    coordinates, and reads the two nearest old centres along each axis, the nearer the more; beyond the
    outermost centre, that one alone. So each axis has a matrix with two entries in a row, and the result is
    ``W_y @ x @ W_x.T``.

    The values and gradients are those of ``torch.nn.functional.interpolate`` with ``mode="bilinear"``,
    ``align_corners=False`` and ``antialias=False``: when it shrinks, it skips pixels, as that does. Positions
    are computed in float64, torch's in the dtype of ``x``: at a large size its weights are off by some 1e-5.

    Args:
        x: Maps ``(N, C, H, W)``, floating point.
        size: New height and width, or one number for both.

    Returns:
        ``(N, C, *size)``, dtype and device of ``x``. Differentiable.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: Wrong rank or dtype, an empty map, or a size below 1.

    Example:
        >>> resize_bilinear(torch.tensor([[[[0.0, 1.0]]]]), (1, 4))
        tensor([[[[0.0000, 0.2500, 0.7500, 1.0000]]]])
    """
    _check_map(x, "x", "(N, C, H, W)")
    height, width = _pair(size, "size", 1)
    w_y, w_x = _tents(x.shape[2], height).to(x), _tents(x.shape[3], width).to(x)
    across = x.flatten(0, 2) @ w_x.T  # (N C H, W')
    maps = across.unflatten(0, (-1, x.shape[2]))  # (N C, H, W')
    return torch.bmm(w_y.expand(len(maps), -1, -1), maps).unflatten(0, x.shape[:2])


# --- Unpooling ---


@wrap_torch_function(lambda x, indices, *_, **__: (x, indices))  # one operation for tensor subclasses
def max_unpool2d(
    x: Tensor,
    indices: Tensor,
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """Put each maximum back where max pooling found it; all other cells are zero.

    ``indices`` come from ``max_pool2d(..., return_indices=True)``: the place of each maximum in its flattened
    map. The values and gradients are those of ``torch.nn.functional.max_unpool2d``. Where windows overlap,
    two of them may name one cell: they hold the same value, it is put there once, and both get its gradient.

    Args:
        x: Pooled maps ``(N, C, h, w)``, floating point.
        indices: int64 ``(N, C, h, w)``, from 0 to H W - 1 of the map before pooling.
        kernel: Window of the pooling, one number or (height, width).
        stride: Step of the pooling; the kernel by default.
        padding: Padding of the pooling, at most half the kernel.
        output_size: Height and width before pooling (or all four sizes, ``before.shape``). Needed where
            the pooling dropped a rest; by default ``(size - 1) * stride + kernel - 2 * padding``, and always
            less than a stride away from that.

    Returns:
        ``(N, C, H, W)``, dtype and device of ``x``. Differentiable in ``x``.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: Wrong rank, shape, dtype or device; a kernel or stride below 1; a padding above half the
            kernel; an output size that no such pooling comes from; an index outside the map.

    Example:
        >>> max_unpool2d(torch.tensor([[[[5.0, 6.0]]]]), torch.tensor([[[[1, 6]]]]), kernel=2)
        tensor([[[[0., 5., 0., 0.],
                  [0., 0., 6., 0.]]]])
    """
    _check_map(x, "x", "(N, C, h, w)")
    _check_indices(indices, x)
    height, width = _unpooled_size(x, kernel, stride, padding, output_size)
    _check_range(indices, height, width)
    flat = x.new_zeros(*x.shape[:2], height * width)
    return flat.scatter(2, indices.flatten(2), x.flatten(2)).unflatten(2, (height, width))


def _unpooled_size(
    x: Tensor,
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int] | None,
    padding: int | tuple[int, int],
    output_size: Sequence[int] | None,
) -> tuple[int, int]:
    """Height and width before pooling, once they are found possible."""
    kernels = _pair(kernel, "kernel", 1)
    strides = kernels if stride is None else _pair(stride, "stride", 1)
    paddings = _pair(padding, "padding", 0)
    if any(2 * border > cells for border, cells in zip(paddings, kernels, strict=True)):
        raise ValueError(
            f"expected a padding of at most half the kernel, got padding={padding} with kernel={kernel}; "
            "give the padding of the max pooling"
        )
    height, width = (
        (count - 1) * step + cells - 2 * border
        for count, step, cells, border in zip(x.shape[2:], strides, kernels, paddings, strict=True)
    )
    if output_size is None:
        return _pair((max(height, 1), max(width, 1)), "output_size", 1)
    shape = tuple(output_size) if isinstance(output_size, Sequence) else output_size
    wanted = _pair(shape[2:] if isinstance(shape, tuple) and len(shape) == 4 else shape, "output_size", 1)
    if any(
        abs(new - usual) >= step for new, usual, step in zip(wanted, (height, width), strides, strict=True)
    ):
        raise ValueError(
            f"expected output_size less than a stride {strides} away from {(height, width)}, got {wanted}; "
            "give the size of the map before pooling"
        )
    return wanted


# --- Along one axis ---


def _reads(kernel: int, size: int, stride: int, padding: int) -> Tensor:
    """Which cell each output of a convolution reads with each cell of its filter, (kernel, outputs, size).

    Entry (k, i, v) is 1 where v = i * stride - padding + k, else 0.
    """
    outputs = (size + 2 * padding - kernel) // stride + 1
    if outputs < 1:
        raise ValueError(
            f"expected a filter that fits into the padded map, got {kernel} cells in {size} + 2 * {padding}; "
            "give a smaller filter, a larger size or more padding"
        )
    cell = torch.arange(outputs)[:, None] * stride - padding + torch.arange(kernel)[:, None, None]
    return (cell == torch.arange(size)).float()


def _tents(size: int, new_size: int) -> Tensor:
    """The matrix (new_size, size) that resizes one axis, float64."""
    new_centre = torch.arange(new_size, dtype=torch.float64) + 0.5
    position = (new_centre * size / new_size - 0.5).clamp(0, size - 1)  # in indices of the old axis
    return (1 - (position[:, None] - torch.arange(size)).abs()).clamp(min=0)


# --- What comes in ---


def _options(
    x: Tensor,
    weight: Tensor,
    stride: int | tuple[int, int],
    padding: int | tuple[int, int],
    output_padding: int | tuple[int, int],
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Stride, padding and output padding as pairs, and the output's size, once all is found fit."""
    _check_map(x, "x", "(N, C, H, W)")
    _check_map(weight, "weight", "(C, O, kernel height, kernel width)")
    _check_beside(weight, x)
    strides = _pair(stride, "stride", 1)
    paddings = _pair(padding, "padding", 0)
    extras = _pair(output_padding, "output_padding", 0)
    if any(extra >= step for extra, step in zip(extras, strides, strict=True)):
        raise ValueError(
            f"expected an output_padding below the stride, got output_padding={output_padding} with "
            f"stride={stride}; with a whole stride more, give one input cell more"
        )
    height, width = (
        (count - 1) * step + cells - 2 * border + extra
        for count, step, cells, border, extra in zip(
            x.shape[2:], strides, weight.shape[2:], paddings, extras, strict=True
        )
    )
    if height < 1 or width < 1:
        raise ValueError(
            f"expected a padding that leaves something, got padding={padding} and an output of {height} by "
            f"{width} cells; here it may be {(height - 1) // 2 + paddings[0]} down and "
            f"{(width - 1) // 2 + paddings[1]} across at most"
        )
    return strides, paddings, extras, (height, width)


def _check_tensor(value: object, name: str, shape: str) -> None:
    """Refuse arrays, lists and numbers."""
    if not isinstance(value, Tensor):
        got = type(value).__name__
        raise TypeError(f"expected {name} as a tensor {shape}, got {got}; use torch.as_tensor({name})")


def _check_map(value: Tensor, name: str, shape: str) -> None:
    """Refuse what is not a floating-point tensor of rank 4 with something in it (a batch may be empty)."""
    _check_tensor(value, name, shape)
    got = tuple(value.shape)
    if len(got) != 4:
        cure = f"add the missing axis with {name}[None]" if len(got) == 3 else "reshape it"
        raise ValueError(f"expected {name} of shape {shape}, got {got}; {cure}")
    if not value.is_floating_point():
        raise ValueError(f"expected {name} in floating point, got {value.dtype}; convert with {name}.float()")
    if 0 in got[1:]:
        raise ValueError(
            f"expected {name} {shape} with 1 or more along each axis, got {got}; check the slicing"
        )


def _check_beside(weight: Tensor, x: Tensor) -> None:
    """Refuse a weight for another number of channels, of another dtype or on another device than x."""
    if weight.shape[0] != x.shape[1]:
        cure = (
            "exchange its first two axes" if weight.shape[1] == x.shape[1] else "one filter for each channel"
        )
        raise ValueError(
            f"expected weight for the {x.shape[1]} channels of x, ({x.shape[1]}, O, ...), got "
            f"{tuple(weight.shape)}; {cure}"
        )
    if (weight.dtype, weight.device) != (x.dtype, x.device):
        raise ValueError(
            f"expected weight as {x.dtype} on {x.device}, like x, got {weight.dtype} on {weight.device}; "
            "convert with weight.to(x)"
        )


def _check_indices(indices: Tensor, x: Tensor) -> None:
    """Refuse indices that are not int64, beside x and one for each of its values."""
    _check_tensor(indices, "indices", "(N, C, h, w)")
    if indices.dtype != torch.int64:
        raise ValueError(f"expected indices in int64, got {indices.dtype}; convert with indices.long()")
    if indices.shape != x.shape:
        raise ValueError(
            f"expected indices of the shape of x, {tuple(x.shape)}, got {tuple(indices.shape)}; both come "
            "from max_pool2d(..., return_indices=True)"
        )
    if indices.device != x.device:
        raise ValueError(
            f"expected indices on the device of x, {x.device}, got {indices.device}; move them with "
            "indices.to(x.device)"
        )


def _check_range(indices: Tensor, height: int, width: int) -> None:
    """Refuse indices outside the map, where they have values to look at."""
    if indices.is_meta:
        return
    outside = (indices < 0) | (indices >= height * width)
    if outside.any():
        place = tuple(outside.nonzero()[0].tolist())
        raise ValueError(
            f"expected indices from 0 to {height * width - 1} in a map of {height} by {width} cells, got "
            f"{indices[place].item()} at {place}; give output_size=before.shape, the map before pooling"
        )


def _pair(value: int | Sequence[int], name: str, least: int) -> tuple[int, int]:
    """One number for both axes, or (down, across)."""
    pair = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"expected {name} as one number or two, got {value!r}; name down, then across")
    return _whole(pair[0], name, least), _whole(pair[1], name, least)


def _whole(value: int, name: str, least: int) -> int:
    """Refuse what is not a whole number of at least so much."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"expected {name} as an integer, got {value!r}; convert it with int(...) if that is meant"
        ) from None
    if number < least:
        raise ValueError(f"expected {name} of at least {least}, got {number}; give {least} or more")
    return number
