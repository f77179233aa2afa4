/* A tap, a click or Enter opens a figure over the whole window; there + and - and two fingers zoom, Esc closes. */
(() => {
  const ICON = '<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M6 2H2v4m8-4h4v4m0 4v4h-4m-4 0H2v-4" fill="none" stroke="currentColor" stroke-width="1.6"/></svg>';
  let dialog, stage, picture, natural, giveBack, zoom;

  const button = (label, text, act) => {
    const made = document.createElement("button");
    Object.assign(made, { type: "button", innerHTML: text, onclick: act });
    made.setAttribute("aria-label", label);
    return made;
  };

  const size = (factor) => {
    zoom = Math.min(8, Math.max(0.25, zoom * factor));
    picture.style.width = `${Math.round(zoom * natural)}px`;
  };

  const putBack = () => {
    giveBack?.();
    giveBack = undefined;
  };

  const build = () => {
    dialog = document.createElement("dialog");
    dialog.className = "figure-large";
    stage = document.createElement("div");
    stage.className = "figure-stage";
    stage.tabIndex = 0; // arrow keys scroll it
    stage.onclick = (event) => event.target === stage && dialog.close();
    const bar = document.createElement("div");
    bar.className = "figure-bar";
    bar.append(
      button("Smaller", "−", () => size(1 / 1.4)),
      button("Larger", "+", () => size(1.4)),
      button("Close", "Close", () => dialog.close()),
    );
    dialog.append(bar, stage);
    dialog.onkeydown = ({ key }) => {
      if (key === "Escape") dialog.close(); // by itself it would not: Sphinx's scripts prevent what Escape does
      else if ("+=-".includes(key)) size(key === "-" ? 1 / 1.4 : 1.4);
    };
    dialog.onclose = () => dialog.open || putBack(); // it comes late: the next figure may stand there already
    document.body.append(dialog);
  };

  /* The wide layout itself moves into the window, for a copy would double its ids; it goes back on closing. */
  const open = (frame) => {
    if (!dialog) build();
    putBack();
    picture = frame.querySelector(":scope > :is(svg, img)");
    const opener = frame.querySelector(".figure-open");
    const place = document.createComment("");
    const style = picture.getAttribute("style") ?? "";
    frame.style.minHeight = `${frame.offsetHeight}px`;
    picture.before(place);
    giveBack = () => {
      place.replaceWith(picture);
      picture.setAttribute("style", style);
      frame.style.minHeight = "";
      opener.focus({ preventScroll: true });
    };
    const [width, height] = ["width", "height"].map((name) => +picture.getAttribute(name) || picture[`natural${name === "width" ? "Width" : "Height"}`]);
    natural = width;
    dialog.setAttribute("aria-label", opener.getAttribute("aria-label").replace("Enlarge", "Enlarged:"));
    stage.replaceChildren(picture);
    dialog.showModal();
    stage.focus();
    const fits = Math.min((innerWidth - 16) / width, (innerHeight - 64) / height);
    zoom = 1;
    size(Math.max(1, fits)); // on a phone it is as large as on a desk, and scrolls
  };

  const prepare = () => {
    const images = [...document.querySelectorAll(".bd-article :is(.cell_output, figure, details) img")]; // a lab's expected pictures stand folded
    for (const image of images.filter((each) => !each.closest("a, .segcore-widget, .course-figure"))) {
      const frame = document.createElement("span");
      frame.className = "figure-frame";
      image.replaceWith(frame);
      frame.append(image);
    }
    for (const frame of document.querySelectorAll(".bd-article :is(.course-figure, .figure-frame)")) {
      const number = frame.closest("figure")?.querySelector(".caption-number")?.textContent.trim();
      const opener = button(`Enlarge ${number?.replace("Fig.", "figure") || "the picture"}`, ICON, () => open(frame));
      opener.className = "figure-open";
      frame.append(opener);
      frame.addEventListener("click", (event) => opener.contains(event.target) || open(frame));
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", prepare);
  else prepare();
})();
