import { hexToRgb } from "./kit/colours.js";
import { choice, key, marks, slider, trials } from "./kit/controls.js";
import { element, setText } from "./kit/elements.js";
import { listOf, number, oneOf, whole, widget } from "./kit/figure.js";
import { clamp, fixed, grouped, plural, tidy } from "./kit/numbers.js";
import { meanColours, outlineRect, strokeAll, totals, unpackBytes } from "./kit/pictures.js";
import { photographs, pointable, pointed, surface } from "./kit/photographs.js";
import { overlaps } from "./kit/scores.js";

// SLIC over a photograph: centres on a grid, pixels that choose among the nine near ones, centres that move to their pixels.
// Arithmetic first, as pure functions; what is drawn comes below. A picture is { data, height, width }: red, green, blue and
// alpha of each pixel, 0 to 255.

const LINEAR = Float64Array.from({ length: 256 }, (_, v) => (v / 255 > 0.04045 ? ((v / 255 + 0.055) / 1.055) ** 2.4 : v / 255 / 12.92));
const SAFE = 0.9999; // of a margin, so that no rounding lets a pixel keep what it has lost
const TO_XYZ = [
  [0.412453 / 0.95047, 0.35758 / 0.95047, 0.180423 / 0.95047],
  [0.212671, 0.71516, 0.072169],
  [0.019334 / 1.08883, 0.119193 / 1.08883, 0.950227 / 1.08883],
];

// CIELAB, three numbers a pixel.
export function labOf({ data, height, width }) {
  const lab = new Float32Array(3 * height * width);
  const mix = (row, r, g, b) => row[0] * r + row[1] * g + row[2] * b;
  const bend = (t) => (t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116);
  for (let n = 0; n < height * width; n++) {
    const r = LINEAR[data[4 * n]];
    const g = LINEAR[data[4 * n + 1]];
    const b = LINEAR[data[4 * n + 2]];
    const x = bend(mix(TO_XYZ[0], r, g, b));
    const y = bend(mix(TO_XYZ[1], r, g, b));
    const z = bend(mix(TO_XYZ[2], r, g, b));
    lab[3 * n] = 116 * y - 16;
    lab[3 * n + 1] = 500 * (x - y);
    lab[3 * n + 2] = 200 * (y - z);
  }
  return lab;
}

// Rows and columns of some `count` tiles that are nearly square.
export function gridFor(height, width, count) {
  const wanted = Math.min(count, height * width);
  const rows = clamp(roundEven(Math.sqrt((wanted * height) / width)), 1, height);
  return { rows, columns: clamp(roundEven(wanted / rows), 1, width) };
}

// Half to the even neighbour, as Python's round has it.
function roundEven(value) {
  const low = Math.floor(value);
  return value - low === 0.5 ? low + (low % 2) : Math.round(value);
}

// Everything that the rounds need. `labels` are at first the tiles, `centres` their means: colour, y, x; `sums` and `counts` are
// those of each centre's pixels. `margins` say for each pixel by how much its centre has won, at least.
export function startSlic(lab, { height, width, count, compactness }) {
  const { rows, columns } = gridFor(height, width, count);
  const [tops, lefts] = [cuts(height, rows), cuts(width, columns)];
  const side = Math.sqrt((height * width) / (rows * columns));
  const run = { lab, height, width, rows, columns, tops, lefts, side, compactness, round: 0 };
  run.labels = new Uint16Array(height * width);
  run.margins = new Float32Array(height * width).fill(-1);
  [run.sums, run.counts] = [new Float64Array(5 * rows * columns), new Float64Array(rows * columns)];
  eachTile(run, (tile, [top, bottom, left, right]) => {
    for (let y = top; y < bottom; y++) {
      for (let x = left, n = y * width + left; x < right; x++, n++) {
        run.labels[n] = tile;
        tally(run, lab, n, y, x, tile, 1);
      }
    }
  });
  run.centres = moved(run, run.sums);
  return run;
}

// A pixel joins a centre's sums, or leaves them.
function tally({ sums, counts }, lab, n, y, x, centre, sign) {
  const at = 5 * centre;
  counts[centre] += sign;
  sums[at] += sign * lab[3 * n];
  sums[at + 1] += sign * lab[3 * n + 1];
  sums[at + 2] += sign * lab[3 * n + 2];
  sums[at + 3] += sign * y;
  sums[at + 4] += sign * x;
}

