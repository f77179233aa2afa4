import { viridis } from "./kit/colours.js";
import { key, traitChoice, trials } from "./kit/controls.js";
import { element, setText } from "./kit/elements.js";
import { listOf, number, oneOf, widget } from "./kit/figure.js";
import { clamp, fixed } from "./kit/numbers.js";
import { drawDisc, enlarge, picture, strokeAll, strokeLine } from "./kit/pictures.js";
import { draggable, onArrows, pointIn } from "./kit/pointer.js";

// A point, the map that a network should answer with, and the point that the map gives. Arithmetic first, as pure functions.
// A map is an array of size * size shares, in rows; points are [x, y] in pixels of a box of `side` by `side`.

const LEAST = 1e-12;

// One cell, or a hill of one cell's width around the point, of sum 1.
export function targetMap([x, y], size, side, kind) {
  const [u, v] = [(x / side) * size, (y / side) * size];
  const cell = (at) => Math.min(Math.floor(at), size - 1);
  const one = (at) => Array.from({ length: size }, (_, n) => (kind === "hill" ? Math.exp(-((n + 0.5 - at) ** 2) / 2) : Number(n === cell(at))));
  const [rows, columns] = [one(v), one(u)];
  const map = rows.flatMap((row) => columns.map((column) => row * column));
  const total = map.reduce((sum, value) => sum + value, 0);
  return map.map((value) => value / total);
}

// From the largest of a line of logits to the top of the parabola through its neighbours.
export function topOf(line, at) {
  if (at === 0 || at === line.length - 1) return 0;
  const [a, b, c] = [line[at - 1], line[at], line[at + 1]];
  return (a - c) / (2 * (a - 2 * b + c));
}

// The point that a map gives, in pixels.
export function decodeMap(map, size, side, method) {
  if (method === "mean") {
    const mean = (place) => map.reduce((sum, value, n) => sum + value * (place(n) + 0.5), 0);
    return [mean((n) => n % size), mean((n) => Math.floor(n / size))].map((at) => (at / size) * side);
  }
  const logits = map.map((value) => Math.log(Math.max(value, LEAST)));
  const best = logits.indexOf(Math.max(...logits));
  const [row, column] = [Math.floor(best / size), best % size];
  const across = logits.slice(row * size, (row + 1) * size);
  const down = logits.filter((_, n) => n % size === column);
  const step = method === "parabola" ? [topOf(across, column), topOf(down, row)] : [0, 0];
  return [(column + 0.5 + step[0]) / size, (row + 0.5 + step[1]) / size].map((part) => part * side);
}

// ---- What is drawn ---------------------------------------------------------------------------------------------------

const SIDE = 56;
const SCALE = viridis(101);
const FOUND = "#f16a01";
const LINES = "#9aa3ad99"; // seen on the darkest cell and on the brightest
const START = { point: [30, 21], size: 7, target: "cell", method: "cell" };
const quarter = (value) => clamp(Math.round(4 * value) / 4, 0, SIDE);

function cross(pen, [x, y], radius) {
  pen.beginPath();
  pen.moveTo(x - radius, y - radius);
  pen.lineTo(x + radius, y + radius);
  pen.moveTo(x - radius, y + radius);
  pen.lineTo(x + radius, y - radius);
  strokeAll(pen, ["#1d232b", 5], [FOUND, 2.5]);
}

