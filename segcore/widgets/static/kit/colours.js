// Colours: the theme's, mixtures of two, scales for values, and which ink reads on them.

import { clamp } from "./numbers.js";

// The course's classes, the same in every figure of the book: background, then blue, orange, green.
export const CLASS_COLOURS = ["#777c84", "#1c90f7", "#f16a01", "#23a862"];
const VIRIDIS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];

// The current values of CSS variables, for canvases: {name: "--segcore-name"}.
export function themeColours(el, names) {
  const style = getComputedStyle(el);
  const colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--segcore-${name}`).trim()]));
  return { ...colours, font: style.fontFamily };
}

// Red, green and blue, 0 to 255, of "#rrggbb"; an alpha behind them is left out.
export function hexToRgb(hex) {
  return [1, 3, 5].map((n) => parseInt(hex.slice(n, n + 2), 16));
}

export const mixRgb = (a, b, t) => a.map((value, n) => Math.round(value + (b[n] - value) * t));
export const css = (rgb) => `rgb(${rgb.join(" ")})`;

// Colours between two: a function of 0 to 1.
export function mixer(low, high) {
  const [a, b] = [hexToRgb(low), hexToRgb(high)];
  return (t) => css(mixRgb(a, b, clamp(t)));
}

// From dark to bright, the same by day and by night: `count` colours as red, green, blue.
export function viridis(count) {
  const anchors = VIRIDIS.map(hexToRgb);
  return Array.from({ length: count }, (_, n) => {
    const at = (n / Math.max(1, count - 1)) * (anchors.length - 1);
    const low = Math.min(Math.floor(at), anchors.length - 2);
    return mixRgb(anchors[low], anchors[low + 1], at - low);
  });
}

export function contrast(a, b) {
  const [x, y] = [a, b].map((rgb) => {
    const [r, g, blue] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * blue + 0.05;
  });
  return Math.max(x, y) / Math.min(x, y);
}

// Colours of values about zero: the page's tone for zero, teal above, orange below; each with the ink that reads on it.
// `look` holds the theme's low, accent, second, text and page.
export function palette(look, strength = 0.72) {
  const [zero, up, down] = ["low", "accent", "second"].map((name) => hexToRgb(look[name]));
  const inks = [look.text, look.page, "#ffffff", "#000000"];
  const shades = [down, up].map((end) => Array.from({ length: 101 }, (_, t) => {
    const rgb = mixRgb(zero, end, (strength * t) / 100);
    const ratio = (ink) => contrast(hexToRgb(ink), rgb);
    const ink = inks.find((one) => ratio(one) > 4.6) ?? inks.reduce((a, b) => (ratio(a) > ratio(b) ? a : b));
    return { rgb, fill: css(rgb), ink };
  }));
  const at = (value, largest) => shades[value < 0 ? 0 : 1][largest > 0 ? Math.round(100 * clamp(Math.abs(value) / largest)) : 0];
  return { at, fill: (value, largest) => at(value, largest).fill, ink: (value, largest) => at(value, largest).ink };
}

// A repeating hatch for canvases; `slope` 1 rises to the right, -1 falls.
export function hatchPattern(pen, colour, slope, gap = 6, thickness = 1.5) {
  const ratio = Math.min(3, window.devicePixelRatio || 1);
  const tile = document.createElement("canvas");
  tile.width = tile.height = Math.round(gap * ratio);
  const own = tile.getContext("2d");
  const side = tile.width;
  own.strokeStyle = colour;
  own.lineWidth = thickness * ratio;
  own.beginPath();
  for (const shift of [-side, 0, side]) {
    own.moveTo(shift - 1, slope > 0 ? side + 1 : -1);
    own.lineTo(shift + side + 1, slope > 0 ? -1 : side + 1);
  }
  own.stroke();
  const pattern = pen.createPattern(tile, "repeat");
  pattern.setTransform(new DOMMatrix().scale(1 / ratio));
  return pattern;
}
