import { hatchPattern, hexToRgb } from "./kit/colours.js";
import { button, choice, heading, traitSlider, trials } from "./kit/controls.js";
import { element, setText } from "./kit/elements.js";
import { whole, widget } from "./kit/figure.js";
import { fixed, grouped, placeWords, plural, same } from "./kit/numbers.js";
import { paintable } from "./kit/painting.js";
import { edgePath, fitCanvas, strokeAll, strokePixels } from "./kit/pictures.js";
import { walkCells } from "./kit/pointer.js";
import { boundaryF1, boundaryPixels, classCounts, confusionMatrix, IGNORE, iou, nanMean } from "./kit/scores.js";

// Paint a prediction over a truth: the confusion matrix and every score that is read from it.
// Arithmetic first, as pure functions; what is drawn comes below.
//
// Label maps, matrices and scores are those of the kit's scores.js.

export { boundaryF1, boundaryPixels, classCounts, confusionMatrix };

export const classAccuracy = ({ right, truth }) => right / truth; // 0 / 0 is NaN: exactly what is wanted
export const dice = ({ right, truth, predicted }) => (2 * right) / (truth + predicted);

export function pixelAccuracy(counts) {
  const right = counts.reduce((sum, k) => sum + k.right, 0);
  return right / counts.reduce((sum, k) => sum + k.truth, 0);
}

export function frequencyWeightedIou(counts) {
  const all = counts.reduce((sum, k) => sum + k.truth, 0);
  if (all === 0) return NaN;
  return counts.reduce((sum, k) => sum + (k.truth ? (k.truth / all) * iou(k) : 0), 0);
}

// Everything that the figure shows, from two label maps.
export function scores(prediction, truth, { height, width, count, tolerance }) {
  const matrix = confusionMatrix(prediction, truth, count);
  const counts = classCounts(matrix, count);
  const boundary = boundaryF1(prediction, truth, { height, width, count, tolerance });
  const classes = counts.map((k, n) => ({ accuracy: classAccuracy(k), iou: iou(k), dice: dice(k), boundary: boundary[n].f1 }));
  return {
    matrix,
    counts,
    boundary,
    classes,
    overall: {
      pixelAccuracy: pixelAccuracy(counts),
      meanAccuracy: nanMean(classes.map((k) => k.accuracy)),
      frequencyWeightedIou: frequencyWeightedIou(counts),
      meanDice: nanMean(classes.map((k) => k.dice)),
      meanIou: nanMean(classes.map((k) => k.iou)),
      meanBoundary: nanMean(classes.map((k) => k.boundary)),
    },
  };
}

// What a prediction may be, given the truth.
export function shiftRight(labels, width, by) {
  return labels.map((_, n) => labels[n - Math.min(by, n % width)]);
}

export function swapClasses(labels, a, b) {
  return labels.map((k) => (k === a ? b : k === b ? a : k));
}

export function withoutClass(labels, gone) {
  return labels.map((k) => (k === gone ? 0 : k));
}

// One answer, that of the middle pixel, for each square of `block` pixels: what a network of this stride can say.
export function coarsen(labels, { height, width }, block) {
  const middle = (n, size) => Math.min(n - (n % block) + Math.floor(block / 2), size - 1);
  return labels.map((_, n) => labels[middle(Math.floor(n / width), height) * width + middle(n % width, width)]);
}

// Of each pixel: 0 not meant, 1 meant, 2 meant and right. `target` is { kind, truth, predicted, index }.
export function selection(prediction, truth, target) {
  const wanted = {
    cell: (p, t) => (p === target.predicted && t === target.truth ? 2 : 0),
    truth: (p, t) => (t === target.index ? (p === t ? 2 : 1) : 0),
    predicted: (p, t) => (p === target.index && t !== IGNORE ? (p === t ? 2 : 1) : 0),
    union: (p, t) => (t !== IGNORE && (p === target.index || t === target.index) ? (p === t ? 2 : 1) : 0),
    wrong: (p, t) => (t === IGNORE || p === t ? 0 : 2),
  }[target.kind];
  return truth.map((t, n) => wanted(prediction[n], t));
}

