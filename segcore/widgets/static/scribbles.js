import { hexToRgb } from "./kit/colours.js";
import { button, choice, key, slider, trials } from "./kit/controls.js";
import { CUT, STEPS, cutAgain, minimumCut, openCut } from "./kit/cut.js";
import { element, setText } from "./kit/elements.js";
import { listOf, number, oneOf, whole, widget } from "./kit/figure.js";
import { clamp, grouped, plural, same } from "./kit/numbers.js";
import { paintable } from "./kit/painting.js";
import { photographs, surface } from "./kit/photographs.js";
import { edgePath, outlineRect, strokeAll, strokePixels } from "./kit/pictures.js";
import { openWorker } from "./kit/worker.js";

// GrabCut under the reader's hand: two mixtures of colours, a cut along cheap edges, and again.
// Arithmetic first, as pure functions and as in the library's `segcore.graph_cuts`; what is drawn comes below. A picture is
// { data, height, width }: red, green, blue and alpha of each pixel, 0 to 255.

const [BACKGROUND, UNKNOWN, FOREGROUND] = [0, 1, 2];
const COMPONENTS = 5;
export { cutAgain, minimumCut as cut, openCut }; // the library tests them through this module

// What it costs to part a pixel from four of its neighbours, for a smoothness of 1.
export function linksOf({ data, height, width }) {
  const forward = STEPS.slice(0, 4); // right, down, down to the right, down to the left
  const squares = forward.map(() => new Float64Array(height * width).fill(NaN));
  let [sum, count] = [0, 0];
  forward.forEach(([dx, dy], d) => {
    for (let y = 0; y + dy < height; y++) {
      for (let x = Math.max(0, -dx); x < width - Math.max(0, dx); x++) {
        const [n, m] = [y * width + x, (y + dy) * width + x + dx];
        let square = 0;
        for (let k = 0; k < 3; k++) square += (data[4 * n + k] - data[4 * m + k]) ** 2;
        squares[d][n] = square;
        sum += square;
        count += 1;
      }
    }
  });
  const beta = sum > 0 ? count / (2 * sum) : 0;
  return squares.map((map, d) => map.map((square) => (Number.isNaN(square) ? 0 : Math.exp(-beta * square) / Math.hypot(...STEPS[d]))));
}

// Mean and covariance of the pixels at some places: { count, mean, covariance as xx, xy, xz, yy, yz, zz }.
function moments({ data }, places) {
  const [count, mean] = [places.length, [0, 0, 0]];
  for (const n of places) for (let k = 0; k < 3; k++) mean[k] += data[4 * n + k] / count;
  let [xx, xy, xz, yy, yz, zz] = [0, 0, 0, 0, 0, 0];
  for (const n of places) {
    const [r, g, b] = [data[4 * n] - mean[0], data[4 * n + 1] - mean[1], data[4 * n + 2] - mean[2]];
    xx += (r * r) / count;
    xy += (r * g) / count;
    xz += (r * b) / count;
    yy += (g * g) / count;
    yz += (g * b) / count;
    zz += (b * b) / count;
  }
  return { count, mean, covariance: [xx, xy, xz, yy, yz, zz] };
}

// The direction in which colours vary most, and how much: the covariance's first eigenvector, by Jacobi's rotations.
function principal([xx, xy, xz, yy, yz, zz]) {
  const a = [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]];
  const v = [[1, 0, 0], [0, 1, 0], [0, 0, 1]];
  for (let sweep = 0; sweep < 12; sweep++) {
    for (const [p, q] of [[0, 1], [0, 2], [1, 2]]) {
      if (Math.abs(a[p][q]) < 1e-300) continue;
      const half = (a[q][q] - a[p][p]) / (2 * a[p][q]);
      const t = (half < 0 ? -1 : 1) / (Math.abs(half) + Math.hypot(half, 1));
      const c = 1 / Math.hypot(t, 1);
      for (const m of [a, v]) for (const row of m) [row[p], row[q]] = [c * (row[p] - t * row[q]), c * (t * row[p] + row[q])];
      [a[p], a[q]] = [a[p].map((value, k) => c * (value - t * a[q][k])), a[q].map((value, k) => c * (t * a[p][k] + value))];
    }
  }
  const best = [0, 1, 2].reduce((most, k) => (a[k][k] > a[most][most] ? k : most), 0);
  return { variance: a[best][best], direction: v.map((row) => row[best]) };
}