// Where an axis is cut into nearly equal parts.
const cuts = (length, parts) => Array.from({ length: parts + 1 }, (_, n) => Math.floor((n * length) / parts));

function eachTile({ rows, columns, tops, lefts }, visit) {
  for (let r = 0, tile = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++, tile++) visit(tile, [tops[r], tops[r + 1], lefts[c], lefts[c + 1]], r, c);
  }
}

// Each centre at the mean of its pixels; one that has none stays.
function moved({ sums, counts }, centres) {
  const means = new Float64Array(centres);
  for (let k = 0; k < counts.length; k++) if (counts[k]) for (let n = 5 * k; n < 5 * k + 5; n++) means[n] = sums[n] / counts[k];
  return means;
}

// How far each centre has moved, in the distance that the pixels measure by.
function shifts(before, after, weight) {
  const far = new Float64Array(before.length / 5);
  for (let k = 0; k < far.length; k++) {
    const apart = (n) => (after[5 * k + n] - before[5 * k + n]) ** 2;
    far[k] = Math.sqrt(apart(0) + apart(1) + apart(2) + weight * (apart(3) + apart(4)));
  }
  return far;
}

// One round: the centres move, which they need not before the first, and every pixel chooses the nearest of nine.
export function nextRound(run) {
  const centres = run.round ? moved(run, run.centres) : run.centres;
  const far = shifts(run.centres, centres, (run.compactness / run.side) ** 2);
  const next = { ...run, centres, labels: run.labels.slice(), margins: run.margins.slice(), sums: run.sums.slice(),
    counts: run.counts.slice(), round: run.round + 1 };
  const room = { mine: new Float64Array(45), apart: new Float64Array(9), far };
  eachTile(run, (_, bounds, r, c) => choose(next, bounds, around(run, r, c), room));
  return next;
}

// The tile and its neighbours.
function around({ rows, columns }, r, c) {
  const near = [r * columns + c];
  for (let y = Math.max(0, r - 1); y <= Math.min(rows - 1, r + 1); y++) {
    for (let x = Math.max(0, c - 1); x <= Math.min(columns - 1, c + 1); x++) if (y !== r || x !== c) near.push(y * columns + x);
  }
  return near;
}

// The pixels of a tile choose, all but those whose centre has won by more than centres have moved since: they keep it.
// The tile's own centre is tried first: most others are then too far in place alone.
function choose(run, [top, bottom, left, right], near, { mine, apart, far }) {
  const { lab, width, side, compactness, centres, labels, margins } = run;
  const weight = (compactness / side) ** 2; // of a squared distance in pixels beside one in colour
  const count = near.length;
  let most = 0;
  for (let k = 0; k < count; k++) {
    most = Math.max(most, far[near[k]]);
    for (let j = 0; j < 5; j++) mine[5 * k + j] = centres[5 * near[k] + j];
  }
  for (let y = top; y < bottom; y++) {
    for (let k = 0; k < count; k++) apart[k] = weight * (y - mine[5 * k + 3]) ** 2;
    for (let x = left, n = y * width + left; x < right; x++, n++) {
      const margin = margins[n] - most - far[labels[n]];
      margins[n] = margin;
      if (margin > 0) continue;
      const l = lab[3 * n];
      const a = lab[3 * n + 1];
      const b = lab[3 * n + 2];
      let least = Infinity;
      let second = Infinity;
      let best = 0;
      for (let k = 0, at = 0; k < count; k++, at += 5) {
        const dx = x - mine[at + 4];
        const place = weight * dx * dx + apart[k];
        if (place > second) continue;
        const dl = l - mine[at];
        const da = a - mine[at + 1];
        const db = b - mine[at + 2];
        const distance = dl * dl + da * da + db * db + place;
        if (distance < least || (distance === least && near[k] < near[best])) {
          second = least;
          least = distance;
          best = k;
        } else if (distance < second) second = distance;
      }
      margins[n] = SAFE * (Math.sqrt(second) - Math.sqrt(least));
      if (near[best] === labels[n]) continue;
      tally(run, lab, n, y, x, labels[n], -1);
      tally(run, lab, n, y, x, (labels[n] = near[best]), 1);
    }
  }
}

