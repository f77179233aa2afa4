import { CLASS_COLOURS, hexToRgb } from "./kit/colours.js";
import { button, choice, key, slider, trials } from "./kit/controls.js";
import { element, setText } from "./kit/elements.js";
import { listOf, number, oneOf, whole, widget } from "./kit/figure.js";
import { loadNetwork, networkWorker } from "./kit/network.js";
import { clamp, fixed } from "./kit/numbers.js";
import { openSquare, surface } from "./kit/photographs.js";
import { outlineRect } from "./kit/pictures.js";
import { draggable, onArrows, pointIn } from "./kit/pointer.js";
import { classCounts, confusionMatrix, iou, nanMean } from "./kit/scores.js";
import { floorUnder, inHue, renderScene } from "./kit/world.js";

// A scene that the reader moves, and four networks that answer as it moves. The arithmetic is the kit's: `world.js` casts the
// rays, `network.js` runs the networks; here is what the reader's hand makes of a scene, and what is read from an answer.

// The objects of a stored scene as the state writes them: [number, kind, x, z, hue].
export const objectsOf = (stored) => stored.objects.map(({ kind, centre: [x, , z] }, n) => [n, kind, x, z, -1]);

// A stored object as another kind: it keeps its width, and a box or a cylinder its height.
function sized({ kind, half: [x, y] }, wanted) {
  if (wanted === kind) return null;
  return wanted === 1 ? [x, x, x] : [x, y, x];
}

// The kit's, to be tried by the tests.
export const sceneOf = (world, height, width) => renderScene(world, height, width);
export const networkOf = (described, plain) => loadNetwork(described, plain);

// The world that is shown: a stored one with its objects moved, changed, removed, and the lamp elsewhere.
export function worldOf(stored, { objects, lamp }) {
  if (!objects.length && !lamp.length) return stored;
  const given = objects.length ? objects : objectsOf(stored);
  return {
    ...stored,
    lamp: [lamp[0] ?? stored.lamp[0], ...stored.lamp.slice(1)],
    objects: given.map(([number, kind, x, z, hue]) => {
      const old = stored.objects[number % stored.objects.length];
      const half = sized(old, kind) ?? old.half;
      return { kind, half, turn: old.turn, centre: [x, -half[1], z], surface: hue < 0 ? old.surface : inHue(old.surface, hue / 360) };
    }),
  };
}

// The class with the highest score at each pixel, the first of several.
export function labelsOf(logits, plane) {
  return Uint8Array.from({ length: plane }, (_, n) => {
    let best = 0;
    for (let k = 1; k < logits.length / plane; k += 1) if (logits[k * plane + n] > logits[best * plane + n]) best = k;
    return best;
  });
}

// Mean IoU over the classes that are there or are predicted.
export const meanIou = (labels, truth) => nanMean(classCounts(confusionMatrix(labels, truth, 4), 4).map(iou));

// ---- The figure --------------------------------------------------------------------------------------------------

const NAMES = ["FCN-32s", "FCN-16s", "FCN-8s", "U-Net"];
const ABOUT = {
  "FCN-32s": "One score for each 32 × 32 pixels, enlarged",
  "FCN-16s": "The same, plus finer scores from halfway down",
  "FCN-8s": "And finer ones still",
  "U-Net": "An encoder, a decoder, and a bridge at every size",
};
const KINDS = [[1, "Sphere"], [2, "Box"], [3, "Cylinder"]];
const VIEWS = [["labels", "Classes"], ["mistakes", "Mistakes"]];
const COLOURS = CLASS_COLOURS.map(hexToRgb);
const MOST = 6;
const [NEAR, FAR, SIDE] = [2, 6, 4];
const REST = "Drag an object: towards you, away, behind another. The networks have never seen what you make.";
const state = (objects, view = "labels") => ({ scene: 0, objects, lamp: [], view });
const two = (z) => state([[0, 1, 0.2, z, -1], [1, 2, -0.9, z, -1]]);
const OLIVE = [[0, 1, 0.91, 2.61, -1], [1, 2, -0.59, 2.72, 60], [2, 1, 0.17, 4.85, -1], [3, 3, 1.15, 4.24, -1]];
const TRIALS = [
  { label: "Farther", values: [2.4, 3.6, 4.8, 5.8].map(two),
    note: "Press again: a sphere and a box walk away. What is smaller than a cell of 32 pixels, FCN-32s loses; the U-Net holds on to it." },
  { label: "Olive box", values: state(OLIVE), back: state([]),
    note: "Boxes lean to blue here, cylinders to green. All three FCNs go by the colour; the U-Net minds the shape as well." },
  { label: "Mistakes", values: state([], "mistakes"), back: state([]),
    note: "Bright is wrong, in the colour of what the network says there. Each skip takes mistakes away; what is left lies along the outlines." },
];

