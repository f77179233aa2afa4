import { hexToRgb, mixRgb, viridis } from "./kit/colours.js";
import { key, traitChoice, traitSlider, trials } from "./kit/controls.js";
import { element, setText } from "./kit/elements.js";
import { listOf, number, oneOf, whole, widget } from "./kit/figure.js";
import { clamp, fixed, placeWords, plural } from "./kit/numbers.js";
import { pasteIndex, pasteMask, taken } from "./kit/pasting.js";
import { followPointer } from "./kit/photographs.js";
import { edgePath, enlarge, frameCells, outlineRect, picture, strokeAll, unpackBytes, unpackMask } from "./kit/pictures.js";
import { draggable, onArrows, pointIn } from "./kit/pointer.js";

// One soft mask, from its grid in a box to the pixels that are called object. Arithmetic first, as pure functions; what is
// drawn comes below. How a mask comes into the image is the kit's, `pasting.js`.

export { pasteIndex, pasteMask, taken };

// A mask of fewer cells: means over squares of them.
export function coarser({ data, height, width }, cells) {
  const step = width / cells;
  const out = new Float64Array(cells * cells);
  for (let r = 0; r < height; r++) {
    for (let c = 0; c < width; c++) out[Math.floor(r / step) * cells + Math.floor(c / step)] += data[r * width + c] / step ** 2;
  }
  return { data: out, height: cells, width: cells };
}

// Intersection over union of two masks, any numbers that are true or not.
export function iouOf(a, b) {
  let [both, either] = [0, 0];
  a.forEach((value, n) => {
    both += value && b[n] ? 1 : 0;
    either += value || b[n] ? 1 : 0;
  });
  return either ? both / either : NaN;
}

// ---- What is drawn ---------------------------------------------------------------------------------------------------

const SMALLEST = 4;
const FARTHEST = 200;
const SCALE = viridis(101);
const OUTLINE = "#f16a01";
const TRUTH = "#1c90f7";
const tenth = (value) => Math.round(10 * value) / 10;
const START = { cells: 28, method: "exact", threshold: 0.5, view: "outline" };

function readScene({ side, grey, truth, fit, soft }) {
  return { side, grey: unpackBytes(grey), truth: unpackMask(truth, side, side).data, fit,
    soft: { data: soft.map((value) => value / 100), height: 28, width: 28 } };
}

// The mask, pasted both ways, and what comes of it.
function compute({ scene, state }) {
  const mask = coarser(scene.soft, state.cells);
  const size = { height: scene.side, width: scene.side };
  const results = Object.fromEntries(["exact", "torchvision"].map((method) => {
    const values = pasteMask(mask, state.box, size, method);
    const final = Uint8Array.from(values, (value) => (value >= state.threshold - 1e-9 ? 1 : 0));
    return [method, { values, final, iou: iouOf(final, scene.truth), count: final.reduce((sum, one) => sum + one, 0) }];
  }));
  return { mask, results };
}

const pointed = (figure) => figure.hover ?? figure.state.at;

// The cells that a pixel takes from, each with its weight.
function shares({ state, scene, mask }, [x, y]) {
  const [x1, y1, x2, y2] = state.box;
  const along = (low, high, at) => taken(pasteIndex(low, high, mask.width, scene.side, state.method)[at], mask.width);
  return along(y1, y2, y).flatMap(([row, wy]) => along(x1, x2, x).map(([column, wx]) =>
    ({ row, column, weight: wy * wx, value: mask.data[row * mask.width + column] })));
}

// The grid of the soft mask, and in it the cells that the pixel reads.
function buildGrid(figure) {
  const canvas = element("canvas", { role: "img" });
  const head = element("p", { class: "segcore-label" });
  const node = element("div", { class: "grid-view" }, head, canvas);
  function draw(view, cells) {
    const { mask } = view;
    const pen = enlarge(canvas, picture(mask.height, mask.width, (n) => SCALE[Math.round(100 * mask.data[n])]), node.clientWidth);
    const unit = node.clientWidth / mask.width;
    for (const { row, column } of cells) {
      const at = { left: column, top: row };
      frameCells(pen, at, unit, "#ffffff", { thickness: 3.5, inset: 0.5 });
      frameCells(pen, at, unit, "#1d232b", { thickness: 1.5, inset: 0.5 });
    }
    setText(head, `${mask.width} \u00d7 ${mask.height} cells`);
    canvas.setAttribute("aria-label", `The mask head\u2019s answer, ${head.textContent}, bright where it is sure of the coin; ${plural(cells.length, "cell")} framed`);
  }
  return { node, draw };
}

