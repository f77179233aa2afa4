import { hatchPattern, hexToRgb, mixRgb } from "./kit/colours.js";
import { button, choice, heading, key, traitSlider, trials } from "./kit/controls.js";
import { element, setText } from "./kit/elements.js";
import { listOf, whole, widget } from "./kit/figure.js";
import { clamp, fixed, tidy } from "./kit/numbers.js";
import { edgePath, enlarge, picture, strokeAll } from "./kit/pictures.js";
import { arrowOf, draggable, pointIn } from "./kit/pointer.js";
import { nanMean, overlaps } from "./kit/scores.js";

// Predicted segments to deform, and their panoptic quality. Arithmetic first, as pure functions; what is drawn comes below.
//
// A map is { classes, instances }, lists of whole numbers row by row. A shape is [class, x, y, rx, ry, power, state]; it covers
// the pixels whose centre lies in |dx / rx|^power + |dy / ry|^power <= 1. State 0 takes it away, 2 cuts it at its middle.

const [HEIGHT, WIDTH, VOID] = [32, 48, 255];
const CLASSES = ["sky", "road", "car", "person"];
const [STUFF, THINGS] = [[0, 1], [2, 3]];
const [KIND, X, Y, RX, RY, , STATE] = [0, 1, 2, 3, 4, 5, 6];
const [SMALLEST, LARGEST] = [1, 24];

function covers([, x, y, rx, ry, power], column, row) {
  const [dx, dy] = [column + 0.5 - x, row + 0.5 - y];
  const [u, v] = [(dx / rx) ** 2, (dy / ry) ** 2];
  return (power === 2 ? u + v : u * u + v * v) <= 1;
}

// The map of a street: sky above the horizon, road below, and shapes before them, the later over the earlier.
export function rasterize({ horizon, shapes }) {
  const classes = Array.from({ length: HEIGHT * WIDTH }, (_, n) => (n >= horizon * WIDTH ? 1 : 0));
  const instances = classes.map(() => 0);
  shapes.forEach((shape, n) => {
    if (!shape[STATE]) return;
    for (let at = 0; at < classes.length; at++) {
      const [row, column] = [Math.floor(at / WIDTH), at % WIDTH];
      if (!covers(shape, column, row)) continue;
      classes[at] = shape[KIND];
      const second = shape[STATE] === 2 && column + 0.5 >= shape[X];
      instances[at] = shape[KIND] === VOID ? 0 : 2 * n + (second ? 2 : 1);
    }
  });
  return { classes, instances };
}

// The segments of a map, void left out: [{ kind, number, area }], and for each pixel which of them it is in, or -1.
export function segmentsOf({ classes, instances }, { things = THINGS, empty = VOID } = {}) {
  const [found, list] = [new Map(), []];
  const of = classes.map((kind, n) => {
    if (kind === empty) return -1;
    const number = things.includes(kind) ? instances[n] : 0;
    const name = `${kind} ${number}`;
    if (!found.has(name)) found.set(name, list.push({ kind, number, area: 0 }) - 1);
    list[found.get(name)].area += 1;
    return found.get(name);
  });
  return { list, of };
}

function scoresOf({ sum, tp, fp, fn }) {
  const size = tp + (fp + fn) / 2;
  const nothing = size ? 0 : NaN;
  return { PQ: size ? sum / size : nothing, SQ: tp ? sum / tp : nothing, RQ: size ? tp / size : nothing, TP: tp, FP: fp, FN: fn };
}

function means(rows) {
  return Object.fromEntries(["PQ", "SQ", "RQ"].map((name) => [name, nanMean(rows.map((row) => row[name]))]));
}

