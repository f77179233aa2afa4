import { hatchPattern, themeColours } from "./kit/colours.js";
import { choice } from "./kit/controls.js";
import { announcer, element, setText, stage } from "./kit/elements.js";
import { frameLoop, onResize, onTheme } from "./kit/figure.js";
import { fixed } from "./kit/numbers.js";
import { fitCanvas } from "./kit/pictures.js";

// Paint a prediction over a truth: the confusion matrix and every score that is read from it.
// Arithmetic first, as pure functions; what is drawn comes below.
//
// A label map is a list of classes, row by row; 255 in the truth is ignored. A matrix is a list of count * count numbers,
// its rows are truth. A score of nothing is NaN and is left out of means.

export const IGNORE = 255;

export function confusionMatrix(prediction, truth, count) {
  const matrix = new Array(count * count).fill(0);
  for (let n = 0; n < truth.length; n++) {
    if (truth[n] !== IGNORE) matrix[truth[n] * count + prediction[n]] += 1;
  }
  return matrix;
}

// Of each class: the pixels right, those of the truth and those predicted.
export function classCounts(matrix, count) {
  return Array.from({ length: count }, (_, k) => {
    let [truth, predicted] = [0, 0];
    for (let other = 0; other < count; other++) {
      truth += matrix[k * count + other];
      predicted += matrix[other * count + k];
    }
    return { right: matrix[k * count + k], truth, predicted };
  });
}

export const classAccuracy = ({ right, truth }) => right / truth; // 0 / 0 is NaN: exactly what is wanted
export const iou = ({ right, truth, predicted }) => right / (truth + predicted - right);
export const dice = ({ right, truth, predicted }) => (2 * right) / (truth + predicted);

// The mean of what can be counted.
export function nanMean(values) {
  const counted = values.filter((value) => !Number.isNaN(value));
  return counted.reduce((sum, value) => sum + value, 0) / counted.length;
}

export function pixelAccuracy(counts) {
  const right = counts.reduce((sum, k) => sum + k.right, 0);
  return right / counts.reduce((sum, k) => sum + k.truth, 0);
}

export function frequencyWeightedIou(counts) {
  const all = counts.reduce((sum, k) => sum + k.truth, 0);
  if (all === 0) return NaN;
  return counts.reduce((sum, k) => sum + (k.truth ? (k.truth / all) * iou(k) : 0), 0);
}

// Pixels with a counted neighbour of another class, up, down, left or right. The border of the image makes none.
export function boundaryPixels(labels, truth, { height, width }) {
  const edge = new Array(labels.length).fill(false);
  const compare = (a, b) => {
    if (labels[a] === labels[b] || truth[a] === IGNORE || truth[b] === IGNORE) return;
    edge[a] = edge[b] = true;
  };
  for (let n = 0; n < labels.length; n++) {
    if (n % width < width - 1) compare(n, n + 1);
    if (n < width * (height - 1)) compare(n, n + width);
  }
  return edge;
}