// ---- The figure --------------------------------------------------------------------------------------------------

const SIZES = [1, 3, 5, 9];
const MOST_UNDO = 100;
const OVERALL = [
  ["pixelAccuracy", "Pixel accuracy"],
  ["meanAccuracy", "Mean accuracy"],
  ["frequencyWeightedIou", "Frequency-weighted IoU"],
  ["meanDice", "Mean Dice"],
  ["meanIou", "Mean IoU"],
  ["meanBoundary", "Mean boundary F"],
];
const COLUMNS = [
  ["accuracy", "Accuracy", "truth"],
  ["iou", "IoU", "union"],
  ["dice", "Dice", "union"],
  ["boundary", "Boundary F", "boundary"],
];
const EXAMPLES = ["guess", "perfect", "background", "missed", "shifted", "blocks", "swapped"];
const ADVICE = "The thin line is the truth\u2019s outline. Point at a number to see its pixels.";
const NOTHING = "not counted";

const score = (value) => (Number.isNaN(value) ? NOTHING : fixed(value, 3));
const labelsOf = (rows) => [...rows.join("")].map((letter) => (letter === "-" ? IGNORE : Number(letter)));

function rowsOf(labels, width) {
  const letters = labels.map((k) => (k === IGNORE ? "-" : String(k))).join("");
  return Array.from({ length: labels.length / width }, (_, row) => letters.slice(row * width, (row + 1) * width));
}

function compute(figure) {
  const { prediction, truth, height, width, state } = figure;
  figure.result = scores(prediction, truth, { height, width, tolerance: state.tolerance, count: figure.names.length });
}

// The label maps as the model has them; the past is of no use where the pictures' size is new.
function adopt(figure) {
  const { truth, prediction } = figure.state;
  const sizes = [truth, prediction].map((rows) => [rows.length, rows[0].length]);
  if (!same(...sizes)) return; // the other map is still to come
  [figure.truth, figure.prediction] = [labelsOf(truth), labelsOf(prediction)];
  if (!same(sizes[0], [figure.height, figure.width])) {
    [figure.height, figure.width] = sizes[0];
    figure.start = { truth: figure.truth, prediction: figure.prediction };
    [figure.past, figure.future, figure.before] = [[], [], null];
  }
  compute(figure);
  figure.mark("labels");
}

// After a trait has changed, but not by the figure's own saving: other classes make another figure; an example is laid
// over the truth as it stands.
function settled(figure, names) {
  if (figure.saving) return;
  if (names.includes("classes")) return rebuild(figure);
  if (names.includes("truth") || names.includes("prediction")) {
    adopt(figure);
    figure.keepOut(() => figure.set({ example: "" })); // they came from elsewhere
  }
  if (names.includes("example") && figure.state.example) {
    figure.act({ prediction: exampleOf(figure, figure.state.example) }, figure.state.example);
  }
  if (names.includes("tolerance")) compute(figure);
}

// Changes come as actions: a stroke, a button, an example. Each can be undone; the scores before the last one stay marked.
function addHistory(figure) {
  const moment = () => ({ truth: figure.truth, prediction: figure.prediction, example: figure.state.example });
  figure.keepOut = (change) => {
    figure.saving = true;
    change();
    figure.saving = false;
  };
  const save = (example) => {
    const rows = { truth: rowsOf(figure.truth, figure.width), prediction: rowsOf(figure.prediction, figure.width) };
    figure.keepOut(() => figure.set({ example, ...rows })); // another view of the same model makes the same example
    figure.acted = true;
    compute(figure);
    figure.mark("labels");
  };
  figure.begin = () => {
    figure.past.push(moment());
    if (figure.past.length > MOST_UNDO) figure.past.shift();
    figure.before = figure.result.overall;
  };
  figure.commit = (example = "") => {
    const last = figure.past.at(-1);
    const idle = last && last.truth === figure.truth && last.prediction === figure.prediction;
    if (idle) figure.past.pop();
    else figure.future = [];
    save(idle && !example ? figure.state.example : example);
  };
  figure.act = (labels, example = "") => {
    figure.begin();
    Object.assign(figure, labels);
    figure.commit(example);
  };
  const travel = (from, to) => () => {
    if (!from().length) return;
    to().push(moment());
    figure.before = figure.result.overall;
    const { truth, prediction, example } = from().pop();
    Object.assign(figure, { truth, prediction });
    save(example);
  };
  figure.undo = travel(() => figure.past, () => figure.future);
  figure.redo = travel(() => figure.future, () => figure.past);
}

