// Prompts: one of a prompt's drawn instances is asked; what is typed is compared, and a usual mistake is named.
// The page Review uses `courseReview.setUpPrompt` too.
"use strict";

{
  /** The numbers in what was typed; null where that is something else. 1/3, −2, 1,024, (3, 14, 14) and 3 × 14 × 14 are read. */
  const numbersIn = (text, count, unit) => {
    let plain = text.trim().replace(/[−–]/g, "-").replace(/^[([{]|[)\]}]$/g, "").trim();
    if (unit && plain.endsWith(unit)) plain = plain.slice(0, -unit.length).trim();
    if (count === 1) {
      if (/^-?\d{1,3}(,\d{3})+(\.\d+)?$/.test(plain)) plain = plain.replaceAll(",", "");
      plain = plain.replace(/^(-?\d*),(\d+)$/, "$1.$2");
    }
    const parts = count === 1 ? [plain] : plain.split(/\s*[,;×x]\s*|\s+/).filter((part) => part !== "");
    const read = parts.map((part) => {
      const found = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:\s*\/\s*(\d+\.?\d*))?$/.exec(part.trim());
      return found ? Number(found[1]) / Number(found[2] ?? 1) : Number.NaN;
    });
    return read.length > 0 && read.every(Number.isFinite) ? read : null;
  };

  const same = (typed, wanted, close) =>
    typed.length === wanted.length && typed.every((number, index) => Math.abs(number - wanted[index]) <= close);

  /** What to say of a typed text: { right, wrong } with the index of the mistake that gives it, or { fault }. */
  function judge(data, [, wanted, mistakes], text) {
    const typed = numbersIn(text, wanted.length, data.unit);
    const count = wanted.length;
    if (!typed) return { fault: count === 1 ? "Type a number, such as 12 or 0.5." : `Type ${count} numbers with commas between.` };
    if (typed.length !== count) return { fault: `${count} numbers are asked for, and these are ${typed.length}.` };
    if (same(typed, wanted, data.close)) return { right: true };
    const found = Object.entries(mistakes).find(([, came]) => same(typed, came, data.close));
    return { right: false, wrong: found ? Number(found[0]) : null };
  }

  const escaped = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

  /** Draw formulas that a script has written. */
  courseReview.typeset = (...elements) => globalThis.MathJax?.startup?.promise
    ?.then(() => globalThis.MathJax.typesetPromise(elements)).catch(() => {});

  /** Make a prompt answer back; `tell(right)` is called for the first answer to each drawing. */
  courseReview.setUpPrompt = (prompt, tell) => {
    const part = (name) => prompt.querySelector(`.prompt-${name}`);
    const data = JSON.parse(prompt.querySelector("script").textContent);
    const [field, form, verdict] = [part("field"), part("form"), part("verdict")];
    let drawn = null;
    let told = false;

    const fill = (html) => html.replace(/⟦(.+?)⟧/g, (_, key) => escaped(drawn[0][data.keys.indexOf(key)]));

    function draw() {
      const others = data.draws.filter((draws) => draws !== drawn);
      drawn = others[Math.floor(Math.random() * others.length)] ?? drawn;
      told = false;
      part("ask").innerHTML = fill(data.ask);
      const solution = prompt.querySelector(".prompt-solution > div");
      solution.innerHTML = `<p><strong>${escaped(`${drawn[0][0]} ${data.unit}`.trim())}</strong></p>${fill(data.why)}`;
      verdict.replaceChildren();
      verdict.className = "prompt-verdict";
      field.value = "";
      courseReview.typeset(part("ask"), solution);
    }

    function say(found) {
      const kind = found.fault ? "fault" : found.right ? "right" : "wrong";
      verdict.className = `prompt-verdict prompt-${kind}`;
      const known = found.wrong == null ? "" : fill(data.wrong[found.wrong]);
      const word = `<strong class="quiz-verdict">${found.right ? "Right." : "Not quite."}</strong> `;
      verdict.innerHTML = found.fault ? `<p>${found.fault}</p>` : `${known}${fill(data.why)}`.replace("<p>", `<p>${word}`);
      courseReview.typeset(verdict);
    }

    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const found = judge(data, drawn, field.value);
      say(found);
      if (found.fault || told) return;
      told = true;
      tell(found.right);
    });
    part("other")?.addEventListener("click", () => {
      draw();
      field.focus();
    });
    draw();
  };
  courseReview.judge = judge;

  for (const prompt of document.querySelectorAll(".bd-article .prompt")) {
    courseReview.setUpPrompt(prompt, (right) => courseReview.answer(prompt.dataset.name, right));
  }
}
