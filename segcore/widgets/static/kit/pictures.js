// Pictures: canvases that stay sharp, packed images and masks, maps of values, and lines upon them.

import { element } from "./elements.js";
import { brief } from "./numbers.js";

// Bytes from base64, as Python's `base64.b64encode` writes it.
export function unpackBytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

// Labels 0 to 3 in runs: each byte four times the run's length plus the label.
export function unpackRuns(text, count) {
  const labels = new Uint8Array(count);
  let at = 0;
  for (const byte of unpackBytes(text)) labels.fill(byte & 3, at, (at += byte >> 2));
  return labels;
}

// A mask, eight pixels a byte, as NumPy's `packbits` writes it: 0 or 1 for each pixel.
export function unpackMask(text, height, width) {
  const bits = unpackBytes(text);
  return { data: Uint8Array.from({ length: height * width }, (_, n) => (bits[n >> 3] >> (7 - (n & 7))) & 1), height, width };
}

// An image file in base64, as a canvas of its own size, in time.
export async function openImage(base64, type = "image/jpeg") {
  const bitmap = await createImageBitmap(new Blob([unpackBytes(base64)], { type }));
  const canvas = element("canvas", { width: bitmap.width, height: bitmap.height });
  canvas.getContext("2d", { willReadFrequently: true }).drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas;
}

// A canvas's pixels: red, green, blue and alpha of each.
export const pixelsOf = (canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);

// Match a canvas's pixels to its size on screen; drawing then happens in CSS pixels. True if anything changed.
export function fitCanvas(canvas, width, height) {
  const ratio = Math.min(3, window.devicePixelRatio || 1);
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width === w && canvas.height === h) return false;
  [canvas.width, canvas.height] = [w, h];
  [canvas.style.width, canvas.style.height] = [`${width}px`, `${height}px`];
  canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
  return true;
}

// A canvas of this size, empty; gives the pen.
export function clearCanvas(canvas, width, height = width) {
  fitCanvas(canvas, width, height);
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  return pen;
}

// Pixels of which `colour(n)` gives red, green, blue and, if need be, alpha.
export function paintPixels(height, width, colour) {
  const pixels = new ImageData(width, height);
  for (let n = 0; n < width * height; n++) {
    const [r, g, b, a = 255] = colour(n);
    pixels.data.set([r, g, b, a], 4 * n);
  }
  return pixels;
}

// The same as a small picture, to be enlarged.
export function picture(height, width, colour) {
  const canvas = element("canvas", { width, height });
  canvas.getContext("2d").putImageData(paintPixels(height, width, colour), 0, 0);
  return canvas;
}

// Lay a small picture over a whole canvas of the given width, each pixel a sharp square; gives the pen to draw on.
export function enlarge(canvas, small, width) {
  const height = (width * small.height) / small.width;
  const pen = clearCanvas(canvas, width, height);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(small, 0, 0, width, height);
  return pen;
}

// The edges between pixels of a label map (or of any values): a path of lines along pixel borders. With `frame`, pixels
// for which it is true are also closed off at the picture's border.
export function edgePath(pen, labels, width, unit, frame = null) {
  const height = labels.length / width;
  const line = (x1, y1, x2, y2) => {
    pen.moveTo(x1 * unit, y1 * unit);
    pen.lineTo(x2 * unit, y2 * unit);
  };
  pen.beginPath();
  for (let y = 0, n = 0; y < height; y++) {
    for (let x = 0; x < width; x++, n++) {
      if (x + 1 < width ? labels[n] !== labels[n + 1] : frame?.(labels[n])) line(x + 1, y, x + 1, y + 1);
      if (y + 1 < height ? labels[n] !== labels[n + width] : frame?.(labels[n])) line(x, y + 1, x + 1, y + 1);
      if (frame && x === 0 && frame(labels[n])) line(0, y, 0, y + 1);
      if (frame && y === 0 && frame(labels[n])) line(x, 0, x + 1, 0);
    }
  }
}

// Stroke the current path so that it reads on any ground: [colour, thickness] from below upwards.
export function strokeAll(pen, ...strokes) {
  for (const [colour, thickness] of strokes) {
    pen.strokeStyle = colour;
    pen.lineWidth = thickness;
    pen.stroke();
  }
}

export function outlineRect(pen, x, y, width, height, ...strokes) {
  pen.beginPath();
  pen.rect(x, y, width, height);
  strokeAll(pen, ...strokes);
}

