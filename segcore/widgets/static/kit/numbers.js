// Numbers, for people and in arithmetic. One rule for all widgets: words count rows, columns and steps from 1; thousands
// are parted by commas; a minus sign is a true one.

export const clamp = (value, low = 0, high = 1) => Math.min(high, Math.max(low, value));
export const ease = (t) => t * t * (3 - 2 * t);
export const between = (a, b, t) => a + (b - a) * t;
export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// Fixed digits, a true minus sign, no "-0.0".
export function fixed(value, digits = 1) {
  const text = value.toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "\u2212");
}

export function signed(value, digits = 1) {
  const text = fixed(value, digits);
  return Number(value.toFixed(digits)) > 0 ? `+${text}` : text;
}

// At most `digits` decimals, none that say nothing.
export function tidy(value, digits = 2) {
  const text = fixed(value, digits);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

const GLYPHS = { 0.25: "\u00bc", 0.5: "\u00bd", 0.75: "\u00be" };

// A number as short as it can be: \u00bd for 0.5.
export function brief(value, digits = 3) {
  const glyph = GLYPHS[Math.abs(value)];
  return glyph ? (value < 0 ? "\u2212" : "") + glyph : tidy(value, digits);
}

// A number as people type it: 2, -0.5, 0,5, 1/4, \u00bc; NaN if it is none.
export function parseNumber(text) {
  const plain = text.trim().replace("\u2212", "-").replace(",", ".").replace(/[\u00bc-\u00be]/, (glyph) => `${glyph.charCodeAt(0) - 0xbb}/4`);
  const match = plain.match(/^([+-]?(?:\d+\.?\d*|\.\d+))(?:\s*\/\s*(\d+\.?\d*))?$/);
  return match ? Number(match[1]) / Number(match[2] ?? 1) : NaN;
}

// A whole number with its thousands parted: 1,944,100.
const GROUPS = new Intl.NumberFormat("en-US"); // made once: it is slow to make
export const grouped = (value) => GROUPS.format(Math.round(value)).replace("-", "\u2212");

// "1 pixel", "1,200 pixels".
export const plural = (count, word) => `${grouped(count)} ${word}${count === 1 ? "" : "s"}`;

// Where a cell stands, counted from 1: "row 3, column 5".
export const placeWords = (row, column) => `row ${row + 1}, column ${column + 1}`;
