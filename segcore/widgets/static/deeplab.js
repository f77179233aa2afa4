import { CLASS_COLOURS, hexToRgb, viridis } from "./kit/colours.js";
import { key, marks, traitChoice, traitSlider, trials } from "./kit/controls.js";
import { element, setText } from "./kit/elements.js";
import { listOf, oneOf, whole, widget } from "./kit/figure.js";
import { fixed } from "./kit/numbers.js";
import { pointable, pointed, surface } from "./kit/photographs.js";
import { drawDisc, edgePath, openImage, outlineRect, paintPixels, pixelsOf, strokeAll, unpackRuns } from "./kit/pictures.js";
import { meanIou } from "./kit/scores.js";

// What a pyramid sees from one cell of a map, and the labels that come of it.
// Arithmetic first, as pure functions; what is drawn comes below. A map is square, its cells are numbered along the rows.

export { unpackRuns };

// Cells along one side of a map of this output stride.
export const cellsOf = (size, stride) => Math.ceil(size / stride);

// Where the nine weights of a 3×3 filter of this rate fall around a cell, as far as they lie on the map: [x, y] of each.
export function taps(side, [x, y], rate) {
  const steps = [-rate, 0, rate];
  return steps.flatMap((dy) => steps.map((dx) => [x + dx, y + dy])).filter((place) => place.every((value) => value >= 0 && value < side));
}

// How many weights lie on the map, at every cell.
export function validWeights(side, rate) {
  const along = Array.from({ length: side }, (_, n) => 1 + (n >= rate ? 1 : 0) + (n + rate < side ? 1 : 0));
  return Float64Array.from({ length: side * side }, (_, n) => along[Math.floor(n / side)] * along[n % side]);
}

// The share of cells where all nine are left, and where one is.
export function shares(side, rate) {
  const counts = validWeights(side, rate);
  const share = (number) => counts.filter((count) => count === number).length / counts.length;
  return { nine: share(9), one: share(1) };
}

// The parts that a side is pooled into: [first, last + 1] of each; neighbours share a cell where the parts do not divide the side.
export function bins(side, parts) {
  return Array.from({ length: parts }, (_, n) => [Math.floor((n * side) / parts), Math.ceil(((n + 1) * side) / parts)]);
}

// The part in which a cell lies, the first one if two hold it.
export const binOf = (side, parts, cell) => bins(side, parts).find(([first, end]) => cell >= first && cell < end);

// The mean colour of each of parts × parts pieces of a picture (red, green, blue, alpha a pixel), row by row.
export function pooledColours(data, side, parts) {
  const ranges = bins(side, parts);
  return ranges.flatMap(([top, bottom]) => ranges.map(([left, right]) => {
    const sum = [0, 0, 0];
    for (let y = top; y < bottom; y++) for (let x = left; x < right; x++) for (let k = 0; k < 3; k++) sum[k] += data[4 * (y * side + x) + k];
    return sum.map((value) => value / ((bottom - top) * (right - left)));
  }));
}

export { meanIou };

// ---- The figure --------------------------------------------------------------------------------------------------

