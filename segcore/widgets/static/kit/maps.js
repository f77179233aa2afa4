// Arithmetic of maps, checked against PyTorch. A map is { data, height, width }, with `channels` where it has several:
// values in rows, one channel after the other.

export const gridOf = (rows) => ({ data: Float64Array.from(rows.flat()), height: rows.length, width: rows[0].length });
export const rowsOf = ({ data, height, width }) => Array.from({ length: height }, (_, r) => Array.from(data.slice(r * width, (r + 1) * width)));
export const largestOf = ({ data }) => data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

// Zeros around one channel; a negative number cuts off instead.
export function pad({ data, height, width }, top, left = top, bottom = top, right = left) {
  const [h, w] = [height + top + bottom, width + left + right];
  const padded = new Float64Array(h * w);
  for (let y = Math.max(0, -top); y < Math.min(height, h - top); y++) {
    for (let x = Math.max(0, -left); x < Math.min(width, w - left); x++) padded[(y + top) * w + x + left] = data[y * width + x];
  }
  return { data: padded, height: h, width: w };
}

// Slide a kernel of `size` over one channel: `combine(so far, value, tap)` of what lies under its taps, one after the
// other. A map too small for it gives a map without cells.
function slide({ data, height, width }, size, { stride, dilation, start }, combine) {
  const steps = (length, extent) => Math.max(0, Math.floor((length - dilation * (extent - 1) - 1) / stride) + 1);
  const taps = Array.from({ length: size.height * size.width }, (_, k) => dilation * (Math.floor(k / size.width) * width + (k % size.width)));
  const out = { height: steps(height, size.height), width: steps(width, size.width) };
  out.data = new Float64Array(out.height * out.width);
  for (let y = 0, n = 0; y < out.height; y++) {
    for (let x = 0; x < out.width; x++, n++) {
      const corner = (y * width + x) * stride;
      out.data[n] = taps.reduce((value, tap, k) => combine(value, data[corner + tap], k), start);
    }
  }
  return out;
}

// Cross-correlation of one channel with a kernel, itself a map, as torch's conv2d without padding.
export function conv2d(map, kernel, stride = 1, dilation = 1) {
  return slide(map, kernel, { stride, dilation, start: 0 }, (sum, value, k) => sum + value * kernel.data[k]);
}

// The largest of each window of one channel, as torch's max_pool2d without padding.
export function maxPool(map, size, stride = size, dilation = 1) {
  return slide(map, { height: size, width: size }, { stride, dilation, start: -Infinity }, (most, value) => Math.max(most, value));
}

// Positions and weights of bilinear interpolation along one axis, as torch has it with align_corners=False.
export function bilinearAxis(size, output) {
  return Array.from({ length: output }, (_, n) => {
    const at = Math.max(0, ((n + 0.5) * size) / output - 0.5);
    const low = Math.min(Math.floor(at), size - 1);
    return { low, high: Math.min(low + 1, size - 1), weight: at - low };
  });
}

// Bilinear interpolation to another size, for any number of channels.
export function resizeBilinear({ data, height, width, channels = 1 }, toHeight, toWidth) {
  const [down, across] = [bilinearAxis(height, toHeight), bilinearAxis(width, toWidth)];
  const out = new Float64Array(channels * toHeight * toWidth);
  const line = new Float64Array(width);
  let n = 0;
  for (let c = 0; c < channels; c++) {
    for (const { low: a, high: b, weight: v } of down) {
      const [upper, lower] = [(c * height + a) * width, (c * height + b) * width];
      for (let x = 0; x < width; x++) line[x] = (1 - v) * data[upper + x] + v * data[lower + x];
      for (const { low, high, weight } of across) out[n++] = (1 - weight) * line[low] + weight * line[high];
    }
  }
  return { data: out, height: toHeight, width: toWidth, channels };
}

// The channel with the greatest value at each place; the first where several are.
export function argmax({ data, height, width, channels }) {
  const size = height * width;
  return Uint8Array.from({ length: size }, (_, n) => {
    let best = 0;
    for (let c = 1; c < channels; c++) if (data[c * size + n] > data[best * size + n]) best = c;
    return best;
  });
}
