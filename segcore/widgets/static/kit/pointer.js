// The reader's hand: dragging by mouse, pen, finger and arrow keys, and walking through cells by the arrow keys.

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// The arrow that a key event means, as [right, down] in steps; null if none, or if it belongs to the browser.
export function arrowOf(event) {
  return event.ctrlKey || event.altKey || event.metaKey ? null : (STEPS[event.key] ?? null);
}

// How much larger a node is drawn than it is laid out, as on a slide: an event says where it is drawn.
export const zoomOf = (node) => node.currentCSSZoom ?? 1;

// Dragging on `node`. `start(event)` gives what is dragged, or null; `move(grip, event, {dx, dy})` follows the hand, with
// the way since the start in CSS pixels; `end(grip, event, moved)` lets go. A finger that moves up or down on something
// with `touch-action: pan-y` scrolls the page, and the browser takes the drag away: that ends it too.
export function draggable(node, { start, move, end = () => {}, slack = 0 }) {
  let drag = null;
  node.addEventListener("pointerdown", (event) => {
    if (event.button > 0 || drag) return;
    const grip = start(event);
    if (grip === null || grip === undefined) return;
    node.setPointerCapture(event.pointerId);
    drag = { grip, id: event.pointerId, x: event.clientX, y: event.clientY, moved: false };
    if (event.pointerType !== "touch") event.preventDefault();
  });
  node.addEventListener("pointermove", (event) => {
    if (drag?.id !== event.pointerId) return;
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y].map((way) => way / zoomOf(node));
    if (!drag.moved && Math.hypot(dx, dy) < slack) return;
    drag.moved = true;
    move(drag.grip, event, { dx, dy });
  });
  for (const type of ["pointerup", "pointercancel", "lostpointercapture"]) {
    node.addEventListener(type, (event) => {
      if (drag?.id !== event.pointerId) return;
      const { grip, moved } = drag;
      drag = null;
      end(grip, event, moved);
    });
  }
  return { get active() { return drag !== null; } };
}

// Where an event lies in an element, in its CSS pixels, or in parts of `unit` pixels.
export function pointIn(node, event, unit = 1) {
  const frame = node.getBoundingClientRect();
  return [event.clientX - frame.left, event.clientY - frame.top].map((way) => way / zoomOf(node) / unit);
}

// Arrow keys on a node: `move([right, down], event)`, five steps with Shift unless `fast` says otherwise.
export function onArrows(node, move, { fast = 5 } = {}) {
  node.addEventListener("keydown", (event) => {
    const by = arrowOf(event);
    if (!by) return;
    event.preventDefault();
    move(by.map((step) => step * (event.shiftKey ? fast : 1)), event);
  });
}

// Enter or Space on a node.
export function onPress(node, act) {
  node.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    act();
  });
}

// A table of cells as one stop of the Tab key: the arrow keys walk, `enter(cell, focused)` says where the reader is.
// `rows()` gives the cells' nodes, row by row, as they are now.
export function walkCells(table, rows, { enter = () => {}, leave = () => {} } = {}) {
  const find = (node) => {
    const all = rows();
    const r = all.findIndex((row) => row.includes(node));
    return r < 0 ? null : { all, r, c: all[r].indexOf(node) };
  };
  const stopAt = (node) => rows().flat().forEach((cell) => cell.setAttribute("tabindex", cell === node ? "0" : "-1"));
  table.addEventListener("focusin", (event) => {
    const at = find(event.target);
    if (!at) return;
    stopAt(event.target);
    enter(at.r, at.c, event.target.matches(":focus-visible"));
  });
  table.addEventListener("focusout", () => leave());
  table.addEventListener("keydown", (event) => {
    const [by, at] = [arrowOf(event), find(event.target)];
    if (!by || !at) return;
    event.preventDefault();
    const row = at.all[Math.min(Math.max(at.r + by[1], 0), at.all.length - 1)];
    row[Math.min(Math.max(at.c + by[0], 0), row.length - 1)].focus();
  });
  return { stopAt };
}
