// What all widgets are made of: a state shared with the model and the address, what has changed since the last frame,
// and frames that draw it. A widget's module ends with `export default widget(spec)`:
//
//   slug     the widget's name in the address and in the styles
//   traits   {name: check}; check(value) says what would be legal, or "" if it is; null keeps a trait out of the address
//   check    (state, figure, asked) => the same for values that are legal only together; optional. `asked` is what of the state
//            an address names
//   nameless (state) => true where no address can give the figure again; optional
//   colours  names of the theme's colours that canvases need; `look` may make more of them
//   build    (figure) => parts: make the elements, `figure.first(...)` what is seen at once, `figure.more(title, ...)` the rest
//   draw     (figure, changed, now): draw again what has changed; changed("box", "step") is true if one of these has
//
// In `build` and later: figure.state, figure.set({...}) from the reader's hand, figure.mark(...) to ask for a frame,
// figure.look (colours), figure.say(...) to screen readers, figure.parts (what build gave), figure.stops (called at the end).
// Controls of a trait (`traitChoice`, `traitSlider`, `traitBox` of controls.js) are set before `draw` is called.

import { followAddress } from "./address.js";
import { themeColours } from "./colours.js";
import { announcer, element, setText, stage } from "./elements.js";
import { same } from "./numbers.js";