// The parts of a label map that hang together by sides of pixels, numbered from 0 in reading order.
export function partsOf(labels, { width }) {
  const parent = new Int32Array(labels.length);
  const find = (n) => {
    while (parent[n] !== n) n = parent[n] = parent[parent[n]];
    return n;
  };
  for (let n = 0, x = 0; n < labels.length; n++, x = x + 1 < width ? x + 1 : 0) {
    const left = x > 0 && labels[n] === labels[n - 1] ? find(n - 1) : n;
    const above = n >= width && labels[n] === labels[n - width] ? find(n - width) : n;
    const first = Math.min(left, above);
    parent[n] = parent[left] = parent[above] = first;
  }
  for (let n = 0; n < labels.length; n++) parent[n] = parent[parent[n]]; // a parent comes before its children
  return numbered(parent);
}

// Any labels as 0, 1, ... in the order in which they first occur.
function numbered(labels) {
  let [most, count] = [0, 0];
  for (let n = 0; n < labels.length; n++) if (labels[n] > most) most = labels[n];
  const names = new Int32Array(most + 1).fill(-1);
  const parts = new Int32Array(labels.length);
  for (let n = 0; n < labels.length; n++) {
    if (names[labels[n]] < 0) names[labels[n]] = count++;
    parts[n] = names[labels[n]];
  }
  return { parts, count };
}

// Pairs of parts that share a side of a pixel, both ways, each once, in order: ones and others.
function neighbours(parts, count, { width }) {
  const codes = new Set();
  const meet = (a, b) => codes.add(a * count + b).add(b * count + a);
  let [beside, over] = [0, 0]; // the pair before, which the next pixel of an outline has again
  for (let n = 0, x = 0; n < parts.length; n++, x = x + 1 < width ? x + 1 : 0) {
    const part = parts[n];
    if (x > 0 && part !== parts[n - 1]) meet(part, parts[n - 1]);
    if (n < width || part === parts[n - width]) continue;
    if (part !== beside || parts[n - width] !== over) meet(part, parts[n - width]);
    [beside, over] = [part, parts[n - width]];
  }
  const sorted = Float64Array.from(codes).sort();
  const ones = Int32Array.from(sorted, (code) => Math.floor(code / count));
  return [ones, Int32Array.from(sorted, (code, n) => code - ones[n] * count)];
}

// Split labels into parts that hang together; each part smaller than `smallest` joins the neighbour most like it in colour.
export function connect({ lab, labels, width }, smallest) {
  const { parts, count } = partsOf(labels, { width });
  let [sizes, sums] = totals(lab, 3, parts, count);
  let [ones, others] = neighbours(parts, count, { width });
  const merged = Int32Array.from({ length: count }, (_, n) => n);
  while (ones.length && sizes.some((size) => size < smallest)) {
    const group = joined(sizes, sums, [ones, others], smallest);
    const [groupSizes, groupSums] = [new Float64Array(group.count), new Float64Array(3 * group.count)];
    group.parts.forEach((to, from) => {
      groupSizes[to] += sizes[from];
      for (let k = 0; k < 3; k++) groupSums[3 * to + k] += sums[3 * from + k];
    });
    [sizes, sums] = [groupSizes, groupSums];
    for (let n = 0; n < count; n++) merged[n] = group.parts[merged[n]];
    [ones, others] = apart(ones, others, group.parts);
  }
  for (let n = 0; n < parts.length; n++) parts[n] = merged[parts[n]];
  return renumbered(parts);
}

// The pairs that are still two.
function apart(ones, others, group) {
  let left = 0;
  for (let n = 0; n < ones.length; n++) {
    const [one, other] = [group[ones[n]], group[others[n]]];
    if (one === other) continue;
    ones[left] = one;
    others[left++] = other;
  }
  return [ones.subarray(0, left), others.subarray(0, left)];
}

function renumbered(labels) {
  const { parts, count } = numbered(labels);
  return { labels: parts, count };
}

