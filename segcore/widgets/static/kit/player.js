// Play, step and scrub through something that goes from 0 to `count()`: a slider, buttons, and time that passes.

import { element, put, setText, shape } from "./elements.js";
import { prefersStillness } from "./figure.js";
import { clamp } from "./numbers.js";

const ICONS = {
  first: "M3 3h2v10H3zM14 3v10L6 8z", back: "M10.5 2L4.5 8l6 6 1.5-1.5L7.5 8 12 3.5z", reverse: "M12 2v12L3 8z",
  play: "M4 2v12l9-6z", pause: "M4 3h3v10H4zM9 3h3v10H9z", on: "M5.5 2l6 6-6 6L4 12.5 8.5 8 4 3.5z", last: "M2 3v10l8-5zM11 3h2v10h-2z",
};

function iconButton(label, icon, onclick) {
  const path = shape("path", { d: ICONS[icon] });
  const node = element("button", { type: "button", class: "segcore-button segcore-icon", onclick },
    shape("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, path));
  const set = (text, name) => {
    put(node, { "aria-label": text, title: text });
    put(path, { d: ICONS[name] });
  };
  set(label, icon);
  return { node, set };
}

// `get()` and `seek(position)` reach the position, a number that need not be whole; `count()` is the last one, `rate()` how
// many steps pass in a second, `rest` how long to stay at each whole step (seconds), `words(position)` what the slider says,
// `steps` true for buttons that go one step. Where the reader prefers stillness, time goes in whole steps.
export function player(figure, { label, count, get, seek, rate, words, rest = 0, reverse = false, page = () => 1 }) {
  const still = prefersStillness();
  let [direction, clock, pause] = [0, null, 0];
  const go = (position) => {
    play(0);
    seek(clamp(position, 0, count()));
  };
  const nudge = (by) => go(by > 0 ? Math.floor(get() + 1e-6) + by : Math.ceil(get() - 1e-6) + by);
  const input = element("input", { type: "range", min: 0, step: still ? 1 : 0.01, "aria-label": label, oninput: () => go(input.valueAsNumber) });
  input.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: page(), PageDown: -page() }[event.key];
    if (!by || event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    nudge(by);
  });
  const [forward, backward] = [iconButton("Play", "play", () => play(direction === 1 ? 0 : 1)),
    iconButton("Play backwards", "reverse", () => play(direction === -1 ? 0 : -1))];
  const [first, back, on, last] = [["To the beginning", "first", () => go(0)], ["One step back", "back", () => nudge(-1)],
    ["One step on", "on", () => nudge(1)], ["To the end", "last", () => go(count())]]
    .map(([text, icon, act]) => iconButton(text, icon, act));
  const reading = element("output", { class: "segcore-reading" });
  const node = element("div", { class: "segcore-player", role: "group", "aria-label": label },
    first.node, reverse ? backward.node : null, back.node, forward.node, on.node, last.node, input, reading);

  function play(way) {
    if (direction === way) return;
    [direction, clock, pause] = [way, null, 0];
    if (way && get() === (way > 0 ? count() : 0)) seek(way > 0 ? 0 : count());
    figure.mark("player");
  }
  // Called in every frame: moves on if playing.
  function advance(now) {
    if (!direction) return;
    figure.mark("player");
    const passed = clock === null ? 0 : Math.min(still ? Infinity : 0.1, (now - clock) / 1000);
    if (still && clock !== null && passed * rate() < 1) return; // a whole step's time has not passed
    clock = now;
    if ((pause -= passed) > 0) return;
    const position = get();
    const stop = direction > 0 ? Math.floor(position + 1e-9) + 1 : Math.ceil(position - 1e-9) - 1;
    const moved = still ? (passed ? stop : position) : position + direction * passed * rate();
    const arrived = direction * (moved - stop) >= 0;
    seek(clamp(arrived && (rest || still) ? stop : moved, 0, count()));
    if (arrived) pause = rest;
    if (get() === (direction > 0 ? count() : 0)) play(0);
  }
  function draw() {
    const position = get();
    put(input, { max: count(), "aria-valuetext": words(position) });
    if (Math.abs(input.valueAsNumber - position) > 0.006) input.value = String(position);
    setText(reading, words(position));
    forward.set(direction === 1 ? "Pause" : "Play", direction === 1 ? "pause" : "play");
    backward.set(direction === -1 ? "Pause" : "Play backwards", direction === -1 ? "pause" : "reverse");
    first.node.disabled = back.node.disabled = position <= 0;
    on.node.disabled = last.node.disabled = position >= count();
  }
  figure.stops.push(() => (direction = 0));
  return { node, input, advance, draw, stop: () => play(0), get playing() { return direction; } };
}
