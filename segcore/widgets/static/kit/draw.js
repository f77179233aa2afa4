// What stands in a scene of `segcore.data.scenes`, drawn in the page as Python draws it: the same hash of seed and number, so
// scene 5 of seed 7 is the same here and there. Names as in `_world.py`. What is here runs in workers too: DRAWING holds it all.

import { WORLD, renderScene } from "./world.js";

const [SCENE_NUMBERS, OBJECT_NUMBERS, CANDIDATES, GAP, HUE_SPREAD] = [32, 48, 12, 0.08, 0.26];
const HUES = [0, 0, 0.61, 0.33]; // of nothing, sphere, box, cylinder
const [LEAST, MOST] = [2, 5]; // objects in a scene

function mixBits(bits) {
  let x = Math.imul((bits >>> 16) ^ bits, 0x45d9f3b) >>> 0;
  x = Math.imul((x >>> 16) ^ x, 0x45d9f3b) >>> 0;
  return ((x >>> 16) ^ x) >>> 0;
}

// `count` random numbers in [0, 1): a function of seed, index and place.
export function uniform(seed, index, count) {
  const [first, second] = [mixBits(mixBits(seed) ^ index), mixBits((mixBits((seed ^ 0x5bd1e995) >>> 0) + index) >>> 0)];
  return Float64Array.from({ length: count }, (_, n) => (mixBits(mixBits((first + Math.imul(n, 0x9e3779b9)) >>> 0) ^ second) >>> 8) / 2 ** 24);
}

const within = (u, low, high) => low + (high - low) * u;

function colourOf(hue, saturation, value) {
  return [0, 4, 2].map((offset) => {
    const sixth = hue * 6 + offset;
    const pure = Math.min(1, Math.max(0, Math.abs(sixth - 6 * Math.floor(sixth / 6) - 3) - 1));
    return value * (1 - saturation * (1 - pure));
  });
}

function sizeOf(kind, width, height, depth) {
  if (kind === 1) return Array(3).fill(within(width, 0.28, 0.52));
  if (kind === 2) return [within(width, 0.22, 0.44), within(height, 0.2, 0.5), within(depth, 0.22, 0.44)];
  return [within(width, 0.2, 0.4), within(height, 0.22, 0.6), within(width, 0.2, 0.4)];
}

// An object's surface: plain, striped or checked, in two tones of one hue.
function materialOf(kind, next) {
  next();
  const hue = HUES[kind] + (next() + next() + next() - 1.5) * HUE_SPREAD;
  const [tone, other] = [next(), next()];
  const colour = colourOf(hue, within(tone, 0.55, 0.9), within(next(), 0.62, 1));
  const lighter = colourOf(hue, within(other, 0.15, 0.5), 1);
  const darker = colourOf(hue, within(other, 0.6, 0.9), within(other, 0.25, 0.45));
  const tones = next() < 0.5 ? lighter : darker;
  const [style, waves] = [next(), within(next(), 1.6, 3.2)];
  const [level, checked] = [style < 0.6, style > 0.8];
  const around = level && !checked ? 0 : waves;
  const phases = [next(), next()];
  if (!checked) phases[1] = 0;
  const gloss = within(next(), 0, 0.5);
  return [...colour, ...(style < 0.34 ? colour : tones), gloss, around, level ? waves : 0, around, 0, checked ? waves : 0, 0, ...phases];
}

// Floor or wall, of little colour.
function groundOf(next, [palest, value, darkest]) {
  const [hue, pale, bright] = [next(), within(next(), 0.04, palest), within(next(), ...value)];
  return [...colourOf(hue, pale, bright), ...colourOf(hue, pale, bright * within(next(), darkest, 1)), 0];
}

function floorOf(next) {
  const colours = groundOf(next, [0.22, [0.6, 0.85], 0.78]);
  const [across, tiled] = [within(next(), 0.7, 1.3), next() < 0.6];
  const phases = [next(), next()];
  return [...colours, across, 0, 0, 0, 0, tiled ? across : 0, phases[0], tiled ? phases[1] : 0];
}