// What is lit: under the pointer or the focus, else what was clicked.
function addPointing(figure) {
  figure.hover = (target) => {
    if (same(target, figure.hovered)) return;
    figure.hovered = target;
    figure.mark("target");
  };
  figure.pin = (target) => {
    figure.pinned = same(target, figure.pinned) ? null : target;
    figure.mark("target");
  };
  figure.target = () => figure.hovered ?? figure.pinned;
  figure.moveCursor = (cursor) => {
    if (same(cursor, figure.cursor)) return;
    figure.cursor = cursor;
    figure.mark("cursor");
  };
  figure.complain = (text) => {
    figure.complaint = text;
    figure.mark("cursor");
  };
}

// ---- Tools

function buildTools(figure) {
  const options = [...figure.names.map((name, k) => [k, name]), [IGNORE, "ignored"]];
  const brush = choice("Brush", options, figure.brush, (k) => figure.choose(k));
  brush.node.querySelectorAll("label").forEach((label, n) => {
    label.querySelector("span").prepend(element("i", { class: "swatch", "data-class": options[n][0] === IGNORE ? "ignored" : n }));
  });
  const size = choice("Size", SIZES.map((n) => [n, String(n)]), figure.size, (n) => { figure.size = n; figure.mark("cursor"); });
  const undo = button("Undo", () => figure.undo());
  const redo = button("Redo", () => figure.redo());
  const reset = button("Reset", () => { figure.pinned = null; figure.act(figure.start, "guess"); });
  const node = element("div", { class: "tools" }, brush.node, size.node, element("div", { class: "segcore-bar" }, undo, redo, reset));
  figure.choose = (k) => {
    figure.complaint = "";
    figure.brush = k;
    brush.set(k);
    figure.mark("cursor");
  };
  function update() {
    undo.disabled = !figure.past.length;
    redo.disabled = !figure.future.length;
    reset.disabled = ["truth", "prediction"].every((which) => same(figure[which], figure.start[which]));
  }
  return { node, update };
}

// The classes beside the background by their size in the truth as it was at the start: the smallest, the largest, the next.
function leading(figure) {
  const counts = classCounts(confusionMatrix(figure.start.truth, figure.start.truth, figure.names.length), figure.names.length);
  const found = counts.map((k, n) => [n, k.truth]).filter(([n, size]) => n > 0 && size > 0).sort((a, b) => a[1] - b[1]).map(([n]) => n);
  return { small: found[0], large: found.at(-1), next: found.at(-2) };
}

// A prediction made from the truth as it stands; where that is ignored, from the first one.
function exampleOf(figure, name) {
  const drawn = figure.truth.map((k, n) => (k === IGNORE ? Math.min(figure.start.truth[n], figure.names.length - 1) : k));
  const { small, large, next } = leading(figure);
  return {
    guess: () => figure.start.prediction,
    perfect: () => drawn,
    background: () => drawn.map(() => 0),
    missed: () => withoutClass(drawn, small),
    shifted: () => shiftRight(drawn, figure.width, 3),
    blocks: () => coarsen(drawn, figure, 8),
    swapped: () => swapClasses(drawn, large, next),
  }[name]();
}

