import { key, traitChoice, traitSlider, trials } from "./kit/controls.js";
import { element, setText } from "./kit/elements.js";
import { listOf, number, oneOf, whole, widget } from "./kit/figure.js";
import { resizeBilinear } from "./kit/maps.js";
import { clamp, fixed, signed } from "./kit/numbers.js";
import { pointable, pointed, surface } from "./kit/photographs.js";
import { clearCanvas, openImage, outlineRect, pixelsOf, unpackBytes } from "./kit/pictures.js";

// What a network says of each spot of a picture, as shares of bins in the ab plane, and the one colour that a temperature takes
// out of them. Arithmetic first, as pure functions; what is drawn comes below.

// Two bytes for each bin that is kept: which of the used ones, and its share. Gives for each spot [[number of the bin, share], ...].
export function unpackShares(text, used, kept) {
  const bytes = unpackBytes(text);
  return Array.from({ length: bytes.length / (2 * kept) }, (_, spot) => {
    const pairs = Array.from({ length: kept }, (_, k) => [used[bytes[2 * (spot * kept + k)]], bytes[2 * (spot * kept + k) + 1]])
      .filter(([, share]) => share > 0);
    const sum = pairs.reduce((total, [, share]) => total + share, 0);
    return pairs.map(([bin, share]) => [bin, share / sum]);
  });
}

// Shares to the power 1 / T, divided by their sum.
export function sharpen(pairs, temperature) {
  const most = Math.max(...pairs.map(([, share]) => share));
  const raised = pairs.map(([bin, share]) => [bin, Math.exp(Math.log(share / most) / temperature)]);
  const sum = raised.reduce((total, [, share]) => total + share, 0);
  return raised.map(([bin, share]) => [bin, share / sum]);
}

// The mean colour of the sharpened shares.
export function annealedMean(pairs, temperature, bins) {
  const colour = [0, 0];
  for (const [bin, share] of sharpen(pairs, temperature)) for (const k of [0, 1]) colour[k] += share * bins[bin][k];
  return colour;
}

const unroot = (t) => (t > 0.2068966 ? t * t * t : (t - 16 / 116) / 7.787);
const shown = (v) => 255 * clamp(v > 0.0031308 ? 1.055 * v ** (1 / 2.4) - 0.055 : 12.92 * v);

// L*, a*, b* as sRGB from 0 to 255, clipped; into `out` from a place on, if there is one.
export function labToRgb(lightness, a, b, out = [], from = 0) {
  const y = (lightness + 16) / 116;
  const [X, Y, Z] = [0.95047 * unroot(y + a / 500), unroot(y), 1.08883 * unroot(Math.max(0, y - b / 200))];
  out[from] = shown(3.24048134 * X - 1.53715152 * Y - 0.49853633 * Z);
  out[from + 1] = shown(-0.96925495 * X + 1.87599 * Y + 0.04155593 * Z);
  out[from + 2] = shown(0.05564664 * X - 0.20404134 * Y + 1.05731107 * Z);
  return out;
}

// ---- The figure --------------------------------------------------------------------------------------------------

const [ROWS, COLUMNS, KEPT, PIXELS] = [20, 30, 8, 4]; // spots down and across, bins kept of each, pixels on its sides
const MODE = 0.01;
const PICTURES = [["scene", "Scene"], ["coffee", "Coffee (seen)"], ["cat", "Cat (unseen)"]];
const VIEWS = [["colour", "In colour"], ["grey", "Grey"], ["truth", "As it was"]];
const at = (picture, temperature, view = "colour") => ({ picture, temperature, view });
const TRIALS = [
  { label: "Mean, 0.38, mode", values: [at("scene", 1), at("scene", 0.38), at("scene", MODE)],
    note: ({ temperature }) => (temperature === 1 ? "The mean: the floor is green, but objects are grey. Each was orange or blue, and the mean of both is neither. Press again."
      : temperature === MODE ? "The mode: every object commits, nearly always to orange, which was the more frequent." : "The paper\u2019s temperature, between both: likelier colours count more.") },
  { label: "As it was", values: at("scene", 0.38, "truth"), note: "Which object was blue, no network could know: their lightness is the same." },
  { label: "A picture it knows", values: at("coffee", 0.38), note: "Six photographs are soon learnt by heart. Here the temperature hardly matters, since nearly all shares lie close together." },
  { label: "One it does not", values: [at("cat", 0.38), at("cat", 0.38, "truth")], note: "Fur was in none of the six. The colours are those of other photographs. Press again for the true ones." },
];

