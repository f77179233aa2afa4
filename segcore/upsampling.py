r"""Up-sampling: an up-convolution paints its filter, and every linear way of up-sampling is a matrix.

A transposed convolution (*up-convolution*) multiplies its filter by each input value, puts the product down
in the output, one ``stride`` further for each input cell, and adds up what overlaps
(:func:`painted_conv2d`). The same numbers come from two other sides: put ``stride - 1`` zeros between the
input cells (:func:`zero_insert`) and convolve with the flipped filter (:func:`fractional_conv2d`); or leave
the zeros out, convolve the small map once for each kind of output cell, and interleave the results
(:func:`transposed_conv2d`, the fastest). All are the product with :math:`C^T`, where :math:`C` is the matrix
of the convolution with the same filter, stride and padding (:func:`transposed_conv_matrix`); hence the name.
It is not the inverse of a convolution, so *deconvolution* is a poor name for it.

Bilinear up-sampling by a whole factor is one of them, with a fixed filter (:func:`bilinear_kernel`); to any
size it is a matrix along each axis, :math:`Y = W_y X W_x^T`, with two entries in a row
(:func:`resize_matrix`, :func:`resize_bilinear`). Max unpooling puts each maximum back where it came from and
leaves the rest zero (:func:`max_unpool2d`).

Names, layouts of weights and defaults are torch's. Sources: Long et al. 2015 (bilinear filters that learn),
Dumoulin and Visin 2016 (the arithmetic), Shi et al. 2016 (interleaving), Odena et al. 2016
(:func:`overlap_count` and its checkerboards), Noh et al. 2015 (unpooling). Left out: bias, dilation, groups,
and maps without a batch axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import conv2d, embedding_bag, fold, pad
from torch.nn.grad import conv2d_weight
from torch.overrides import wrap_torch_function

from segcore import inputs

__all__ = [
    "bilinear_kernel",
    "fractional_conv2d",
    "max_unpool2d",
    "overlap_count",
    "painted_conv2d",
    "resize_bilinear",
    "resize_matrix",
    "transposed_conv2d",
    "transposed_conv_matrix",
    "zero_insert",
]


# --- Painting, and the other views ---


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

    :func:`painted_conv2d` does it in this order. Here each output cell is computed once: all cells that lie
    alike between the strokes are one convolution of ``x`` with every ``stride``-th weight of the filter.

    The values and gradients are those of ``torch.nn.functional.conv_transpose2d``, and so are the options,
    but that an output of 0 cells is refused. Under autocast both inputs are converted, as torch does it.

    Args:
        x: Maps ``(N, C, H, W)``, floating point.
        weight: A filter from each input to each output channel, ``(C, O, kernel height, kernel width)``, as
            torch has it here: a convolution with the same weight goes from O channels to C.
        stride: Output cells from one stroke to the next, one number or (down, across).
        padding: Cells cut off at each border: what the convolution in the other direction adds.
        output_padding: Cells more below and to the right, fewer than the stride. A convolution of stride 2
            makes 4 cells of 7 and of 8; this says which of the two to come back to.

    Returns:
        ``(N, O, H', W')``, dtype (under autocast, autocast's) and device of ``x``. Differentiable in ``x``
        and ``weight``.

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
    x, weight = _alike(x, weight)
    stride, padding, _, size = _options(x, weight, stride, padding, output_padding)
    return _Interleaved.apply(x, weight, stride, padding, size)


class _Interleaved(Function):
    """The transposed convolution; its gradients are those of a convolution, from the other side."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int], size: tuple[int, int]
    ) -> Tensor:
        (down, across), (top, left), (height, width) = stride, padding, size
        canvas = x.new_zeros(
            len(x),
            weight.shape[1],
            -(-(height + 2 * top) // down),
            down,
            -(-(width + 2 * left) // across),
            across,
        )  # output cell (i * down + a, j * across + b) stands at [..., i, a, j, b]
        filters = weight.transpose(0, 1).contiguous()  # (O, C, ...), in this order for speed
        for a, rows in _kinds(weight.shape[2], down):
            for b, columns in _kinds(weight.shape[3], across):
                # Each such cell sees every stride-th weight of a filter, (rows, columns, O, C, taps, taps)
                taps = filters[:, :, a:, b:].unfold(2, rows, down).unfold(3, columns, across)
                taps = taps.permute(4, 5, 0, 1, 2, 3).flip(4, 5)
                part = conv2d(x, taps.flatten(0, 2), padding=(taps.shape[4] - 1, taps.shape[5] - 1))
                part = part.unflatten(1, taps.shape[:3]).permute(0, 3, 4, 1, 5, 2)
                canvas[:, :, : part.shape[2], a : a + rows, : part.shape[4], b : b + columns] = part
        whole = canvas.flatten(4).flatten(2, 3)
        return whole[:, :, top : top + height, left : left + width].contiguous()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])
        ctx.stride, ctx.padding = inputs[2:4]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x = conv2d(grad, weight, None, ctx.stride, ctx.padding) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return of_x, None, None, None, None
        return of_x, conv2d_weight(grad, weight.shape, x, ctx.stride, ctx.padding), None, None, None