// Groups of pixels alike in colour: five times at most, what varies most is halved at its mean (Orchard and Bouman).
export function split(image, places) {
  const look = (members) => {
    const found = moments(image, members);
    return { members, mean: found.mean, ...principal(found.covariance) };
  };
  const parts = [look(places)];
  while (parts.length < COMPONENTS) {
    const widest = parts.reduce((most, part) => (part.variance > most.variance ? part : most));
    if (widest.variance <= 1e-6) break;
    const beyond = (n) => widest.direction.reduce((sum, along, k) => sum + along * (image.data[4 * n + k] - widest.mean[k]), 0) > 0;
    parts[parts.indexOf(widest)] = look(widest.members.filter((n) => !beyond(n)));
    parts.push(look(widest.members.filter(beyond)));
  }
  return parts.map((part) => part.members);
}

// A mixture of Gaussians: of each group what its cost needs, the offset and the inverse covariance.
export function fit(image, groups) {
  const total = groups.reduce((sum, members) => sum + members.length, 0);
  return groups.filter((members) => members.length).map((members) => {
    const { mean, covariance: [xx, xy, xz, yy, yz, zz] } = moments(image, members);
    const [a, d, f] = [xx + 0.01, yy + 0.01, zz + 0.01];
    const [A, B, C] = [d * f - yz * yz, xz * yz - xy * f, xy * yz - xz * d];
    const determinant = a * A + xy * B + xz * C;
    const inverse = [A, B, C, a * f - xz * xz, xy * xz - a * yz, a * d - xy * xy].map((value) => value / determinant);
    return { mean, inverse, offset: 0.5 * Math.log(determinant) - Math.log(members.length / total), size: members.length };
  });
}

// For each pixel -log of the mixture's density, and the component that explains it best.
export function costsOf({ data, height, width }, mixture) {
  const [cost, best] = [new Float64Array(height * width), new Uint8Array(height * width)];
  const each = new Float64Array(mixture.length);
  const numbers = Float64Array.from(mixture.flatMap(({ mean, inverse, offset }) => [...mean, ...inverse, offset]));
  for (let n = 0; n < cost.length; n++) {
    let least = Infinity;
    for (let k = 0, at = 0; k < mixture.length; k++, at += 10) {
      const r = data[4 * n] - numbers[at];
      const g = data[4 * n + 1] - numbers[at + 1];
      const b = data[4 * n + 2] - numbers[at + 2];
      const squares = r * r * numbers[at + 3] + g * g * numbers[at + 6] + b * b * numbers[at + 8];
      each[k] = numbers[at + 9] + 0.5 * squares + r * g * numbers[at + 4] + r * b * numbers[at + 5] + g * b * numbers[at + 7];
      if (each[k] < least) {
        least = each[k];
        best[n] = k;
      }
    }
    let total = 0;
    for (let k = 0; k < mixture.length; k++) total += Math.exp(least - each[k]);
    cost[n] = least - Math.log(total);
  }
  return { cost, best };
}

function placesOf(mask, wanted) {
  const places = [];
  for (let n = 0; n < mask.length; n++) if (mask[n] === wanted) places.push(n);
  return places;
}

// Everything that the rounds need, and the first models: of all that may be object and all that may not. With `strict` the
// object's colours are those of the marked pixels alone, if there are any. A `graph` of these links and this smoothness that was
// cut before is cut again in less time.
export function startCut(image, trimap, links, { gamma = 50, strict = false, graph = null } = {}) {
  const mask = trimap.map((value) => (value === BACKGROUND ? 0 : 1));
  const sure = strict && trimap.includes(FOREGROUND) ? placesOf(trimap, FOREGROUND) : placesOf(mask, 1);
  const sides = [placesOf(mask, 0), sure].map((places) => costsOf(image, fit(image, split(image, places))));
  const { height, width } = image;
  graph ??= openCut({ edges: links.map((map) => map.map((link) => gamma * link)), height, width });
  return { image, trimap, links, gamma, graph, mask, sides, round: 0 };
}