function unpacked(figure) {
  const { bins, pictures } = figure.model.get("data");
  figure.bins = bins;
  figure.inks = bins.map((bin) => `rgb(${labToRgb(62, ...bin).map(Math.round).join(" ")})`);
  figure.pictures = {};
  for (const [name, { lightness, truth, used, shares }] of Object.entries(pictures)) {
    const signs = new Int8Array(unpackBytes(truth).buffer);
    figure.pictures[name] = { truth: Array.from({ length: ROWS * COLUMNS }, (_, n) => [signs[2 * n], signs[2 * n + 1]]),
      spots: unpackShares(shares, used, KEPT), lightness: null };
    openImage(lightness, "image/webp").then((canvas) => {
      figure.pictures[name].lightness = pixelsOf(canvas);
      figure.mark("picture");
    });
  }
}

// The picture from its lightness and the colours of its spots.
function coloured({ data, height, width }, colours) {
  const image = new ImageData(width, height);
  const maps = [0, 1].map((k) => resizeBilinear({ data: Float64Array.from(colours, (colour) => colour[k]), height: ROWS, width: COLUMNS }, height, width).data);
  const out = image.data.fill(255);
  for (let n = 0; n < height * width; n++) labToRgb((data[4 * n] / 255) * 100, maps[0][n], maps[1][n], out, 4 * n);
  return image;
}

function coloursOf(figure, { picture, view, temperature }) {
  const { spots, truth } = figure.pictures[picture];
  if (view === "truth") return truth;
  return spots.map((pairs) => (view === "grey" ? [0, 0] : annealedMean(pairs, temperature, figure.bins)));
}

// From the plane to the canvas: a* to the right, b* upwards.
const place = (unit, [a, b]) => [(a + 95) * unit, (105 - b) * unit];

function drawMark(pen, look, [x, y], kind) {
  const path = { mean: () => pen.arc(x, y, 6, 0, 2 * Math.PI), mode: () => pen.rect(x - 6, y - 6, 12, 12),
    truth: () => [[-6, 0, 6, 0], [0, -6, 0, 6]].forEach(([a, b, c, d]) => { pen.moveTo(x + a, y + b); pen.lineTo(x + c, y + d); }),
    here: () => pen.arc(x, y, 5, 0, 2 * Math.PI) };
  pen.beginPath();
  path[kind]();
  if (kind === "here") {
    pen.fillStyle = look.text;
    pen.fill();
  }
  for (const [colour, thickness] of [[look.page, 4.5], [look.text, 2]]) {
    [pen.strokeStyle, pen.lineWidth] = [colour, thickness];
    pen.stroke();
  }
}

// The cells that sRGB can show, those that share the spot in proportion, and the colours taken out of them.
function drawPlane(figure, pairs, colours) {
  const { plane } = figure.parts;
  const width = plane.parentElement.clientWidth;
  const unit = width / 205;
  const pen = clearCanvas(plane, width, 222 * unit);
  const square = (bin, side, alpha) => {
    const [x, y] = place(unit, figure.bins[bin]);
    pen.globalAlpha = alpha;
    pen.fillStyle = figure.inks[bin];
    pen.fillRect(x - side / 2, y - side / 2, side, side);
    pen.globalAlpha = 1;
    return [x - side / 2, y - side / 2, side, side];
  };
  figure.bins.forEach((_, bin) => square(bin, 9 * unit, 0.28));
  for (const [bin, share] of sharpen(pairs, figure.state.temperature)) {
    const box = square(bin, 4 * unit + 22 * unit * Math.sqrt(share), 1);
    if (share > 0.005) outlineRect(pen, ...box, [figure.look.text, 1]);
  }
  for (const [kind, colour] of Object.entries(colours)) drawMark(pen, figure.look, place(unit, colour), kind);
}

