import { marks, traitChoice, traitSlider, trials } from "./kit/controls.js";
import { minimumCut } from "./kit/cut.js";
import { element, setText } from "./kit/elements.js";
import { number, oneOf, whole, widget } from "./kit/figure.js";
import { fixed } from "./kit/numbers.js";
import { surface } from "./kit/photographs.js";
import { clearCanvas, drawDisc, paintPixels, strokeLine, unpackBytes } from "./kit/pictures.js";
import { player } from "./kit/player.js";

// A small picture with noisy labels: energies, iterated conditional modes, mean field on the grid and between all pixels.
// Arithmetic first, as pure functions; what is drawn comes below. Maps lie row after row; those of labels label after label.

// Costs of two labels from log odds: -log of the probabilities, label 0 first.
export function costsOf(odds) {
  const size = odds.length;
  const unary = new Float64Array(2 * size);
  for (let n = 0; n < size; n++) {
    unary[n] = Math.max(odds[n], 0) + Math.log1p(Math.exp(-Math.abs(odds[n])));
    unary[size + n] = unary[n] - odds[n];
  }
  return unary;
}

// What parts neighbours: weight times a Gaussian of the difference of colours, to the right and then below.
export function edgeWeights(image, { height, width }, weight, sigma) {
  const size = height * width;
  const weights = new Float64Array(2 * size);
  const between = (a, b) => {
    let square = 0;
    for (let k = 0; k < 3; k++) square += (image[3 * a + k] - image[3 * b + k]) ** 2;
    return weight * Math.exp(-square / (2 * sigma * sigma));
  };
  for (let n = 0; n < size; n++) {
    if ((n % width) + 1 < width) weights[n] = between(n, n + 1);
    if (n + width < size) weights[size + n] = between(n, n + width);
  }
  return weights;
}

// For each pixel, the sum over its neighbours of weight times what `value` holds there.
export function fromNeighbours(value, weights, { height, width }) {
  const size = height * width;
  const sums = new Float64Array(size);
  for (let n = 0; n < size; n++) {
    if ((n % width) + 1 < width) {
      sums[n] += weights[n] * value[n + 1];
      sums[n + 1] += weights[n] * value[n];
    }
    if (n + width < size) {
      sums[n] += weights[size + n] * value[n + width];
      sums[n + width] += weights[size + n] * value[n];
    }
  }
  return sums;
}

// The energy of a labelling.
export function energy(labels, unary, weights, { height, width }) {
  const size = height * width;
  let total = 0;
  for (let n = 0; n < size; n++) {
    total += unary[labels[n] * size + n];
    if ((n % width) + 1 < width && labels[n] !== labels[n + 1]) total += weights[n];
    if (n + width < size && labels[n] !== labels[n + width]) total += weights[size + n];
  }
  return total;
}

// One round of iterated conditional modes: one colour of a chessboard, then the other.
export function icmStep(labels, unary, weights, box) {
  const size = box.height * box.width;
  let now = labels;
  for (const colour of [0, 1]) {
    const ones = fromNeighbours(Float64Array.from(now), weights, box);
    const zeros = fromNeighbours(Float64Array.from(now, (label) => 1 - label), weights, box);
    now = now.map((label, n) => {
      if ((Math.floor(n / box.width) + (n % box.width)) % 2 !== colour) return label;
      const costs = [unary[n] + ones[n], unary[size + n] + zeros[n]];
      return costs[1 - label] < costs[label] ? 1 - label : label;
    });
  }
  return now;
}

// The probability of label 1 from the difference of what speaks for it and for label 0.
const logistic = (value) => 1 / (1 + Math.exp(-value));

// One step of mean field on the grid, all pixels at once or the colours of a chessboard in turns; `q` is the probability of label 1.
export function gridStep(q, unary, weights, box, turns) {
  const size = box.height * box.width;
  let now = q;
  for (const colour of turns ? [0, 1] : [null]) {
    const votes = fromNeighbours(now.map((p) => 2 * p - 1), weights, box);
    now = now.map((p, n) => (colour !== null && (Math.floor(n / box.width) + (n % box.width)) % 2 !== colour ? p
      : logistic(unary[n] - unary[size + n] + votes[n])));
  }
  return now;
}