// Of each class: its boundary pixels in both maps, those that have the other's within the tolerance, and what follows.
export function boundaryF1(prediction, truth, { height, width, count, tolerance }) {
  const offsets = [];
  const reach = Math.floor(tolerance);
  for (let dy = -reach; dy <= reach; dy++) {
    for (let dx = -reach; dx <= reach; dx++) if (dx * dx + dy * dy <= tolerance * tolerance) offsets.push([dx, dy]);
  }
  offsets.sort(([a, b], [c, d]) => a * a + b * b - c * c - d * d); // most are found near by
  const edges = [prediction, truth].map((labels) => boundaryPixels(labels, truth, { height, width }));
  return Array.from({ length: count }, (_, k) => {
    const [found, wanted] = [prediction, truth].map((labels, which) => edges[which].map((edge, n) => edge && labels[n] === k));
    const near = (others) => (n) => offsets.some(([dx, dy]) => {
      const [x, y] = [(n % width) + dx, Math.floor(n / width) + dy];
      return x >= 0 && y >= 0 && x < width && y < height && others[y * width + x];
    });
    const indices = (mask) => mask.flatMap((edge, n) => (edge ? [n] : []));
    const [predicted, real] = [indices(found), indices(wanted)];
    const [precise, recalled] = [predicted.filter(near(wanted)), real.filter(near(found))];
    const [precision, recall] = [precise.length / predicted.length, recalled.length / real.length];
    const harmonic = precision + recall > 0 ? (2 * precision * recall) / (precision + recall) : 0;
    const f1 = predicted.length + real.length === 0 ? NaN : harmonic;
    return { f1, precision, recall, predicted, truth: real, precise, recalled };
  });
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
const ADVICE = "Paint on either picture. Point at a number to see its pixels.";
const NOTHING = "not counted";

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const score = (value) => (Number.isNaN(value) ? NOTHING : fixed(value, 3));
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

const labelsOf = (rows) => [...rows.join("")].map((letter) => (letter === "-" ? IGNORE : Number(letter)));

function rowsOf(labels, width) {
  const letters = labels.map((k) => (k === IGNORE ? "-" : String(k))).join("");
  return Array.from({ length: labels.length / width }, (_, row) => letters.slice(row * width, (row + 1) * width));
}

function hexToRgb(hex) {
  return [1, 3, 5].map((n) => parseInt(hex.slice(n, n + 2), 16));
}

// Everything that the parts of the figure share: the two label maps, their past, and what is pointed at.
function createFigure(model, root) {
  const figure = {
    model, root,
    names: model.get("classes"),
    brush: 1, size: 5,
    past: [], future: [], before: null,
    acted: false, hovered: null, pinned: null, cursor: null, complaint: "",
    dirty: new Set(["all"]),
    stops: [],
    announce: announcer(),
  };
  figure.mark = (...what) => {
    what.forEach((name) => figure.dirty.add(name));
    figure.frames?.request();
  };
  followModel(figure);
  addHistory(figure);
  addPointing(figure);
  return figure;
}

// The model's traits, read and written; what this figure writes itself does not come back to it.
function followModel(figure) {
  const { model } = figure;
  figure.adopt = () => {
    const rows = { truth: model.get("truth"), prediction: model.get("prediction") };
    const sizes = [rows.truth, rows.prediction].map((lines) => [lines.length, lines[0].length]);
    if (!same(...sizes)) return; // the other map is still to come
    figure.tolerance = model.get("tolerance");
    [figure.truth, figure.prediction] = [labelsOf(rows.truth), labelsOf(rows.prediction)];
    if (!same(sizes[0], [figure.height, figure.width])) {
      [figure.height, figure.width] = sizes[0];
      figure.start = { truth: figure.truth, prediction: figure.prediction };
      [figure.past, figure.future, figure.before] = [[], [], null];
    }
    figure.mark("all");
  };
  figure.save = (traits) => {
    figure.saving = true;
    for (const [name, value] of Object.entries(traits)) {
      if (!same(value, model.get(name))) model.set(name, value);
    }
    figure.saving = false;
    model.save_changes();
  };
  figure.adopt();
  for (const name of ["truth", "prediction", "tolerance"]) {
    const follow = () => { if (!figure.saving) figure.adopt(); };
    model.on(`change:${name}`, follow);
    figure.stops.push(() => model.off(`change:${name}`, follow));
  }
}

// Changes come as actions: a stroke or a button. Each can be undone; the scores before the last one stay marked.
function addHistory(figure) {
  const moment = () => ({ truth: figure.truth, prediction: figure.prediction });
  const put = (labels) => {
    Object.assign(figure, labels);
    figure.mark("labels");
  };
  figure.begin = () => {
    figure.past.push(moment());
    if (figure.past.length > MOST_UNDO) figure.past.shift();
    figure.before = figure.result.overall;
  };
  figure.commit = () => {
    const last = figure.past.at(-1);
    if (last && last.truth === figure.truth && last.prediction === figure.prediction) figure.past.pop();
    else figure.future = [];
    save();
    figure.mark("labels");
  };
  figure.act = (labels) => {
    figure.begin();
    put(labels);
    figure.commit();
  };
  const travel = (from, to) => () => {
    if (!from().length) return;
    to().push(moment());
    figure.before = figure.result.overall;
    put(from().pop());
    save();
  };
  figure.undo = travel(() => figure.past, () => figure.future);
  figure.redo = travel(() => figure.future, () => figure.past);
  function save() {
    figure.save({ truth: rowsOf(figure.truth, figure.width), prediction: rowsOf(figure.prediction, figure.width) });
    figure.acted = true;
  }
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

function button(text, onclick, attributes = {}) {
  return element("button", { type: "button", class: "segcore-button", text, onclick, ...attributes });
}

function buildTools(figure) {
  const options = [...figure.names.map((name, k) => [k, name]), [IGNORE, "ignored"]];
  const brush = choice("Brush", options, figure.brush, (k) => figure.choose(k));
  brush.node.querySelectorAll("label").forEach((label, n) => {
    label.querySelector("span").prepend(element("i", { class: "swatch", "data-class": options[n][0] === IGNORE ? "ignored" : n }));
  });
  const size = choice("Size", SIZES.map((n) => [n, String(n)]), figure.size, (n) => { figure.size = n; figure.mark("cursor"); });
  const undo = button("Undo", () => figure.undo());
  const redo = button("Redo", () => figure.redo());
  const reset = button("Reset", () => { figure.pinned = null; figure.act(figure.start); });
  const node = element("div", { class: "tools" }, brush.node, size.node, element("div", { class: "bar" }, undo, redo, reset));
  figure.choose = (k) => {
    figure.complaint = "";
    figure.brush = k;
    brush.set(k);
    figure.mark("cursor");
  };
  function update() {
    undo.disabled = !figure.past.length;
    redo.disabled = !figure.future.length;
  }
  return { node, update };
}

// What the two rows of buttons do. A prediction starts from the truth as it stands; where that is ignored, from the first one.
function presetsFor(figure, which) {
  const drawn = () => figure.truth.map((k, n) => (k === IGNORE ? Math.min(figure.start.truth[n], figure.names.length - 1) : k));
  const counted = classCounts(confusionMatrix(figure.start.truth, figure.start.truth, figure.names.length), figure.names.length)
    .map((k, n) => [n, k.truth]).filter(([n, size]) => n > 0 && size > 0).sort((a, b) => a[1] - b[1]).map(([n]) => n);
  const [small, large, next] = [counted[0], counted.at(-1), counted.at(-2)];
  const name = (k) => figure.names[k];
  const without = (text) => (small === undefined ? null : [text(name(small)), (labels) => withoutClass(labels, small)]);
  const list = which === "truth"
    ? [["As drawn", (labels) => labels], without((k) => `No ${k}`), ["All ignored", (labels) => labels.map(() => IGNORE)]]
    : [
        ["Perfect", (labels) => labels],
        [`All ${name(0)}`, (labels) => labels.map(() => 0)],
        ["Shifted by 3", (labels) => shiftRight(labels, figure.width, 3)],
        ["8 \u00d7 8 blocks", (labels) => coarsen(labels, figure, 8)],
        without((k) => `${k} missed`),
        next === undefined ? null : [`${name(large)} \u2194 ${name(next)}`, (labels) => swapClasses(labels, large, next)],
      ];
  const base = which === "truth" ? () => figure.start.truth : drawn;
  return list.filter(Boolean).map(([text, make]) => button(text, () => figure.act({ [which]: make(base()) })));
}

function buildPresets(figure) {
  const row = (title, which) => element("div", { class: "bar presets", role: "group", "aria-label": `${title}: examples` },
    element("span", { class: "segcore-label", text: title }), ...presetsFor(figure, which));
  return element("div", { class: "examples" }, row("Truth", "truth"), row("Prediction", "prediction"));
}

// ---- The two pictures

function buildPicture(figure, which) {
  const title = which === "truth" ? "Truth" : "Prediction";
  const canvas = element("canvas", { tabindex: "0", role: "application", "aria-roledescription": "picture to paint" });
  const heading = element("h3", { text: title });
  const errors = which === "truth" ? null : button("Errors", () => figure.pin({ kind: "wrong" }), { class: "segcore-button small" });
  const node = element("section", { class: `picture ${which}` },
    element("header", {}, heading, errors),
    canvas);
  const view = { node, canvas, which, unit: 1, small: element("canvas") };
  addPainting(figure, view);
  addKeys(figure, view);
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
  let pressed = null;
  let last = null;
  const pixel = (event) => {
    const frame = canvas.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top].map((n) => Math.floor(n / view.unit));
  };
  const inside = ([x, y]) => x >= 0 && y >= 0 && x < figure.width && y < figure.height;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || pressed !== null) return;
    pressed = event.pointerId;
    canvas.setPointerCapture(pressed);
    figure.pinned = null;
    figure.begin();
    last = pixel(event);
    paint(figure, which, last, last);
    figure.moveCursor({ which, at: last });
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = pixel(event);
    if (pressed === event.pointerId) {
      if (!same(now, last)) paint(figure, which, last, now);
      last = now;
    } else if (pressed !== null || event.pointerType === "touch") return;
    figure.moveCursor(inside(now) ? { which, at: now } : null);
  });
  for (const type of ["pointerup", "pointercancel", "lostpointercapture"]) {
    canvas.addEventListener(type, (event) => {
      if (event.pointerId !== pressed) return;
      pressed = null;
      figure.commit();
    });
  }
  canvas.addEventListener("pointerleave", () => { if (pressed === null) figure.moveCursor(null); });
}