function buildMap(figure) {
  const canvas = element("canvas", { tabindex: "0", role: "application", "aria-roledescription": "map with a point to move" });
  const head = element("p", { class: "segcore-label" });
  const node = element("div", { class: "map-view" }, head, canvas);
  const unit = () => node.clientWidth / SIDE;
  const go = (event) => figure.set({ point: pointIn(canvas, event, unit()).map(quarter) });
  draggable(canvas, { start: (event) => {
    if (event.pointerType !== "touch") go(event);
    return true;
  }, move: (_, event) => go(event) });
  canvas.addEventListener("click", go);
  onArrows(canvas, ([dx, dy]) => figure.set({ point: [figure.state.point[0] + dx / 2, figure.state.point[1] + dy / 2].map(quarter) }));
  function draw({ map, found }) {
    const { size, point } = figure.state;
    const most = Math.max(...map);
    const pen = enlarge(canvas, picture(size, size, (n) => SCALE[Math.round(100 * (map[n] / most))]), node.clientWidth);
    const [at, cell] = [(place) => place.map((value) => value * unit()), node.clientWidth / size];
    for (let line = 1; line < size; line++) {
      strokeLine(pen, [line * cell, 0, line * cell, node.clientWidth], [LINES, 1]);
      strokeLine(pen, [0, line * cell, node.clientWidth, line * cell], [LINES, 1]);
    }
    strokeLine(pen, [...at(point), ...at(found)], [FOUND, 2]);
    cross(pen, at(found), 6);
    drawDisc(pen, ...at(point), 9, null, [figure.look.page, 4.5], [figure.look.text, 2]);
    setText(head, `${size} \u00d7 ${size} cells of ${SIDE / size} pixels, over the box`);
    canvas.setAttribute("aria-label", `Map of ${size} by ${size} cells. The point lies at x ${fixed(point[0], 2)}, y ${fixed(point[1], 2)}; arrow keys move it by half a pixel.`);
  }
  return { node, draw };
}

const TRIALS = [
  { label: "One-hot, 7 cells", values: START, note: "Move the point about in its cell: the map stays, and so does the cross." },
  { label: "One-hot, parabola", values: { ...START, method: "parabola" }, note: "Both neighbours are equal, so the parabola stays in the middle. Where the point lay was lost with the target." },
  { label: "A hill, parabola", values: { ...START, target: "hill", method: "parabola" }, note: "The cells around say where in its cell the point lies. Four cells would do: try them." },
  { label: "Near the edge", values: [{ ...START, point: [3, 30], target: "hill", method: "parabola" }, { ...START, point: [3, 30], target: "hill", method: "mean" }],
    note: ({ method }) => (method === "mean" ? "Half of the hill is cut off, which pulls the mean inwards." : "In the first column one neighbour is missing: x stays. Press again for the mean of the map.") },
].map((trial) => ({ ...trial, back: START }));

function buildControls(figure) {
  const choices = [["size", "Cells", [4, 7, 14, 28].map((size) => [size, `${size} \u00d7 ${size}`])],
    ["target", "Target", [["cell", "One-hot"], ["hill", "Hill"]]],
    ["method", "Decoding", [["cell", "Largest cell"], ["parabola", "Parabola"], ["mean", "Mean"]]]];
  return element("div", { class: "controls" }, ...choices.map((each) => traitChoice(figure, ...each).node));
}

function build(figure) {
  const parts = { map: buildMap(figure), error: element("p", { class: "error" }), words: element("p", { class: "places" }) };
  const tried = trials(figure, TRIALS, "Drag the point, or go to the map and use the arrow keys.");
  figure.first(
    element("p", { class: "segcore-lead", text: "A key point becomes a coarse map, and is found again from the map alone: how far off?" }),
    tried.node,
    element("div", { class: "views" }, parts.map.node, element("div", { class: "side" }, parts.error, parts.words,
      key(["ring point", "the point"], ["found", "what the map gives"], ["scale", "0 to the largest share"]), buildControls(figure))));
  return parts;
}

function draw(figure) {
  const { parts, state } = figure;
  const map = targetMap(state.point, state.size, SIDE, state.target);
  const found = decodeMap(map, state.size, SIDE, state.method);
  const off = Math.hypot(found[0] - state.point[0], found[1] - state.point[1]);
  parts.map.draw({ map, found });
  setText(parts.error, `Off by ${fixed(off, 2)} pixels, ${fixed((off / SIDE) * state.size, 2)} of a cell.`);
  setText(parts.words, `The point: x ${fixed(state.point[0], 2)}, y ${fixed(state.point[1], 2)}. Found: x ${fixed(found[0], 2)}, y ${fixed(found[1], 2)}. The box is ${SIDE} pixels wide.`);
  figure.say(parts.error.textContent);
}

export default widget({
  slug: "keypoints",
  traits: { point: listOf(number(0, SIDE), 2), size: oneOf(4, 7, 14, 28), target: oneOf("cell", "hill"), method: oneOf("cell", "parabola", "mean") },
  colours: ["page", "text"],
  build,
  draw,
});
