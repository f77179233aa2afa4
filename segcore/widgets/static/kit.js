// What every widget of the course needs and no more: elements, canvases that stay sharp, themes, frames, numbers.
// The Python base class puts this file in place of a widget's import line, so it imports nothing and only declares.

// Ids must be unique in a page that may hold the same widget twice, each with its own copy of this file: the page counts.
export function uniqueId(stem) {
  globalThis.segcoreIds = (globalThis.segcoreIds ?? 0) + 1;
  return `${stem}-${globalThis.segcoreIds}`;
}

// Build an element: attributes, `class`, `text`, `dataset`, and listeners as `onclick`, `oninput`, ...
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "text") node.textContent = value;
    else if (name === "dataset") Object.assign(node.dataset, value);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// Make `el` the widget's root: in a notebook it is bare, in the static page it already stands inside a root.
export function stage(el, slug) {
  if (!el.closest(".segcore-widget")) el.classList.add("segcore-widget");
  const root = element("div", { class: `segcore-root ${slug}` });
  el.append(root);
  return root;
}

// Draw at most once per frame, whatever asks for it, and remember how long the last drawings took (milliseconds).
export function frameLoop(draw) {
  const loop = { times: [], request, stop };
  let pending = 0;
  function request() {
    if (!pending) pending = requestAnimationFrame(run);
  }
  function run(now) {
    pending = 0;
    const begin = performance.now();
    draw(now);
    loop.times.push(performance.now() - begin);
    if (loop.times.length > 600) loop.times.shift();
  }
  function stop() {
    cancelAnimationFrame(pending);
  }
  return loop;
}

// Match a canvas's pixels to its size on screen; drawing then happens in CSS pixels. True if anything changed.
export function fitCanvas(canvas, width, height) {
  const ratio = Math.min(3, window.devicePixelRatio || 1);
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width === w && canvas.height === h) return false;
  [canvas.width, canvas.height] = [w, h];
  [canvas.style.width, canvas.style.height] = [`${width}px`, `${height}px`];
  canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
  return true;
}

// A repeating hatch for canvases; `slope` 1 rises to the right, -1 falls.
export function hatchPattern(context, colour, slope, gap = 6, thickness = 1.5) {
  const ratio = Math.min(3, window.devicePixelRatio || 1);
  const tile = document.createElement("canvas");
  tile.width = tile.height = Math.round(gap * ratio);
  const pen = tile.getContext("2d");
  const side = tile.width;
  pen.strokeStyle = colour;
  pen.lineWidth = thickness * ratio;
  pen.beginPath();
  for (const shift of [-side, 0, side]) {
    pen.moveTo(shift - 1, slope > 0 ? side + 1 : -1);
    pen.lineTo(shift + side + 1, slope > 0 ? -1 : side + 1);
  }
  pen.stroke();
  const pattern = context.createPattern(tile, "repeat");
  pattern.setTransform(new DOMMatrix().scale(1 / ratio));
  return pattern;
}

// The current values of CSS variables, for canvases: {name: "--segcore-name"}.
export function themeColours(el, names) {
  const style = getComputedStyle(el);
  const colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--segcore-${name}`).trim()]));
  return { ...colours, font: style.fontFamily };
}

// Call back when the page changes between light and dark: the book's attribute, JupyterLab's, or the system's.
export function onTheme(callback) {
  const observer = new MutationObserver(callback);
  const filter = { attributes: true, attributeFilter: ["data-theme", "data-jp-theme-light", "class"] };
  observer.observe(document.documentElement, filter);
  observer.observe(document.body, filter);
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", callback);
  return () => {
    observer.disconnect();
    media.removeEventListener("change", callback);
  };
}

// Call back when an element becomes wider or narrower, or is shown at last; its height is its own affair.
export function onResize(el, callback) {
  let width = -1;
  const observer = new ResizeObserver(() => {
    if (el.clientWidth === width) return;
    width = el.clientWidth;
    callback();
  });
  observer.observe(el);
  return () => observer.disconnect();
}

export function prefersStillness() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

// Bytes from base64, as Python's `base64.b64encode` writes it.
export function unpackBytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

// A number for people: fixed digits, a true minus sign, no "-0.0".
export function fixed(value, digits = 1) {
  const text = value.toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "\u2212");
}

export function signed(value, digits = 1) {
  const text = fixed(value, digits);
  return Number(value.toFixed(digits)) > 0 ? `+${text}` : text;
}

// Change a text only if it differs: an untouched node costs no layout.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// One choice out of few, as a row of radio buttons: {value: label}. The value is kept as given.
export function choice(legend, options, value, onChange) {
  const name = uniqueId("segcore-choice");
  const inputs = new Map();
  const labels = options.map(([option, label, title]) => {
    const input = element("input", { type: "radio", name, value: String(option), onchange: () => onChange(option) });
    inputs.set(option, input);
    return element("label", { title }, input, element("span", { text: label }));
  });
  const node = element(
    "fieldset",
    { class: "segcore-choice" },
    element("legend", { text: legend }),
    element("div", { class: "segcore-options" }, ...labels),
  );
  const set = (chosen) => inputs.forEach((input, option) => (input.checked = option === chosen));
  set(value);
  return { node, set };
}

// A polite announcement for screen readers, made only once things have come to rest.
export function announcer(delay = 500) {
  const node = element("div", { class: "segcore-hidden", "aria-live": "polite", role: "status" });
  let timer = 0;
  return {
    node,
    say(text) {
      clearTimeout(timer);
      timer = setTimeout(() => setText(node, text), delay);
    },
    stop: () => clearTimeout(timer),
  };
}