// The free energy of independent pixels on the grid.
export function freeEnergy(q, unary, weights, { height, width }) {
  const size = height * width;
  const differ = (a, b) => q[a] * (1 - q[b]) + (1 - q[a]) * q[b];
  let total = 0;
  for (let n = 0; n < size; n++) {
    total += (1 - q[n]) * unary[n] + q[n] * unary[size + n] - entropy(q[n]);
    if ((n % width) + 1 < width) total += weights[n] * differ(n, n + 1);
    if (n + width < size) total += weights[size + n] * differ(n, n + width);
  }
  return total;
}

function entropy(p) {
  return -[p, 1 - p].reduce((sum, each) => sum + (each > 0 ? each * Math.log(each) : 0), 0);
}

// Both kernels between all pixels, each normalised by the roots of its sums, weighted and added: N times N numbers.
export function denseKernel(image, { height, width }, { spatial, spatialWeight, wide, sigma, wideWeight }) {
  const size = height * width;
  const both = new Float64Array(size * size);
  for (const [near, colour, weight] of [[spatial, Infinity, spatialWeight], [wide, sigma, wideWeight]]) {
    const kernel = new Float64Array(size * size);
    const sums = new Float64Array(size);
    for (let a = 0; a < size; a++) {
      for (let b = 0; b <= a; b++) {
        const dy = Math.floor(a / width) - Math.floor(b / width);
        const dx = (a % width) - (b % width);
        let square = 0;
        for (let k = 0; k < 3; k++) square += (image[3 * a + k] - image[3 * b + k]) ** 2;
        const value = Math.exp(-(dx * dx + dy * dy) / (2 * near * near) - square / (2 * colour * colour));
        kernel[a * size + b] = kernel[b * size + a] = value;
        sums[a] += value;
        if (b < a) sums[b] += value;
      }
    }
    for (let a = 0; a < size; a++) {
      for (let b = 0; b < size; b++) both[a * size + b] += (weight * kernel[a * size + b]) / Math.sqrt(sums[a] * sums[b]);
    }
  }
  return both;
}

function times(kernel, q) {
  return q.map((_, a) => {
    let sum = 0;
    for (let b = 0; b < q.length; b++) sum += kernel[a * q.length + b] * q[b];
    return sum;
  });
}

// One step of mean field between all pixels.
export function denseStep(q, unary, kernel) {
  const votes = times(kernel, q.map((p) => 2 * p - 1));
  return q.map((_, n) => logistic(unary[n] - unary[q.length + n] + votes[n]));
}

// Its free energy, up to a constant: where all agree, the pairs cost nothing.
export function denseFreeEnergy(q, unary, kernel) {
  const size = q.length;
  const [ones, zeros] = [times(kernel, q), times(kernel, q.map((p) => 1 - p))];
  return q.reduce((sum, p, n) => sum + (1 - p) * unary[n] + p * unary[size + n] - entropy(p) + (p * zeros[n] + (1 - p) * ones[n]) / 2, 0);
}

// The labels of least energy, by a cut.
export function exactLabels(unary, weights, { height, width }) {
  const size = height * width;
  const none = new Float64Array(size);
  const terminals = Float64Array.from({ length: size }, (_, n) => unary[n] - unary[size + n]);
  return minimumCut({ terminals, edges: [weights.subarray(0, size), weights.subarray(size), none, none], height, width }).side;
}

// All steps of a method: probabilities of label 1 after each, and what falls, or should.
export function course(method, { image, odds, box, weight, sigma, steps }) {
  const unary = costsOf(odds);
  const weights = edgeWeights(image, box, weight, sigma);
  const dense = method === "dense"
    && denseKernel(image, box, { spatial: 1.5, spatialWeight: weight / 2, wide: 8, sigma, wideWeight: 2 * weight });
  const start = Float64Array.from(odds, logistic);
  const maps = [method === "icm" ? start.map((p) => Number(p > 0.5)) : start];
  const next = { icm: (q) => icmStep(q, unary, weights, box), turns: (q) => gridStep(q, unary, weights, box, true),
    once: (q) => gridStep(q, unary, weights, box, false), dense: (q) => denseStep(q, unary, dense) }[method];
  while (maps.length <= steps) maps.push(next(maps.at(-1)));
  const cost = { icm: (q) => energy(q, unary, weights, box), dense: (q) => denseFreeEnergy(q, unary, dense) }[method]
    ?? ((q) => freeEnergy(q, unary, weights, box));
  const exact = exactLabels(unary, weights, box);
  return { maps, costs: maps.map(cost), exact, least: energy(exact, unary, weights, box), energies: maps.map((q) => energy(q.map((p) => Number(p > 0.5)), unary, weights, box)) };
}

