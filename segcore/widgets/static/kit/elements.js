// Elements of the page: made, changed only where they differ, and counted.

const SVG = "http://www.w3.org/2000/svg";

// Ids must be unique in a page that may hold the same widget twice, each with its own copy of this file: the page counts.
export function uniqueId(stem) {
  globalThis.segcoreIds = (globalThis.segcoreIds ?? 0) + 1;
  return `${stem}-${globalThis.segcoreIds}`;
}

function dress(node, attributes, children) {
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

// Build an element: attributes, `class`, `text`, `dataset`, and listeners as `onclick`, `oninput`, ...
export function element(tag, attributes = {}, ...children) {
  return dress(document.createElement(tag), attributes, children);
}

// The same for a shape of SVG.
export function shape(tag, attributes = {}, ...children) {
  return dress(document.createElementNS(SVG, tag), attributes, children);
}

// Set attributes of a shape, those alone that differ: an untouched node costs no layout.
export function put(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    const text = String(value);
    if (node.getAttribute(name) !== text) node.setAttribute(name, text);
  }
}

// Change a text only if it differs.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Make `el` the widget's root: in a notebook it is bare, in the static page it already stands inside a root.
export function stage(el, slug) {
  if (!el.closest(".segcore-widget")) el.classList.add("segcore-widget");
  const root = element("div", { class: `segcore-root ${slug}` });
  // In JupyterLab arrows and letters are the notebook's commands, unless the focused element itself claims its keys.
  root.addEventListener("focusin", ({ target }) => {
    if (target.closest(".lm-Widget")) target.setAttribute("data-lm-suppress-shortcuts", "true");
  });
  el.append(root);
  return root;
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
