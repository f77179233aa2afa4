// Soft masks in the image: where each pixel lies in a mask of few cells, and what it takes of them. A mask is { data, height,
// width }, values in rows; a box is [x1, y1, x2, y2] in pixels. Positions are rounded to float32 as PyTorch does, since one
// rounding decides to which pixel torchvision cuts a box. A worker may run these functions from their text.

// Where the centre of each pixel along one axis lies in the mask, in indices of cells; -2 where nothing is taken.
export function pasteIndex(low, high, cells, pixels, method) {
  const f32 = Math.fround;
  const centres = Array.from({ length: pixels }, (_, n) => n + 0.5);
  if (method === "exact") return centres.map((at) => ((at - low) / (high - low)) * cells - 0.5);
  const [middle, half] = [f32(f32(low + high) / 2), f32(f32(f32(high - low) / 2) * f32((cells + 2) / cells))];
  const [first, end] = [Math.trunc(f32(middle - half)), Math.trunc(f32(middle + half)) + 1];
  return centres.map((at) => {
    const part = (at - first) / (end - first);
    return part > 0 && part < 1 ? Math.min(cells + 1, Math.max(0, part * (cells + 2) - 0.5)) - 1 : -2;
  });
}

// The cells beside an index and what a pixel there takes of each; cells that are not in the mask give nothing.
export function taken(index, cells) {
  const low = Math.floor(index);
  return [[low, low + 1 - index], [low + 1, index - low]].filter(([cell, weight]) => weight > 0 && cell >= 0 && cell < cells);
}

// The soft mask in the image: W_y m W_x^T.
export function pasteMask({ data, height, width }, [x1, y1, x2, y2], size, method) {
  const out = new Float64Array(size.height * size.width);
  const along = (low, high, cells, pixels) => pasteIndex(low, high, cells, pixels, method)
    .flatMap((index, pixel) => taken(index, cells).map(([cell, weight]) => ({ pixel, cell, weight })));
  const across = along(x1, x2, width, size.width);
  for (const down of along(y1, y2, height, size.height)) {
    const [to, from] = [down.pixel * size.width, down.cell * width];
    for (const { pixel, cell, weight } of across) out[to + pixel] += down.weight * weight * data[from + cell];
  }
  return out;
}