// Groups of parts after each small one has joined the neighbour most like it.
function joined(sizes, sums, [ones, others], smallest) {
  const choice = Int32Array.from(sizes, (_, n) => n);
  const least = new Float64Array(sizes.length).fill(Infinity);
  for (let n = 0; n < ones.length; n++) {
    const [one, other] = [ones[n], others[n]];
    if (sizes[one] >= smallest) continue;
    let unlike = 0;
    for (let k = 0; k < 3; k++) unlike += (sums[3 * one + k] / sizes[one] - sums[3 * other + k] / sizes[other]) ** 2;
    if (unlike < least[one]) [least[one], choice[one]] = [unlike, other];
  }
  const root = Int32Array.from(sizes, (_, n) => n);
  const find = (n) => (root[n] === n ? n : (root[n] = find(root[n])));
  choice.forEach((other, one) => (root[find(one)] = find(other)));
  return numbered(root.map((_, n) => find(n)));
}

// The labels that occur as 0, 1, ... in their own order.
function compact(labels) {
  const names = [...new Set(labels)].sort((a, b) => a - b);
  const place = new Map(names.map((name, n) => [name, n]));
  return { labels: Int32Array.from(labels, (label) => place.get(label)), count: names.length };
}

// A whole run, as the library's `slic`.
export function slic(image, { count, compactness, rounds, connected = true }) {
  let run = startSlic(labOf(image), { height: image.height, width: image.width, count, compactness });
  for (let n = 0; n < rounds; n++) run = nextRound(run);
  return connected ? connect(run, run.side ** 2 / 4) : compact(run.labels);
}

// Pixels of which a neighbour has another label.
export function boundaries(labels, { height, width }) {
  const found = new Uint8Array(labels.length);
  for (let n = 0; n < height * width; n++) {
    if (n % width && labels[n] !== labels[n - 1]) found[n] = found[n - 1] = 1;
    if (n >= width && labels[n] !== labels[n - width]) found[n] = found[n - width] = 1;
  }
  return found;
}

const bestOf = (counts) => counts.indexOf(Math.max(...counts));

// Pixels that lie in another region than most of their segment.
export function strays(labels, truth) {
  const best = overlaps(labels, truth).map(bestOf);
  return labels.map((label, n) => (best[label] === truth[n] ? 0 : 1));
}

// Scores of an over-segmentation, as the library's: boundary recall within two pixels, undersegmentation error, achievable accuracy.
export function scores(labels, truth, { height, width }, tolerance = 2) {
  const [given, wanted] = [labels, truth].map((map) => boundaries(map, { height, width }));
  let [all, met] = [0, 0];
  for (let n = 0; n < wanted.length; n++) {
    if (!wanted[n]) continue;
    all += 1;
    met += near(given, n, { height, width }, tolerance);
  }
  let [leaked, achieved] = [0, 0];
  for (const counts of overlaps(labels, truth)) {
    const size = counts.reduce((sum, count) => sum + count, 0);
    achieved += counts[bestOf(counts)];
    counts.forEach((count) => (leaked += Math.min(count, size - count)));
  }
  return { recall: met / all, error: leaked / labels.length, accuracy: achieved / labels.length };
}

function near(mask, n, { height, width }, reach) {
  const [y, x] = [Math.floor(n / width), n % width];
  for (let v = Math.max(0, y - reach); v <= Math.min(height - 1, y + reach); v++) {
    for (let u = Math.max(0, x - reach); u <= Math.min(width - 1, x + reach); u++) if (mask[v * width + u]) return 1;
  }
  return 0;
}

// ---- The figure --------------------------------------------------------------------------------------------------

const COUNTS = [6, 12, 20, 30, 50, 75, 100, 150, 200, 250, 300, 400, 500, 650, 800, 1000];
const WEIGHTS = [1, 2, 3, 5, 7, 10, 14, 20, 28, 40, 60, 80, 100];
const ROUNDS = 10;
const AREA = 320 * 240; // pixels of the reader's own photograph, at most
const BUDGET = 5; // milliseconds for rounds in a frame
const LINE = hexToRgb("#ffd60a");
const STRAY = hexToRgb("#f16a01");
const PHOTOS = [["cat", "Cat"], ["cup", "Cup"], ["scene", "Scene"]];