const storedNow = (figure) => figure.model.get("data").worlds[figure.state.scene];
const objectsNow = (figure) => (figure.state.objects.length ? figure.state.objects : objectsOf(storedNow(figure)));
const chosenNow = (figure) => Math.min(figure.state.chosen, objectsNow(figure).length - 1);

function change(figure, which, values) {
  const objects = objectsNow(figure).map((each, n) => (n === which ? each.map((old, k) => values[k] ?? old) : each));
  figure.set({ objects, chosen: which });
}

// Put an object at a place of the floor, within what the camera sees.
function put(figure, which, x, z) {
  const far = clamp(z, NEAR, FAR);
  const side = Math.min(SIDE, 0.42 * far);
  change(figure, which, { 2: Math.round(100 * clamp(x, -side, side)) / 100, 3: Math.round(100 * far) / 100 });
}

// The hand on the scene: it takes what lies under it, and keeps it under itself.
function addHand(figure, { canvas }) {
  const size = figure.model.get("data").size;
  const place = (event) => pointIn(canvas, event, canvas.clientWidth / size);
  draggable(canvas, {
    start(event) {
      const [x, y] = place(event);
      const n = clamp(Math.floor(y), 0, size - 1) * size + clamp(Math.floor(x), 0, size - 1);
      const which = figure.shown.instances[n] - 1;
      if (which < 0) return null;
      const [camera, cosine, sine] = figure.world.camera;
      const down = (y - size / 2) / (1.1 * size);
      const lift = camera - figure.shown.depth[n] * (cosine * down + sine); // metres above the floor, where it is held
      const held = floorUnder(figure.world, x, y, size, size, lift);
      const [, , ox, oz] = objectsNow(figure)[which];
      figure.set({ chosen: which });
      return held ? { which, lift, by: [ox - held[0], oz - held[1]] } : null;
    },
    move({ which, lift, by }, event) {
      const at = floorUnder(figure.world, ...place(event), size, size, lift);
      if (at) put(figure, which, at[0] + by[0], at[1] + by[1]);
    },
  });
  onArrows(canvas, ([right, down]) => {
    const which = chosenNow(figure);
    const [, , x, z] = objectsNow(figure)[which];
    put(figure, which, x + 0.1 * right, z - 0.1 * down);
  });
  canvas.addEventListener("keydown", (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    figure.set({ chosen: (chosenNow(figure) + 1) % objectsNow(figure).length });
  });
}

function add(figure) {
  const objects = objectsNow(figure);
  const [number, kind, x, z, hue] = objects[chosenNow(figure)];
  figure.set({ objects: [...objects, [number, kind, x > 0 ? x - 0.9 : x + 0.9, z, hue]].slice(0, MOST), chosen: Math.min(MOST - 1, objects.length) });
}

function remove(figure) {
  const which = chosenNow(figure);
  figure.set({ objects: objectsNow(figure).filter((_, n) => n !== which), chosen: Math.max(0, which - 1) });
}

// A photograph of the reader's, cut to a square, in place of the scene: it stays in this page, and nobody knows its truth.
async function takePhotograph(figure, file) {
  if (!file) return;
  const size = figure.model.get("data").size;
  let pixels;
  try {
    pixels = await openSquare(file, size);
  } catch {
    figure.notice("This file cannot be read as a picture. A JPEG, PNG or WebP can.");
    return;
  }
  figure.notice("");
  const plane = size * size;
  const image = Float32Array.from({ length: 3 * plane }, (_, n) => pixels.data[4 * (n % plane) + Math.floor(n / plane)] / 255);
  figure.photograph = { image, height: size, width: size, labels: new Uint8Array(plane), instances: new Uint8Array(plane), unknown: true };
  figure.mark("photograph");
}