// Draw at most once per frame, whatever asks for it, and remember how long the last drawings took (milliseconds).
function frameLoop(draw) {
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

// Call back when the page changes between light and dark: the book's attribute, JupyterLab's, or the system's.
function onTheme(callback) {
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
function onResize(el, callback) {
  let width = -1;
  const observer = new ResizeObserver(() => {
    if (el.clientWidth === width) return;
    width = el.clientWidth;
    callback();
  });
  observer.observe(el);
  return () => observer.disconnect();
}

// Call back when the page comes to a screen of another density, or is zoomed: canvases must be drawn again.
function onDensity(callback) {
  let media = null;
  const wait = () => {
    media?.removeEventListener("change", changed);
    media = matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`);
    media.addEventListener("change", changed);
  };
  const changed = () => {
    wait();
    callback();
  };
  wait();
  return () => media.removeEventListener("change", changed);
}

export function prefersStillness() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

class Figure {
  constructor({ model, el }, spec) {
    this.model = model;
    this.spec = spec;
    this.names = Object.keys(spec.traits);
    this.state = Object.fromEntries(this.names.map((name) => [name, model.get(name)]));
    this.root = stage(el, spec.slug);
    this.noticeLine = element("p", { class: "segcore-notice", role: "status" });
    this.firstForm = element("div", { class: "segcore-first" });
    this.rest = element("div", { class: "segcore-more" });
    this.announce = announcer();
    this.root.append(this.noticeLine, this.firstForm, this.rest, this.announce.node);
    this.dirty = new Set(["all"]);
    this.stops = [];
    this.controls = [];
    this.folds = [];
    this.parts = {};
    this.loop = frameLoop((now) => this.draw(now));
    this.root.frames = this.loop.times;
    for (const name of this.names) {
      const follow = () => this.follow(name);
      model.on(`change:${name}`, follow);
      this.stops.push(() => model.off(`change:${name}`, follow));
    }
  }

  // What the reader sees at once: cause and effect together.
  first(...nodes) {
    this.firstForm.append(...nodes.filter(Boolean));
  }

  // What waits below, folded under its title; open from the start with {open: true}.
  more(title, nodes, { open = false } = {}) {
    const node = element("details", { open, ontoggle: () => this.mark("all") }, element("summary", { text: title }),
      element("div", { class: "segcore-folded" }, ...nodes.filter(Boolean)));
    this.rest.append(node);
    this.folds.push(node);
    return node;
  }

  mark(...parts) {
    parts.forEach((part) => this.dirty.add(part));
    this.loop.request();
  }

  // The reader's hand. Gives the names of the traits that really changed.
  set(values) {
    const names = Object.keys(values).filter((name) => !same(this.state[name], values[name]));
    if (!names.length) return names;
    for (const name of names) {
      this.state[name] = values[name];
      this.model.set(name, values[name]);
    }
    this.model.save_changes(); // a busy kernel gets the newest values alone
    this.settled(names);
    return names;
  }

  // The model's word: the kernel's, or another view's of the same widget.
  follow(name) {
    const value = this.model.get(name);
    if (same(this.state[name], value)) return;
    this.state[name] = value;
    this.settled([name]);
  }

  settled(names) {
    this.spec.settled?.(this, names);
    this.onState?.();
    this.mark(...names);
  }

  // Of values that come from an address and stand for a change of `start`: those that the figure can show, and what is
  // wrong with the others.
  sift(values, start = this.state) {
    const [accepted, problems] = [{}, []];
    for (const [name, value] of Object.entries(values)) {
      const legal = this.spec.traits[name] === null ? "not part of an address" : (this.spec.traits[name]?.(value, this) ?? "");
      if (legal) problems.push(`${name} must be ${legal}`);
      else accepted[name] = value;
    }
    const together = this.spec.check?.({ ...start, ...accepted }, this, accepted);
    if (!together) return { accepted, problems };
    return { accepted: {}, problems: [...problems, together] };
  }

  notice(text) {
    setText(this.noticeLine, text);
  }

  say(text) {
    this.announce.say(text);
  }

  // The theme's colours, read once until it changes.
  get look() {
    if (!this.lookNow) {
      const colours = themeColours(this.root, this.spec.colours ?? []);
      this.lookNow = this.spec.look ? this.spec.look(colours, this) : colours;
    }
    return this.lookNow;
  }

  draw(now) {
    if (!this.root.clientWidth) {
      this.awaitSight();
      return;
    }
    const dirty = new Set(this.dirty);
    this.dirty.clear();
    const open = this.folds.map((fold) => fold.open).join(); // `toggle` comes later: a frame may be earlier
    if (open !== this.openFolds) dirty.add("all");
    this.openFolds = open;
    const changed = (...names) => dirty.has("all") || names.some((name) => dirty.has(name));
    this.trials?.draw();
    this.controls.forEach((follow) => follow(changed));
    this.spec.draw(this, changed, now);
  }

  // Hidden, in a closed tab or for the moment in which JupyterLab changes its theme: drawn once it is seen again.
  awaitSight() {
    this.sight ??= new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting && entry.boundingClientRect.width > 0)) return;
      this.sight.disconnect();
      this.loop.request();
    });
    this.sight.observe(this.root);
  }

  open() {
    const anew = () => this.mark("all");
    this.stops.push(onTheme(() => {
      this.lookNow = null;
      anew();
    }));
    this.stops.push(followAddress(this), onResize(this.root, anew), onDensity(anew), () => this.loop.stop(), this.announce.stop);
    this.stops.push(() => this.sight?.disconnect());
    this.draw(performance.now());
  }

  close() {
    this.stops.forEach((stop) => stop());
    this.root.remove();
  }
}

export function widget(spec) {
  function render({ model, el }) {
    const figure = new Figure({ model, el }, spec);
    figure.parts = spec.build(figure) ?? {};
    figure.open();
    return () => figure.close();
  }
  return { render };
}

// ---- What a trait may hold, for `traits`: each gives "" or what would be legal, to stand behind "must be".

export const oneOf = (...values) => (value) => (values.includes(value) ? "" : `one of ${values.join(", ")}`);
export const whole = (low, high) => (value) =>
  (Number.isInteger(value) && value >= low && value <= high ? "" : `a whole number from ${low} to ${high}`);
export const number = (low, high) => (value) =>
  (Number.isFinite(value) && value >= low && value <= high ? "" : `a number from ${low} to ${high}`);
export const yesNo = (value) => (typeof value === "boolean" ? "" : "true or false");
export const listOf = (check, count = null) => (value, figure) => {
  if (!Array.isArray(value) || (count !== null && value.length !== count)) return count === null ? "a list" : `a list of ${count}`;
  const problem = value.map((part) => check(part, figure)).find(Boolean);
  return problem ? `a list${count === null ? "" : ` of ${count}`}, each ${problem}` : "";
};