// The cut that the present colours ask for. Marked pixels stay: their cost outweighs all that their neighbours could.
export function cutOnce({ trimap, gamma, graph, sides: [back, fore] }) {
  const sure = 9 * Math.max(gamma, 1);
  const terminals = back.cost.map((cost, n) => (trimap[n] === UNKNOWN ? cost - fore.cost[n] : trimap[n] === FOREGROUND ? sure : -sure));
  return { terminals, mask: cutAgain(graph, terminals).side };
}

// One round: components are fitted to the pixels of their side, then the cut.
export function nextRound(run) {
  const sides = run.sides.map((side, which) => {
    const own = placesOf(run.mask, which);
    if (!own.length) return side; // a side that ran empty keeps the colours that it had
    const groups = Array.from({ length: COMPONENTS }, () => []);
    own.forEach((n) => groups[side.best[n]].push(n));
    return costsOf(run.image, fit(run.image, groups));
  });
  return { ...run, sides, round: run.round + 1, ...cutOnce({ ...run, sides }) };
}

// A whole run, as the library's `grabcut`.
export function grabcut(image, trimap, rounds, gamma = 50) {
  let run = startCut(image, Uint8Array.from(trimap), linksOf(image), { gamma });
  for (let n = 0; n < rounds; n++) run = nextRound(run);
  return run.mask;
}

// One more round of the run that is held: `asked` is { known, gamma, strict } where another run begins, with { photo } where the
// picture is another; else nothing. What the page shows of it: the mask, how far each pixel's colour leans to the object, and
// with a picture how much its cheapest edges cost.
function answerCut(held, _, { photo, known, gamma, strict }) {
  if (photo) Object.assign(held, { photo, links: linksOf(photo), graph: null });
  if (known) {
    const graph = gamma === held.gamma ? held.graph : null;
    Object.assign(held, { gamma, run: startCut(held.photo, known, held.links, { gamma, strict, graph }) });
    held.graph = held.run.graph;
  }
  const begin = performance.now();
  held.run = strict ? { ...held.run, ...cutOnce(held.run) } : nextRound(held.run);
  const time = performance.now() - begin;
  const { mask, sides: [back, fore] } = held.run;
  const lean = Float32Array.from(back.cost, (cost, n) => cost - fore.cost[n]);
  const edges = photo ? Float32Array.from(held.links[0], (link, n) => (link + held.links[1][n]) / 2) : null;
  return { mask, lean, edges, time };
}

const WORKERS = { ...CUT, BACKGROUND, UNKNOWN, FOREGROUND, COMPONENTS, linksOf, moments, principal, split, fit, costsOf, placesOf, startCut, cutOnce, nextRound,
  answerCut };

// What the box and the strokes say of each pixel. A stroke is [side, x, y, x, y, ...]; a later one has the last word.
export function trimapOf(box, strokes, { height, width }) {
  const trimap = new Uint8Array(height * width).fill(box.length ? BACKGROUND : UNKNOWN);
  if (box.length) {
    const [x1, y1, x2, y2] = [box[0], box[1], Math.min(width, box[2]), Math.min(height, box[3])];
    for (let y = y1; y < y2; y++) trimap.fill(UNKNOWN, y * width + x1, y * width + Math.max(x1, x2));
  }
  for (const [side, ...way] of strokes) {
    for (let n = 0; n < way.length; n += 2) {
      const from = n ? [way[n - 2], way[n - 1]] : [way[0], way[1]];
      strokePixels(from, [way[n], way[n + 1]], BRUSH, { height, width }).forEach((at) => (trimap[at] = side));
    }
  }
  return trimap;
}

// ---- The figure --------------------------------------------------------------------------------------------------

const BRUSH = 5; // pixels across
const [WIDTH, HEIGHT] = [240, 180];
const ROUNDS = 5;
const GAMMAS = [0, 1, 2, 5, 10, 20, 35, 50, 75, 100, 150, 200];
const PHOTOS = [["cup", "Cup"], ["astronaut", "Astronaut"], ["cat", "Cat"]];
const TOOLS = [[FOREGROUND, "Object", "Mark what is the object (key 1)"], [BACKGROUND, "Background", "Mark what is not (key 2)"],
  ["box", "Box", "Draw a box around the object (key 3)"]];
