// A small widget that uses the whole kit, for tests/widgets/test_kit.py.

import { addressName, formatAddress, parseAddress } from "./kit/address.js";
import { contrast, palette, viridis } from "./kit/colours.js";
import { choice, key, matrixEditor, numberField, traitSlider, trials } from "./kit/controls.js";
import { element, setText } from "./kit/elements.js";
import { listOf, number, oneOf, whole, widget, yesNo } from "./kit/figure.js";
import { argmax, conv2d, gridOf, maxPool, pad, resizeBilinear, rowsOf } from "./kit/maps.js";
import { brief, fixed, grouped, parseNumber, placeWords, plural, signed, tidy } from "./kit/numbers.js";
import { edgePath, fitCanvas, strokePixels, unpackMask } from "./kit/pictures.js";
import { player } from "./kit/player.js";
import { draggable, onArrows, pointIn, walkCells } from "./kit/pointer.js";

export const parse = parseAddress;
export const format = formatAddress;
export const words = (n) => [fixed(-0.04, 1), signed(2, 1), tidy(2.50), grouped(1944100), plural(1, "pixel"), plural(1200, "pixel"), placeWords(0, 4)];
export const read = parseNumber;
export const write = brief;
export const reads = (colour) => contrast(colour, [255, 255, 255]);
export const brushed = strokePixels;
export const scale = (n) => viridis(n);
export const filtered = (rows, kernel, stride, dilation) => rowsOf(conv2d(gridOf(rows), gridOf(kernel), stride, dilation));
export const pooled = (rows, size, stride) => rowsOf(maxPool(gridOf(rows), size, stride));
export const padded = (rows, ...by) => rowsOf(pad(gridOf(rows), ...by));
export const resized = (data, channels, height, width, h, w) => [...resizeBilinear({ data, channels, height, width }, h, w).data];
export const best = (data, channels, height, width) => [...argmax({ data, channels, height, width })];

function build(figure) {
  const text = element("p", { class: "text" });
  const count = traitSlider(figure, "count", "Count", { min: 0, max: 9 }, (value) => `${value} of 9`);
  const box = element("div", { class: "box", tabindex: "0", style: "width: 60px; height: 60px; touch-action: pan-y" });
  const canvas = element("canvas");
  draggable(box, { start: () => figure.state.at, move: (from, _, { dx, dy }) => figure.set({ at: [from[0] + dx, from[1] + dy] }) });
  onArrows(box, ([dx, dy]) => figure.set({ at: [figure.state.at[0] + dx, figure.state.at[1] + dy] }));
  const field = numberField("Share", { min: 0, max: 1, step: "any" }, (value) => {
    if (!(value >= 0 && value <= 1)) return "wrong";
    figure.set({ share: value });
    return "";
  });
  let at = figure.state.count;
  const play = player(figure, {
    label: "Steps", count: () => 9, get: () => at, seek: (n) => { at = n; figure.set({ count: Math.floor(n) }); }, rate: () => 4,
    words: (n) => `step ${n} of 9`,
  });
  const tried = trials(figure, [
    { label: "Three", values: { count: 3 }, note: "Look: three." },
    { label: "Turn", values: [{ count: 4 }, { count: 5 }], note: ({ count }) => `It is ${count}.` },
    { label: "There", values: { count: 6 }, back: { count: 8 }, note: "Six." },
  ], "At rest.");
  figure.first(tried.node, text, count.node, box, canvas, key(["line second", "the line"]));
  figure.more("More", [field.node, play.node]);
  return { text, count, field, play, canvas };
}

function draw(figure, changed, now) {
  const { text, field, play, canvas } = figure.parts;
  play.advance(now);
  const { state } = figure;
  if (changed("count", "word", "at")) setText(text, `${state.word} ${state.count} at ${state.at}`);
  if (changed("share")) field.set(state.share);
  if (changed("all")) fitCanvas(canvas, 20, 20);
  play.draw();
}

export default widget({
  slug: "probe", build, draw, colours: ["text"],
  traits: { count: whole(0, 9), word: oneOf("a word", "another"), at: listOf(number(-500, 500), 2), share: number(0, 1), on: yesNo, secret: null },
  check: (state) => (state.count === 7 && state.word === "another" ? "count cannot be 7 with another" : ""),
});