// The same as things to try, with the numbers that they come to.
function trialsOf(figure) {
  const { small, large, next } = leading(figure);
  const name = (k) => figure.names[k];
  const now = (which) => fixed(figure.result.overall[which], 2);
  const both = () => `pixel accuracy ${now("pixelAccuracy")}, mean IoU ${now("meanIou")}`;
  const list = [
    ["background", `All ${name(0)}`, () =>
      `An answer that never looked: ${both()}. Most pixels are ${name(0)}, and accuracy asks for nothing else.`],
    small === undefined ? null : ["missed", `${name(small)} missed`, () =>
      `One class is gone: ${both()}. Few pixels, so accuracy hardly sees it; one class of ${figure.names.length}, so mean IoU does.`],
    ["shifted", "Shifted by 3", () =>
      `Everything is there, 3 pixels aside: mean IoU ${now("meanIou")}, boundary F ${now("meanBoundary")}. Raise the tolerance below to 3 pixels: what becomes of the outlines?`],
    ["blocks", "8 \u00d7 8 blocks", () =>
      `Coarse outlines: mean IoU ${now("meanIou")}, boundary F ${now("meanBoundary")}. Is a tolerance of 3 pixels enough here as well?`],
    next === undefined ? null : ["swapped", `${name(large)} \u2194 ${name(next)}`, () =>
      `Right outlines, wrong names: two classes have IoU 0, and mean IoU is ${now("meanIou")}.`],
    ["perfect", "Perfect", () => `Every score is 1. Now paint a single pixel wrong, and see which moves most.`],
  ];
  return list.filter(Boolean).map(([example, label, note]) => ({ label, values: { example }, note }));
}

function buildTruths(figure) {
  const { small } = leading(figure);
  const list = [["As drawn", (labels) => labels],
    small === undefined ? null : [`No ${figure.names[small]}`, (labels) => withoutClass(labels, small)],
    ["All ignored", (labels) => labels.map(() => IGNORE)]];
  return element("div", { class: "segcore-bar", role: "group", "aria-label": "Truth: examples" },
    ...list.filter(Boolean).map(([text, make]) => button(text, () => figure.act({ truth: make(figure.start.truth) }))),
    element("span", { class: "prose", text: "A class that is in neither picture is not counted; one that is only predicted has IoU 0." }));
}

// ---- The two pictures

function buildPicture(figure, which) {
  const title = which === "truth" ? "Truth" : "Prediction";
  const canvas = element("canvas", { tabindex: "0", role: "application", "aria-roledescription": "picture to paint" });
  const errors = which === "truth" ? null : button("Errors", () => figure.pin({ kind: "wrong" }), { class: "segcore-button small" });
  const node = element("section", { class: `picture ${which}` }, element("header", {}, heading(title), errors), canvas);
  const view = { node, canvas, which, unit: 1, small: element("canvas") };
  addPainting(figure, view);
  view.update = () => {
    canvas.setAttribute("aria-label",
      `${title}, ${figure.width} pixels wide and ${figure.height} high. Arrow keys move the brush, space paints, digits choose the class.`);
    errors?.setAttribute("aria-pressed", String(figure.pinned?.kind === "wrong"));
  };
  return view;
}

// Lay the brush from one pixel to another. Nothing that has a name is changed in place: the past keeps the old maps.
function paint(figure, which, from, to) {
  if (which === "prediction" && figure.brush === IGNORE) {
    figure.complain("Only the truth can be ignored: paint this on the truth.");
    return;
  }
  const old = figure[which];
  const touched = strokePixels(from, to, figure.size, figure).filter((n) => old[n] !== figure.brush);
  if (!touched.length) return;
  const labels = old.slice();
  touched.forEach((n) => (labels[n] = figure.brush));
  figure[which] = labels;
  figure.mark("labels");
}

function addPainting(figure, view) {
  const { canvas, which } = view;
  paintable(canvas, {
    size: () => figure,
    unit: () => view.unit,
    cursor: () => (figure.cursor?.which === which ? figure.cursor.at : null),
    begin(at) {
      figure.pinned = null;
      figure.begin();
      paint(figure, which, at, at);
    },
    line: (from, to) => paint(figure, which, from, to),
    end: () => figure.commit(),
    moved: (at, keys) => figure.moveCursor(at && { which, at, ...(keys && { keys }) }),
    key(event) {
      const digit = Number(event.key) - 1;
      if (!(digit >= 0 && digit <= figure.names.length)) return false;
      figure.choose(digit === figure.names.length ? IGNORE : digit);
      return true;
    },
  });
}

