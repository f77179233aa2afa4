import { hexToRgb } from "./kit/colours.js";
import { key, marks, traitChoice, traitSlider, trials } from "./kit/controls.js";
import { element, setText } from "./kit/elements.js";
import { listOf, number, oneOf, whole, widget } from "./kit/figure.js";
import { fixed, grouped, plural } from "./kit/numbers.js";
import { photographs, pointable, pointed, surface } from "./kit/photographs.js";
import { drawDisc, edgePath, meanColours, openImage, pixelsOf, strokeAll, unpackBytes } from "./kit/pictures.js";
import { overlaps } from "./kit/scores.js";

// A hierarchy of regions over a photograph: boundaries fall in the order of their strength, and what they parted is one.
// Arithmetic first, as pure functions and as in the library's `segcore.grouping`; what is drawn comes below. A tree is
// { leaves, count, merges, heights }: the leaf of each pixel, and which two nodes become the next one, at what strength.

// For each leaf the region that it is a part of where boundaries up to a strength are gone, numbered in no order.
export function regionsOf({ count, merges, heights }, threshold) {
  const fallen = heights.findIndex((height) => height > threshold);
  const tops = Int32Array.from({ length: count + (fallen < 0 ? heights.length : fallen) }, (_, n) => n);
  for (let node = count; node < tops.length; node++) {
    const [a, b] = [merges[2 * (node - count)], merges[2 * (node - count) + 1]];
    tops[a] = tops[b] = node;
  }
  for (let node = tops.length - 1; node >= 0; node--) tops[node] = tops[tops[node]];
  return tops.subarray(0, count);
}

// The label map of a cut, numbered from 0 in reading order, as the library's `Hierarchy.cut`.
export function cutAt(tree, threshold) {
  const tops = regionsOf(tree, threshold);
  const names = new Int32Array(2 * tree.count).fill(-1); // of the nodes
  const labels = new Int32Array(tree.leaves.length);
  let count = 0;
  for (let n = 0; n < labels.length; n++) {
    const top = tops[tree.leaves[n]];
    if (names[top] < 0) names[top] = count++;
    labels[n] = names[top];
  }
  return { labels, count };
}

// The strength at which two leaves become one region.
export function fallsAt({ count, merges, heights }, one, other, parents = parentsOf({ count, merges })) {
  let [a, b] = [one, other];
  while (a !== b) a < b ? (a = parents[a]) : (b = parents[b]);
  return a < count ? 0 : heights[a - count];
}

export function parentsOf({ count, merges }) {
  const parents = Int32Array.from({ length: 2 * count - 1 }, (_, n) => n);
  for (let n = 0; n < merges.length; n++) parents[merges[n]] = count + (n >> 1);
  return parents;
}

// Scores of a segmentation, as the library's: covering, Rand index, variation of information in bits.
export function scores(labels, truth) {
  const shared = overlaps(labels, truth);
  const total = labels.length;
  const sizes = shared.map((row) => row.reduce((sum, n) => sum + n, 0));
  const wanted = Array.from(shared[0], (_, r) => shared.reduce((sum, row) => sum + row[r], 0));
  let [covered, information, together] = [0, 0, 0];
  wanted.forEach((size, r) => {
    let best = 0;
    shared.forEach((row, s) => {
      const both = row[r];
      if (!both) return;
      best = Math.max(best, both / (sizes[s] + size - both));
      information += (both / total) * (Math.log2(sizes[s] / both) + Math.log2(size / both));
      together += both * both;
    });
    covered += (size / total) * best;
  });
  const squares = (values) => values.reduce((sum, value) => sum + value * value, 0);
  const apart = squares(sizes) + squares(wanted) - 2 * together;
  return { covering: covered, rand: 1 - apart / (total * (total - 1)), information };
}

// ---- The figure --------------------------------------------------------------------------------------------------

const PHOTOS = [["astronaut", "Astronaut"], ["cup", "Cup"], ["scene", "Scene"]];
const VIEWS = [["contours", "Boundaries"], ["regions", "Regions"]];
const STEPS = 100; // of the slider
const MARKS = [["covering", "Covering", "the truth covered by its best segments"], ["rand", "Rand index", "pairs of pixels on which both agree"],
  ["information", "Variation of information", "bits that one leaves open about the other"]];

