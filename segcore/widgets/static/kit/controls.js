// Controls: buttons, choices, sliders, fields for numbers, keys of colours, and things to try.

import { element, setText, uniqueId } from "./elements.js";
import { same } from "./numbers.js";

export function button(text, onclick, attributes = {}) {
  return element("button", { type: "button", class: "segcore-button", text, onclick, ...attributes });
}

// One choice out of few, as a row of radio buttons: [[value, label, title]]. The value is kept as given.
export function choice(legend, options, value, onChange) {
  const name = uniqueId("segcore-choice");
  const inputs = new Map();
  const labels = options.map(([option, label, title]) => {
    const input = element("input", { type: "radio", name, value: String(option), onchange: () => onChange(option) });
    inputs.set(option, input);
    return element("label", { title }, input, element("span", { text: label }));
  });
  const node = element("fieldset", { class: "segcore-choice" }, element("legend", { text: legend }),
    element("div", { class: "segcore-options" }, ...labels));
  const set = (chosen) => inputs.forEach((input, option) => (input.checked = option === chosen));
  set(value);
  return { node, set, inputs };
}

export function checkbox(text, onChange) {
  const input = element("input", { type: "checkbox", onchange: () => onChange(input.checked) });
  return { node: element("label", { class: "segcore-check" }, input, element("span", { text })), input, set: (on) => (input.checked = on) };
}

// A slider with its label and its value in words.
export function slider(label, { min, max, step = 1 }, onInput) {
  const input = element("input", { type: "range", min, max, step, "aria-label": label, oninput: () => onInput(input.valueAsNumber) });
  const output = element("output");
  const node = element("label", { class: "segcore-slider" }, element("span", { class: "segcore-label", text: label }), input, output);
  const set = (value, text = String(value)) => {
    if (input.valueAsNumber !== value) input.value = String(value);
    setText(output, text);
    input.setAttribute("aria-valuetext", text);
  };
  return { node, input, set };
}

// A field for a number. `onValue(value)` gets what is typed, NaN where it is none, and says what is wrong ("" if nothing).
// A reader who is still typing never has the text rewritten under the cursor; what was wrong is put right on leaving.
export function numberField(label, { min, max, step = 1, hidden = false }, onValue) {
  const input = element("input", {
    type: "number", min, max, step, inputmode: Number.isInteger(step) ? "numeric" : "decimal", "aria-label": hidden ? label : null,
    oninput: () => input.setAttribute("aria-invalid", String(Boolean(onValue(input.valueAsNumber)))),
    onblur: () => set(now, true),
  });
  let now = NaN;
  function set(value, leaving = false) {
    now = value;
    if (!leaving && document.activeElement === input && input.getAttribute("aria-invalid") === "true") return;
    if (input.valueAsNumber !== value) input.value = Number.isNaN(value) ? "" : String(value);
    input.setAttribute("aria-invalid", "false");
  }
  const node = hidden ? input : element("label", { class: "segcore-field" }, element("span", { class: "segcore-label", text: label }), input);
  return { node, input, set };
}

// A grid of fields, edited cell by cell: rows of numbers that `onRows(rows)` gets anew.
export function matrixEditor(title, { rows, columns, min, max }, onRows) {
  const problem = element("p", { class: "segcore-problem", role: "alert" });
  let now = [];
  const fields = Array.from({ length: rows * columns }, (_, n) => {
    const [r, c] = [Math.floor(n / columns), n % columns];
    return numberField(`${title}, row ${r + 1}, column ${c + 1}`, { min, max, step: "any", hidden: true }, (value) => {
      const text = Number.isFinite(value) && value >= min && value <= max ? "" : `A number from ${min} to ${max}, please.`;
      setText(problem, text);
      if (!text) onRows(now.map((row, i) => row.map((old, j) => (i === r && j === c ? value : old))));
      return text;
    });
  });
  const node = element("div", { class: "segcore-editor", role: "group", "aria-label": title },
    element("span", { class: "segcore-label", text: title }),
    element("div", { class: "segcore-matrix", style: `--columns: ${columns}` }, ...fields.map((field) => field.node)), problem);
  const set = (values) => {
    now = values;
    fields.forEach((field, n) => field.set(values[Math.floor(n / columns)][n % columns]));
  };
  return { node, set, inputs: fields.map((field) => field.input) };
}

// ---- Controls of a trait: they set it by the reader's hand, and in each frame follow it by themselves. `values(value)` says
// what else a choice sets.

function bound(figure, trait, control, show) {
  figure.controls.push((changed) => changed(trait) && show(control, figure.state[trait]));
  return control;
}