const [BLACK, WHITE] = [[0, 0, 0], [255, 255, 255]];
const TINTS = { [FOREGROUND]: hexToRgb("#1c90f7"), [BACKGROUND]: hexToRgb("#f16a01") };

const usual = { strokes: [], gamma: 50, rounds: ROUNDS, view: "cutout" };
const cup = { ...usual, photo: "cup", box: [10, 4, 214, 176] };
const astronaut = { ...usual, photo: "astronaut", box: [40, 2, 178, 180] };
const help = [[FOREGROUND, 105, 30, 105, 60], [FOREGROUND, 80, 120, 80, 170, 140, 170, 140, 110], [FOREGROUND, 66, 84, 72, 98, 90, 108, 112, 110], [BACKGROUND, 190, 20, 190, 170]];
const TRIALS = [
  { label: "A box alone", values: cup,
    note: "Outside the box is background for sure; inside, two mixtures of colours decide, and a cut along cheap edges. No stroke was needed." },
  { label: "Then strokes", values: [astronaut, { ...astronaut, strokes: help }],
    note: ({ strokes }) => (strokes.length
      ? "Four strokes say what the colours could not: the shoulder and the ring belong to her."
      : "The box alone loses a shoulder and half of the ring: they look like what lies outside. Press again for four strokes.") },
  { label: "Round by round", values: Array.from({ length: ROUNDS }, (_, n) => ({ ...astronaut, rounds: n + 1 })),
    note: ({ rounds }) => `After round ${rounds}: colours learned from the last cut, then a new cut. Press again: when does it settle?` },
  { label: "No neighbours", values: { ...cup, gamma: 0 },
    note: "Smoothness 0: each pixel decides by its own colour. Crumbs and holes, since no pixel asks the next one." },
  { label: "What colours say", values: { ...cup, view: "colours" },
    note: "Blue looks like the object, orange like the background; pale is in doubt, and there the neighbours decide." },
  { label: "Where it fails", values: { ...usual, photo: "cat", box: [30, 5, 215, 180] },
    note: "The fur inside the box is the fur outside it: colours cannot tell them apart. How many strokes does the whole head take you?" },
];

// ---- Rounds, in a worker

const shape = ({ height, width }) => ({ height, width });

// The run that the reader asks for: { photo, known, gamma, strict, missing, rounds }, `missing` being why nothing can be learned
// from the marks, or "", and `rounds` what came of each so far. The last run where the reader asks for the same.
function jobOf(figure, photo, last) {
  const { box, strokes, gamma, rounds } = figure.state;
  const marks = figure.stroke ? [...strokes, figure.stroke] : strokes;
  const name = JSON.stringify([box, marks, gamma, rounds === 0]);
  if (last?.photo === photo && last.name === name) return last;
  const known = trimapOf(box, marks, shape(photo));
  const strict = rounds === 0;
  const alike = last?.photo === photo && last.gamma === gamma && last.strict === strict && known.every((value, n) => value === last.known[n]);
  if (alike) return Object.assign(last, { name });
  const learned = known.some((value) => value !== BACKGROUND) ? "" : "Nothing is left to be the object: mark some of it.";
  const missing = known.includes(BACKGROUND) ? learned : "Mark some background: a stroke beside the object, or a box around it.";
  return { photo, name, known, gamma, strict, missing, rounds: [] };
}

// Ask for the next round, unless one is still being computed: its answer asks again.
function askRound(figure) {
  const { job, worker } = figure;
  if (figure.asked || job.missing || job.rounds.length >= Math.max(1, figure.state.rounds)) return;
  const { photo, known, gamma, strict } = job;
  const begun = worker.job === job;
  const another = worker.photo === photo ? null : { data: photo.data, ...shape(photo) };
  figure.asked = job;
  figure.root.setAttribute("data-busy", ""); // whoever waits for the picture can see that it is not there
  Object.assign(worker, { job, photo });
  worker.post(begun ? { strict } : { known, gamma, strict, photo: another });
}