def _kinds(kernel: int, stride: int) -> list[tuple[int, int]]:
    """First and number of the kinds of cell that see one more weight than the others, and of the others."""
    rest = kernel % stride
    kinds = [(0, rest), (rest, stride - rest if kernel >= stride else 0)]
    return [(first, count) for first, count in kinds if count]


def painted_conv2d(
    x: Tensor,
    weight: Tensor,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    output_padding: int | tuple[int, int] = 0,
) -> Tensor:
    """Paint stroke by stroke: :func:`transposed_conv2d` as it is defined.

    Arguments, result and errors are those of :func:`transposed_conv2d`. It holds all strokes at once, kernel
    height times kernel width numbers for each value and output channel, and is slower.

    Example:
        >>> x = torch.tensor([[[[1.0, 10.0]]]])
        >>> painted_conv2d(x, torch.tensor([[[[1.0, 2.0, 1.0]]]]), stride=2)
        tensor([[[[ 1.,  2., 11., 20., 10.]]]])
    """
    x, weight = _alike(x, weight)
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
    down, across = inputs.pair(stride, "stride")
    height, width = inputs.tensor(x, "x", "... H W").shape[-2:]
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
    1 / stride. Arguments, result and errors are those of :func:`transposed_conv2d`, which is faster, for here
    most products are with zeros.

    Example:
        >>> x = torch.tensor([[[[1.0, 10.0]]]])
        >>> fractional_conv2d(x, torch.tensor([[[[1.0, 2.0, 1.0]]]]), stride=2)
        tensor([[[[ 1.,  2., 11., 20., 10.]]]])
    """
    x, weight = _alike(x, weight)
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
    inputs.floating(weight, "weight", FILTER)
    axes = zip(
        weight.shape[2:],
        inputs.pair(size, "size"),
        inputs.pair(stride, "stride"),
        inputs.pair(padding, "padding", least=0),
        strict=True,
    )
    rows, columns = (
        _reads(*axis, device=weight.device).to(weight) for axis in axes
    )  # (kh, h, H), (kw, w, W)
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
    axes = zip(
        inputs.pair(kernel, "kernel"),
        inputs.pair(stride, "stride"),
        inputs.pair(size, "size"),
        strict=True,
    )
    down, across = (
        _reads(cells, (count - 1) * step + cells, step, 0).sum(dim=(0, 1)) for cells, step, count in axes
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
        ``(k, k)``, float32. For C channels, each on its own:
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
    stride = inputs.whole(stride, "stride")
    if even and stride % 2:
        raise ValueError(
            f"expected an even stride for an even filter, got stride={stride}; at an odd stride the centres "
            "fall on cells: use even=False with padding=(stride - 1) // 2"
        )
    cells = 2 * stride if even else 2 * stride - 1
    distance = torch.arange(cells, dtype=torch.float32) - (cells - 1) / 2
    tent = 1 - distance.abs() / stride
    return torch.outer(tent, tent)


def resize_matrix(size: int, new_size: int) -> Tensor:
    """The matrix that resizes one axis bilinearly: two entries in a row.

    Each new centre is brought to the old axis, ``(new + 0.5) * size / new_size`` in continuous coordinates,
    and reads the two nearest old centres, the nearer the more; beyond the outermost centre, that one alone.

    Args:
        size: Cells of the old axis.
        new_size: Cells of the new one.

    Returns:
        float32 ``(new_size, size)``; each row adds up to 1.

    Raises:
        TypeError: A size is not a whole number.
        ValueError: It is below 1.

    Example:
        >>> resize_matrix(2, 4)
        tensor([[1.0000, 0.0000],
                [0.7500, 0.2500],
                [0.2500, 0.7500],
                [0.0000, 1.0000]])
    """
    size, new_size = inputs.whole(size, "size"), inputs.whole(new_size, "new_size")
    rows, columns, values = _entries(size, new_size, torch.float32)
    return torch.zeros(new_size, size, dtype=torch.float32, device="cpu").index_put(
        (rows, columns), values, accumulate=True
    )


def resize_bilinear(x: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Resize maps bilinearly to any size: two matrix products, ``W_y @ x @ W_x.T``.

    ``W_y`` is :func:`resize_matrix` of the heights and ``W_x`` that of the widths. They hold two numbers in a
    row besides zeros, and only these are multiplied.

    The values and gradients are those of ``torch.nn.functional.interpolate`` with ``mode="bilinear"``,
    ``align_corners=False`` and ``antialias=False``: when it shrinks, it skips pixels, as that does. Where a
    pixel is NaN or infinite, just those become so that read it, be it with a weight of 0.

    Args:
        x: Maps ``(N, C, H, W)``, floating point. Half precision is computed in float32.
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
    batch, channels, old_height, old_width = inputs.floating(x, "x", "N C H W").shape
    height, width = inputs.pair(size, "size")
    dtype = torch.promote_types(x.dtype, torch.float32)
    columns = x.to(dtype).flatten(0, 2).T[None]  # (1, W, N C H): along x the columns are mixed
    columns = _SparseProduct.apply(columns, *_entries(old_width, width, dtype), width)
    maps = columns[0].T.unflatten(0, (-1, old_height))  # (N C, H, W')
    maps = _SparseProduct.apply(maps, *_entries(old_height, height, dtype), height)
    return maps.unflatten(0, (batch, channels)).to(x.dtype)


def _entries(size: int, new_size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, columns and values of the two entries in each row of the matrix that resizes one axis.

    Positions are rounded as torch rounds them: else a cell that falls on an old centre might have another
    neighbour, and a NaN there another reach.
    """
    new = torch.arange(new_size, dtype=torch.float64, device="cpu")
    scale = torch.full((), size, dtype=dtype, device="cpu") / new_size
    position = ((new + 0.5) * scale.double() - 0.5).to(dtype).clamp(min=0)
    first = position.long().clamp(max=size - 1)
    second = first if size == new_size else (first + 1).clamp(max=size - 1)
    nearness = position - first
    return (
        torch.arange(new_size, device="cpu").repeat_interleave(2),
        torch.stack([first, second], dim=1).flatten(),
        torch.stack([1 - nearness, nearness], dim=1).flatten(),
    )


