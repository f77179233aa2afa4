// The page Review: asks what is due, one question after the other, and shows, saves, loads and forgets what is kept.
"use strict";

{
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const review = courseReview;
  const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

  function make(tag, { text, html, ...given } = {}, ...children) {
    const element = Object.assign(document.createElement(tag), given);
    if (text !== undefined) element.textContent = text;
    if (html !== undefined) element.innerHTML = html;
    element.append(...children);
    return element;
  }

  const inDays = (count) => (count <= 0 ? "today" : count === 1 ? "tomorrow" : `in ${count} days`);

  // ---- Notes: what is to be said of the storage ---------------------------------------------------------------------------
  const NOTES = {
    older: "An older edition of the course kept your answers here; they have been taken over.",
    newer: "A newer edition of the course has kept something in this browser. It is left as it is, and what you answer here "
      + "lasts until you leave the page. Open the newer edition, or save what you answer as a file.",
    full: "This browser has no room left for the course, so new answers last until you leave the page. Save them as a file.",
    forbidden: "This browser does not let the page keep anything, so answers last until you leave the page. Save them as a file.",
  };
  let taken = ""; // said once at the start: "older"

  function showNotes() {
    const { note } = review.read();
    const aside = review.asides();
    const lines = [NOTES[note || taken]].filter(Boolean).map((text) => make("p", { text }));
    if (aside.length) {
      const save = make("button", { type: "button", text: "Save it as a file" });
      const drop = make("button", { type: "button", text: "Throw it away" });
      save.addEventListener("click", () => download("segcore-review-set-aside.txt", aside.join("\n")));
      drop.addEventListener("click", () => { review.throwAway(); showNotes(); });
      lines.push(make("p", { text: "Something that was kept here could not be understood. What could is in use; the whole is "
        + "set aside. " }, save, " ", drop));
    }
    one(".review-notes").replaceChildren(...lines);
  }

  // ---- One question at a time ------------------------------------------------------------------------------------------------
  const card = one(".review-card");
  let names = [];
  let more = 0; // new questions beyond a day's number, when the reader asks for them
  let current = "";

  const titleOf = (name) => one(`.review-chapters tr[data-chapter="${review.chapterOf(name)}"] a`);

  function next(focus) {
    const { kept } = review.read();
    const due = review.queue(kept, names, review.today(), more);
    current = due[0] ?? "";
    if (!current) return rest(kept, focus);
    const link = titleOf(current);
    const state = kept.cards[current];
    const late = state ? review.daysBetween(review.dueOn(state, review.today()), review.today()) : 0;
    const kind = !state ? "new" : state.last === review.today() ? "once more" : late ? `due for ${plural(late, "day")}` : "due today";
    const head = make("p", { className: "review-head", id: "review-head", tabIndex: -1 },
      make("a", { href: link?.href ?? "#", text: `Chapter ${link?.textContent ?? review.chapterOf(current)}` }),
      make("span", { text: ` · ${kind} · ${plural(due.length, "question")} to go` }));
    const body = make("div", { className: "review-item", html: window.courseItems[current] });
    card.replaceChildren(head, body);
    const prompt = one(".prompt", body);
    if (prompt) askPrompt(prompt);
    else askQuestion(body);
    review.typeset(body);
    if (focus) head.focus();
  }

  function askPrompt(prompt) {
    one(".prompt-other", prompt).remove();
    one(".prompt-title", prompt).textContent = "What comes out?";
    review.setUpPrompt(prompt, (right) => {
      one("button[type=submit]", prompt).remove();
      one(".prompt-field", prompt).readOnly = true;
      conclude(right);
    });
  }

  /** A chapter's question, its choices in another order; the answer opens when the reader says so. */
  function askQuestion(body) {
    const question = one(".quiz-question", body);
    one(".quiz-title", question).textContent = "Which is right?";
    const choices = all(".quiz-choice", question);
    const form = make("form");
    for (let left = choices.length; left > 0; left -= 1) {
      form.append(choices.splice(Math.floor(Math.random() * left), 1)[0]);
    }
    const button = make("button", { type: "submit", text: "Answer" });
    const hint = make("p", { className: "prompt-verdict", role: "status" });
    form.append(make("p", { className: "review-buttons" }, button), hint);
    question.append(form);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const chosen = one("input:checked", form);
      if (!chosen) {
        hint.textContent = "Choose one first.";
        return;
      }
      body.classList.add("answered");
      button.parentElement.remove();
      hint.remove();
      conclude(chosen.closest(".quiz-right") !== null);
    });
  }

  function conclude(right) {
    review.answer(current, right);
    const { kept } = review.read();
    const days = review.daysBetween(review.today(), kept.cards[current].due);
    const when = right ? `It comes again ${inDays(days)}.` : "It comes once more today, then tomorrow.";
    const button = make("button", { type: "button", className: "review-next", text: "Next" });
    button.setAttribute("aria-describedby", "review-when");
    button.addEventListener("click", () => next(true));
    card.append(make("p", { className: "review-buttons" }, button,
      make("span", { id: "review-when" }, make("span", { className: "visually-hidden", text: right ? "Right. " : "Not quite. " }), when)));
    button.focus({ preventScroll: true });
    button.scrollIntoView({ block: "nearest" });
  }

  /** Nothing to ask: why, and what can be done. */
  function rest(kept, focus) {
    const chapters = review.chaptersAsked(kept);
    const left = names.filter((name) => !kept.cards[name] && chapters.has(review.chapterOf(name))).length;
    const text = !chapters.size ? "Nothing to ask yet. Read a chapter, or tick some in the table below."
      : left ? `That is all for today: what was due, and ${review.NEW_A_DAY + more} new questions.` : "That is all for today.";
    const line = make("p", { className: "review-head", tabIndex: -1, text });
    card.replaceChildren(line);
    if (left) {
      const button = make("button", { type: "button", text: `Go on with ${plural(Math.min(left, review.NEW_A_DAY), "new question")}` });
      button.addEventListener("click", () => { more += review.NEW_A_DAY; next(true); });
      card.append(make("p", { className: "review-buttons" }, button));
    }
    if (focus) line.focus();
  }

  // ---- The table of chapters, and what is coming ------------------------------------------------------------------------------
  async function showChapters() {
    const { kept } = review.read();
    const day = review.today();
    const [progress, chapters] = [await review.progress(kept), review.chaptersAsked(kept)];
    for (const row of all(".review-chapters tbody tr")) {
      const number = row.dataset.chapter;
      const state = progress[number];
      const due = names.filter((name) => review.chapterOf(name) === number && kept.cards[name] && review.isDue(kept.cards[name], day));
      const cells = {
        read: number in kept.pages ? "read" : "",
        answered: state?.answered ? `${state.answered} of ${state.items}` : "",
        due: due.length && chapters.has(number) ? String(due.length) : "",
        lab: state?.passed ? `${state.passed} of ${state.exercises}` : "",
      };
      one("input", row).checked = chapters.has(number);
      for (const [name, text] of Object.entries(cells)) {
        const cell = one(`.review-${name}`, row);
        cell.textContent = text || "–";
        cell.classList.toggle("review-none", !text);
      }
    }
    const ahead = names.filter((name) => kept.cards[name] && chapters.has(review.chapterOf(name)))
      .map((name) => review.daysBetween(day, review.dueOn(kept.cards[name], day)));
    const spans = [["tomorrow", 1, 1], ["within a week", 2, 7], ["later", 8, Infinity]];
    const parts = spans.map(([word, from, to]) => [word, ahead.filter((days) => days >= from && days <= to).length]);
    const shown = parts.filter(([, count]) => count).map(([word, count]) => `${word} ${count}`).join(", ");
    one(".review-coming").textContent = shown ? `Coming: ${shown}.` : "";
  }

  // ---- Save, load, forget -------------------------------------------------------------------------------------------------------
  const said = (text) => { one(".review-said").replaceChildren(make("p", { text })); };

  function download(name, text) {
    const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "application/json" })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  /** The exercises in a progress file of the labs; null where it is none. */
  function labsIn(text) {
    try {
      const { exercises } = JSON.parse(text);
      const states = Object.entries(exercises).filter(([, state]) => state === "passed" || state === "tried");
      return states.length ? Object.fromEntries(states) : null;
    } catch {
      return null;
    }
  }

  function load(text) {
    const found = review.parse(text);
    const labs = found.version === null ? labsIn(text) : null;
    if (labs) {
      review.update((kept) => review.merged(kept, { ...review.nothing(), labs }));
      return said(`Loaded: the progress of your labs, ${plural(Object.keys(labs).length, "exercise")}.`);
    }
    if (found.version > review.VERSION) {
      return said("This file is of a newer edition of the course. Nothing was changed; load it there.");
    }
    if (!found.kept) {
      return said("This file is none that this page has saved, or it is damaged. Nothing was changed.");
    }
    review.update((kept) => review.merged(kept, found.kept));
    const { cards, pages } = found.kept;
    const lost = found.lost ? ` ${plural(found.lost, "entry").replace("entrys", "entries")} could not be understood and left out.` : "";
    said(`Loaded: ${plural(Object.keys(cards).length, "question")} and ${plural(Object.keys(pages).length, "chapter")} read. `
      + `Where this browser knew a later answer, it stays.${lost}`);
  }

  function setUpKeeping() {
    const [file, dialog] = [one(".review-file"), one(".review-ask")];
    one(".review-save").addEventListener("click", () => {
      const { kept } = review.read();
      download(`segcore-review-${review.today()}.json`, `${JSON.stringify({ ...kept, saved: review.today() }, null, 1)}\n`);
      said("Saved. The file holds what you have read and answered; load it in any browser.");
    });
    one(".review-load").addEventListener("click", () => file.click());
    file.addEventListener("change", async () => {
      const [chosen] = file.files;
      if (!chosen) return;
      const text = chosen.size > 5_000_000 ? "" : await chosen.text().catch(() => "");
      file.value = "";
      load(text);
      next(false);
    });
    one(".review-forget").addEventListener("click", () => dialog.showModal());
    one(".review-no").addEventListener("click", () => dialog.close());
    one(".review-yes").addEventListener("click", () => {
      review.forget();
      [taken, more] = ["", 0];
      dialog.close();
      next(false);
      said("Forgotten.");
    });
  }

  function setUpChoices() {
    for (const row of all(".review-chapters tbody tr")) {
      one("input", row).addEventListener("change", ({ target }) => {
        review.update((kept) => { kept.chosen[row.dataset.chapter] = target.checked; });
        if (!current || !target.checked) next(false);
      });
    }
  }

  addEventListener("DOMContentLoaded", () => { // the questions are there: their script stands in the page
    names = Object.keys(window.courseItems ?? {});
    const { note } = review.read();
    if (note === "older" || note === "broken") review.update(() => {}); // take it over, or set it aside, and say so
    taken = note === "older" ? note : "";
    const show = () => { showNotes(); showChapters(); };
    review.onChange(show);
    setUpKeeping();
    setUpChoices();
    show();
    next(false);
  });
}