// ---- Drawing the pictures

const outlineSet = (pen, inside, { width, truth }, unit) =>
  edgePath(pen, Uint8Array.from(truth, (_, n) => (inside(n) ? 1 : 0)), width, unit, (value) => value === 1);

// The colour of each pixel, mixed with the page's where it is not meant: veil 0 is the class's own colour.
function fillPixels(view, figure, look, veil) {
  const { small } = view;
  const { height, width } = figure;
  if (small.width !== width || small.height !== height) [small.width, small.height] = [width, height];
  const image = new ImageData(width, height);
  figure[view.which].forEach((k, n) => {
    const colour = k === IGNORE ? look.pageRgb : look.classes[k];
    const amount = veil(n);
    for (let c = 0; c < 3; c++) image.data[4 * n + c] = colour[c] + (look.pageRgb[c] - colour[c]) * amount;
    image.data[4 * n + 3] = 255;
  });
  small.getContext("2d").putImageData(image, 0, 0);
}

function drawPicture(view, figure, look) {
  const { canvas, which } = view;
  const { height, width, truth } = figure;
  const ratio = Math.min(3, window.devicePixelRatio || 1);
  const room = Math.min(view.node.clientWidth, 7 * width, (230 * width) / height);
  const whole = Math.max(1, Math.floor((room * ratio) / width)) / ratio;
  view.unit = whole * width > 0.92 * room ? whole : room / width; // sharp where that costs little room
  fitCanvas(canvas, width * view.unit, height * view.unit);
  view.node.style.setProperty("--picture", `${width * view.unit}px`);
  const pen = canvas.getContext("2d");
  const target = figure.target();
  const lit = target ? litPixels(figure, target, which) : null;
  fillPixels(view, figure, look, lit ? (n) => [0.86, 0.5, 0][lit[n]] : () => 0);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(view.small, 0, 0, width * view.unit, height * view.unit);
  drawIgnored(pen, figure, look, view);
  if (which === "prediction") {
    edgePath(pen, truth, width, view.unit);
    pen.globalAlpha = lit ? 0.35 : 0.75;
    strokeAll(pen, [look.text, 1]);
    pen.globalAlpha = 1;
  }
  if (lit && target.kind === "boundary") drawBoundary(pen, figure, look, view, target);
  else if (lit) {
    outlineSet(pen, (n) => lit[n] > 0, figure, view.unit);
    strokeAll(pen, [look.page, 3.5], [look.text, 1.5]);
  }
  drawCursor(pen, figure, look, view);
}

function litPixels(figure, target, which) {
  if (target.kind !== "boundary") return selection(figure.prediction, figure.truth, target);
  return figure[which].map((k) => (k === target.index ? 1 : 0));
}

// Ignored pixels are hatched; in the prediction too, where they do not count.
function drawIgnored(pen, figure, look, view) {
  pen.beginPath();
  figure.truth.forEach((k, n) => {
    if (k !== IGNORE) return;
    pen.rect((n % figure.width) * view.unit, Math.floor(n / figure.width) * view.unit, view.unit, view.unit);
  });
  pen.fillStyle = look.hatch;
  pen.fill();
}

function drawBoundary(pen, figure, look, view, { index }) {
  const found = figure.result.boundary[index];
  const [all, good] = view.which === "truth" ? [found.truth, found.recalled] : [found.predicted, found.precise];
  const near = new Set(good);
  for (const n of all) {
    pen.fillStyle = near.has(n) ? look.accent : look.second;
    pen.fillRect((n % figure.width) * view.unit, Math.floor(n / figure.width) * view.unit, view.unit, view.unit);
  }
}

