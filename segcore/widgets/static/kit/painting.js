// A canvas that the reader paints on: by mouse, pen and finger, and by keys, where arrows move the brush and Space puts it down.

import { clamp, same } from "./numbers.js";
import { arrowOf, draggable, pointIn } from "./pointer.js";

// `size()` gives { height, width } in pixels of the picture, `unit()` how wide one is on the screen, `cursor()` where the
// brush is, or null. A stroke is `begin(at)`, any number of `line(from, to)`, `end()`; `moved(at, keys)` says where the brush
// is now, null if nowhere; `key(event)` is true for what other keys mean.
export function paintable(canvas, { size, unit, cursor, begin, line, end, moved, key = () => false }) {
  const pixel = (event) => pointIn(canvas, event, unit()).map(Math.floor);
  const inside = ([x, y]) => x >= 0 && y >= 0 && x < size().width && y < size().height;
  const show = (at) => moved(inside(at) ? at : null, false);
  const drag = draggable(canvas, {
    start(event) {
      const at = pixel(event);
      begin(at);
      moved(at, false);
      return { last: at };
    },
    move(grip, event) {
      const now = pixel(event);
      if (!same(now, grip.last)) line(grip.last, now);
      grip.last = now;
      show(now);
    },
    end,
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag.active && event.pointerType !== "touch") show(pixel(event));
  });
  canvas.addEventListener("pointerleave", () => { if (!drag.active) moved(null, false); });

  let down = false;
  let byKeys = false;
  const at = () => cursor() ?? [size().width >> 1, size().height >> 1];
  const put = (place) => {
    byKeys = place !== null;
    moved(place, true);
  };
  const lift = () => {
    if (down) end();
    down = false;
  };
  const press = () => {
    if (down) return;
    down = true;
    begin(at());
    put(at());
  };
  const walk = ([dx, dy]) => {
    const [from, { height, width }] = [at(), size()];
    const to = [clamp(from[0] + dx, 0, width - 1), clamp(from[1] + dy, 0, height - 1)];
    if (down) line(from, to);
    put(to);
  };
  const isPen = (event) => event.key === " " || event.key === "Enter";
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = arrowOf(event)?.map((by) => by * (event.shiftKey ? 5 : 1));
    if (step) walk(step);
    else if (isPen(event)) press();
    else if (!key(event)) return;
    event.preventDefault();
  });
  canvas.addEventListener("keyup", (event) => { if (isPen(event)) lift(); });
  canvas.addEventListener("blur", () => {
    lift();
    if (byKeys) put(null);
  });
  canvas.addEventListener("focus", () => { if (canvas.matches(":focus-visible")) put(at()); });
}