const TRIALS = [
  { label: "Round by round", values: Array.from({ length: ROUNDS + 1 }, (_, n) => ({ segments: 150, compactness: 10, iterations: n })),
    note: ({ iterations }) => `${iterations ? `After round ${iterations}` : "Before the first round: plain tiles"}. Press again: most of it happens in the first rounds.` },
  { label: "Colour rules", values: { segments: 150, compactness: 1, iterations: 10 },
    note: "Compactness 1: a pixel goes where its colour is. Outlines cling to every hair, and the pieces fray." },
  { label: "Place rules", values: { segments: 150, compactness: 100, iterations: 10 },
    note: "Compactness 100: a pixel goes to the nearest centre, whatever its colour. The pieces are tiles again, and edges run through them." },
  { label: "Too few", values: { segments: 20, compactness: 10, iterations: 10 },
    note: "Some 20 pieces for all there is: small things share one with what lies behind them. Look where the outlines leave the eyes, the spoon or a small object." },
  { label: "With a truth", values: { photo: "scene", segments: 50, compactness: 20, iterations: 10, view: "mosaic" },
    note: "This scene was made, so the true outlines are known: orange pixels lie on the wrong side of one. Ask for more superpixels: what happens to the three marks?" },
];

const nearest = (list, value) => list.reduce((best, one, n) => (Math.abs(Math.log(one / value)) < Math.abs(Math.log(list[best] / value)) ? n : best), 0);

// ---- Pictures

// Runs of equal labels: two bytes for the length, one for the label.
export function unpackRuns(text, size) {
  const [bytes, labels] = [unpackBytes(text), new Uint8Array(size)];
  for (let n = 0, at = 0; n < bytes.length; n += 3) {
    const length = bytes[n] + 256 * bytes[n + 1];
    labels.fill(bytes[n + 2], at, at + length);
    at += length;
  }
  return labels;
}

// The picture that is asked for and, if it has one, its truth; null until it is decoded.
function shown(figure) {
  const photo = figure.photos.now();
  if (!photo) return null;
  const { truth } = figure.model.get("data").pictures[figure.state.photo] ?? {};
  return { photo, truth: truth && unpackRuns(truth, photo.width * photo.height) };
}

// ---- Rounds, a few in each frame

// What `make` gives, with the milliseconds that it took.
function timed(make) {
  const begin = performance.now();
  const made = make();
  return { ...made, spent: performance.now() - begin };
}

// What the sliders ask for, as far as it is computed: { photo, truth, run, labels, count, done, spent }.
function work(figure) {
  const [source, { segments, compactness, iterations }] = [shown(figure), figure.state];
  if (!source) return null;
  const { photo } = source;
  if (figure.job?.photo !== photo) figure.job = { photo, lab: labOf(photo) };
  const { lab, runs } = figure.job;
  if (!runs || figure.job.segments !== segments || figure.job.compactness !== compactness) {
    const first = timed(() => startSlic(lab, { ...sizeOf(photo), count: segments, compactness }));
    figure.job = { photo, lab, segments, compactness, runs: [first] };
  }
  const { job } = figure;
  const begin = performance.now();
  while (job.runs.length <= iterations && performance.now() - begin < BUDGET) job.runs.push(timed(() => nextRound(job.runs.at(-1))));
  const round = Math.min(iterations, job.runs.length - 1);
  const done = round === iterations;
  if (!done) figure.mark("rounds");
  const found = pieces(job, round, done);
  const spent = job.runs.slice(0, round + 1).reduce((sum, run) => sum + run.spent, found.spent);
  return { ...source, run: job.runs[round], labels: found.labels, count: found.count, done, spent };
}

const sizeOf = ({ height, width }) => ({ height, width });

// The pieces after a round: made whole once the rounds asked for are done, as they are on the way there.
function pieces(job, round, done) {
  const run = job.runs[round];
  if (!done || !round) return { ...renumbered(run.labels), spent: 0 };
  if (job.whole?.round !== round) job.whole = { round, ...timed(() => connect(run, run.side ** 2 / 4)) };
  return job.whole;
}

// ---- Drawing

// The picture with a line wherever two pieces meet, and the picture in mean colours.
function outlined({ photo, labels }) {
  const { height, width } = photo;
  const image = new ImageData(new Uint8ClampedArray(photo.data), width, height);
  for (let n = 0; n < labels.length; n++) {
    const [right, below] = [n % width < width - 1, n < width * (height - 1)];
    if ((right && labels[n] !== labels[n + 1]) || (below && labels[n] !== labels[n + width])) image.data.set(LINE, 4 * n);
  }
  return image;
}