function roundCame(figure, found) {
  const { asked: job } = figure;
  figure.asked = null;
  figure.root.removeAttribute("data-busy");
  if (found.error) {
    figure.notice(found.error);
    return;
  }
  if (found.edges) figure.edges = { photo: job.photo, values: found.edges };
  job.rounds.push(found);
  figure.last = { job, round: found };
  askRound(figure);
  figure.mark("rounds");
}

// What can be shown now: of the run that the reader asks for, or of the one before until its first round has come.
function work(figure) {
  const photo = figure.photos.now();
  if (!photo) return null;
  figure.job = jobOf(figure, photo, figure.job);
  askRound(figure);
  const { job: { missing, rounds }, last, state } = figure;
  if (missing) {
    figure.last = null;
    return { photo, missing, mask: null };
  }
  const wanted = Math.max(1, state.rounds);
  const round = rounds[Math.min(wanted, rounds.length) - 1] ?? (last?.job.photo === photo ? last.round : { mask: null });
  const spent = state.rounds && rounds.reduce((sum, { time }) => sum + time, 0) / rounds.length;
  return { photo, round, mask: round.mask, done: rounds.length >= wanted, spent };
}

// ---- Drawing

const VIEWS = [["cutout", "Cut-out"], ["colours", "Colours"], ["edges", "Edges"]];
const TITLES = { cutout: "Cut out", colours: "Which side the colours are on", edges: "Bright: a cut costs little" };

const isNarrow = (figure) => figure.root.clientWidth <= 560;

// What came of it, pixel by pixel.
function pixelsOf({ view }, { photo, round }, edges, look, veil) {
  const image = new ImageData(new Uint8ClampedArray(photo.data), photo.width, photo.height);
  const page = hexToRgb(look.page);
  const lay = (n, rgb, share) => { // a colour over what is there
    for (let c = 0; c < 3; c++) image.data[4 * n + c] += (rgb[c] - image.data[4 * n + c]) * share;
  };
  for (let n = 0; n < photo.width * photo.height; n++) {
    image.data[4 * n + 3] = 255;
    if (view === "cutout") {
      if (round?.mask && !round.mask[n]) lay(n, page, veil);
      continue;
    }
    lay(n, view === "edges" ? BLACK : page, 1);
    if (view === "edges") lay(n, WHITE, edges ? 1 - edges[n] : 0);
    else if (round?.lean) lay(n, TINTS[round.lean[n] > 0 ? FOREGROUND : BACKGROUND], clamp(Math.abs(round.lean[n]) / 8));
  }
  return image;
}

function drawMarks(pen, figure, unit, look) {
  const { box, strokes } = figure.state;
  if (box.length) {
    pen.setLineDash([7, 5]);
    const [x1, y1, x2, y2] = box.map((value) => value * unit);
    outlineRect(pen, x1, y1, x2 - x1, y2 - y1, [look.page, 4], [look.text, 2]);
    pen.setLineDash([]);
  }
  pen.lineCap = pen.lineJoin = "round";
  for (const [side, ...way] of figure.stroke ? [...strokes, figure.stroke] : strokes) {
    pen.beginPath();
    for (let n = 0; n < way.length; n += 2) pen.lineTo((way[n] + 0.5) * unit, (way[n + 1] + 0.5) * unit);
    if (way.length === 2) pen.lineTo((way[0] + 0.5) * unit + 0.1, (way[1] + 0.5) * unit);
    strokeAll(pen, ["#ffffff", BRUSH * unit + 3], [`rgb(${TINTS[side].join(" ")})`, BRUSH * unit]);
  }
  if (!figure.cursor) return;
  pen.beginPath();
  pen.arc((figure.cursor[0] + 0.5) * unit, (figure.cursor[1] + 0.5) * unit, (BRUSH * unit) / 2 + 1, 0, 2 * Math.PI);
  strokeAll(pen, [look.page, 3.5], [look.text, 1.5]);
}