function addKeys(figure, view) {
  const { canvas, which } = view;
  let down = false;
  const lift = () => {
    if (!down) return;
    down = false;
    figure.commit();
  };
  const at = () => (figure.cursor?.which === which ? figure.cursor.at : [figure.width >> 1, figure.height >> 1]);
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 5 : 1;
    const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    const digit = Number(event.key) - 1;
    if (move) {
      const from = at();
      const to = [clamp(from[0] + move[0], 0, figure.width - 1), clamp(from[1] + move[1], 0, figure.height - 1)];
      if (down) paint(figure, which, from, to);
      figure.moveCursor({ which, at: to, keys: true });
    } else if (event.key === " " || event.key === "Enter") {
      if (!down) {
        down = true;
        figure.begin();
        paint(figure, which, at(), at());
        figure.moveCursor({ which, at: at(), keys: true });
      }
    } else if (digit >= 0 && digit <= figure.names.length) figure.choose(digit === figure.names.length ? IGNORE : digit);
    else return;
    event.preventDefault();
  });
  canvas.addEventListener("keyup", (event) => { if (event.key === " " || event.key === "Enter") lift(); });
  canvas.addEventListener("blur", () => {
    lift();
    if (figure.cursor?.keys) figure.moveCursor(null);
  });
  canvas.addEventListener("focus", () => { if (canvas.matches(":focus-visible")) figure.moveCursor({ which, at: at(), keys: true }); });
}