// The brush where it is, and the same pixel in the other picture.
function drawCursor(pen, figure, look, view) {
  if (!figure.cursor) return;
  const { which, at } = figure.cursor;
  const touched = new Set(strokePixels(at, at, which === view.which ? figure.size : 1, figure));
  outlineSet(pen, (n) => touched.has(n), figure, view.unit);
  strokeAll(pen, [look.page, 3.5], [look.text, 1.5]);
}

// ---- The numbers

function buildOverall(figure) {
  const rows = OVERALL.map(([key, label]) => {
    const [fill, tick, value] = [["div", "fill"], ["div", "tick"], ["span", "value"]].map(([tag, name]) => element(tag, { class: name }));
    const node = element("div", { class: `score ${key}` }, element("span", { class: "name", text: label }),
      element("div", { class: "track", "aria-hidden": "true" }, fill, tick), value);
    return { key, fill, tick, value, node };
  });
  const mark = element("p", { class: "prose", text: "The small mark is the score before your last step." });
  const node = element("section", { class: "overall" }, heading("Scores of the whole"),
    element("div", { class: "scores" }, ...rows.map((row) => row.node)), mark);
  function update() {
    mark.style.visibility = figure.before ? "visible" : "hidden";
    for (const { key, fill, tick, value, node: row } of rows) {
      const now = figure.result.overall[key];
      const before = figure.before?.[key] ?? NaN;
      fill.style.transform = `scaleX(${Number.isNaN(now) ? 0 : now})`;
      tick.style.left = `${100 * before}%`;
      tick.hidden = Number.isNaN(before);
      row.classList.toggle("nothing", Number.isNaN(now));
      setText(value, score(now));
    }
  }
  return { node, update };
}

// A row for each class; its cells light up pixels: one tab stop a table, arrow keys within, a click keeps the light on.
function lightTable(figure, name, caption, heads, cells) {
  const nodes = cells.map((row) => row.map(({ node }) => node));
  const lines = figure.names.map((each, k) => element("tr", {}, element("th", { scope: "row" }, swatch(k), each),
    ...nodes[k].map((node) => element("td", {}, node))));
  const table = element("table", { class: name }, element("caption", { text: caption }),
    element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...lines));
  cells.flat().forEach(({ node, target }) => {
    node.addEventListener("pointerenter", (event) => { if (event.pointerType !== "touch") figure.hover(target); });
    node.addEventListener("pointerleave", () => figure.hover(null));
    node.addEventListener("click", () => figure.pin(target));
  });
  walkCells(table, () => nodes, {
    enter: (row, column, byKeys) => byKeys && figure.hover(cells[row][column].target), leave: () => figure.hover(null),
  }).stopAt(nodes[0][0]);
  return table;
}

function markCells(figure, cells, isHere = () => false) {
  cells.flat().forEach((cell) => {
    cell.node.classList.toggle("lit", isHere(cell) || same(figure.target(), cell.target));
    cell.node.setAttribute("aria-pressed", String(same(figure.pinned, cell.target)));
  });
}

const swatch = (k) => element("i", { class: "swatch", "data-class": k });

function buildMatrix(figure) {
  const { names } = figure;
  const cells = names.map((_, truth) => names.map((__, predicted) => {
    const node = element("button", { type: "button", class: `cell ${truth === predicted ? "right" : "wrong"}` });
    return { node, truth, predicted, target: { kind: "cell", truth, predicted } };
  }));
  const heads = [element("td", { class: "corner" }, "truth \u2193", element("br"), "predicted \u2192"),
    ...names.map((name, k) => element("th", { scope: "col" }, swatch(k), name.replace("background", "back\u00adground")))];
  const table = lightTable(figure, "matrix", "Confusion matrix, in pixels", heads, cells);
  const outside = element("p", { class: "prose outside" });
  function update() {
    const { matrix, counts } = figure.result;
    cells.flat().forEach(({ node, truth, predicted }) => {
      const pixels = matrix[truth * names.length + predicted];
      setText(node, grouped(pixels));
      node.style.setProperty("--share", counts[truth].truth ? Math.sqrt(pixels / counts[truth].truth) : 0);
      node.setAttribute("aria-label", `truth ${names[truth]}, predicted ${names[predicted]}: ${plural(pixels, "pixel")}`);
    });
    const ignored = figure.truth.filter((k) => k === IGNORE).length;
    setText(outside, ignored ? `${plural(ignored, "pixel")} ignored: in no cell.` : "");
  }
  // The cell of the pixel under the brush, and what is pinned.
  const point = (pixel) => markCells(figure, cells, ({ truth, predicted }) =>
    pixel !== null && figure.truth[pixel] === truth && figure.prediction[pixel] === predicted);
  return { node: element("section", { class: "panel" }, table, outside), update, point };
}