// What is chosen at once, and below it, folded, what changes an object.
function buildControls(figure) {
  const scene = choice("Scene", figure.model.get("data").worlds.map((_, n) => [n, String(n + 1)]), figure.state.scene,
    (value) => figure.set({ scene: value, objects: [], lamp: [], chosen: 0 }));
  const view = choice("Show", VIEWS, figure.state.view, (value) => figure.set({ view: value }));
  const kind = choice("The framed object", KINDS, 1, (value) => change(figure, chosenNow(figure), { 1: value }));
  const hue = slider("Its colour", { min: 0, max: 360, step: 5 }, (value) => change(figure, chosenNow(figure), { 4: value }));
  const lamp = slider("Lamp, left to right", { min: -40, max: 40 }, (value) => figure.set({ lamp: [value / 10] }));
  const more = button("One more like it", () => add(figure));
  const less = button("Take it away", () => remove(figure));
  const file = element("input", { type: "file", accept: "image/*", hidden: true,
    onchange: () => takePhotograph(figure, file.files[0]).then(() => (file.value = "")) });
  const browse = button("Your own photograph \u2026", () => file.click(), { title: "It stays in this page" });
  function draw(state) {
    const [objects, which] = [objectsNow(figure), chosenNow(figure)];
    const side = state.lamp[0] ?? storedNow(figure).lamp[0];
    scene.set(state.scene);
    view.set(state.view);
    kind.set(objects[which][1]);
    hue.set(Math.max(0, objects[which][4]), objects[which][4] < 0 ? "its own" : `${Math.round(objects[which][4])}\u00b0`);
    lamp.set(Math.round(10 * side), `${fixed(Math.abs(side), 1)} m ${side < 0 ? "left" : "right"}`);
    more.disabled = objects.length >= MOST;
    less.disabled = objects.length < 2;
  }
  const bar = element("div", { class: "segcore-bar" }, scene.node, view.node);
  const folded = element("div", { class: "controls" }, element("div", { class: "segcore-bar" }, kind.node, more, less), hue.node, lamp.node,
    element("div", { class: "segcore-bar" }, browse, file));
  return { bar, folded, draw };
}

function build(figure) {
  const { networks, size } = figure.model.get("data");
  const parts = { scene: surface("scene", { tabindex: "0", role: "application", "aria-roledescription": "scene to move",
    "aria-label": "The scene. Arrow keys move the chosen object, Space chooses the next." }, 1),
  truth: surface("truth", { role: "img", "aria-label": "The true classes" }, 1), nets: {}, controls: buildControls(figure) };
  parts.key = key(["sphere", "sphere"], ["box", "box"], ["cylinder", "cylinder"], ["background", "background"]);
  parts.words = element("p", { class: "words segcore-label" });
  setText(parts.scene.head, "Scene: drag it");
  for (const name of NAMES) {
    parts.nets[name] = surface("net", { role: "img", "aria-label": `What ${name} says` }, 1);
    parts.nets[name].head.append(element("span", { title: ABOUT[name], text: name }), element("b", { title: "Mean IoU over the classes" }));
  }
  figure.answer = null;
  figure.worker = networkWorker(networks, ({ outputs, times }, shown) => {
    const labels = Object.fromEntries(NAMES.map((name) => [name, labelsOf(outputs[name], size * size)]));
    figure.answer = { labels, times, shown };
    figure.mark("answer");
  });
  figure.stops.push(figure.worker.stop);
  addHand(figure, parts.scene);
  parts.scene.node.addEventListener("dragover", (event) => event.preventDefault());
  parts.scene.node.addEventListener("drop", (event) => {
    event.preventDefault();
    takePhotograph(figure, event.dataTransfer.files[0]);
  });
  figure.first(
    element("p", { class: "segcore-lead", text: "Move the scene: four networks answer." }),
    trials(figure, TRIALS, REST).node,
    element("div", { class: "panels" }, parts.scene.node, parts.truth.node, ...NAMES.map((name) => parts.nets[name].node)),
    parts.key, parts.controls.bar, parts.words);
  figure.more("Change an object or the light, or show them a photograph", [parts.controls.folded]);
  return parts;
}

// A map's picture: `pixel(n, grey)` says how much of which colour lies over a grey of which brightness.
function painted({ image, height, width }, pixel) {
  const [pixels, plane] = [new ImageData(width, height), height * width];
  for (let n = 0; n < plane; n += 1) {
    const grey = 255 * (0.3 * image[n] + 0.59 * image[plane + n] + 0.11 * image[2 * plane + n]);
    const { colour, share, dim } = pixel(n);
    for (let c = 0; c < 3; c += 1) pixels.data[4 * n + c] = colour ? share * colour[c] + (1 - share) * grey : dim * grey;
    pixels.data[4 * n + 3] = 255;
  }
  return pixels;
}

const over = (colour, share) => ({ colour, share, dim: 0 });
const OVER = COLOURS.map((colour, k) => (k ? over(colour, 0.72) : { colour: null, share: 0, dim: 0.8 }));
const WRONG = COLOURS.map((colour, k) => over(k ? colour : [255, 255, 255], 0.92));
const RIGHT = { colour: null, share: 0, dim: 0.4 };