const SIDE = 96;
const MOST = 24;
const GRIDS = [1, 2, 3, 6];
const SCENES = [["first", "1"], ["second", "2"], ["third", "3"]];
const NETWORKS = [["deeplabv3_32", "v3: 32"], ["deeplabv3_16", "v3: 16"], ["deeplabv3_8", "v3: 8"], ["deeplabv3plus_16", "v3+: 16"], ["pspnet_8", "PSPNet: 8"]];
const NAMES = { deeplabv3_32: "DeepLabv3", deeplabv3_16: "DeepLabv3", deeplabv3_8: "DeepLabv3", deeplabv3plus_16: "DeepLabv3+", pspnet_8: "PSPNet" };
const COLOURS = CLASS_COLOURS.map(hexToRgb);
const HEAT = viridis(9);
const RINGS = ["#ffd23f", "#ff7ac8", "#5ce1e6"];
const strideOf = (network) => Number(network.split("_")[1]);
const pooling = (network) => network.startsWith("pspnet");
const START = { network: "deeplabv3_8", rate: 2, size: 96, show: "labels", scene: "first" };
const TRIALS = [
  { label: "Finer maps", values: ["deeplabv3_32", "deeplabv3_16", "deeplabv3_8"].map((network) => ({ ...START, network })),
    note: ({ network }) => `Output stride ${strideOf(network)}: ${cellsOf(SIDE, strideOf(network))} \u00d7 ${cellsOf(SIDE, strideOf(network))} cells for 96 \u00d7 96 pixels. Each press takes the next stride: watch small things and outlines on the right.` },
  { label: "A rate too large", values: [2, 4, 8, 12].map((rate) => ({ ...START, size: 96, rate, show: "left" })),
    note: ({ rate }) => `Rates ${rate}, ${2 * rate} and ${3 * rate} on 12 \u00d7 12 cells. Bright has all nine weights of the largest rate, dark has one: a 1 \u00d7 1 filter. Press again.` },
  { label: "The paper\u2019s map", values: { ...START, network: "deeplabv3_8", size: 513, rate: 12, show: "left" },
    note: "513 pixels at output stride 8 make 65 \u00d7 65 cells, and rates are 12, 24 and 36. Not one cell has all nine weights of the largest." },
  { label: "A decoder", values: [{ ...START, network: "deeplabv3_16", rate: 1 }, { ...START, network: "deeplabv3plus_16", rate: 1 }],
    note: ({ network }) => (network === "deeplabv3_16" ? "DeepLabv3 at stride 16: round blobs. Press again." : "DeepLabv3+ at the same stride, joined with a map of stride 4: the outlines are back.") },
  { label: "Means instead", values: { ...START, network: "pspnet_8" },
    note: "PSPNet has no rates: it lays means over 1, 4, 9 and 36 parts of the map beside each cell. The frames are the parts in which this cell lies." },
];
const MARKS = [["score", "Mean IoU", "of the labels shown, over the classes that occur in this scene"], ["nine", "Cells with all nine, largest rate", "cells at which every weight of the largest rate lies on the map"],
  ["one", "With the middle one alone", "cells at which only the middle weight of the largest rate lies on the map"]];

// What the page holds of each scene: its labels, and its pixels once they are unpacked.
function unpacked(figure) {
  return Object.fromEntries(Object.entries(figure.model.get("data").scenes).map(([name, { image, ...labels }]) => {
    const scene = Object.fromEntries(Object.entries(labels).map(([source, text]) => [source, unpackRuns(text, SIDE * SIDE)]));
    openImage(image, "image/webp").then((canvas) => {
      scene.pixels = pixelsOf(canvas);
      figure.mark("scene");
    });
    return [name, scene];
  }));
}

const pixels = (side, colour) => paintPixels(side, side, colour);

// The picture on the right.
function shown({ network, rate, size, show }, scene) {
  if (show !== "left") {
    const labels = scene[show === "truth" ? "truth" : network];
    return pixels(SIDE, (n) => COLOURS[labels[n]]);
  }
  if (!pooling(network)) {
    const side = cellsOf(size, strideOf(network));
    const counts = validWeights(side, 3 * rate);
    return pixels(side, (n) => HEAT[counts[n] - 1]);
  }
  const means = scene.pixels ? pooledColours(scene.pixels.data, SIDE, 6) : Array(36).fill([128, 128, 128]);
  return pixels(6, (n) => means[n]);
}