function buildControls(figure) {
  const words = (value) => `${fixed(value, 2)}${value === 1 ? ", the mean" : value === MODE ? ", the mode" : ""}`;
  const heat = traitSlider(figure, "temperature", "Temperature", { min: 1, max: 100, parts: 100 }, words, (temperature) =>
    ({ temperature, view: "colour" }));
  return element("div", { class: "controls" }, heat.node, element("div", { class: "segcore-bar" },
    traitChoice(figure, "picture", "Picture", PICTURES).node, traitChoice(figure, "view", "Show", VIEWS).node));
}

function build(figure) {
  unpacked(figure);
  const parts = { view: surface("picture", {}, ROWS / COLUMNS), plane: element("canvas", { role: "img" }),
    words: element("p", { class: "words segcore-label" }) };
  pointable(figure, parts.view);
  const legend = key(["dot text", "at this temperature"], ["ring text colorization-mean", "mean"], ["ring text", "mode"], ["colorization-truth", "as it was"],
    ["colorization-shares", "the larger, the likelier"]);
  figure.first(
    element("p", { class: "segcore-lead", text: "How likely each colour is, and one number that decides which is taken." }),
    trials(figure, TRIALS, "Move the temperature. Point at the picture: the plane of colours shows what the network says of that spot.").node,
    element("div", { class: "pictures" }, parts.view.node,
      element("div", { class: "plane" }, element("p", { class: "segcore-label", text: "That spot in the ab plane" }),
        element("div", { class: "room" }, parts.plane), legend)), buildControls(figure), parts.words);
  return parts;
}

const pair = ([a, b]) => `(${signed(a, 0)}, ${signed(b, 0)})`;

function draw(figure, changed) {
  const { parts, state, look } = figure;
  const picture = figure.pictures[state.picture];
  if (!picture.lightness) return;
  if (changed("picture", "view", "temperature")) parts.view.show(coloured(picture.lightness, coloursOf(figure, state)));
  const [x, y] = pointed(figure, picture.lightness).map((value) => Math.floor(value / PIXELS));
  const spot = y * COLUMNS + x;
  const pairs = picture.spots[spot];
  const pen = parts.view.pen();
  const side = PIXELS * parts.view.unit;
  outlineRect(pen, x * side, y * side, side, side, [look.text, 4], [look.page, 2]);
  const [mean, here, mode] = [1, state.temperature, MODE].map((temperature) => annealedMean(pairs, temperature, figure.bins));
  drawPlane(figure, pairs, { mean, mode, truth: picture.truth[spot], here });
  const words = `Row ${y + 1}, column ${x + 1}: a*, b* = ${pair(here)} at ${fixed(state.temperature, 2)}; mean ${pair(mean)}, mode ${pair(mode)}, as it was ${pair(picture.truth[spot])}.`;
  setText(parts.view.head, { colour: "Its lightness, and the colours taken", grey: "What the network sees", truth: "As it was" }[state.view]);
  setText(parts.words, words);
  parts.plane.setAttribute("aria-label", `The ab plane. ${words}`);
  parts.view.canvas.setAttribute("aria-label", `${parts.view.head.textContent}. ${words} The arrow keys move to other spots.`);
  if (changed("picture", "view", "temperature", "at")) figure.say(words);
}

const pixel = listOf(whole(0, PIXELS * COLUMNS - 1), 2);

export default widget({
  slug: "colorization",
  traits: { picture: oneOf("scene", "coffee", "cat"), view: oneOf("colour", "grey", "truth"), temperature: number(0.01, 1),
    at: (value) => pixel(value) || (value[1] < PIXELS * ROWS ? "" : "a pixel from 0, 0 to 119, 79") },
  colours: ["page", "text"],
  build,
  draw,
});