// ---- The figure --------------------------------------------------------------------------------------------------

const BOX = { height: 24, width: 32 };
const STEPS = 12;
const METHODS = [["icm", "ICM", "one label at a time"], ["turns", "In turns", "mean field, one colour of a chessboard after the other"],
  ["once", "At once", "mean field, all pixels at once"], ["dense", "All pairs", "mean field, every pixel a neighbour of every pixel"]];
const MARKS = [["cost", "Energy now", "of the labels, or the free energy of the probabilities"], ["least", "Least energy", "of any labelling, by a cut; for pairs of neighbours alone"],
  ["wrong", "Wrong pixels", "of 768, by the likelier label"], ["cut", "Wrong at least energy", "of 768, in the labelling of least energy"]];
const stateOf = (method, step, more = {}) => ({ method, step, weight: 1.5, color_sigma: 100, ...more });
const TRIALS = [
  { label: "One at a time", values: [stateOf("icm", 0), stateOf("icm", 1), stateOf("icm", 12)],
    note: ({ step }) => (step < 12 ? "Each press goes on: each pixel takes the label that is cheapest beside its neighbours. The energy never rises." : "It has ended, above the least energy: each clump that is left has pixels that agree with each other.") },
  { label: "All at once: they swap", values: [stateOf("once", 0, { weight: 6, color_sigma: 250 }), stateOf("once", 12, { weight: 6, color_sigma: 250 }), stateOf("turns", 12, { weight: 6, color_sigma: 250 })],
    note: ({ method, step }) => (method === "turns" ? "In turns: no two neighbours change together, and the curve only falls." : step ? "All at once: in the chequered patch, neighbours swap labels at every step, and the free energy goes up now and then." : "A large weight. Press again, and look at the curve.") },
  { label: "All pairs", values: stateOf("dense", 5, { color_sigma: 40 }),
    note: "Pixels of one colour help each other across the whole disc. Look at the rim, and at the number of wrong pixels." },
  { label: "Without colours", values: stateOf("dense", 5, { color_sigma: 250 }),
    note: "The same, but all colours are nearly alike to it: opinions run over the rim, and the bar suffers." },
];

const pixels = (colour) => paintPixels(BOX.height, BOX.width, colour);

const grey = (p) => Array(3).fill(Math.round(235 - 215 * p));

function build(figure) {
  const { image, odds, truth } = figure.model.get("data");
  figure.image = unpackBytes(image);
  figure.odds = Float64Array.from(new Int8Array(unpackBytes(odds).buffer), (value) => value / 16);
  figure.truth = unpackBytes(truth);
  const views = Object.fromEntries(["image", "start", "now"].map((name) => [name, surface(name, { role: "img" }, 0.75)]));
  const play = player(figure, { label: "Steps", count: () => STEPS, get: () => figure.at ?? figure.state.step, rate: () => 2, rest: 0.25,
    seek: (position) => {
      figure.at = position;
      figure.set({ step: Math.round(position) });
    }, words: (position) => `step ${Math.round(position)} of ${STEPS}` });
  const controls = [traitChoice(figure, "method", "Method (the last three are mean field)", METHODS),
    traitSlider(figure, "weight", "Weight", { min: 0, max: 24, parts: 4 }, (value) => fixed(value, 2)),
    traitSlider(figure, "color_sigma", "Width in colours", { min: 5, max: 250, step: 5 }, (value) => fixed(value, 0))];
  const chart = element("canvas", { class: "crf-chart", role: "img" });
  const parts = { views, play, chart, marks: marks("Energy and errors", MARKS) };
  figure.first(
    element("p", { class: "segcore-lead", text: "Noisy labels of a small picture: step by step, neighbours make them agree." }),
    trials(figure, TRIALS, "Press play, or go step by step. The curve is what each step leaves to pay.").node,
    element("div", { class: "crf-pictures" }, views.image.node, views.start.node, views.now.node), play.node,
    element("div", { class: "crf-below" }, element("div", { class: "crf-controls" }, ...controls.map(({ node }) => node)), chart),
    parts.marks.node);
  return parts;
}

