import { css, viridis } from "./kit/colours.js";
import { key, marks, slider, traitChoice, trials } from "./kit/controls.js";
import { element, setText } from "./kit/elements.js";
import { listOf, number, oneOf, widget } from "./kit/figure.js";
import { clamp, fixed } from "./kit/numbers.js";
import { pointable, pointed, surface } from "./kit/photographs.js";
import { outlineRect, paintPixels, unpackBytes, unpackMask } from "./kit/pictures.js";
import { draggable, pointIn } from "./kit/pointer.js";

// A scene in relief: shaded anew under any lamp by its true normals, and by those of the network or of its depth.
// Arithmetic first, as pure functions; what is drawn comes below. Normals are three numbers a pixel: x right, y down, z away.

// Three signed bytes a pixel, as unit vectors.
export function unpackNormals(text) {
  const bytes = new Int8Array(unpackBytes(text).buffer);
  const normals = new Float64Array(bytes.length);
  for (let n = 0; n < bytes.length; n += 3) {
    const length = Math.hypot(bytes[n], bytes[n + 1], bytes[n + 2]);
    for (let k = 0; k < 3; k++) normals[n + k] = bytes[n + k] / length;
  }
  return normals;
}

// The unit vector towards a lamp that stands over a place of the picture: the middle is the camera, the rim is sideways.
export function towards([x, y]) {
  const far = Math.hypot(x, y);
  const shrink = far > 1 ? 1 / far : 1;
  return [x * shrink, y * shrink, -Math.sqrt(Math.max(0, 1 - Math.min(1, far * far)))];
}

// How bright each pixel of a matt surface is: the cosine between its normal and the way to the lamp, 0 where it is turned away.
export function shade(normals, light) {
  const [x, y, z] = towards(light);
  return Float64Array.from({ length: normals.length / 3 }, (_, n) =>
    Math.max(0, normals[3 * n] * x + normals[3 * n + 1] * y + normals[3 * n + 2] * z));
}

// The angle between two maps at each pixel, in degrees.
export function angles(one, other) {
  return Float64Array.from({ length: one.length / 3 }, (_, n) => {
    let cosine = 0;
    for (let k = 0; k < 3; k++) cosine += one[3 * n + k] * other[3 * n + k];
    return (Math.acos(clamp(cosine, -1, 1)) * 180) / Math.PI;
  });
}

// Their mean over all pixels, over those of objects, and the share within 11.25 degrees.
export function summary(found, objects) {
  const mean = (keep) => {
    const kept = found.filter((_, n) => keep(n));
    return kept.reduce((sum, angle) => sum + angle, 0) / kept.length;
  };
  return { all: mean(() => true), objects: mean((n) => objects[n]), close: found.filter((angle) => angle <= 11.25).length / found.length };
}

// ---- The figure --------------------------------------------------------------------------------------------------

const SCENES = [["first", "1"], ["second", "2"]];
const SOURCES = [["network", "Network"], ["depth", "True depth"]];
const VIEWS = [["lamp", "Under a lamp"], ["normals", "As colours"], ["angle", "Angle between"]];
const WORST = 60; // degrees, the brightest
const COLOURS = viridis(256);
const MARKS = [["all", "Mean angle", "between the two normals of a pixel, over all pixels"], ["objects", "On objects alone", "the same without floor and wall"],
  ["close", "Within 11.25\u00b0", "pixels whose normals are that close"]];
const at = (x, y, more = {}) => ({ scene: "first", source: "network", view: "lamp", light: [x, y], ...more });
const TRIALS = [
  { label: "Round the scene", values: [at(-0.8, -0.4), at(0, -0.9), at(0.8, -0.4), at(0, 0)],
    note: ({ light: [x, y] }) => `The lamp stands ${x < 0 ? "on the left" : x > 0 ? "on the right" : y < 0 ? "above" : "at the camera"}. Each press moves it: watch which sides light up in one of the two pictures, but not in the other.` },
  { label: "Light from the side", values: at(0.95, -0.1),
    note: "Light that grazes shows what a map of colours hides: the network's flat sides are not flat, and its round ones are too soft." },
  { label: "Where they differ", values: at(-0.8, -0.4, { view: "angle" }),
    note: "Bright is a large angle. Floor and wall are nearly right, and they are most of the picture: look at the objects alone." },
  { label: "From true depth", values: at(-0.8, -0.4, { source: "depth", view: "angle" }),
    note: "No network: two steps along the surface and their cross product. Exact on planes; a step across an outline is a step to another surface." },
];

// What the page holds of each scene: normals from three sources, and which pixels are objects.
function unpacked(figure) {
  const scenes = Object.entries(figure.model.get("data").scenes).map(([name, { truth, network, depth, objects }]) => {
    const maps = { truth: unpackNormals(truth), network: unpackNormals(network), depth: unpackNormals(depth) };
    const side = Math.round(Math.sqrt(maps.truth.length / 3));
    return [name, { ...maps, side, objects: unpackMask(objects, side, side).data }];
  });
  return Object.fromEntries(scenes);
}

const pixels = (side, colour) => paintPixels(side, side, colour);