export function strokeLine(pen, [x1, y1, x2, y2], ...strokes) {
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.lineTo(x2, y2);
  strokeAll(pen, ...strokes);
}

// A disc, filled unless `fill` is null, and its rim.
export function drawDisc(pen, x, y, radius, fill, ...strokes) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  if (fill) pen.fillStyle = fill;
  if (fill) pen.fill();
  strokeAll(pen, ...strokes);
}

// Cover what of a rectangle lies outside another one.
export function fillAround(pen, whole, hole, style, alpha = 1) {
  pen.save();
  pen.beginPath();
  pen.rect(...whole);
  pen.clip();
  pen.rect(...hole);
  Object.assign(pen, { fillStyle: style, globalAlpha: alpha });
  pen.fill("evenodd");
  pen.restore();
}

// A number in the middle of a cell, as large as fits, and 11 px high at least.
export function drawNumber(pen, text, x, y, unit, colour, font) {
  const size = Math.max(11, Math.min(unit * 0.42, (unit * 1.45) / Math.max(2, text.length), 17));
  pen.fillStyle = colour;
  pen.font = `${size.toFixed(1)}px ${font}`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(text, x + unit / 2, y + unit / 2 + 0.5);
}

// A map as coloured squares with a gap, and its numbers if cells have `numbers` pixels and there is room for all of them.
// `colours` is a `palette`; cells for which `blank` is true get no number.
export function drawCells(pen, { data, width }, unit, { colours, font, largest, numbers = 13, blank = null }) {
  const fits = (digits) => data.every((value, n) => blank?.[n] || brief(value, digits).length * 7 <= unit);
  const digits = unit < numbers ? undefined : [2, 1].find(fits);
  const gap = unit > 12 ? 1 : 0;
  for (let n = 0; n < data.length; n++) {
    const [x, y] = [(n % width) * unit, Math.floor(n / width) * unit];
    pen.fillStyle = colours.fill(data[n], largest);
    pen.fillRect(x + gap / 2, y + gap / 2, unit - gap, unit - gap);
    if (digits && !blank?.[n]) drawNumber(pen, brief(data[n], digits), x, y, unit, colours.ink(data[n], largest), font);
  }
}

// A frame just inside some cells of a map; dashed, if it is a question of who takes part.
export function frameCells(pen, { left, top, width = 1, height = 1 }, unit, colour, { thickness = 2.5, inset = thickness / 2, dash = [] } = {}) {
  pen.setLineDash(dash);
  outlineRect(pen, left * unit + inset, top * unit + inset, width * unit - 2 * inset, height * unit - 2 * inset, [colour, thickness]);
  pen.setLineDash([]);
}

// A disc moved from one pixel to another, as a list of the pixels that it touches.
export function strokePixels([x1, y1], [x2, y2], size, { height, width }) {
  const steps = Math.max(Math.abs(x2 - x1), Math.abs(y2 - y1), 1);
  const reach = Math.floor(size / 2);
  const touched = new Set();
  for (let step = 0; step <= steps; step++) {
    const [x, y] = [Math.round(x1 + ((x2 - x1) * step) / steps), Math.round(y1 + ((y2 - y1) * step) / steps)];
    for (let dy = -reach; dy <= reach; dy++) {
      for (let dx = -reach; dx <= reach; dx++) {
        const [column, row] = [x + dx, y + dy];
        const inside = column >= 0 && row >= 0 && column < width && row < height;
        if (inside && dx * dx + dy * dy <= (size * size) / 4) touched.add(row * width + column);
      }
    }
  }
  return [...touched];
}

// Of each label: how many pixels, and the sums of their first three values, of which each pixel has `step`.
export function totals(values, step, labels, count) {
  const [sizes, sums] = [new Float64Array(count), new Float64Array(3 * count)];
  for (let n = 0; n < labels.length; n++) {
    const label = labels[n];
    sizes[label] += 1;
    for (let k = 0; k < 3; k++) sums[3 * label + k] += values[step * n + k];
  }
  return [sizes, sums];
}

// The picture with the mean colour of its segment in each pixel: three numbers a segment.
export function meanColours({ data }, labels, count) {
  const [sizes, sums] = totals(data, 4, labels, count);
  return sums.map((sum, n) => sum / sizes[Math.floor(n / 3)]);
}
