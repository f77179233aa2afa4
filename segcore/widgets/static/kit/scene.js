// A scene that the reader moves, its truth, and what networks make of it: traits, the hand, and pictures. `world.js` casts
// the rays. A widget has the traits `sceneTraits` and `data` with `worlds` and `size`; objects are [number, kind, x, z, hue] and, where it is another
// than their own, the number of a pattern.

import { CLASS_COLOURS, hexToRgb } from "./colours.js";
import { key, traitChoice } from "./controls.js";
import { element, setText } from "./elements.js";
import { listOf, number, whole } from "./figure.js";
import { clamp } from "./numbers.js";
import { fileButton, openSquare, readable, surface, takeDrops } from "./photographs.js";
import { outlineRect } from "./pictures.js";
import { draggable, onArrows, onPress, pointIn } from "./pointer.js";
import { floorUnder, inHue, renderScene } from "./world.js";

export const MOST = 6;
export const CLASS_NAMES = ["background", "sphere", "box", "cylinder"];
const [NEAR, FAR, SIDE] = [2, 6, 4];
const COLOURS = CLASS_COLOURS.map(hexToRgb);

// The objects of a stored scene as the state writes them.
export const objectsOf = (stored) => stored.objects.map(({ kind, centre: [x, , z] }, n) => [n, kind, x, z, -1]);

// A stored object as another kind: it keeps its width, and a box or a cylinder its height.
function sized({ kind, half: [x, y] }, wanted) {
  if (wanted === kind) return null;
  return wanted === 1 ? [x, x, x] : [x, y, x];
}

export const PATTERNS = [[-1, "Own"], [0, "Plain"], [1, "Upright", "Upright stripes"], [2, "Level", "Level stripes"], [3, "Checks"]];
const WAVES = [null, [2.2, 0, 2.2, 0, 0, 0], [0, 3, 0, 0, 0, 0], [2.2, 0, 2.2, 0, 3, 0]]; // three stripes a metre, upright ones on all sides

// A surface with one of these patterns, or as it is for -1: in its own two colours, the second darker where they are one.
function patterned(surface, pattern) {
  if (pattern < 0) return surface;
  const [first, second] = [surface.slice(0, 3), surface.slice(3, 6)];
  if (pattern === 0) return [...first, ...first, ...surface.slice(6)];
  const apart = Math.max(...first.map((value, c) => Math.abs(value - second[c])));
  return [...first, ...(apart > 0.15 ? second : first.map((value) => 0.45 * value)), surface[6], ...WAVES[pattern], 0, 0];
}