function pictureOf({ view, light }, normals, found, side) {
  if (view === "angle" && found) return pixels(side, (n) => COLOURS[Math.round(255 * clamp(found[n] / WORST))]);
  if (view === "normals") return pixels(side, (n) => [0, 1, 2].map((k) => 127.5 * (1 + normals[3 * n + k] * (k === 2 ? -1 : 1))));
  const bright = shade(normals, light);
  return pixels(side, (n) => Array(3).fill(255 * bright[n]));
}

// Drag over a picture: the lamp follows the hand.
function addLamp(figure, view) {
  pointable(figure, view);
  const place = (event) => pointIn(view.canvas, event, view.canvas.clientWidth / 2).map((value) => Math.round(20 * clamp(value - 1, -1, 1)) / 20);
  draggable(view.canvas, { start: (event) => event, move: (_, event) => figure.set({ light: place(event), view: "lamp" }), slack: 3 });
}

function buildControls(figure) {
  const move = (k, value) => figure.set({ light: figure.state.light.map((old, n) => (n === k ? value / 20 : old)) });
  const across = slider("Lamp, left to right", { min: -20, max: 20 }, (value) => move(0, value));
  const down = slider("Lamp, up to down", { min: -20, max: 20 }, (value) => move(1, value));
  const choices = [["scene", "Scene", SCENES], ["source", "Compare with", SOURCES], ["view", "Show", VIEWS]];
  const node = element("div", { class: "controls" }, across.node, down.node,
    element("div", { class: "segcore-bar" }, ...choices.map((each) => traitChoice(figure, ...each).node)));
  const said = (value, low, high) => (value ? `${fixed(Math.abs(value), 2)} ${value < 0 ? low : high}` : "middle");
  function draw(state) {
    across.set(Math.round(20 * state.light[0]), said(state.light[0], "left", "right"));
    down.set(Math.round(20 * state.light[1]), said(state.light[1], "up", "down"));
  }
  return { node, draw };
}

function build(figure) {
  figure.scenes = unpacked(figure);
  const parts = { truth: surface("truth", {}, 1), other: surface("other", {}, 1), controls: buildControls(figure), marks: marks("The angle between both", MARKS),
    words: element("p", { class: "words segcore-label" }) };
  [parts.truth, parts.other].forEach((view) => addLamp(figure, view));
  const steps = [0, 25, 50, 75, 100].map((step) => `${css(COLOURS[Math.round(2.55 * step)])} ${step}%`).join(", ");
  parts.scale = key(["scale angle", `0 to ${WORST}\u00b0`]);
  parts.scale.querySelector("i").style.background = `linear-gradient(90deg, ${steps})`;
  figure.first(
    element("p", { class: "segcore-lead", text: "Who knows the normals can move the lamp after the picture was taken." }),
    trials(figure, TRIALS, "Drag over a picture: the lamp follows. Point at a pixel to compare its two normals.").node,
    element("div", { class: "pictures" }, parts.truth.node, parts.other.node), parts.scale, parts.controls.node, parts.words, parts.marks.node);
  return parts;
}

const vector = (normals, n) => `(${[0, 1, 2].map((k) => fixed(normals[3 * n + k], 2)).join(", ")})`;

function draw(figure, changed) {
  const { parts, state, look } = figure;
  const scene = figure.scenes[state.scene];
  const { side, truth } = scene;
  const other = scene[state.source];
  parts.controls.draw(state);
  const found = angles(truth, other);
  const titles = { truth: "True normals", other: state.source === "network" ? "The network\u2019s" : "From the true depth" };
  if (state.view === "angle") titles.other = "The angle between both";
  const [x, y] = pointed(figure, { height: side, width: side });
  const n = y * side + x;
  const words = `Row ${y + 1}, column ${x + 1}: true ${vector(truth, n)}, ${state.source === "network" ? "network" : "from depth"} ${vector(other, n)}, ${fixed(found[n], 1)}\u00b0 apart.`;
  for (const [name, normals] of [["truth", truth], ["other", other]]) {
    const part = parts[name];
    if (changed("scene", "source", "view", "light")) part.show(pictureOf(state, normals, name === "other" ? found : null, side));
    const pen = part.pen();
    outlineRect(pen, x * part.unit, y * part.unit, part.unit, part.unit, [look.text, 4], [look.page, 2]);
    setText(part.head, titles[name]);
    part.canvas.setAttribute("aria-label", `${titles[name]}. ${words} The arrow keys move to other pixels.`);
  }
  parts.scale.style.visibility = state.view === "angle" ? "visible" : "hidden";
  setText(parts.words, words);
  const scores = summary(found, scene.objects);
  parts.marks.set({ all: `${fixed(scores.all, 1)}\u00b0`, objects: `${fixed(scores.objects, 1)}\u00b0`, close: `${fixed(100 * scores.close, 1)} %` });
  if (changed("scene", "source", "light", "at")) figure.say(words);
}

export default widget({
  slug: "geometry",
  traits: { scene: oneOf("first", "second"), source: oneOf("network", "depth"), view: oneOf("lamp", "normals", "angle"), light: listOf(number(-1, 1), 2),
    at: listOf(number(0, 47), 2) },
  colours: ["page", "text"],
  build,
  draw,
});