const count = ({ view }) => plural(view?.count ?? 0, "region");
const TRIALS = [
  { label: "All leaves", values: { photo: "astronaut", threshold: 0 },
    note: (_, figure) => `${count(figure)}: nothing has fallen. Each is so small that it lies within one thing, and none of them is a thing.` },
  { label: "Some are things", values: { photo: "astronaut", threshold: 0.25 },
    note: (_, figure) => `${count(figure)} left, among them head, ring, suit. No step asked what they are; only their outlines were strong.` },
  { label: "Merged too far", values: { photo: "astronaut", threshold: 0.42 },
    note: (_, figure) => `${count(figure)}: the head has become one with the wall behind it. A merge is never undone.` },
  { label: "No level fits all", values: [{ photo: "cup", threshold: 0.2 }, { photo: "cup", threshold: 0.42 }],
    note: ({ threshold }) => (threshold < 0.4
      ? "Here the spoon and the handle are regions, and the cup is in pieces. Press again."
      : "Here the cup is one region, and spoon and handle are gone. Things live at different heights of the tree, so proposals look at all of them.") },
  { label: "With a truth", values: { photo: "scene", threshold: 0.34 },
    note: "The scene's objects are known. Move the threshold to where covering is best: which object is missing there?" },
];

// What the page holds of each photograph, once its label map is decoded: the tree, and the truth of the scene.
function openTrees(figure) {
  figure.trees = {};
  for (const [name, { leaves, merges, heights, truth }] of Object.entries(figure.model.get("data").pictures)) {
    openImage(leaves, "image/png").then((canvas) => {
      const { data, height, width } = pixelsOf(canvas);
      const map = (at) => Uint16Array.from({ length: height * width }, (_, n) => data[4 * n + at]);
      const [low, high, third] = [map(0), map(1), map(2)];
      const strengths = new Float32Array(unpackBytes(heights).buffer);
      figure.trees[name] = { leaves: low.map((value, n) => value + 256 * high[n]), count: strengths.length + 1, height, width,
        merges: new Uint16Array(unpackBytes(merges).buffer), heights: strengths, truth: truth ? third : null };
      figure.mark("photo");
    });
  }
}

// The cut that is asked for: { photo, tree, labels, count }; null while something is being decoded.
function work(figure) {
  const photo = figure.photos.now();
  const tree = figure.trees[figure.state.photo];
  if (!photo || !tree) return null;
  const parents = parentsOf(tree);
  tree.outlines ??= outlines(tree, (one, other) => fallsAt(tree, one, other, parents));
  return { photo, tree, ...cutAt(tree, figure.state.threshold) };
}

// How strong the boundary at each pixel is: the strongest that it has with a neighbour, 0 inside a leaf. Where it is above a
// threshold it still stands, so that one map serves all of them.
export function outlines({ leaves, count, height, width }, fall) {
  const strength = new Float32Array(height * width);
  const known = new Map();
  const meet = (n, m) => {
    if (leaves[n] === leaves[m]) return;
    const name = leaves[n] * count + leaves[m];
    let found = known.get(name);
    if (found === undefined) known.set(name, (found = fall(leaves[n], leaves[m])));
    if (found > strength[n]) strength[n] = found;
    if (found > strength[m]) strength[m] = found;
  };
  for (let n = 0, x = 0; n < strength.length; n++, x = x + 1 < width ? x + 1 : 0) {
    if (x + 1 < width) meet(n, n + 1);
    if (n + width < strength.length) meet(n, n + width);
  }
  return strength;
}

// The stronger, the darker, over a pale photograph.
function boundaryPicture({ photo, tree }, threshold, look) {
  const [page, ink] = [hexToRgb(look.page), hexToRgb(look.text)];
  const image = new ImageData(photo.width, photo.height);
  const [from, to] = [photo.data, image.data];
  const most = tree.heights.at(-1);
  for (let n = 0; n < tree.outlines.length; n++) {
    const strength = tree.outlines[n];
    const dark = strength > threshold ? (strength / most) ** 0.8 : 0;
    for (let k = 0; k < 3; k++) to[4 * n + k] = dark ? page[k] + (ink[k] - page[k]) * dark : 0.35 * from[4 * n + k] + 0.65 * page[k];
    to[4 * n + 3] = 255;
  }
  return image;
}

function regionPicture({ photo, labels, count: regions }) {
  const image = new ImageData(photo.width, photo.height);
  const colours = new Uint8ClampedArray(4 * regions).fill(255);
  meanColours(photo, labels, regions).forEach((value, n) => { colours[4 * Math.floor(n / 3) + (n % 3)] = value; });
  const [whole, pixels] = [new Uint32Array(colours.buffer), new Uint32Array(image.data.buffer)]; // four bytes at once
  for (let n = 0; n < labels.length; n++) pixels[n] = whole[labels[n]];
  return image;
}