class _SparseProduct(Function):
    """A sparse matrix times the rows of each map, (B, size, D) to (B, count, D); gradients by its transpose.

    The matrix is given by the rows, columns and values of its entries, sorted by rows. In torch's words each
    new row is a *bag* of old ones, with weights.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, rows: Tensor, columns: Tensor, values: Tensor, count: int) -> Tensor:
        rows, columns, values = rows.to(x.device), columns.to(x.device), values.to(x.device)
        maps = torch.arange(len(x), device=x.device)[:, None]
        bags = torch.searchsorted(rows, torch.arange(count, device=x.device))
        return embedding_bag(
            (columns + x.shape[1] * maps).flatten(),
            x.contiguous().flatten(0, 1),
            (bags + len(rows) * maps).flatten(),
            mode="sum",
            per_sample_weights=values.repeat(len(x)),
        ).unflatten(0, (-1, count))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[1:4])
        ctx.size = inputs[0].shape[1]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, columns, values = ctx.saved_tensors
        order = columns.argsort(stable=True)
        back = _SparseProduct.apply(grad, columns[order], rows[order], values[order], ctx.size)
        return back, None, None, None, None


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
    inputs.floating(x, "x", "N C h w")
    inputs.integer(indices, "indices", "N C h w")
    inputs.same_shape(indices, "indices", x, "x", "both come from max_pool2d(..., return_indices=True)")
    inputs.same_place(indices, "indices", x, "x")
    height, width = _unpooled_size(x, kernel, stride, padding, output_size)
    _check_range(indices, height, width)
    flat = x.new_zeros(*x.shape[:2], height * width)
    return flat.scatter_(2, indices.flatten(2), x.flatten(2)).unflatten(2, (height, width))


def _unpooled_size(
    x: Tensor,
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int] | None,
    padding: int | tuple[int, int],
    output_size: Sequence[int] | None,
) -> tuple[int, int]:
    """Height and width before pooling, once they are found possible."""
    kernels = inputs.pair(kernel, "kernel")
    strides = kernels if stride is None else inputs.pair(stride, "stride")
    paddings = inputs.pair(padding, "padding", least=0)
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
        return max(height, 1), max(width, 1)
    sizes = inputs.several(output_size, "output_size", "x.shape")
    wanted = inputs.pair(sizes[2:] if len(sizes) == 4 else sizes, "output_size")
    if any(
        abs(new - usual) >= step for new, usual, step in zip(wanted, (height, width), strides, strict=True)
    ):
        raise ValueError(
            f"expected output_size less than a stride {strides} away from {(height, width)}, got {wanted}; "
            "give the size of the map before pooling"
        )
    return wanted


# --- Along one axis ---


def _reads(kernel: int, size: int, stride: int, padding: int, device: torch.device | None = None) -> Tensor:
    """Which cell each output of a convolution reads with each cell of its filter, (kernel, outputs, size).

    Entry (k, i, v) is True where v = i * stride - padding + k.
    """
    outputs = (size + 2 * padding - kernel) // stride + 1
    if outputs < 1:
        raise ValueError(
            f"expected a filter that fits into the padded map, got {kernel} cells in {size} + 2 * {padding}; "
            "give a smaller filter, a larger size or more padding"
        )
    taps, places = torch.arange(kernel, device=device), torch.arange(outputs, device=device)
    cell = places[:, None] * stride - padding + taps[:, None, None]
    return cell == torch.arange(size, device=device)


# --- What comes in ---

FILTER = "C O kernel_height kernel_width"


def _alike(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Maps and filter, once they are such and of one kind; under autocast, as autocast has them."""
    inputs.floating(x, "x", "N C H W")
    inputs.floating(weight, "weight", FILTER)
    inputs.same_place(weight, "weight", x, "x")
    place = x.device.type
    if torch.amp.is_autocast_available(place) and torch.is_autocast_enabled(place):
        x, weight = (
            each if each.dtype == torch.float64 else each.to(torch.get_autocast_dtype(place))
            for each in (x, weight)
        )
    inputs.same_kind(weight, "weight", x, "x")
    return x, weight