function buildControls(figure) {
  const network = traitChoice(figure, "network", "DeepLab or PSPNet: output stride", NETWORKS);
  const show = traitChoice(figure, "show", "Beside it", [["labels", "Its labels"], ["truth", "The truth"], ["left", "What is left"]]);
  const rate = traitSlider(figure, "rate", "First rate", { min: 1, max: MOST }, (value) => [value, 2 * value, 3 * value].join(", "));
  const node = element("div", { class: "controls" }, element("div", { class: "segcore-bar" }, network.node, show.node), rate.node);
  const others = [element("div", { class: "segcore-bar" }, traitChoice(figure, "scene", "Scene", SCENES).node,
    traitChoice(figure, "size", "Picture of", [[96, "96 pixels"], [513, "513 pixels"]]).node)];
  return { node, others, rate: rate.node };
}

function build(figure) {
  figure.scenes = unpacked(figure);
  const parts = { seen: surface("seen", {}, 1), other: surface("other", {}, 1), controls: buildControls(figure), marks: marks("What is left, and what comes of it", MARKS),
    words: element("p", { class: "words segcore-label" }), rings: key(["dot ring0", "rate 1"], ["dot ring1", "rate 2"], ["dot ring2", "rate 3"], ["ring whole", "mean"]),
    classes: key(["class-1", "sphere"], ["class-2", "box"], ["class-3", "cylinder"], ["line edge", "true edges"], ["scale", "1 to 9 weights"]) };
  [parts.seen, parts.other].forEach((view) => view.canvas.setAttribute("role", "img"));
  pointable(figure, { canvas: parts.seen.canvas, small: { width: SIDE, height: SIDE } });
  parts.other.canvas.removeAttribute("tabindex");
  figure.first(
    element("p", { class: "segcore-lead", text: "Each cell of a map looks near, far, and at the whole. How fine is the map, and what do the looks miss?" }),
    trials(figure, TRIALS, "Point at the scene, or move with the arrow keys.").node,
    element("div", { class: "pictures" }, element("div", {}, parts.seen.node, parts.rings), element("div", {}, parts.other.node, parts.classes)),
    parts.words, parts.controls.node, parts.marks.node);
  figure.more("Other scenes, and a larger picture", [...parts.controls.others, element("p", { class: "segcore-label",
    text: "The networks saw scenes of 96 pixels, so their labels stay. The windows are drawn on the map that a picture of the chosen size would have; papers use 513 pixels." })]);
  return parts;
}

// The scene's pixels lie under a grid of cells: the cell pointed at, and what it sees.
function drawWindows(figure, part, [x, y], cells) {
  const { state, look } = figure;
  part.show(figure.scenes[state.scene].pixels ?? new ImageData(SIDE, SIDE));
  const pen = part.pen();
  const whole = part.unit * SIDE;
  const unit = whole / cells;
  pen.strokeStyle = "rgb(255 255 255 / 28%)";
  pen.lineWidth = 1;
  pen.beginPath();
  for (let n = 1; n < cells && cells <= 20; n++) {
    pen.moveTo(n * unit, 0);
    pen.lineTo(n * unit, whole);
    pen.moveTo(0, n * unit);
    pen.lineTo(whole, n * unit);
  }
  pen.stroke();
  const box = (left, top, width, height, colour) => outlineRect(pen, left * unit, top * unit, width * unit, height * unit, ["#000000", 4.5], [colour, 2.5]);
  if (pooling(state.network)) {
    GRIDS.forEach((parts, n) => {
      const [[left, right], [top, bottom]] = [binOf(cells, parts, x), binOf(cells, parts, y)];
      box(left + 0.02 * n, top + 0.02 * n, right - left - 0.04 * n, bottom - top - 0.04 * n, ["#ffffff", ...RINGS][n]);
    });
  } else {
    box(0, 0, cells, cells, "#ffffff");
    RINGS.forEach((colour, n) => taps(cells, [x, y], (n + 1) * state.rate).forEach(([column, row]) => 
      drawDisc(pen, (column + 0.5) * unit, (row + 0.5) * unit, Math.max(3.5, Math.min(7, unit / 3)), colour, ["#000000", 1.5])));
  }
  box(x, y, 1, 1, look.accent);
}

