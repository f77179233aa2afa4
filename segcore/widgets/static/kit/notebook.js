// Runs in a notebook before a widget's module: the kit's styles stand in the page once, before the widgets' own. anywidget
// adds those of a class at the end, under the class's name: with the kit's among them, a second widget's kit would overrule
// what the first one has of its own.
for (const [name, text] of Object.entries(__STYLES__)) {
  const style = document.head.querySelector(`style[data-segcore-kit="${name}"]`) ?? document.createElement("style");
  style.dataset.segcoreKit = name;
  style.textContent = text;
  const own = document.head.querySelector('style[id^="segcore.widgets."]');
  if (!style.isConnected && own) own.before(style);
  else if (!style.isConnected) document.head.append(style);
}