const moved = ([x1, y1, x2, y2], dx, dy) => {
  const [left, top] = [tenth(clamp(x1 + dx, -60, 120)), tenth(clamp(y1 + dy, -60, 120))];
  return [left, top, tenth(left + x2 - x1), tenth(top + y2 - y1)];
};
const stretched = ([x1, y1, x2, y2], dx, dy) => [x1, y1, tenth(clamp(x2 + dx, x1 + SMALLEST, 130)), tenth(clamp(y2 + dy, y1 + SMALLEST, 130))];

// The picture: pixels, the outlines, and the box to drag.
function buildImage(figure) {
  const canvas = element("canvas", { tabindex: "0", role: "application", "aria-roledescription": "picture to point at" });
  const frame = element("div", { class: "frame", tabindex: "0", role: "application", "aria-roledescription": "box to move" });
  const corner = element("div", { class: "corner", tabindex: "0", role: "application", "aria-roledescription": "corner to drag" });
  const head = element("p", { class: "segcore-label" });
  const room = element("div", { class: "room" }, canvas, frame, corner);
  const node = element("div", { class: "image-view" }, head, room);
  const side = () => figure.scene.side;
  const unit = () => node.clientWidth / side();
  const place = (event) => pointIn(canvas, event, unit()).map((at) => clamp(Math.floor(at), 0, side() - 1));
  followPointer(figure, room, place);
  room.addEventListener("click", (event) => figure.set({ at: place(event) }));
  onArrows(canvas, ([dx, dy]) => {
    const [x, y] = pointed(figure);
    figure.hover = null;
    figure.set({ at: [clamp(x + dx, 0, side() - 1), clamp(y + dy, 0, side() - 1)] });
  });
  for (const [handle, change] of [[frame, moved], [corner, stretched]]) {
    draggable(handle, { slack: 3, start: () => figure.state.box,
      move: (from, _, { dx, dy }) => figure.set({ box: change(from, dx / unit(), dy / unit()) }) });
    onArrows(handle, ([dx, dy]) => figure.set({ box: change(figure.state.box, dx / 10, dy / 10) }), { fast: 10 });
  }
  function draw(view) {
    const { state, scene, look } = figure;
    const { values, final } = view.results[state.method];
    const grey = (n) => [scene.grey[n], scene.grey[n], scene.grey[n]];
    const colour = state.view === "values" ? (n) => SCALE[Math.round(100 * clamp(values[n]))]
      : (n) => (final[n] ? mixRgb(grey(n), hexToRgb(OUTLINE), 0.3) : grey(n));
    const pen = enlarge(canvas, picture(side(), side(), colour), node.clientWidth);
    edgePath(pen, scene.truth, side(), unit());
    strokeAll(pen, [TRUTH, 2]);
    edgePath(pen, final, side(), unit());
    strokeAll(pen, ["#ffffff", 3.5], [OUTLINE, 2]);
    const [x, y] = pointed(figure);
    outlineRect(pen, x * unit(), y * unit(), unit(), unit(), [look.page, 4.5], [look.text, 2]);
    const [x1, y1, x2, y2] = state.box.map((edge) => edge * unit());
    Object.assign(frame.style, { left: `${x1}px`, top: `${y1}px`, width: `${x2 - x1}px`, height: `${y2 - y1}px` });
    Object.assign(corner.style, { left: `${clamp(x2, 8, node.clientWidth - 8)}px`, top: `${clamp(y2, 8, node.clientWidth - 8)}px` });
    const words = state.box.map((edge) => fixed(edge, 1));
    frame.setAttribute("aria-label", `Box from x ${words[0]}, y ${words[1]} to x ${words[2]}, y ${words[3]}. Arrow keys move it by a tenth of a pixel, with Shift by one.`);
    corner.setAttribute("aria-label", `Lower right corner at x ${words[2]}, y ${words[3]}. Arrow keys move it.`);
    canvas.setAttribute("aria-label", `The coin and its final mask. Pixel in ${placeWords(y, x)}; the arrow keys go to others.`);
    setText(head, state.view === "values" ? "Pasted, still soft" : "Pasted, decided");
  }
  return { node, draw };
}

// The sum of the pixel that is pointed at, written out.
function sumWords(figure, cells) {
  const [x, y] = pointed(figure);
  const value = figure.view.results[figure.state.method].values[y * figure.scene.side + x];
  const place = `Pixel in ${placeWords(y, x)}`;
  if (!cells.length) return `${place}: no cell of the mask reaches it. 0, background.`;
  const terms = cells.map(({ weight, value: cell }) => `${fixed(weight, 2)} \u00b7 ${fixed(cell, 2)}`).join(" + ");
  const decided = figure.view.results[figure.state.method].final[y * figure.scene.side + x] ? "coin" : "background";
  return `${place}: ${terms} = ${fixed(value, 2)}, ${decided}.`;
}

