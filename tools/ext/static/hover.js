// Shows what a link leads to in a card beside it: a term's definition, a reference, an equation, a figure.
// By pointer after a moment, by keyboard at once; Escape closes it. A finger's tap follows the link, as everywhere.
// What stands on another page lies in <template id="course-cards">, by the link's address.
"use strict";

{
  const [WAIT, LINGER, GAP] = [180, 220, 6];
  let card = null;
  let shown = null; // the link whose card is open
  let timer = 0;

  /** A copy for a card, without anchors and links beside headings. */
  const copy = (node) => {
    const twin = node.cloneNode(true);
    for (const part of [twin, ...twin.querySelectorAll("[id]")]) part.removeAttribute("id");
    for (const part of twin.querySelectorAll(".headerlink, script, button")) part.remove();
    return twin;
  };

  /** The picture of a figure: of a drawing in two layouts the wide one, its inner names changed, for they must differ. */
  const pictures = (figure) => {
    const drawing = figure.querySelector("svg[data-layout]");
    if (!drawing) return [...figure.querySelectorAll("img")].map(copy);
    const kept = document.createElement("template");
    kept.innerHTML = drawing.outerHTML.replace(/( id="|url\((?:&quot;)?#|href="#)/g, "$1card-");
    return [kept.content.firstElementChild];
  };

  const title = (text) => {
    const line = document.createElement("p");
    line.className = "card-title";
    line.textContent = text;
    return line;
  };

  /** What a card shows of a place on this page; an empty list where it is nothing for a card. */
  const fromPage = (target) => {
    if (!target) return [];
    if (target.matches("figure")) {
      return [...pictures(target), ...[...target.querySelectorAll("figcaption > *")].map(copy)];
    }
    if (target.matches("div.math")) {
      const formula = target.querySelector("mjx-container");
      return formula ? [title(target.querySelector(".eqno")?.firstChild.textContent ?? ""), copy(formula)] : [];
    }
    if (target.matches("div.citation")) return [...target.querySelectorAll("p")].map(copy);
    if (target.matches(".glossary dt")) {
      let meaning = target;
      while (meaning && meaning.tagName !== "DD") meaning = meaning.nextElementSibling;
      return [title(copy(target).textContent), ...[...(meaning?.children ?? [])].map(copy)];
    }
    return [];
  };

  /** What the card of a link shows. */
  const contents = (link) => {
    const address = link.getAttribute("href");
    if (address.startsWith("#")) return fromPage(document.getElementById(decodeURIComponent(address.slice(1))));
    const kept = document.getElementById("course-cards")?.content.querySelector(`[data-card="${CSS.escape(address)}"]`);
    if (!kept || (kept.querySelector(".card-formula") && !globalThis.MathJax?.typesetPromise)) return [];
    return [...kept.children].map(copy);
  };

  const linkOf = (node) => node.closest?.('.bd-article a.reference.internal[href*="#"]:not(.headerlink, .figure-state)');

  const hide = () => {
    clearTimeout(timer);
    if (!shown) return;
    shown.removeAttribute("aria-describedby");
    shown = null;
    card.hidden = true;
    card.replaceChildren();
  };

  /** Put the card under the piece of the link that is meant, or above it where there is no room. */
  const place = (link, x) => {
    const pieces = [...link.getClientRects()];
    const piece = pieces.find(({ left, right }) => x >= left && x <= right) ?? pieces[0];
    const { width, height } = card.getBoundingClientRect();
    const page = document.documentElement;
    const left = Math.max(8, Math.min(piece.left, page.clientWidth - width - 8));
    const below = piece.bottom + GAP + height <= page.clientHeight || piece.top - GAP - height < 0;
    card.style.left = `${left + scrollX}px`;
    card.style.top = `${(below ? piece.bottom + GAP : piece.top - GAP - height) + scrollY}px`;
  };

  const make = () => {
    card = document.createElement("div");
    card.id = "course-card";
    card.className = "course-card";
    card.setAttribute("role", "tooltip");
    card.addEventListener("pointerenter", () => clearTimeout(timer));
    card.addEventListener("pointerleave", () => later(hide, LINGER));
    document.body.append(card);
  };

  const show = (link, x) => {
    if (shown === link) return;
    hide();
    const parts = contents(link);
    if (!parts.length) return;
    if (!card) make();
    card.replaceChildren(...parts);
    card.hidden = false;
    shown = link;
    link.removeAttribute("title"); // or the browser shows the same once more
    link.setAttribute("aria-describedby", card.id);
    place(link, x);
    if (card.querySelector(".card-formula")) {
      globalThis.MathJax.typesetPromise([card]).then(() => shown === link && place(link, x));
    }
  };

  const later = (call, wait) => {
    clearTimeout(timer);
    timer = setTimeout(call, wait);
  };

  document.addEventListener("pointerover", (event) => {
    const link = event.pointerType === "touch" ? null : linkOf(event.target);
    if (link) later(() => show(link, event.clientX), shown === link ? 0 : WAIT);
  });
  document.addEventListener("pointerout", (event) => {
    if (linkOf(event.target)) later(hide, LINGER);
  });
  document.addEventListener("focusin", (event) => {
    const link = linkOf(event.target);
    if (link?.matches(":focus-visible")) show(link, 0);
  });
  document.addEventListener("focusout", (event) => {
    if (event.target === shown) hide();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
  document.addEventListener("click", (event) => {
    if (linkOf(event.target)) hide();
  });
}