function buildClasses(figure) {
  const { names } = figure;
  const cells = names.map((_, index) => COLUMNS.map(([key, , kind]) =>
    ({ node: element("button", { type: "button", class: `cell ${key}` }), key, index, target: { kind, index } })));
  const heads = ["Class", ...COLUMNS.map(([, label]) => label)].map((text) => element("th", { scope: "col", text }));
  const table = lightTable(figure, "classes", "Scores of each class", heads, cells);
  const tolerance = traitSlider(figure, "tolerance", "Tolerance of the boundary F-score", { min: 0, max: 6 }, (value) =>
    plural(value, "pixel"));
  function update() {
    cells.flat().forEach(({ node, key, index }) => {
      const value = figure.result.classes[index][key];
      setText(node, score(value));
      node.classList.toggle("nothing", Number.isNaN(value));
      node.style.setProperty("--share", Number.isNaN(value) ? 0 : value);
      node.setAttribute("aria-label", `${names[index]}, ${COLUMNS.find(([name]) => name === key)[1]}: ${score(value)}`);
    });
  }
  return { node: element("section", { class: "panel" }, table, tolerance.node), update, point: () => markCells(figure, cells) };
}

// ---- What is lit, in words

function describe(figure) {
  const { names, cursor, result } = figure;
  if (figure.complaint && figure.brush === IGNORE && cursor?.which !== "truth") return figure.complaint;
  const target = figure.hovered ?? (cursor ? null : figure.pinned);
  if (target) return describeTarget(target, result, names, figure.state.tolerance);
  if (!cursor) return ADVICE;
  const [x, y] = cursor.at;
  const n = y * figure.width + x;
  const [truth, predicted] = [figure.truth[n], figure.prediction[n]];
  const words = placeWords(y, x);
  const place = `${words[0].toUpperCase()}${words.slice(1)}: `;
  if (truth === IGNORE) return `${place}ignored. Predicted ${names[predicted]}, which is not looked at.`;
  return `${place}truth ${names[truth]}, predicted ${names[predicted]}.`;
}

function describeTarget(target, { matrix, counts, boundary, classes }, names, tolerance) {
  const { kind, index } = target;
  if (kind === "wrong") {
    const all = counts.reduce((sum, k) => sum + k.truth, 0);
    const wrong = all - counts.reduce((sum, k) => sum + k.right, 0);
    return `Wrong: ${grouped(wrong)} of ${plural(all, "pixel")} that count.`;
  }
  if (kind === "cell") {
    const pixels = matrix[target.truth * names.length + target.predicted];
    return `Truth ${names[target.truth]}, predicted ${names[target.predicted]}: ${plural(pixels, "pixel")}.`;
  }
  const { right, truth, predicted } = counts[index];
  const name = names[index];
  if (kind === "truth") {
    return truth ? `Of ${plural(truth, "pixel")} of ${name}, ${grouped(right)} (full colour) are called ${name}.`
      : `The truth has no ${name}: 0 of 0 is not counted.`;
  }
  if (kind === "union") {
    const either = truth + predicted - right;
    if (!either) return `No ${name} in either picture: 0 of 0 is not counted, and the mean leaves it out.`;
    return `${name}: ${right} in both (full colour), ${either} in either. IoU ${right}/${either}, Dice ${2 * right}/${truth + predicted}.`;
  }
  const found = boundary[index];
  if (Number.isNaN(classes[index].boundary)) return `No outline of ${name} in either picture.`;
  return `Outline of ${name}, within ${tolerance}: ${found.precise.length} of ${found.predicted.length} predicted, ${found.recalled.length} of ${found.truth.length} true pixels meet the other.`;
}