function buildPainting(figure) {
  const view = surface("painting", { tabindex: "0", role: "application", "aria-roledescription": "picture to draw on" });
  const size = () => shape(figure.photos.now() ?? { height: HEIGHT, width: WIDTH });
  const inside = ([x, y]) => [clamp(x, 0, size().width - 1), clamp(y, 0, size().height - 1)];
  const boxOf = ([x1, y1], [x2, y2]) => [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2) + 1, Math.max(y1, y2) + 1];
  let corner = null;
  paintable(view.canvas, {
    size,
    unit: () => view.unit,
    cursor: () => figure.cursor,
    begin(at) {
      const place = inside(at);
      figure.remember();
      if (figure.tool === "box") corner = place;
      else figure.stroke = [figure.tool, ...place];
      figure.mark("marks");
    },
    line(_, to) {
      if (figure.tool === "box") figure.set({ box: boxOf(corner, inside(to)) });
      else figure.stroke.push(...inside(to));
      figure.mark("marks");
    },
    end() {
      const { stroke } = figure;
      figure.stroke = null;
      if (stroke) figure.set({ strokes: [...figure.state.strokes, thinned(stroke)] });
      figure.mark("marks");
    },
    moved(at) {
      if (same(at, figure.cursor)) return;
      figure.cursor = at;
      figure.mark("cursor");
    },
    key(event) {
      const tool = TOOLS[Number(event.key) - 1];
      if (tool) figure.choose(tool[0]);
      return Boolean(tool);
    },
  });
  return view;
}

// A stroke without the points in the middle of a straight line.
export function thinned([side, ...way]) {
  const kept = [side, way[0], way[1]];
  for (let n = 2; n < way.length; n += 2) {
    const [x, y] = [way[n], way[n + 1]];
    const [ax, ay] = kept.slice(-2);
    const [bx, by] = [way[n + 2], way[n + 3]];
    const straight = n + 2 < way.length && (x - ax) * (by - y) === (y - ay) * (bx - x) && (x - ax) * (bx - x) + (y - ay) * (by - y) >= 0;
    if (!straight && (x !== ax || y !== ay)) kept.push(x, y);
  }
  return kept;
}

function buildControls(figure) {
  const set = (values) => figure.set(values);
  const tool = choice("Draw", TOOLS, figure.tool, (value) => figure.choose(value));
  const undo = button("Undo", () => {
    const last = figure.past.pop();
    if (last) set(last);
    figure.mark("marks");
  });
  const clear = button("Clear", () => {
    figure.remember();
    set({ box: [], strokes: [] });
  });
  const gamma = slider("Smoothness", { min: 0, max: GAMMAS.length - 1 }, (n) => set({ gamma: GAMMAS[n] }));
  const rounds = slider("Rounds", { min: 0, max: ROUNDS }, (n) => set({ rounds: n }));
  const view = choice("Show", VIEWS, figure.state.view, (value) => set({ view: value }));
  const time = element("p", { class: "time segcore-label" });
  const node = element("div", { class: "controls" },
    element("div", { class: "segcore-bar" }, tool.node, undo, clear),
    element("div", { class: "segcore-bar" }, ...figure.photos.nodes), gamma.node, rounds.node, view.node, time);
  function draw(state) {
    tool.set(figure.tool);
    undo.disabled = !figure.past.length;
    clear.disabled = !state.box.length && !state.strokes.length;
    gamma.set(nearest(state.gamma), String(state.gamma));
    rounds.set(state.rounds);
    view.set(state.view);
    figure.photos.draw();
  }
  return { node, draw, time };
}

const nearest = (value) => GAMMAS.reduce((best, one, n) => (Math.abs(one - value) < Math.abs(GAMMAS[best] - value) ? n : best), 0);