// Panoptic quality as in segcore.panoptic: void of the truth leaves the union, and a predicted segment without a match that
// lies there by more than half is ignored; void of the prediction gets no relief.
export function quality(prediction, truth, { things = THINGS, stuff = STUFF, empty = VOID } = {}) {
  const [guess, target] = [prediction, truth].map((map) => segmentsOf(map, { things, empty }));
  const shared = overlaps(...[guess, target].map(({ of }) => of.map((segment) => segment + 1))); // row and column 0 are void
  guess.list.forEach((segment, p) => Object.assign(segment, { onVoid: shared[p + 1][0], match: -1, iou: 0 }));
  const ratio = (both, a, b) => both / (a + b - both);
  const iou = guess.list.map(({ area, onVoid }, p) => target.list.map((other, t) => ratio(shared[p + 1][t + 1], area - onVoid, other.area)));
  target.list.forEach((segment) => (segment.match = -1));
  guess.list.forEach((segment, p) => target.list.forEach((other, t) => {
    if (iou[p][t] <= 0.5 || segment.kind !== other.kind) return;
    [segment.match, segment.iou, other.match] = [t, iou[p][t], p];
  }));
  guess.list.forEach((segment) => (segment.ignored = segment.match < 0 && 2 * segment.onVoid > segment.area));
  const tally = (kind) => {
    const [mine, true_] = [guess.list, target.list].map((list) => list.filter((segment) => segment.kind === kind));
    const matched = mine.filter((segment) => segment.match >= 0);
    const fp = mine.filter((segment) => segment.match < 0 && !segment.ignored).length;
    const fn = true_.filter((segment) => segment.match < 0).length;
    return scoresOf({ sum: matched.reduce((sum, segment) => sum + segment.iou, 0), tp: matched.length, fp, fn });
  };
  const classes = Object.fromEntries([...stuff, ...things].map((kind) => [kind, tally(kind)]));
  const over = (kinds) => means(kinds.map((kind) => classes[kind]));
  return { predicted: guess.list, true: target.list, of: guess.of, trueOf: target.of, iou, classes, all: over([...things, ...stuff]), things: over(things), stuff: over(stuff) };
}

// ---- The figure --------------------------------------------------------------------------------------------------

const TALL = 26; // pixels of a mark
const GUESS = { horizon: 12, selected: 2, shapes: [[2, 13, 20, 9, 5, 4, 1], [3, 31.5, 20.5, 3, 8.5, 2, 1], [3, 40, 21.5, 3, 7.5, 2, 1], [3, 26, 9, 3, 3.5, 2, 1], [2, 23, 28, 3.5, 2, 4, 1]] };
const ADVICE = "Drag a segment by its mark, or use arrow keys. Thin lines: truth; dashed: no match.";

// The guess with some shapes changed: {n: shape}.
function changed(shapes, selected, horizon = GUESS.horizon) {
  return { horizon, selected, shapes: GUESS.shapes.map((shape, n) => shapes[n] ?? shape) };
}

const without = (n) => GUESS.shapes[n].with(STATE, 0);

const TRIALS = [
  { label: "A pixel past one half", back: GUESS,
    values: [changed({ 0: [2, 17, 20, 9, 5.5, 4, 1] }, 0), changed({ 0: [2, 18, 20, 9, 5.5, 4, 1] }, 0)],
    note: ({ shapes }) => (shapes[0][X] === 17
      ? "The car is five pixels off, IoU 0.56: still a match, and SQ pays. Press again for one pixel more."
      : "IoU 0.49. One pixel has made two errors of a match: the prediction is an FP and the true car is missed.") },
  { label: "Two people as one", values: changed({ 1: [3, 34.5, 20.5, 7, 9.5, 2, 1], 2: without(2) }, 1), back: GUESS,
    note: "What a semantic map makes of people who touch. The class is right in nearly every pixel, and no segment matches: one FP, two FN, and PQ of persons is 0." },
  { label: "A car cut in two", values: changed({ 0: [2, 12, 20, 9, 5.5, 4, 2] }, 0), back: GUESS,
    note: "Each half covers at most half of the car, so neither matches. Join it again, or move it aside until one half wins." },
  { label: "Wrong name", values: changed({ 1: [2, 31.5, 20.5, 3, 8.5, 2, 1] }, 1), back: GUESS,
    note: "A good outline with the wrong class: an FP for cars and an FN for persons. Recognition suffers, in two classes at once." },
  { label: "Off the crowd", values: changed({ 3: [3, 37, 6, 3, 3.5, 2, 1] }, 3), back: GUESS,
    note: "On the crowd, which is void, this person cost nothing. Here the truth says sky, and it is an FP." },
  { label: "As the truth", values: { horizon: 11, selected: 0, shapes: [[2, 12, 20, 9, 5.5, 4, 1], [3, 31, 20, 3.5, 9, 2, 1], [3, 38, 21, 3.5, 9, 2, 1], without(3), without(4)] },
    back: GUESS, note: "Everything is 1, though the crowd was left to the sky and the road: nobody asks about void." },
];