// The curve of what is left to pay: a dot for each step, the present one large.
function drawChart(figure, run) {
  const { chart } = figure.parts;
  const width = Math.max(chart.parentElement.clientWidth > 560 ? chart.parentElement.clientWidth / 2 - 12 : chart.parentElement.clientWidth, 120);
  const height = 130;
  const pen = clearCanvas(chart, width, height);
  const shown = figure.state.method === "icm" ? [...run.costs, run.least] : run.costs;
  const [low, high] = [Math.min(...shown), Math.max(...shown)];
  const x = (k) => 14 + ((width - 28) * k) / STEPS;
  const y = (value) => 26 + ((height - 44) * (high - value)) / (high - low || 1);
  pen.font = `12px ${figure.look.font}`;
  pen.fillStyle = figure.look.muted;
  pen.fillText(figure.state.method === "icm" ? "Energy at each step; dashed: the least" : "Free energy at each step", 8, 13);
  if (figure.state.method === "icm") {
    pen.setLineDash([5, 4]);
    strokeLine(pen, [8, y(run.least), width - 8, y(run.least)], [figure.look.second, 1]);
    pen.setLineDash([]);
  }
  pen.strokeStyle = figure.look.accent;
  pen.beginPath();
  run.costs.forEach((cost, k) => pen.lineTo(x(k), y(cost)));
  pen.stroke();
  run.costs.forEach((cost, k) => drawDisc(pen, x(k), y(cost), k === figure.state.step ? 6 : 2.5, figure.look.accent));
}

function draw(figure, changed, now) {
  const { parts, state } = figure;
  parts.play.advance(now);
  if (!parts.play.playing) figure.at = state.step;
  if (!figure.run || changed("method", "weight", "color_sigma")) {
    figure.run = course(state.method, { image: figure.image, odds: figure.odds, box: BOX, weight: state.weight, sigma: state.color_sigma, steps: STEPS });
  }
  const { run } = figure;
  const q = run.maps[state.step];
  parts.play.draw();
  const wrong = (labels) => labels.reduce((sum, p, n) => sum + (Number(p > 0.5) !== figure.truth[n]), 0);
  const names = { image: "The picture", start: "Each pixel alone", now: `After ${state.step} ${state.step === 1 ? "step" : "steps"}` };
  parts.views.image.show(pixels((n) => figure.image.subarray(3 * n, 3 * n + 3)));
  parts.views.start.show(pixels((n) => grey(Number(figure.odds[n] > 0))));
  parts.views.now.show(pixels((n) => grey(q[n])));
  for (const [name, view] of Object.entries(parts.views)) {
    view.pen();
    setText(view.head, names[name]);
    view.canvas.setAttribute("aria-label", name === "image" ? "A disc and a bar on a ground, in other colours" : `${names[name]}: ${wrong(name === "now" ? q : figure.odds.map((each) => Number(each > 0)))} wrong pixels`);
  }
  drawChart(figure, run);
  const grid = state.method !== "dense";
  parts.chart.setAttribute("aria-label", `What is left to pay: ${run.costs.map((cost) => fixed(cost, 0)).join(", ")}`);
  parts.marks.set({ cost: fixed(run.costs[state.step], 1), least: grid ? fixed(run.least, 1) : "\u2013", wrong: String(wrong(q)), cut: grid ? String(wrong(run.exact)) : "\u2013" });
  if (changed("step", "method", "weight", "color_sigma")) figure.say(`Step ${state.step}: ${fixed(run.costs[state.step], 1)}, ${wrong(q)} pixels wrong.`);
}

export default widget({
  slug: "crf",
  traits: { method: oneOf("icm", "turns", "once", "dense"), step: whole(0, 12), weight: number(0, 6), color_sigma: number(5, 250) },
  colours: ["page", "text", "muted", "accent", "second"],
  build,
  draw,
});