// ---- Drawing the pictures

// The edges between pixels of a set and the rest, as one path; the border of the picture counts as rest.
function outlinePath(pen, inside, { height, width }, unit) {
  pen.beginPath();
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const n = y * width + x;
      if (!inside(n)) continue;
      const [left, top, right, bottom] = [x, y, x + 1, y + 1].map((v) => v * unit);
      const sides = [
        [x === 0 || !inside(n - 1), left, top, left, bottom],
        [x === width - 1 || !inside(n + 1), right, top, right, bottom],
        [y === 0 || !inside(n - width), left, top, right, top],
        [y === height - 1 || !inside(n + width), left, bottom, right, bottom],
      ];
      for (const [open, x1, y1, x2, y2] of sides) {
        if (!open) continue;
        pen.moveTo(x1, y1);
        pen.lineTo(x2, y2);
      }
    }
  }
}

function strokeTwice(pen, under, over, thickness) {
  pen.strokeStyle = under;
  pen.lineWidth = thickness + 2;
  pen.stroke();
  pen.strokeStyle = over;
  pen.lineWidth = thickness;
  pen.stroke();
}

// The lines between the classes of the truth.
function truthPath(pen, truth, { height, width }, unit) {
  pen.beginPath();
  for (let n = 0; n < truth.length; n++) {
    const [x, y] = [n % width, Math.floor(n / width)];
    const apart = (other) => truth[n] !== truth[other];
    if (x < width - 1 && apart(n + 1)) {
      pen.moveTo((x + 1) * unit, y * unit);
      pen.lineTo((x + 1) * unit, (y + 1) * unit);
    }
    if (y < height - 1 && apart(n + width)) {
      pen.moveTo(x * unit, (y + 1) * unit);
      pen.lineTo((x + 1) * unit, (y + 1) * unit);
    }
  }
}

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
  const room = Math.min(view.node.clientWidth, 7 * width);
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
    truthPath(pen, truth, figure, view.unit);
    pen.strokeStyle = look.text;
    pen.lineWidth = 1;
    pen.globalAlpha = lit ? 0.35 : 0.75;
    pen.stroke();
    pen.globalAlpha = 1;
  }
  if (lit && target.kind === "boundary") drawBoundary(pen, figure, look, view, target);
  else if (lit) {
    outlinePath(pen, (n) => lit[n] > 0, figure, view.unit);
    strokeTwice(pen, look.page, look.text, 1.5);
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
  outlinePath(pen, (n) => touched.has(n), figure, view.unit);
  strokeTwice(pen, look.page, look.text, 1.5);
}