const COLUMNS = ["TP", "FP", "FN", "SQ", "RQ", "PQ"];
const shown = (value, name) => (Number.isNaN(value) ? "\u2013" : name.endsWith("Q") ? fixed(value, 2) : String(value));

function compute(figure) {
  const { state } = figure;
  figure.prediction = rasterize(state);
  figure.result = quality(figure.prediction, figure.target);
}

// The segments that a shape has made, the left one first; none if it is off or hidden by others.
const partsOf = (figure, n) => figure.result.predicted.filter(({ kind, number }) => THINGS.includes(kind) && Math.ceil(number / 2) === n + 1)
  .sort((a, b) => a.number - b.number);

const bestOf = (figure, segment) => Math.max(0, ...figure.result.iou[figure.result.predicted.indexOf(segment)]);
const verdictOf = (segment) => (segment.match >= 0 ? "match" : segment.ignored ? "ignored" : "FP");
const markOf = (segment) => ({ match: "\u2713", ignored: "\u2013", FP: "\u2717" })[verdictOf(segment)];

// What became of a shape, in a sentence.
function wordsOf(figure, n, name = `Segment ${n + 1}, ${CLASSES[figure.state.shapes[n][KIND]]}`) {
  const [kind, , , , , , state] = figure.state.shapes[n];
  const parts = partsOf(figure, n);
  if (!state) return `${name}: taken away.`;
  if (!parts.length) return `${name}: hidden behind others.`;
  const one = (segment) => {
    const best = figure.result.iou[figure.result.predicted.indexOf(segment)];
    const other = figure.result.true[best.indexOf(Math.max(...best))];
    const value = Math.max(...best) > 0 ? `IoU ${fixed(Math.max(...best), 2)} with a true ${CLASSES[other.kind]}` : "on no true segment";
    const end = { match: "a match", FP: other.kind !== kind && Math.max(...best) > 0.5 ? "but the class is wrong: an FP" : "no match: an FP",
      ignored: `but ${Math.round((100 * segment.onVoid) / segment.area)} % on void: not counted` }[verdictOf(segment)];
    return `${value}, ${end}`;
  };
  return `${name}: ${parts.map(one).join("; the other half: ")}.`;
}

// Change the shape that is selected, within its limits.
function alter(figure, n, values) {
  const shapes = figure.state.shapes.map((shape, at) => (at === n ? shape.map((old, part) => values[part] ?? old) : shape));
  const shape = shapes[n];
  [shape[X], shape[Y]] = [clamp(shape[X], 0, WIDTH), clamp(shape[Y], 0, HEIGHT)];
  [shape[RX], shape[RY]] = [RX, RY].map((part) => clamp(shape[part], SMALLEST, LARGEST));
  figure.set({ shapes, selected: n });
  figure.say(wordsOf(figure, n));
}

const grow = (figure, n, by) => alter(figure, n, { [RX]: figure.state.shapes[n][RX] + by, [RY]: figure.state.shapes[n][RY] + by });
const turn = (figure, n, state) => alter(figure, n, { [STATE]: figure.state.shapes[n][STATE] === state ? 1 : state });

// ---- The picture of the prediction, with a mark on each shape