const REST = "Drag the box: its mask goes with it. Point at a pixel to see the cells that it reads.";

function listOfTrials({ fit }) {
  const aside = moved(fit, 0.4, 0.4);
  return [
    { label: "Cut the box", values: [{ ...START, box: aside }, { ...START, box: aside, method: "torchvision" }],
      note: ({ method }) => (method === "exact" ? "The box lies 0.4 pixels aside, and the mask with it. Press again for torchvision\u2019s way."
        : "torchvision cuts the box to whole pixels and takes one more. Compare the two IoUs.") },
    { label: "Be sure", values: { ...START, box: fit, threshold: 0.9 }, note: "From 0.9 on: the mask shrinks by the width of the doubt at its rim." },
    { label: "Be generous", values: { ...START, box: fit, threshold: 0.1 }, note: "From 0.1 on: all that might be coin is coin, and some ground." },
    { label: "7 \u00d7 7 cells", values: [{ ...START, box: fit, cells: 7, view: "values" }, { ...START, box: fit, cells: 7 }],
      note: ({ view }) => (view === "values" ? "A cell is now seven pixels wide. Interpolation makes a smooth hill of them. Press again to decide."
        : "49 numbers still make a round outline, for a soft rim says where between two cells the edge lies.") },
  ].map((trial) => ({ ...trial, back: { ...START, box: fit } }));
}

function buildControls(figure) {
  const threshold = traitSlider(figure, "threshold", "Object from", { min: 0.05, max: 0.95, step: 0.05 }, (value) => fixed(value, 2));
  const choices = [["cells", "Cells", [28, 14, 7].map((side) => [side, `${side} \u00d7 ${side}`])],
    ["method", "Pasting", [["exact", "Exact"], ["torchvision", "torchvision"]]],
    ["view", "Show", [["outline", "Decided"], ["values", "Soft"]]]];
  return element("div", { class: "controls" }, threshold.node,
    element("div", { class: "segcore-bar" }, ...choices.map((each) => traitChoice(figure, ...each).node)));
}

function build(figure) {
  figure.scene = readScene(figure.model.get("scene"));
  const parts = {
    grid: buildGrid(figure), image: buildImage(figure),
    sum: element("p", { class: "sum" }), fits: element("p", { class: "fits" }),
  };
  const tried = trials(figure, listOfTrials(figure.scene), REST);
  const marks = key(["line truth", "true edge"], ["final", "the final mask"], ["edge", "the box"],
    ["scale", "0 ground, 1 coin"], ["ring read", "the pixel, and the cells that it reads"]);
  figure.first(
    element("p", { class: "segcore-lead", text: "Each pixel reads the cells around its place in the box; from the threshold on it is object." }),
    tried.node, element("div", { class: "views" }, parts.grid.node, parts.image.node, element("div", { class: "words" }, parts.sum, parts.fits)),
    marks, buildControls(figure));
  return parts;
}

function draw(figure, changed) {
  const { parts, state } = figure;
  if (!figure.view || changed("box", "cells", "threshold")) figure.view = compute(figure);
  const cells = shares({ ...figure.view, state, scene: figure.scene }, pointed(figure));
  parts.grid.draw(figure.view, cells);
  parts.image.draw(figure.view);
  setText(parts.sum, sumWords(figure, cells));
  const { exact, torchvision } = figure.view.results;
  const fit = ({ iou, count }) => `${fixed(iou, 3)} (${plural(count, "pixel")})`;
  setText(parts.fits, `IoU with the true coin: exact ${fit(exact)}, torchvision ${fit(torchvision)}.`);
  if (changed("box", "cells", "threshold", "method")) figure.say(parts.fits.textContent);
}

export default widget({
  slug: "mask_rcnn",
  traits: {
    box: (box) => listOf(number(-FARTHEST, FARTHEST), 4)(box)
      || (Math.min(box[2] - box[0], box[3] - box[1]) < SMALLEST ? "x1, y1, x2, y2, at least 4 wide and high" : ""),
    cells: oneOf(28, 14, 7), method: oneOf("exact", "torchvision"), threshold: number(0.05, 0.95),
    at: listOf(whole(0, 71), 2), view: oneOf("outline", "values"),
  },
  colours: ["page", "text"],
  build,
  draw,
});