function mosaic({ photo, labels, count, truth }) {
  const image = new ImageData(photo.width, photo.height);
  const colours = meanColours(photo, labels, count);
  for (let n = 0; n < labels.length; n++) {
    for (let k = 0; k < 3; k++) image.data[4 * n + k] = colours[3 * labels[n] + k];
    image.data[4 * n + 3] = 255;
  }
  if (truth) strays(labels, truth).forEach((stray, n) => stray && image.data.set(STRAY, 4 * n));
  return image;
}

// The piece at a pixel: its size, its outline's box, the centre that it belongs to and the nine tiles that may join it.
export function pieceAt({ labels, run, photo }, [x, y]) {
  const { width } = photo;
  const label = labels[y * width + x];
  const votes = new Uint32Array(run.rows * run.columns);
  let size = 0;
  for (let n = 0; n < labels.length; n++) {
    if (labels[n] !== label) continue;
    size += 1;
    votes[run.labels[n]] += 1;
  }
  const centre = votes.indexOf(Math.max(...votes));
  const [r, c] = [Math.floor(centre / run.columns), centre % run.columns];
  const [top, bottom] = [run.tops[Math.max(0, r - 1)], run.tops[Math.min(run.rows, r + 2)]];
  const [left, right] = [run.lefts[Math.max(0, c - 1)], run.lefts[Math.min(run.columns, c + 2)]];
  return { label, size, at: [run.centres[5 * centre + 4], run.centres[5 * centre + 3]], tiles: [left, top, right - left, bottom - top] };
}

// One picture: pixels, and on them the piece that is pointed at.
function buildSurface(figure, name, title, make) {
  const view = surface(name);
  pointable(figure, view);
  function draw(now, fresh) {
    if (fresh) view.show(make(now));
    drawPiece(view.pen(), now.labels, figure.piece, { width: now.photo.width, unit: view.unit, look: figure.look });
    setText(view.head, title(now));
    view.canvas.setAttribute("aria-label", `${view.head.textContent}. ${sizeWords(figure)} The arrow keys move to other pieces.`);
  }
  return { node: view.node, draw };
}

const sizeWords = ({ piece }) => `The piece pointed at has ${plural(piece.size, "pixel")}.`;

// Its outline, its centre, and a dashed frame around the pixels that had the choice to join it.
function drawPiece(pen, labels, { label, at, tiles }, { width, unit, look }) {
  pen.save();
  pen.beginPath();
  const line = (x1, y1, x2, y2) => {
    pen.moveTo(x1 * unit, y1 * unit);
    pen.lineTo(x2 * unit, y2 * unit);
  };
  const height = labels.length / width;
  for (let n = 0; n < labels.length; n++) {
    if (labels[n] !== label) continue;
    const [y, x] = [Math.floor(n / width), n % width];
    if (x === 0 || labels[n - 1] !== label) line(x, y, x, y + 1);
    if (x === width - 1 || labels[n + 1] !== label) line(x + 1, y, x + 1, y + 1);
    if (y === 0 || labels[n - width] !== label) line(x, y, x + 1, y);
    if (y === height - 1 || labels[n + width] !== label) line(x, y + 1, x + 1, y + 1);
  }
  pen.lineCap = "round";
  strokeAll(pen, [look.text, 4.5], [look.page, 2.5]);
  pen.setLineDash([6, 4]);
  outlineRect(pen, ...tiles.map((value) => value * unit), [look.text, 3.5], [look.page, 1.5]);
  pen.setLineDash([]);
  pen.beginPath();
  pen.arc((at[0] + 0.5) * unit, (at[1] + 0.5) * unit, 4, 0, 2 * Math.PI);
  pen.fillStyle = look.page;
  pen.fill();
  strokeAll(pen, [look.text, 1.5]);
  pen.restore();
}

function buildControls(figure) {
  const set = (values) => figure.set(values);
  const segments = slider("Superpixels", { min: 0, max: COUNTS.length - 1 }, (n) => set({ segments: COUNTS[n] }));
  const compactness = slider("Compactness", { min: 0, max: WEIGHTS.length - 1 }, (n) => set({ compactness: WEIGHTS[n] }));
  const iterations = slider("Rounds", { min: 0, max: ROUNDS }, (n) => set({ iterations: n }));
  const view = choice("Show", [["outlines", "Outlines"], ["mosaic", "Mean colours"]], figure.state.view, (value) => set({ view: value }));
  const node = element("div", { class: "controls" }, segments.node, compactness.node, iterations.node,
    element("div", { class: "segcore-bar" }, ...figure.photos.nodes, element("div", { class: "views-choice" }, view.node)));
  function draw({ segments: count, compactness: weight, iterations: rounds, view: which }) {
    segments.set(nearest(COUNTS, count), grouped(count));
    compactness.set(nearest(WEIGHTS, weight), tidy(weight, 1));
    iterations.set(rounds);
    figure.photos.draw();
    view.set(which);
  }
  return { node, draw };
}