// ---- All together

function lookOf(colours) {
  const classes = Array.from({ length: 6 }, (_, k) => hexToRgb(colours[`class-${k}`]));
  const hatch = hatchPattern(document.createElement("canvas").getContext("2d"), colours.control, 1, 5, 1.2);
  return { ...colours, classes, pageRgb: hexToRgb(colours.page), hatch };
}

// What a reader who does not see the picture wants to hear: where the brush is, and the scores after each action.
function speak(figure, text) {
  const { pixelAccuracy: accuracy, meanIou } = figure.result.overall;
  const news = figure.acted ? `Pixel accuracy ${score(accuracy)}, mean IoU ${score(meanIou)}.` : "";
  figure.acted = false;
  if (text || news) figure.say([text, news].filter(Boolean).join(" "));
}

function build(figure) {
  Object.assign(figure, {
    names: figure.state.classes, brush: 1, size: 5, past: [], future: [], before: null, height: 0, width: 0,
    acted: false, saving: false, hovered: null, pinned: null, cursor: null, complaint: "",
  });
  addHistory(figure);
  addPointing(figure);
  adopt(figure);
  if (!["", "guess"].includes(figure.state.example)) figure.prediction = exampleOf(figure, figure.state.example);
  compute(figure);
  const parts = {
    tools: buildTools(figure), pictures: ["truth", "prediction"].map((which) => buildPicture(figure, which)), overall: buildOverall(figure),
    matrix: buildMatrix(figure), classes: buildClasses(figure), words: element("p", { class: "words" }),
  };
  const rest = "Paint on the prediction, or on the truth, and watch which scores care. Or start from one of these answers.";
  figure.first(
    element("p", { class: "segcore-lead", text: "Paint a prediction over a truth, and every score follows." }),
    trials(figure, trialsOf(figure), rest).node, parts.tools.node,
    element("div", { class: "pictures" }, ...parts.pictures.map((view) => view.node), parts.overall.node), parts.words);
  figure.more("Confusion matrix, and the scores of each class",
    [element("div", { class: "tables" }, parts.matrix.node, parts.classes.node)], { open: true });
  figure.more("Another truth: a class that is nowhere, pixels that do not count", [buildTruths(figure)]);
  if (!figure.listens) {
    figure.listens = true;
    figure.root.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && figure.pinned) figure.pin(figure.pinned);
      if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
      (event.shiftKey ? figure.redo : figure.undo)();
      event.preventDefault();
    });
  }
  return parts;
}

// Other classes make another figure.
function rebuild(figure) {
  figure.firstForm.replaceChildren();
  figure.rest.replaceChildren();
  figure.controls = [];
  figure.parts = build(figure);
  figure.mark("all");
}

function draw(figure, changed) {
  const { tools, pictures, overall, matrix, classes, words } = figure.parts;
  if (changed("labels")) compute(figure);
  if (changed("labels", "tolerance")) [tools, overall, matrix, classes, ...pictures].forEach((part) => part.update());
  if (changed("target")) pictures.forEach((view) => view.update());
  pictures.forEach((view) => drawPicture(view, figure, figure.look));
  const { cursor } = figure;
  matrix.point(cursor ? cursor.at[1] * figure.width + cursor.at[0] : null);
  classes.point();
  const text = describe(figure);
  setText(words, text);
  speak(figure, cursor?.keys || figure.hovered ? text : "");
}

const exampleCheck = (value) => (EXAMPLES.includes(value) ? "" : `one of ${EXAMPLES.join(", ")}`);

export default widget({
  slug: "metrics",
  traits: { truth: null, prediction: null, classes: null, tolerance: whole(0, 6), example: exampleCheck },
  colours: ["page", "text", "control", "accent", "second", ...Array.from({ length: 6 }, (_, k) => `class-${k}`)],
  look: lookOf,
  settled,
  build,
  draw,
});