const only = (trait) => (value) => ({ [trait]: value });

export function traitChoice(figure, trait, legend, options, values = only(trait)) {
  const control = choice(legend, options, figure.state[trait], (value) => figure.set(values(value)));
  return bound(figure, trait, control, ({ set }, value) => set(value));
}

export function traitBox(figure, trait, text, values = only(trait)) {
  return bound(figure, trait, checkbox(text, (on) => figure.set(values(on))), ({ set }, on) => set(on));
}

// The slider counts `parts` of one, or the places of a `list` of numbers; `words(value)` says the trait's value.
export function traitSlider(figure, trait, label, { parts = 1, list = null, ...range }, words = String, values = only(trait)) {
  const ends = list ? { min: 0, max: list.length - 1 } : range;
  const near = (value) => list.reduce((best, each, n) => (Math.abs(each - value) < Math.abs(list[best] - value) ? n : best), 0);
  const control = slider(label, ends, (n) => figure.set(values(list ? list[n] : Math.round(1e6 * n) / 1e6 / parts)));
  return bound(figure, trait, control, ({ set }, value) =>
    set(list ? near(value) : parts === 1 ? value : Math.round(parts * value), words(value)));
}

// What the marks mean: [[class of the swatch, words]]. A swatch is a fill; its class may make it a line, dot, ring or hatch.
export function key(...entries) {
  return element("ul", { class: "segcore-key" },
    ...entries.map(([mark, words]) => element("li", {}, element("i", { class: `segcore-mark ${mark}`, "aria-hidden": "true" }), words)));
}

// Scores in a row: [[name, label, title]]. `set` gets what each says, or null to hide them all.
export function marks(label, rows) {
  const values = new Map();
  const node = element("div", { class: "segcore-marks", role: "group", "aria-label": label }, ...rows.map(([name, text, title]) => {
    values.set(name, element("b"));
    return element("div", { title }, element("span", { class: "segcore-label", text }), values.get(name));
  }));
  function set(texts) {
    node.hidden = !texts;
    if (texts) values.forEach((value, name) => setText(value, texts[name]));
  }
  return { node, set };
}

// A small heading with what to see below it.
export const heading = (text, className = "") => element("h4", { class: `segcore-heading ${className}`, text });

function remembered(name) {
  try {
    return JSON.parse(localStorage.getItem(name) ?? "[]");
  } catch {
    return []; // storage is forbidden, or holds something else
  }
}

function remember(name, list) {
  try {
    localStorage.setItem(name, JSON.stringify(list));
  } catch {
    // forbidden: the ticks last as long as the page
  }
}

// Things to try: buttons that set the state and say what to look for, ticked once seen. A trial is
// { label, values, note }; `values` may be a list of states that the button goes through, press after press, and `note` a
// function of the state. With `back`, a state that is none of them, a press of a button that is down and has no further
// state leads there.
// A button is down while the state is the one that it sets, so nothing it says can go stale.
export function trials(figure, list, rest) {
  const store = `segcore-seen-${figure.spec.slug}`;
  const seen = new Set(remembered(store));
  const note = element("p", { class: "segcore-note", role: "status" });
  const statesOf = ({ values }) => (Array.isArray(values) ? values : [values]);
  const on = (values) => Object.entries(values).every(([name, value]) => same(figure.state[name], value));
  const press = (trial) => {
    const states = statesOf(trial);
    const at = states.findIndex(on);
    const next = trial.back && at === states.length - 1 ? trial.back : states[(at + 1) % states.length];
    seen.add(trial.label);
    remember(store, [...seen]);
    trial.before?.(figure);
    figure.set(next);
    figure.mark("trials");
  };
  const buttons = list.map((trial) => button(trial.label, () => press(trial), { "aria-pressed": "false" }));
  function draw() {
    let text = typeof rest === "function" ? rest(figure.state, figure) : rest;
    list.forEach((trial, n) => {
      const down = statesOf(trial).some(on);
      if (down) text = typeof trial.note === "function" ? trial.note(figure.state, figure) : trial.note;
      buttons[n].setAttribute("aria-pressed", String(down));
      buttons[n].classList.toggle("seen", seen.has(trial.label));
      buttons[n].title = seen.has(trial.label) ? "Tried" : "";
    });
    setText(note, text);
  }
  const row = element("div", { class: "segcore-trials", role: "group", "aria-label": "Things to try" },
    element("span", { class: "segcore-label", text: "Try" }), ...buttons);
  figure.trials = { node: element("div", {}, row, note), draw, buttons, note };
  return figure.trials;
}