function describe({ network, rate }, cells, [x, y]) {
  const here = `Row ${y + 1}, column ${x + 1} of ${cells} \u00d7 ${cells} cells`;
  if (pooling(network)) {
    const sizes = GRIDS.map((parts) => {
      const [[left, right], [top, bottom]] = [binOf(cells, parts, x), binOf(cells, parts, y)];
      return (right - left) * (bottom - top);
    });
    return `${here}: means over ${sizes.slice(0, 3).join(", ")} and ${sizes[3]} cells.`;
  }
  const counts = [1, 2, 3].map((times) => taps(cells, [x, y], times * rate).length);
  return `${here}: of nine weights, ${counts[0]}, ${counts[1]} and ${counts[2]} lie on the map at rates ${rate}, ${2 * rate} and ${3 * rate}.`;
}

function title({ network, show, size }) {
  if (show === "truth") return "The true labels";
  if (show === "left") return pooling(network) ? "The picture in 6 \u00d7 6 means" : "Weights left, of nine, at the largest rate";
  return `Labels of ${NAMES[network]}, stride ${strideOf(network)}${size > SIDE ? " (at 96 pixels)" : ""}`;
}

function draw(figure, changed) {
  const { parts, state } = figure;
  const scene = figure.scenes[state.scene];
  const cells = cellsOf(state.size, strideOf(state.network));
  const cell = pointed(figure, { height: SIDE, width: SIDE }).map((value) => Math.floor((value * cells) / SIDE));
  parts.controls.rate.style.visibility = pooling(state.network) ? "hidden" : "visible";
  drawWindows(figure, parts.seen, cell, cells);
  const words = describe(state, cells, cell);
  setText(parts.seen.head, `What one of ${cells} \u00d7 ${cells} cells sees`);
  parts.seen.canvas.setAttribute("aria-label", `The scene. ${words} The arrow keys move to other cells.`);
  if (changed("network", "rate", "size", "show", "scene")) parts.other.show(shown(state, scene));
  const pen = parts.other.pen();
  if (state.show === "labels") {
    edgePath(pen, scene.truth, SIDE, parts.other.unit);
    strokeAll(pen, [figure.look.page, 3.5], [figure.look.text, 1.5]);
  }
  setText(parts.other.head, title(state));
  parts.other.canvas.setAttribute("aria-label", title(state));
  const names = pooling(state.network) ? GRIDS.map((n) => `${n} \u00d7 ${n}`) : null;
  [...parts.rings.querySelectorAll("li")].forEach((item, n) => setText(item.lastChild, names ? names[(n + 1) % 4] : [`rate ${state.rate}`, `rate ${2 * state.rate}`, `rate ${3 * state.rate}`, "mean of the map"][n]));
  const keyed = state.show === "labels" ? [0, 1, 2, 3] : state.show === "truth" ? [0, 1, 2] : pooling(state.network) ? [] : [4];
  [...parts.classes.children].forEach((item, n) => (item.hidden = !keyed.includes(n)));
  setText(parts.words, words);
  const left = shares(cells, 3 * state.rate);
  const percent = (value) => (pooling(state.network) ? "\u2013" : `${fixed(100 * value, 0)} %`);
  parts.marks.set({ score: fixed(meanIou(scene[state.network], scene.truth), 2), nine: percent(left.nine), one: percent(left.one) });
  if (changed("network", "rate", "size", "show", "scene", "at")) figure.say(words);
}

export default widget({
  slug: "deeplab",
  traits: { network: oneOf(...NETWORKS.map(([name]) => name)), rate: whole(1, MOST), size: oneOf(96, 513), show: oneOf("labels", "truth", "left"),
    scene: oneOf("first", "second", "third"), at: listOf(whole(0, SIDE - 1), 2) },
  colours: ["page", "text", "accent"],
  build,
  draw,
});