function build(figure) {
  Object.assign(figure, { tool: FOREGROUND, stroke: null, past: [], cursor: null, job: null, asked: null, last: null });
  figure.worker = openWorker({}, WORKERS, "answerCut", (found) => roundCame(figure, found));
  figure.stops.push(figure.worker.stop);
  figure.remember = () => {
    figure.past.push({ box: figure.state.box, strokes: figure.state.strokes });
    if (figure.past.length > 100) figure.past.shift();
  };
  figure.choose = (tool) => {
    figure.tool = tool;
    figure.mark("tool");
  };
  figure.photos = photographs(figure, {
    packed: figure.model.get("data").pictures, options: PHOTOS, area: WIDTH * HEIGHT,
    opened: () => {
      figure.past = [];
      figure.set({ box: [], strokes: [] });
      figure.say("Your photograph is here. Draw a box around the object, or mark it and its background.");
    },
  });
  const parts = { painting: buildPainting(figure), result: surface("result", { role: "img" }), controls: buildControls(figure) };
  const pictures = element("div", { class: "pictures" }, parts.painting.node, parts.result.node);
  figure.photos.takeDrops(pictures);
  const rest = () => figure.view?.missing || "Draw on the first picture: a few strokes on the object, a few beside it. The cut follows.";
  figure.first(
    element("p", { class: "segcore-lead",
      text: "Say roughly where the object is. Colours and a cheapest cut find its outline." }),
    trials(figure, TRIALS, rest).node, pictures,
    key(["object", "object for sure"], ["background", "background for sure"], ["dashed box", "outside is background"]),
    parts.controls.node);
  return parts;
}

function draw(figure, changed) {
  const { parts, state, look } = figure;
  parts.controls.draw(state);
  const fresh = changed("photo", "box", "strokes", "gamma", "rounds", "marks", "view");
  if (fresh || !figure.view) figure.view = work(figure);
  const { view } = figure;
  if (!view) return; // the photograph is still being decoded
  const narrow = isNarrow(figure); // a phone has room for one picture, which shows both
  const edges = figure.edges?.photo === view.photo ? figure.edges.values : null;
  const shown = [view.photo, view.round, state.view, edges, look, narrow];
  if (shown.some((each, n) => each !== figure.showing?.[n])) {
    figure.showing = shown;
    parts.painting.show(narrow ? pixelsOf(state, view, edges, look, 0.6) : view.photo);
    parts.result.show(pixelsOf(state, view, edges, look, 0.86));
  }
  const outline = (pen, unit) => {
    if (!view.mask || state.view === "edges") return;
    edgePath(pen, view.mask, view.photo.width, unit, (value) => value === 1);
    strokeAll(pen, [look.page, 3], [look.text, 1.5]);
  };
  const pen = parts.painting.pen();
  if (narrow) outline(pen, parts.painting.unit);
  drawMarks(pen, figure, parts.painting.unit, look);
  outline(parts.result.pen(), parts.result.unit);
  setText(parts.painting.head, figure.tool === "box" ? "Draw a box around the object" : `Draw here: ${figure.tool === FOREGROUND ? "the object" : "the background"}`);
  setText(parts.result.head, TITLES[state.view]);
  describe(figure, view);
}

// What the pictures say in words, for whoever does not see them.
function describe(figure, view) {
  const { parts, state } = figure;
  const count = view.mask ? view.mask.reduce((sum, value) => sum + value, 0) : 0;
  const words = view.missing ?? (view.mask ? `${plural(count, "pixel")} of ${grouped(view.mask.length)} cut out after ${plural(state.rounds, "round")}.` : "");
  setText(parts.controls.time, view.mask && view.done !== false && view.spent ? `${words} ${grouped(view.spent)} ms a round in this page.` : words);
  parts.painting.canvas.setAttribute("aria-label",
    `Photograph with ${plural(state.strokes.length, "stroke")}${state.box.length ? " and a box" : ""}. Arrow keys move the brush, Space draws, 1 to 3 choose what.`);
  parts.result.canvas.setAttribute("aria-label", `${TITLES[state.view]}. ${words}`);
  if (view.done) figure.say(words);
  figure.trials.draw();
}

const point = whole(0, 319);
const stroke = (value) => (Array.isArray(value) && value.length > 2 && value.length % 2 === 1 && [BACKGROUND, FOREGROUND].includes(value[0]) &&
  value.slice(1).every((one) => !point(one)) ? "" : "a side, 0 or 2, and points x, y");

export default widget({
  slug: "scribbles",
  traits: {
    photo: oneOf(...PHOTOS.map(([name]) => name)), gamma: number(0, 200), rounds: whole(0, ROUNDS), view: oneOf(...VIEWS.map(([name]) => name)),
    box: (value) => (same(value, []) ? "" : listOf(whole(0, 320), 4)(value)), strokes: listOf(stroke),
  },
  nameless: ({ photo }) => !photo,
  colours: ["page", "text"],
  build,
  draw,
});