function buildGrip(figure, n) {
  const node = element("button", { type: "button", class: "grip", onclick: () => figure.set({ selected: n }) });
  const from = () => figure.state.shapes[n];
  draggable(node, {
    start: () => {
      figure.set({ selected: n });
      return from().slice();
    },
    move: (grip, _, { dx, dy }) => {
      const [x, y] = [dx, dy].map((way) => Math.round((2 * way) / figure.unit) / 2);
      alter(figure, n, { [X]: grip[X] + x, [Y]: grip[Y] + y });
    },
  });
  node.addEventListener("keydown", (event) => {
    const by = arrowOf(event);
    const act = by ? () => alter(figure, n, { [X]: from()[X] + by[0] * (event.shiftKey ? 5 : 1), [Y]: from()[Y] + by[1] * (event.shiftKey ? 5 : 1) })
      : { "+": () => grow(figure, n, 0.5), "-": () => grow(figure, n, -0.5), Delete: () => turn(figure, n, 0), c: () => turn(figure, n, 2) }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  return node;
}

// Marks [x, y, half their width] that would lie on each other move up or down, by the least that will do; the first of `order`
// stays. Gives the y of each.
export function spreadMarks(marks, order, height) {
  const placed = new Map();
  for (const n of order) {
    const [x, y, half] = marks[n];
    const free = (at) => at >= TALL / 2 && at <= height - TALL / 2
      && [...placed].every(([other, there]) => Math.abs(marks[other][0] - x) >= marks[other][2] + half || Math.abs(there - at) >= TALL);
    const steps = Array.from({ length: height }, (_, step) => y + (step % 2 ? -1 : 1) * Math.ceil(step / 2));
    placed.set(n, steps.find(free) ?? y);
  }
  return marks.map((_, n) => placed.get(n));
}

function drawGrips(figure) {
  const { grips } = figure.parts;
  const { shapes, selected } = figure.state;
  const marks = shapes.map(([, x, y], n) => {
    const half = Math.min(figure.width / 2, partsOf(figure, n).length > 1 ? 54 : 30);
    return [clamp(x * figure.unit, half, figure.width - half), clamp(y * figure.unit, TALL / 2, HEIGHT * figure.unit - TALL / 2), half];
  });
  const heights = spreadMarks(marks, [selected, ...shapes.keys()].filter((n, at) => !at || n !== selected), Math.floor(HEIGHT * figure.unit));
  grips.forEach((node, n) => {
    const [kind, , , , , , state] = shapes[n];
    const parts = partsOf(figure, n);
    const text = parts.length ? parts.map((segment) => `${fixed(bestOf(figure, segment), 2)} ${markOf(segment)}`).join(" ") : `${n + 1} off`;
    setText(node, text);
    node.setAttribute("aria-label", `${wordsOf(figure, n)} Arrow keys move it, plus and minus change its size, C cuts it, Delete takes it away.`);
    node.classList.toggle("chosen", n === selected);
    node.classList.toggle("off", !state);
    node.dataset.kind = CLASSES[kind];
    node.style.left = `${marks[n][0]}px`;
    node.style.top = `${heights[n]}px`;
  });
}

function buildScene(figure) {
  const canvas = element("canvas", { "aria-hidden": "true" });
  const grips = figure.state.shapes.map((_, n) => buildGrip(figure, n));
  const node = element("div", { class: "scene" }, canvas, ...grips);
  canvas.addEventListener("pointerdown", (event) => {
    const [column, row] = pointIn(canvas, event, figure.unit).map(Math.floor);
    const hit = figure.state.shapes.findLastIndex((shape) => shape[STATE] && covers(shape, column, row));
    if (hit >= 0) figure.set({ selected: hit });
  });
  return { node, canvas, grips };
}

// ---- Drawing

function colourOf(look, map) {
  return (n) => {
    const kind = map.classes[n];
    if (kind === VOID) return look.pageRgb;
    const number = map.instances[n];
    return number ? mixRgb(look.classes[kind], look.pageRgb, [0.34, 0, 0.2, 0.48][number % 4]) : look.classes[kind];
  };
}

// Outlines of some segments: `of` says for each pixel which it is in.
function outline(pen, of, wanted, unit, dash, ...strokes) {
  const labels = of.map((segment) => (wanted(segment) ? segment + 1 : 0));
  edgePath(pen, labels, WIDTH, unit);
  pen.setLineDash(dash);
  strokeAll(pen, ...strokes);
  pen.setLineDash([]);
}

function drawPicture(figure, canvas, map, of, list, width) {
  const { look } = figure;
  const unit = width / WIDTH;
  const pen = enlarge(canvas, picture(HEIGHT, WIDTH, colourOf(look, map)), width);
  const hatch = hatchPattern(pen, look.control, 1);
  figure.target.classes.forEach((kind, n) => {
    if (kind !== VOID) return;
    pen.fillStyle = hatch;
    pen.fillRect((n % WIDTH) * unit, Math.floor(n / WIDTH) * unit, unit, unit);
  });
  if (map === figure.prediction) outline(pen, figure.result.trueOf, (n) => n >= 0, unit, [], [look.text, 1]);
  const kept = (test) => (n) => n >= 0 && THINGS.includes(list[n].kind) && test(list[n]);
  const thick = width > 220 ? 2.5 : 2;
  outline(pen, of, kept(({ match }) => match >= 0), unit, [], [look.page, thick + 2], [look.text, thick]);
  outline(pen, of, kept(({ match, ignored }) => match < 0 && !ignored), unit, [5, 4], [look.page, thick + 2], [look.second, thick]);
  return unit;
}

function drawTable(figure) {
  const { rows } = figure.parts;
  const { classes, all, things, stuff } = figure.result;
  const values = [...[2, 3, 0, 1].map((kind) => classes[kind]), things, stuff, all];
  rows.forEach((cells, n) => cells.forEach((cell, c) => setText(cell, COLUMNS[c] in values[n] ? shown(values[n][COLUMNS[c]], COLUMNS[c]) : "")));
}

function buildTable() {
  const names = [...[2, 3, 0, 1].map((kind) => CLASSES[kind]), "things", "stuff", "all"];
  const rows = names.map(() => COLUMNS.map((name) => element("td", { class: name })));
  const body = rows.map((cells, n) => element("tr", { class: n > 3 ? "mean" : "" },
    element("th", { scope: "row" }, n < 4 ? element("i", { class: `swatch ${names[n]}`, "aria-hidden": "true" }) : null, n < 4 ? names[n] : `mean, ${names[n]}`), ...cells));
  const head = element("tr", {}, element("th", { scope: "col", text: "class" }), ...COLUMNS.map((name) => element("th", { scope: "col", class: name, text: name })));
  return { node: element("table", { class: "classes" }, element("thead", {}, head), element("tbody", {}, ...body)), rows };
}

// Every pair of a predicted and a true segment, under a fold.
function drawPairs(figure) {
  const { pairs } = figure.parts;
  const { predicted, true: truths, iou } = figure.result;
  const name = ({ kind, number }) => (STUFF.includes(kind) ? CLASSES[kind] : `${CLASSES[kind]} ${Math.ceil(number / 2)}${number % 2 ? "" : "b"}`);
  const head = element("tr", {}, element("th", { scope: "col", text: "predicted" }), ...truths.map((t) => element("th", { scope: "col", text: `true ${name({ ...t, number: t.number - 2 })}` })));
  const body = predicted.map((p, n) => element("tr", {}, element("th", { scope: "row", text: name(p) }),
    ...truths.map((_, t) => element("td", { class: p.match === t ? "matched" : "", text: tidy(iou[n][t], 2) }))));
  pairs.replaceChildren(element("thead", {}, head), element("tbody", {}, ...body));
}

function buildTools(figure) {
  const now = () => figure.state.selected;
  const kind = choice("Class", THINGS.map((each) => [each, CLASSES[each]]), 2, (value) => alter(figure, now(), { [KIND]: value }));
  const [less, more] = [["\u2212", -0.5, "Shrink"], ["+", 0.5, "Grow"]].map(([text, by, label]) => button(text, () => grow(figure, now(), by), { "aria-label": label }));
  const cut = button("Cut in two", () => turn(figure, now(), 2));
  const away = button("Take away", () => turn(figure, now(), 0));
  const title = element("span", { class: "segcore-label chosen-title" });
  const node = element("div", { class: "segcore-bar tools" }, kind.node, element("div", { class: "segcore-bar" }, less, more, cut, away));
  const update = () => {
    const [own, , , , , , state] = figure.state.shapes[now()];
    kind.set(own);
    setText(cut, state === 2 ? "Join" : "Cut in two");
    setText(away, state ? "Take away" : "Put back");
    [less, more, cut].forEach((each) => (each.disabled = !state));
  };
  return { node, title, update };
}

function build(figure) {
  figure.target = rasterize(figure.model.get("truth"));
  compute(figure);
  const scene = buildScene(figure);
  const truth = element("canvas", { role: "img", "aria-label": "The truth: a car, two people side by side, a crowd that is void, sky and road." });
  const table = buildTable();
  const tools = buildTools(figure);
  const sentence = element("p", { class: "sentence" });
  const horizon = traitSlider(figure, "horizon", "Horizon of the prediction", { min: 0, max: HEIGHT }, (value) =>
    `row ${value} of ${HEIGHT}`);
  const pairs = element("table", { class: "pairs" });
  figure.first(
    element("p", { class: "segcore-lead", text: "Which segments count as found?" }),
    trials(figure, TRIALS, ADVICE).node,
    element("div", { class: "panels" },
      element("section", { class: "left" }, heading("Prediction"), scene.node, tools.node, sentence),
      element("section", { class: "right" }, element("div", { class: "truth" }, heading("Truth"), truth), table.node)),
  );
  figure.more("Stuff, and every IoU", [horizon.node, element("div", { class: "wide", tabindex: "0", role: "group", "aria-label": "IoU of every pair of segments" }, pairs),
    key(["line text", "true outlines, and segments with a match"], ["dashed second", "no match: FP in the prediction, FN in the truth"], ["hatch", "void in the truth: a crowd"])]);
  return { ...scene, truth, ...{ rows: table.rows }, tools, sentence, pairs, scene: scene.node };
}

function draw(figure, changedNow) {
  const { canvas, truth, scene, sentence, tools } = figure.parts;
  if (!changedNow("shapes", "horizon", "selected")) return;
  compute(figure);
  figure.width = Math.floor(scene.clientWidth);
  figure.unit = figure.width / WIDTH;
  drawPicture(figure, canvas, figure.prediction, figure.result.of, figure.result.predicted, figure.width);
  const room = truth.parentElement.clientWidth;
  if (room) drawPicture(figure, truth, figure.target, figure.result.trueOf, figure.result.true, Math.min(room, 190));
  drawGrips(figure);
  drawTable(figure);
  drawPairs(figure);
  tools.update();
  const { selected, shapes } = figure.state;
  setText(sentence, wordsOf(figure, selected, `The chosen ${CLASSES[shapes[selected][KIND]]}`));
}

const between = (low, high) => (value) => Number.isFinite(value) && value >= low && value <= high;
const LEGAL = [(value) => THINGS.includes(value), between(0, WIDTH), between(0, HEIGHT), between(SMALLEST, LARGEST), between(SMALLEST, LARGEST), (value) => [2, 4].includes(value), (value) => [0, 1, 2].includes(value)];
const isShape = (value) => (Array.isArray(value) && value.length === 7 && value.every((part, n) => LEGAL[n](part)) ? ""
  : `[class 2 or 3, x to ${WIDTH}, y to ${HEIGHT}, rx and ry from ${SMALLEST} to ${LARGEST}, power 2 or 4, state 0 to 2]`);

export default widget({
  slug: "panoptic", build, draw,
  colours: ["text", "page", "second", "control", "sky", "road", "car", "person"],
  look: (colours) => ({ ...colours, pageRgb: hexToRgb(colours.page), classes: CLASSES.map((name) => hexToRgb(colours[name])) }),
  traits: { shapes: listOf(isShape, GUESS.shapes.length), horizon: whole(0, HEIGHT), selected: whole(0, GUESS.shapes.length - 1), truth: null },
});
