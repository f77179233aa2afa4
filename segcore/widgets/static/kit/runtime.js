// Runs once per widget in a static page, as soon as the widget stands there. `model` answers like anywidget's, with no
// kernel behind it. The base class puts in the widget's key, and before all this the widget's `module`.
const root = [...document.querySelectorAll('.segcore-widget[data-key="__KEY__"]')].find((each) => !each.dataset.started);
root.dataset.started = "true";
const state = JSON.parse(root.querySelector(".segcore-state").textContent);
const listeners = new Map();
const alike = [...document.querySelectorAll(`.segcore-widget[data-widget="${root.dataset.widget}"]`)];
const model = {
  place: alike.indexOf(root) + 1,
  get: (name) => state[name],
  set(name, value) {
    if (JSON.stringify(state[name]) === JSON.stringify(value)) return;
    state[name] = value;
    for (const event of ["change:" + name, "change"]) {
      for (const call of [...(listeners.get(event) ?? [])]) call();
    }
  },
  on(event, call) { listeners.set(event, [...(listeners.get(event) ?? []), call]); },
  off(event, call) {
    listeners.set(event, (listeners.get(event) ?? []).filter((other) => call && other !== call));
  },
  save_changes() {},
};
const el = document.createElement("div");
el.className = "segcore-stage";
const still = root.querySelector(".segcore-still");
still.before(el); // it must have a width to be drawn, so the still picture goes only when all is there
root.dataset.ready = "almost";
await module.default.render({ model, el });
root.segcore = { module, model };
root.dataset.ready = "true";
root.dispatchEvent(new Event("segcore-alive", { bubbles: true }));