// The region at a pixel: its size, and the strength at which it next becomes a part of a larger one.
export function regionAt({ labels, tree }, threshold, n) {
  const inside = new Uint8Array(labels.length);
  let size = 0;
  for (let m = 0; m < labels.length; m++) if (labels[m] === labels[n]) size += inside[m] = 1;
  const parents = parentsOf(tree);
  let node = tree.leaves[n];
  const heightOf = (each) => (each < tree.count ? 0 : tree.heights[each - tree.count]);
  while (parents[node] !== node && heightOf(parents[node]) <= threshold) node = parents[node];
  return { inside, size, next: parents[node] === node ? null : heightOf(parents[node]) };
}

function buildControls(figure) {
  const threshold = traitSlider(figure, "threshold", "Boundaries up to this strength are gone", { min: 0, max: STEPS, parts: STEPS },
    (value) => fixed(value, 2));
  const view = traitChoice(figure, "view", "Show", VIEWS);
  return element("div", { class: "controls" }, threshold.node,
    element("div", { class: "segcore-bar" }, figure.photos.nodes[0], element("div", { class: "views-choice" }, view.node)));
}

function build(figure) {
  openTrees(figure);
  const { pictures: packed } = figure.model.get("data");
  figure.photos = photographs(figure, {
    packed: Object.fromEntries(Object.entries(packed).map(([name, { image }]) => [name, image])), options: PHOTOS,
  });
  const parts = { contours: surface("contours"), regions: surface("regions"),
    marks: marks("Scores against the truth", MARKS), words: element("p", { class: "words segcore-label" }) };
  pointable(figure, parts.contours);
  pointable(figure, parts.regions);
  parts.pictures = element("div", { class: "pictures", dataset: { view: figure.state.view } }, parts.contours.node, parts.regions.node);
  figure.first(
    element("p", { class: "segcore-lead", text: "Boundaries fall in the order of their strength; what they parted becomes one region." }),
    trials(figure, TRIALS, "Move the slider, and watch the region under the pointer grow.").node, buildControls(figure), parts.pictures,
    key(["scale", "boundaries, from weak to strong"], ["ring chosen", "the region pointed at"]), parts.words, parts.marks.node);
  parts.marks.node.hidden = figure.state.photo !== "scene"; // nothing moves once the picture is there
  return parts;
}

function draw(figure, changed) {
  const { parts, state, look } = figure;
  figure.photos.draw();
  parts.pictures.dataset.view = state.view;
  const fresh = changed("photo", "threshold") || !figure.view;
  if (fresh) figure.view = work(figure);
  const { view } = figure;
  if (!view) return; // the pictures are still being decoded
  const [x, y] = pointed(figure, view.photo);
  const region = regionAt(view, state.threshold, y * view.photo.width + x);
  const words = `The region pointed at has ${plural(region.size, "pixel")}. ${region.next === null
    ? "It is the whole picture." : `At ${fixed(region.next, 2)} it merges with another one.`}`;
  const titles = { contours: `Boundaries above ${fixed(state.threshold, 2)}`, regions: `${plural(view.count, "region")} of ${grouped(view.tree.count)}` };
  if (fresh) {
    parts.contours.show(boundaryPicture(view, state.threshold, look));
    parts.regions.show(regionPicture(view));
  }
  for (const name of ["contours", "regions"]) {
    const part = parts[name];
    const pen = part.pen();
    edgePath(pen, region.inside, view.photo.width, part.unit, (value) => value === 1);
    strokeAll(pen, [look.text, 4.5], [look.second, 2.5]);
    drawDisc(pen, (x + 0.5) * part.unit, (y + 0.5) * part.unit, 2.5, null, [look.text, 3], [look.page, 1.5]);
    setText(part.head, titles[name]);
    part.canvas.setAttribute("aria-label", `${titles[name]}. ${words} The arrow keys move to other regions.`);
  }
  setText(parts.words, words);
  if (fresh) {
    const found = view.tree.truth && scores(view.labels, view.tree.truth);
    parts.marks.set(found && { covering: fixed(found.covering, 3), rand: fixed(found.rand, 3), information: `${fixed(found.information, 2)} bits` });
    figure.say(`${titles.regions}. ${words}`);
  }
  figure.trials.draw(); // its words count the regions
}

export default widget({
  slug: "grouping",
  traits: { photo: oneOf(...PHOTOS.map(([name]) => name)), threshold: number(0, 1), at: listOf(whole(0, 239), 2), view: oneOf(...VIEWS.map(([name]) => name)) },
  colours: ["page", "text", "second"],
  build,
  draw,
});