// Classes laid over the scene in grey; or the mistakes alone, in the colour of what they say, white for background.
const pictureOf = (shown, labels, view) =>
  painted(shown, view === "labels" ? (n) => OVER[labels[n]] : (n) => (labels[n] === shown.labels[n] ? RIGHT : WRONG[labels[n]]));

function photograph({ image, height, width }) {
  const [pixels, plane] = [new ImageData(width, height), height * width];
  for (let n = 0; n < plane; n += 1) {
    for (let c = 0; c < 3; c += 1) pixels.data[4 * n + c] = 255 * image[c * plane + n];
    pixels.data[4 * n + 3] = 255;
  }
  return pixels;
}

// The chosen object's frame on the scene.
function drawFrame(figure, view) {
  const { instances, height, width } = figure.shown;
  const which = chosenNow(figure) + 1;
  let [left, top, right, bottom] = [width, height, -1, -1];
  instances.forEach((each, n) => {
    if (each !== which) return;
    const [x, y] = [n % width, Math.floor(n / width)];
    [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x), Math.max(bottom, y)];
  });
  const pen = view.pen();
  if (right < 0) return;
  const unit = view.unit;
  outlineRect(pen, left * unit, top * unit, (right + 1 - left) * unit, (bottom + 1 - top) * unit, [figure.look.page, 3], [figure.look.text, 1.2]);
}

function draw(figure, changed) {
  const { state, parts } = figure;
  const size = figure.model.get("data").size;
  if (changed("scene", "objects", "lamp", "photograph")) {
    figure.world = worldOf(storedNow(figure), state);
    figure.shown = figure.photograph ?? renderScene(figure.world, size, size);
    setText(parts.truth.head, figure.photograph ? "Truth: nobody knows" : "Truth");
    figure.worker.ask(figure.shown.image, figure.shown);
    parts.scene.show(photograph(figure.shown));
    parts.truth.show(pictureOf(figure.shown, figure.shown.labels, "labels"));
    parts.truth.pen();
  }
  if (changed("scene") && !figure.answer) { // until the first answer: nothing found anywhere
    const nothing = { shown: figure.shown, labels: Object.fromEntries(NAMES.map((name) => [name, new Uint8Array(size * size)])) };
    drawAnswers(figure, nothing);
  }
  if (changed("scene", "objects", "lamp", "chosen", "photograph")) drawFrame(figure, parts.scene);
  if (changed("scene", "objects", "lamp", "chosen", "view")) parts.controls.draw(state);
  if (changed("answer", "view") && figure.answer) drawAnswers(figure, figure.answer);
}

function drawAnswers({ state, parts, worker }, { labels, shown, times }) {
  for (const name of NAMES) {
    const view = parts.nets[name];
    view.show(pictureOf(shown, labels[name], times && !shown.unknown ? state.view : "labels"));
    view.pen();
    if (times) setText(view.head.lastChild, shown.unknown ? "\u2013" : fixed(meanIou(labels[name], shown.labels), 2));
  }
  const took = Object.values(times ?? {}).reduce((sum, each) => sum + each, 0);
  setText(parts.words, `Numbers: mean IoU of this scene. The four answer ${worker.inWorker ? "beside the page, in a worker" : "in the page"}.`);
  parts.words.title = times ? `The last answer took ${fixed(took, 0)} ms` : "";
}

const legalObject = (value) =>
  Array.isArray(value) && value.length === 5 && !whole(0, MOST - 1)(value[0]) && !whole(1, 3)(value[1]) && !number(-SIDE, SIDE)(value[2]) &&
  !number(NEAR, FAR)(value[3]) && (value[4] === -1 || !number(0, 360)(value[4]))
    ? "" : "[number, kind, x, z, hue], with a kind from 1 to 3, x from -4 to 4, z from 2 to 6, a hue from 0 to 360 or -1";

export default widget({
  slug: "networks",
  colours: ["page", "text"],
  traits: {
    data: null,
    scene: whole(0, 5),
    objects: (value) => (Array.isArray(value) && value.length <= MOST ? value.map(legalObject).find(Boolean) ?? "" : `at most ${MOST} objects`),
    lamp: (value) => (Array.isArray(value) && value.length < 2 ? listOf(number(-SIDE, SIDE))(value) : "empty, or one number"),
    chosen: whole(0, MOST - 1),
    view: oneOf("labels", "mistakes"),
  },
  settled(figure, names) {
    if (["scene", "objects", "lamp"].some((name) => names.includes(name))) figure.photograph = null;
  },
  build,
  draw,
});