const wallpaperOf = (next) => [...groundOf(next, [0.25, [0.68, 0.95], 0.86]), within(next(), 0.6, 1.2), 0, 0, 0, 0, 0, next(), 0];

// The first of an object's places that keeps clear of those before it, or null.
function freePlace(places, radius, standing) {
  return places.find(([x, z]) => standing.every((other) => {
    const [dx, dz, least] = [x - other.x, z - other.z, radius + other.radius + GAP];
    return dx * dx + dz * dz >= least * least;
  })) ?? null;
}

// One object out of its own numbers, where it is free to stand; null if it is nowhere.
function objectOf(own, breadth, standing) {
  let at = 0;
  const next = () => own[at++];
  const kind = 1 + Math.floor(next() * 3);
  const half = sizeOf(kind, next(), next(), next());
  const tangent = within(next(), -0.8, 0.8);
  const square = tangent * tangent;
  const surface = materialOf(kind, next);
  const places = Array.from({ length: CANDIDATES }, (_, n) => {
    const z = within(own[OBJECT_NUMBERS - 2 * CANDIDATES + n], 2.3, 4.9);
    return [(own[OBJECT_NUMBERS - CANDIDATES + n] - 0.5) * (0.86 * breadth) * z, z];
  });
  const radius = kind === 2 ? Math.sqrt(half[0] * half[0] + half[2] * half[2]) : half[0];
  const place = freePlace(places, radius, standing);
  if (!place) return null;
  const [x, z] = place;
  standing.push({ x, z, radius });
  return { kind, half, turn: [(1 - square) / (1 + square), (2 * tangent) / (1 + square)], centre: [x, -half[1], z], surface };
}

// A square scene as it is drawn, before the objects of which too little is seen are taken out.
function drawWorld(seed, index) {
  const numbers = uniform(seed, index, SCENE_NUMBERS + MOST * OBJECT_NUMBERS);
  let at = 0;
  const next = () => numbers[at++];
  const wanted = LEAST + Math.floor(next() * (MOST - LEAST + 1));
  const [objects, standing] = [[], []];
  for (let m = 0; m < wanted; m += 1) {
    const from = SCENE_NUMBERS + m * OBJECT_NUMBERS;
    objects.push(objectOf(numbers.subarray(from, from + OBJECT_NUMBERS), 1 / 1.1, standing));
  }
  const height = within(next(), 1.6, 2.3);
  const fall = (height - 0.3) / within(next(), 3.3, 3.9);
  const cosine = 1 / Math.sqrt(1 + fall * fall);
  const wall = within(next(), 6, 7.5);
  const side = within(next(), -1, 1);
  const lamp = [side < 0 ? side * 2 - 0.8 : side * 2 + 0.8, within(next(), -5, -3.6), within(next(), 0.3, 2.4)];
  return { camera: [height, cosine, fall * cosine], wall, lamp, room: [floorOf(next), wallpaperOf(next)], objects: objects.filter(Boolean) };
}

// A scene of so many pixels a side, rendered: as `make_scenes(1, size, seed, start=index)` gives it.
export function makeScene(size, seed, index) {
  const world = drawWorld(seed, index);
  let scene = renderScene(world, size, size);
  const seen = new Array(world.objects.length + 1).fill(0);
  for (const number of scene.instances) seen[number] += 1;
  const kept = world.objects.filter((_, m) => seen[m + 1] >= Math.max(4, (size * size) / 512));
  if (kept.length < world.objects.length) scene = renderScene({ ...world, objects: kept }, size, size);
  return scene;
}

export const DRAWING = { ...WORLD, SCENE_NUMBERS, OBJECT_NUMBERS, CANDIDATES, GAP, HUE_SPREAD, HUES, LEAST, MOST, mixBits, uniform, within, colourOf, sizeOf,
  materialOf, groundOf, floorOf, wallpaperOf, freePlace, objectOf, drawWorld, makeScene };