def _options(
    x: Tensor,
    weight: Tensor,
    stride: int | tuple[int, int],
    padding: int | tuple[int, int],
    output_padding: int | tuple[int, int],
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Stride, padding and output padding as pairs, and the output's size, once all is found fit."""
    if weight.shape[0] != x.shape[1]:
        cure = (
            "exchange its first two axes" if weight.shape[1] == x.shape[1] else "one filter for each channel"
        )
        raise ValueError(
            f"expected weight for the {x.shape[1]} channels of x, ({x.shape[1]}, O, ...), got "
            f"{tuple(weight.shape)}; {cure}"
        )
    strides = inputs.pair(stride, "stride")
    paddings = inputs.pair(padding, "padding", least=0)
    extras = inputs.pair(output_padding, "output_padding", least=0)
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


def _check_range(indices: Tensor, height: int, width: int) -> None:
    """Refuse indices outside the map, where they have values to look at."""
    if indices.is_meta or torch.compiler.is_compiling() or indices.numel() == 0:
        return
    low, high = indices.aminmax()  # the fastest look at all of them
    if low < 0 or high >= height * width:
        outside = (indices < 0) | (indices >= height * width)
        place = tuple(outside.nonzero()[0].tolist())
        raise ValueError(
            f"expected indices from 0 to {height * width - 1} in a map of {height} by {width} cells, got "
            f"{indices[place].item()} at {place}; give output_size=before.shape, the map before pooling"
        )
