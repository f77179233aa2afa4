// Photographs that travel in the page, and one of the reader's own, which never leaves it. The trait `photo` names the one
// that is shown; "" is the reader's own.

import { css } from "./colours.js";
import { button, choice } from "./controls.js";
import { element } from "./elements.js";
import { clamp } from "./numbers.js";
import { enlarge, openImage, pixelsOf } from "./pictures.js";
import { onArrows, pointIn } from "./pointer.js";

// A decoded picture in the middle of a canvas of another size, as pixels, on white where it is transparent.
function laid(bitmap, width, height, [across, down]) {
  const canvas = element("canvas", { width, height });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = css([255, 255, 255]);
  pen.fillRect(0, 0, width, height);
  pen.imageSmoothingQuality = "high";
  const [wide, high] = [bitmap.width * across, bitmap.height * down];
  pen.drawImage(bitmap, (width - wide) / 2, (height - high) / 2, wide, high);
  bitmap.close();
  return pixelsOf(canvas);
}

// A file as pixels, at no more than `area` of them.
async function openFile(file, area) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, Math.sqrt(area / (bitmap.width * bitmap.height)));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.floor(side * scale)));
  return laid(bitmap, width, height, [width / bitmap.width, height / bitmap.height]);
}

// The square in a file's middle, `side` pixels wide.
export async function openSquare(file, side) {
  const bitmap = await createImageBitmap(file);
  const scale = side / Math.min(bitmap.width, bitmap.height);
  return laid(bitmap, side, side, [scale, scale]);
}

// What `opening` gives, or null and a word to the reader where their file is none that the browser can read.
export async function readable(figure, opening) {
  const pixels = await opening.catch(() => null);
  figure.notice(pixels ? "" : "This file cannot be read as a picture. A JPEG, PNG or WebP can.");
  return pixels;
}

// `packed` holds the pictures as WebP in base64, `options` their names and labels; `opened` is what to do, and say, when
// the reader has opened one of their own, which has `area` pixels at most. Gives the controls, `now()`, the pixels to show (undefined until they are
// decoded), and `takeDrops(node)`.
export function photographs(figure, { packed, options, area, opened }) {
  const ready = {};
  let own = null;
  for (const [name, text] of Object.entries(packed)) {
    openImage(text, "image/webp").then((canvas) => {
      ready[name] = pixelsOf(canvas);
      figure.mark("photo");
    });
  }
  async function open(file) {
    const pixels = file && await readable(figure, openFile(file, area));
    if (!pixels) return;
    own = pixels;
    figure.set({ photo: "" });
    figure.mark("photo");
    opened();
  }
  const first = options[0][0];
  const picker = choice("Picture", options, figure.state.photo, (value) => figure.set({ photo: value }));
  const [browse, file] = fileButton("Your own \u2026", open);
  return {
    nodes: [picker.node, browse, file],
    now: () => (figure.state.photo || !own ? ready[figure.state.photo || first] : own),
    draw() {
      picker.set(figure.state.photo || (own ? "" : first));
      browse.setAttribute("aria-pressed", String(!figure.state.photo && Boolean(own)));
    },
    takeDrops: (node) => takeDrops(node, open),
  };
}

// A button that asks for a picture's file, and its hidden input.
export function fileButton(text, open) {
  const file = element("input", { type: "file", accept: "image/*", hidden: true,
    onchange: () => open(file.files[0]).then(() => (file.value = "")) });
  return [button(text, () => file.click(), { title: "It stays in this page" }), file];
}

export function takeDrops(node, open) {
  node.addEventListener("dragover", (event) => event.preventDefault());
  node.addEventListener("drop", (event) => {
    event.preventDefault();
    open(event.dataTransfer.files[0]);
  });
}

// A title and below it a canvas in a room of four to three, or of another `ratio`, which shows pixels as large as they fit:
// nothing moves when another picture comes. `show(pixels)` changes them, `pen()` lays them down anew and gives the pen to draw on.
export function surface(name, attributes = {}, ratio = 0.75) {
  const [canvas, small] = [element("canvas", attributes), element("canvas")];
  const head = element("p", { class: "segcore-label" });
  const room = element("div", { class: "segcore-room", style: `aspect-ratio: ${1 / ratio}` }, canvas);
  const view = { node: element("div", { class: `segcore-surface ${name}` }, head, room), canvas, head, small, unit: 1 };
  view.show = (pixels) => {
    [small.width, small.height] = [pixels.width, pixels.height];
    small.getContext("2d").putImageData(pixels, 0, 0);
  };
  view.pen = () => {
    view.unit = Math.min(room.clientWidth / small.width, (ratio * room.clientWidth) / small.height);
    return enlarge(canvas, small, view.unit * small.width);
  };
  return view;
}

// `figure.hover` is what `place(event)` says of the pointer above a node, null where it is elsewhere.
export function followPointer(figure, node, place) {
  const hover = (at) => {
    figure.hover = at;
    figure.mark("at");
  };
  node.addEventListener("pointermove", (event) => hover(place(event)));
  node.addEventListener("pointerleave", () => hover(null));
}

// Point at a pixel of a surface: `figure.hover` follows the pointer, the trait `at` is what was clicked or walked to by keys.
// `pointed(figure, size)` is the pixel that counts.
export function pointable(figure, { canvas, small }) {
  canvas.setAttribute("tabindex", "0");
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-roledescription", "picture to point at");
  const place = (event) => {
    const [x, y] = pointIn(canvas, event, canvas.clientWidth / small.width).map(Math.floor);
    return [clamp(x, 0, small.width - 1), clamp(y, 0, small.height - 1)];
  };
  followPointer(figure, canvas, place);
  canvas.addEventListener("pointerdown", (event) => figure.set({ at: place(event) }));
  onArrows(canvas, ([dx, dy]) => {
    const [x, y] = pointed(figure, small);
    figure.hover = null;
    figure.set({ at: [clamp(x + 4 * dx, 0, small.width - 1), clamp(y + 4 * dy, 0, small.height - 1)] });
  });
}

export function pointed(figure, { height, width }) {
  const [x, y] = figure.hover ?? figure.state.at;
  return [Math.min(x, width - 1), Math.min(y, height - 1)];
}