// ---- The numbers

function buildOverall(figure) {
  const rows = OVERALL.map(([key, label]) => {
    const fill = element("div", { class: "fill" });
    const tick = element("div", { class: "tick" });
    const value = element("span", { class: "value" });
    const node = element("div", { class: `score ${key}` }, element("span", { class: "name", text: label }),
      element("div", { class: "track", "aria-hidden": "true" }, fill, tick), value);
    return { key, fill, tick, value, node };
  });
  const node = element("section", { class: "overall" }, element("h3", { text: "Scores of the whole picture" }),
    element("div", { class: "scores" }, ...rows.map((row) => row.node)),
    element("p", { class: "prose", text: "The small mark is the score before your last step." }));
  function update() {
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

// Cells that light up pixels: one tab stop a table, arrow keys within, a click keeps the light on.
function lightCells(figure, table, cells) {
  const flat = cells.flat();
  flat.forEach(({ node, target }, n) => {
    node.tabIndex = n ? -1 : 0;
    node.addEventListener("pointerenter", (event) => { if (event.pointerType !== "touch") figure.hover(target); });
    node.addEventListener("pointerleave", () => figure.hover(null));
    node.addEventListener("focus", () => {
      flat.forEach((other) => (other.node.tabIndex = other.node === node ? 0 : -1));
      if (node.matches(":focus-visible")) figure.hover(target);
    });
    node.addEventListener("blur", () => figure.hover(null));
    node.addEventListener("click", () => figure.pin(target));
  });
  table.addEventListener("keydown", (event) => {
    const row = cells.findIndex((line) => line.some(({ node }) => node === document.activeElement));
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (row < 0 || !move) return;
    const column = cells[row].findIndex(({ node }) => node === document.activeElement);
    const next = cells[clamp(row + move[0], 0, cells.length - 1)];
    next[clamp(column + move[1], 0, next.length - 1)].node.focus();
    event.preventDefault();
  });
}

const swatch = (k) => element("i", { class: "swatch", "data-class": k });

function buildMatrix(figure) {
  const { names } = figure;
  const cells = names.map((_, truth) => names.map((__, predicted) => {
    const node = element("button", { type: "button", class: `cell ${truth === predicted ? "right" : "wrong"}` });
    return { node, truth, predicted, target: { kind: "cell", truth, predicted } };
  }));
  const head = element("tr", {}, element("td", { class: "corner" }, "truth \u2193", element("br"), "predicted \u2192"),
    ...names.map((name, k) => element("th", { scope: "col" }, swatch(k), name)));
  const lines = names.map((name, k) => element("tr", {}, element("th", { scope: "row" }, swatch(k), name),
    ...cells[k].map(({ node }) => element("td", {}, node))));
  const table = element("table", { class: "matrix" }, element("caption", { text: "Confusion matrix, in pixels" }),
    element("thead", {}, head), element("tbody", {}, ...lines));
  const outside = element("p", { class: "prose outside" });
  lightCells(figure, table, cells);
  function update() {
    const { matrix, counts } = figure.result;
    cells.flat().forEach(({ node, truth, predicted }) => {
      const pixels = matrix[truth * names.length + predicted];
      setText(node, String(pixels));
      node.style.setProperty("--share", counts[truth].truth ? Math.sqrt(pixels / counts[truth].truth) : 0);
      node.setAttribute("aria-label", `truth ${names[truth]}, predicted ${names[predicted]}: ${plural(pixels, "pixel")}`);
    });
    const ignored = figure.truth.filter((k) => k === IGNORE).length;
    setText(outside, ignored ? `${plural(ignored, "pixel")} ignored: in no cell.` : "");
  }
  // The cell of the pixel under the brush, and what is pinned.
  function point(pixel) {
    cells.flat().forEach(({ node, truth, predicted, target }) => {
      const here = pixel !== null && figure.truth[pixel] === truth && figure.prediction[pixel] === predicted;
      node.classList.toggle("lit", here || same(figure.target(), target));
      node.setAttribute("aria-pressed", String(same(figure.pinned, target)));
    });
  }
  return { node: element("section", { class: "panel" }, table, outside), update, point };
}

function buildClasses(figure) {
  const { names } = figure;
  const cells = names.map((_, index) => COLUMNS.map(([key, , kind]) =>
    ({ node: element("button", { type: "button", class: `cell ${key}` }), key, index, target: { kind, index } })));
  const head = element("tr", {}, element("th", { scope: "col", text: "Class" }), ...COLUMNS.map(([, label]) => element("th", { scope: "col", text: label })));
  const lines = names.map((name, k) => element("tr", {}, element("th", { scope: "row" }, swatch(k), name),
    ...cells[k].map(({ node }) => element("td", {}, node))));
  const table = element("table", { class: "classes" }, element("caption", { text: "Scores of each class" }),
    element("thead", {}, head), element("tbody", {}, ...lines));
  const slider = element("input", { type: "range", min: 0, max: 6, step: 1, "aria-label": "Tolerance of the boundary F-score", oninput: () => {
    figure.tolerance = slider.valueAsNumber;
    figure.save({ tolerance: figure.tolerance });
    figure.mark("labels");
  } });
  const reading = element("span");
  lightCells(figure, table, cells);
  function update() {
    cells.flat().forEach(({ node, key, index }) => {
      const value = figure.result.classes[index][key];
      setText(node, score(value));
      node.classList.toggle("nothing", Number.isNaN(value));
      node.style.setProperty("--share", Number.isNaN(value) ? 0 : value);
      node.setAttribute("aria-label", `${names[index]}, ${COLUMNS.find(([name]) => name === key)[1]}: ${score(value)}`);
    });
    if (slider.valueAsNumber !== figure.tolerance) slider.value = String(figure.tolerance);
    setText(reading, `Tolerance: ${plural(figure.tolerance, "pixel")}`);
  }
  function point() {
    cells.flat().forEach(({ node, target }) => {
      node.classList.toggle("lit", same(figure.target(), target));
      node.setAttribute("aria-pressed", String(same(figure.pinned, target)));
    });
  }
  return { node: element("section", { class: "panel" }, table, element("label", { class: "tolerance" }, reading, slider)), update, point };
}

// ---- What is lit, in words

function describe(figure) {
  const { names, cursor, result } = figure;
  if (figure.complaint && figure.brush === IGNORE && cursor?.which !== "truth") return figure.complaint;
  const target = figure.hovered ?? (cursor ? null : figure.pinned);
  if (target) return describeTarget(target, result, names, figure.tolerance);
  if (!cursor) return ADVICE;
  const [x, y] = cursor.at;
  const n = y * figure.width + x;
  const [truth, predicted] = [figure.truth[n], figure.prediction[n]];
  const place = `Row ${y + 1}, column ${x + 1}: `;
  if (truth === IGNORE) return `${place}ignored. Predicted ${names[predicted]}, which is not looked at.`;
  return `${place}truth ${names[truth]}, predicted ${names[predicted]}.`;
}

function describeTarget(target, { matrix, counts, boundary, classes }, names, tolerance) {
  const { kind, index } = target;
  if (kind === "wrong") {
    const all = counts.reduce((sum, k) => sum + k.truth, 0);
    const wrong = all - counts.reduce((sum, k) => sum + k.right, 0);
    return `Wrong: ${wrong} of ${plural(all, "pixel")} that count.`;
  }
  if (kind === "cell") {
    const pixels = matrix[target.truth * names.length + target.predicted];
    return `Truth ${names[target.truth]}, predicted ${names[target.predicted]}: ${plural(pixels, "pixel")}.`;
  }
  const { right, truth, predicted } = counts[index];
  const name = names[index];
  if (kind === "truth") {
    return truth ? `Of ${plural(truth, "pixel")} of ${name}, ${right} (full colour) are called ${name}.` : `The truth has no ${name}: 0 of 0 is not counted.`;
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

const COLOURS = ["page", "text", "control", "accent", "second", ...Array.from({ length: 6 }, (_, k) => `class-${k}`)];

function readLook(root) {
  const look = themeColours(root, COLOURS);
  look.classes = Array.from({ length: 6 }, (_, k) => hexToRgb(look[`class-${k}`]));
  look.pageRgb = hexToRgb(look.page);
  look.hatch = hatchPattern(document.createElement("canvas").getContext("2d"), look.control, 1, 5, 1.2);
  return look;
}

function compute(figure) {
  const { prediction, truth, height, width, tolerance } = figure;
  figure.result = scores(prediction, truth, { height, width, tolerance, count: figure.names.length });
}

function assemble(figure, root) {
  const tools = buildTools(figure);
  const pictures = ["truth", "prediction"].map((which) => buildPicture(figure, which));
  const overall = buildOverall(figure);
  const matrix = buildMatrix(figure);
  const classes = buildClasses(figure);
  const words = element("p", { class: "words" });
  root.append(tools.node, element("div", { class: "pictures" }, ...pictures.map((view) => view.node)), buildPresets(figure), words,
    overall.node, element("div", { class: "tables" }, matrix.node, classes.node), figure.announce.node);
  return { tools, pictures, overall, matrix, classes, words };
}

function drawFigure(figure, parts) {
  const asked = new Set(figure.dirty);
  figure.dirty.clear();
  if (!figure.root.clientWidth) return;
  const { tools, pictures, overall, matrix, classes, words } = parts;
  if (asked.has("all")) parts.look = readLook(figure.root);
  if (asked.has("all") || asked.has("labels")) {
    compute(figure);
    [tools, overall, matrix, classes, ...pictures].forEach((part) => part.update());
  }
  if (asked.has("target")) pictures.forEach((view) => view.update());
  pictures.forEach((view) => drawPicture(view, figure, parts.look));
  const { cursor } = figure;
  matrix.point(cursor ? cursor.at[1] * figure.width + cursor.at[0] : null);
  classes.point();
  const text = describe(figure);
  setText(words, text);
  speak(figure, cursor?.keys || figure.hovered ? text : "");
}

// What a reader who does not see the picture wants to hear: where the brush is, and the scores after each action.
function speak(figure, text) {
  const { pixelAccuracy: accuracy, meanIou } = figure.result.overall;
  const news = figure.acted ? `Pixel accuracy ${score(accuracy)}, mean IoU ${score(meanIou)}.` : "";
  figure.acted = false;
  if (text || news) figure.announce.say([text, news].filter(Boolean).join(" "));
}

function build(model, el) {
  const root = stage(el, "metrics");
  const figure = createFigure(model, root);
  compute(figure);
  const parts = assemble(figure, root);
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && figure.pinned) figure.pin(figure.pinned);
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
    (event.shiftKey ? figure.redo : figure.undo)();
    event.preventDefault();
  });
  figure.frames = frameLoop(() => drawFigure(figure, parts));
  root.frames = figure.frames.times;
  figure.stops.push(() => figure.frames.stop(), () => figure.announce.stop());
  figure.stops.push(onTheme(() => figure.mark("all")), onResize(root, () => figure.mark("all")));
  drawFigure(figure, parts);
  return () => {
    figure.stops.forEach((stop) => stop());
    root.remove();
  };
}

// Other classes make another figure.
function render({ model, el }) {
  let stop = build(model, el);
  const again = () => {
    stop();
    stop = build(model, el);
  };
  model.on("change:classes", again);
  return () => {
    model.off("change:classes", again);
    stop();
  };
}

export default { render };