// What the pieces are worth where the truth is known.
const MARKS = [["recall", "Boundary recall", "true outline that has one within 2 pixels"],
  ["error", "Under\u00adsegmentation error", "pixels that leak over a true outline"],
  ["accuracy", "Achievable accuracy", "right if each piece took its best region"]];

const percents = (found) => Object.fromEntries(Object.entries(found).map(([name, value]) => [name, `${fixed(100 * value, 1)} %`]));

function build(figure) {
  figure.photos = photographs(figure, {
    packed: Object.fromEntries(Object.entries(figure.model.get("data").pictures).map(([name, { image }]) => [name, image])),
    options: PHOTOS, area: AREA, opened: () => figure.say("Your photograph is cut into superpixels."),
  });
  const parts = {
    outlines: buildSurface(figure, "outlines", ({ count, run, done }) =>
      `${plural(count, "superpixel")} after ${plural(run.round, "round")}${done ? "" : " \u2026"}`, outlined),
    mosaic: buildSurface(figure, "mosaic", ({ photo, count }) =>
      `Mean colours: ${plural(count, "colour")} in place of ${grouped(photo.width * photo.height)}`, mosaic),
    controls: buildControls(figure),
    marks: marks("Scores against the truth", MARKS),
    time: element("p", { class: "time segcore-label" }),
  };
  const pictures = element("div", { class: "pictures", dataset: { view: figure.state.view } }, parts.outlines.node, parts.mosaic.node);
  figure.photos.takeDrops(pictures);
  const rest = (_, { piece }) => (piece
    ? `The piece that you point at has ${plural(piece.size, "pixel")}. Only pixels in the dashed frame, nine tiles, could choose its centre, the dot.`
    : "");
  const legend = key(["line outline", "where two pieces meet"], ["ring chosen", "the piece pointed at"], ["dot middle", "its centre"],
    ["dashed tiles", "pixels that could join it"], ["stray", "on the wrong side of a true outline"]);
  parts.strays = legend.lastChild;
  figure.first(
    element("p", { class: "segcore-lead",
      text: "Each pixel joins the nearest centre, near in colour and in place; then each centre moves to the middle of its pixels." }),
    trials(figure, TRIALS, rest).node, pictures, legend, parts.controls.node, parts.marks.node, parts.time);
  parts.pictures = pictures;
  parts.strays.hidden = parts.marks.node.hidden = figure.state.photo !== "scene"; // nothing moves once the picture is there
  return parts;
}

function draw(figure, changed) {
  const { parts, state } = figure;
  parts.controls.draw(state);
  const fresh = changed("photo", "segments", "compactness", "iterations", "rounds");
  if (fresh || !figure.view) figure.view = work(figure);
  const { view } = figure;
  if (!view) return; // the photograph is still being decoded
  parts.pictures.dataset.view = state.view;
  figure.piece = pieceAt(view, pointed(figure, view.photo));
  parts.outlines.draw(view, fresh);
  parts.mosaic.draw(view, fresh);
  if (fresh && view.done) {
    parts.strays.hidden = !view.truth;
    parts.marks.set(view.truth ? percents(scores(view.labels, view.truth, view.photo)) : null);
    setText(parts.time, `${grouped(view.photo.width)} \u00d7 ${grouped(view.photo.height)} pixels, ${plural(state.iterations, "round")}: ${grouped(view.spent)} ms in this page.`);
    figure.say(`${plural(view.count, "superpixel")}. ${sizeWords(figure)}`);
  }
  figure.trials.draw(); // its words name the piece
}

export default widget({
  slug: "superpixels",
  traits: {
    photo: oneOf("cat", "cup", "scene"), segments: whole(1, 1000), compactness: number(0.1, 100), iterations: whole(0, ROUNDS),
    at: listOf(whole(0, 319), 2), view: oneOf("outlines", "mosaic"),
  },
  colours: ["page", "text"],
  build,
  draw,
});