// The world that is shown: a stored one with its objects moved, changed, removed, and the lamp elsewhere.
export function worldOf(stored, { objects, lamp }) {
  if (!objects.length && !lamp.length) return stored;
  const given = objects.length ? objects : objectsOf(stored);
  return {
    ...stored,
    lamp: [lamp[0] ?? stored.lamp[0], ...stored.lamp.slice(1)],
    objects: given.map(([which, kind, x, z, hue, pattern = -1]) => {
      const old = stored.objects[which % stored.objects.length];
      const half = sized(old, kind) ?? old.half;
      const coloured = hue < 0 ? old.surface : inHue(old.surface, hue / 360);
      return { kind, half, turn: old.turn, centre: [x, -half[1], z], surface: patterned(coloured, pattern) };
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

const legalObject = (value) =>
  Array.isArray(value) && (value.length === 5 || (value.length === 6 && !whole(-1, 3)(value[5]))) && !whole(0, MOST - 1)(value[0]) &&
  !whole(1, 3)(value[1]) && !number(-SIDE, SIDE)(value[2]) && !number(NEAR, FAR)(value[3]) && (value[4] === -1 || !number(0, 360)(value[4]))
    ? "" : "[number, kind, x, z, hue] or with a pattern behind it: a kind from 1 to 3, x from -4 to 4, z from 2 to 6, a hue from 0 to 360 or -1, a pattern from -1 to 3";

export const sceneTraits = {
  data: null,
  scene: whole(0, 5),
  objects: (value) => (Array.isArray(value) && value.length <= MOST ? value.map(legalObject).find(Boolean) ?? "" : `at most ${MOST} objects`),
  lamp: (value) => (Array.isArray(value) && value.length < 2 ? listOf(number(-SIDE, SIDE))(value) : "empty, or one number"),
  chosen: whole(0, MOST - 1),
};

// ---- The hand ----------------------------------------------------------------------------------------------------

export const storedNow = (figure) => figure.model.get("data").worlds[figure.state.scene];
export const objectsNow = (figure) => (figure.state.objects.length ? figure.state.objects : objectsOf(storedNow(figure)));
export const chosenNow = (figure) => Math.min(figure.state.chosen, objectsNow(figure).length - 1);

export function change(figure, which, values) {
  const changed = (each) => Array.from({ length: 5 in values ? 6 : each.length }, (_, k) => values[k] ?? each[k]);
  const objects = objectsNow(figure).map((each, n) => (n === which ? changed(each) : each));
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
  onPress(canvas, () => figure.set({ chosen: (chosenNow(figure) + 1) % objectsNow(figure).length }));
}

// Two ways to show a photograph of one's own: a button with its input, which this gives, and the hand that drops it on `node`.
export function ownPhotograph(figure, node) {
  const take = (file) => takePhotograph(figure, file);
  takeDrops(node, take);
  return fileButton("Your own photograph \u2026", take);
}

// A change of the scene takes the reader's photograph away: the `settled` of a widget that shows one.
export function sceneSettled(figure, names) {
  if (["scene", "objects", "lamp"].some((name) => names.includes(name))) figure.photograph = null;
}

// A photograph of the reader's, cut to a square, in place of the scene: it stays in this page, and nobody knows its truth.
async function takePhotograph(figure, file) {
  if (!file) return;
  const size = figure.model.get("data").size;
  const pixels = await readable(figure, openSquare(file, size));
  if (!pixels) return;
  const plane = size * size;
  const image = Float32Array.from({ length: 3 * plane }, (_, n) => pixels.data[4 * (n % plane) + Math.floor(n / plane)] / 255);
  figure.photograph = { image, height: size, width: size, labels: new Uint8Array(plane), instances: new Uint8Array(plane), unknown: true };
  figure.mark("photograph");
}

export function buildScene(figure) {
  const scene = surface("scene", { tabindex: "0", role: "application", "aria-roledescription": "scene to move",
    "aria-label": "The scene. Arrow keys move the chosen object, Space chooses the next." }, 1);
  const truth = surface("truth", { role: "img", "aria-label": "The true classes" }, 1);
  setText(scene.head, "Scene: drag it");
  addHand(figure, scene);
  return { scene, truth };
}

export const sceneChoice = (figure) => traitChoice(figure, "scene", "Scene",
  figure.model.get("data").worlds.map((_, n) => [n, String(n + 1)]), (scene) => ({ scene, objects: [], lamp: [], chosen: 0 }));

export const classKey = () => key(...["sphere", "box", "cylinder", "background"].map((name) => [`scene-${name}`, name]));

// A network's answer: its name, and a number behind it.
export function answerSurface(name, about, says = `What ${name} says`) {
  const view = surface("net", { role: "img", "aria-label": says }, 1);
  view.head.append(element("span", { title: about, text: name }), element("b", { title: "Mean IoU over the classes" }));
  return view;
}

// ---- Pictures ----------------------------------------------------------------------------------------------------

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
export const pictureOf = (shown, labels, view = "labels") =>
  painted(shown, view === "labels" ? (n) => OVER[labels[n]] : (n) => (labels[n] === shown.labels[n] ? RIGHT : WRONG[labels[n]]));

export function photograph({ image, height, width }) {
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

// Draw the scene and its truth; true if what the networks look at has changed.
export function drawScene(figure, changed) {
  const { state, parts } = figure;
  const size = figure.model.get("data").size;
  const moved = changed("scene", "objects", "lamp", "photograph");
  if (moved) {
    figure.world = worldOf(storedNow(figure), state);
    figure.shown = figure.photograph ?? renderScene(figure.world, size, size);
    setText(parts.truth.head, figure.photograph ? "Truth: nobody knows" : "Truth");
    parts.scene.show(photograph(figure.shown));
    parts.truth.show(pictureOf(figure.shown, figure.shown.labels));
    parts.truth.pen();
  }
  if (moved || changed("chosen")) drawFrame(figure, parts.scene);
  return moved;
}
