"use strict";
// Keys, and the table that lists them. Letters go to the case in view, without a click first; the keys that also
// scroll a page only while a plane is in sight. Inside a slider, a list or a text, keys are its own.

const KEYS = [
  { caps: ["Page up", "Page down"], also: "or the wheel", text: "next or previous slice", plane: {
    PageUp: (viewer, { plane }) => viewer.move(plane.through, 1),
    PageDown: (viewer, { plane }) => viewer.move(plane.through, -1),
  } },
  { caps: ["Home", "End"], text: "first, last slice", plane: {
    Home: (viewer, { plane }) => viewer.move(plane.through, -viewer.view.shape[plane.through]),
    End: (viewer, { plane }) => viewer.move(plane.through, viewer.view.shape[plane.through]),
  } },
  { caps: ["\u2190", "\u2192", "\u2191", "\u2193"], also: "or a click", text: "move the crosshair", plane: {
    ArrowLeft: (viewer, { plane }) => viewer.move(plane.across, 1),
    ArrowRight: (viewer, { plane }) => viewer.move(plane.across, -1),
    ArrowUp: (viewer, { plane }) => viewer.move(plane.up, 1),
    ArrowDown: (viewer, { plane }) => viewer.move(plane.up, -1),
  } },
  { caps: ["Enter"], also: "or a double click", text: "enlarge a plane, or back", plane: {
    Enter: (viewer, panel) => (viewer.measures.tool ? viewer.measures.point(panel.plane) : viewer.enlarge(panel)),
  } },
  { caps: ["Esc"], text: "back: out of a tool, of an enlarged plane, of this list" },
  { caps: ["1", "\u2026", "9"], text: "a map over the scan: on, off", digits: true },
  { caps: ["[", "]"], text: "less, more of the map", any: {
    "[": (viewer) => viewer.setOpacity(viewer.opacity - 0.1),
    "]": (viewer) => viewer.setOpacity(viewer.opacity + 0.1),
  } },
  { caps: ["C", "F", "R", "D", "X"], text: "contours, fill, reference, differences, crosshair", any: {
    c: (viewer) => viewer.toggle("contours"),
    f: (viewer) => viewer.toggle("fill"),
    r: (viewer) => viewer.toggle("reference"),
    d: (viewer) => viewer.toggle("differences"),
    x: (viewer) => viewer.toggle("crosshair"),
  } },
  { caps: ["N", "P"], text: "next, previous disagreement with the reference", any: {
    n: (viewer) => viewer.disagreements.step(1),
    p: (viewer) => viewer.disagreements.step(-1),
  } },
  { caps: ["W"], text: "next window", any: { w: (viewer) => viewer.windows.next() } },
  { caps: ["M"], text: "next slab: the maximum over some mm, or one slice", any: { m: (viewer) => viewer.nextSlab() } },
  { caps: ["+", "\u2212", "0"], also: "or Ctrl and the wheel", text: "closer, farther, whole scan", any: {
    "+": (viewer) => viewer.zoom("in"),
    "=": (viewer) => viewer.zoom("in"),
    "-": (viewer) => viewer.zoom("out"),
    0: (viewer) => viewer.zoom("whole"),
  } },
  { caps: ["L", "O"], text: "ruler, region: drag, or set both ends with Enter", any: {
    l: (viewer) => viewer.measures.take("ruler"),
    o: (viewer) => viewer.measures.take("ellipse"),
  } },
  { caps: ["Delete"], text: "take the last measure away", any: {
    Delete: (viewer) => viewer.measures.remove(),
    Backspace: (viewer) => viewer.measures.remove(),
  } },
  { caps: ["S"], text: "save the plane as a picture", any: { s: (viewer, panel) => savePicture(viewer, panel) } },
  { caps: ["A", "B", "K"], text: "your reading: accept, reject, comment", any: {
    a: (viewer) => READING.judge(viewer.id, "accept"),
    b: (viewer) => READING.judge(viewer.id, "reject"),
    k: (viewer) => READING.comment(viewer.id),
  } },
  { caps: [".", ","], text: "next, previous case", any: {
    ".": (viewer) => stepCase(viewer.id, 1),
    ",": (viewer) => stepCase(viewer.id, -1),
  } },
  { caps: ["?"], text: "this list" },
];
const ANYWHERE = Object.assign({}, ...KEYS.map(({ any }) => any));
const IN_PLANE = Object.assign({}, ...KEYS.map(({ plane }) => plane));

/** The share of an element that is in sight, 0 to 1. */
function inSight(element) {
  const { top, bottom, height } = element.getBoundingClientRect();
  return height ? Math.max(0, Math.min(bottom, innerHeight) - Math.max(top, 0)) / height : 0;
}

/** The viewer that keys go to: that of the focus, if it is in sight, or else the one most in view. */
function viewerInView(target) {
  const open = [...VIEWERS].filter(([details]) => details.open);
  const focused = open.find(([details]) => details.contains(target) && inSight(details) > 0);
  const seen = (details) => inSight(details) * details.getBoundingClientRect().height;
  const [best] = open.filter(([details]) => seen(details) > 0).sort(([a], [b]) => seen(b) - seen(a));
  return (focused ?? best)?.[1];
}

/** The plane that keys go to: that of the focus, the last one used, or another that is in sight. */
function panelInView(viewer, target) {
  const focused = viewer.panels.find(({ canvas }) => canvas === target);
  if (focused) return focused;
  const order = [viewer.enlarged, viewer.active, ...viewer.panels].filter(Boolean);
  return order.find(({ canvas }) => inSight(canvas) >= 0.5);
}

function isTyping(target) {
  return target.matches?.("select, textarea, input:not([type=range], [type=checkbox])");
}

/** Whether a control takes a key itself: a slider its arrows, a button and a link Enter. */
function ownKey(target, key) {
  if (target.matches?.("input[type=range]")) return /^(Arrow|Page|Home|End)/.test(key);
  return key === "Enter" && target.matches?.("button, a, summary, input");
}

function actionOf(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const viewer = viewerInView(event.target);
  if (!viewer || ownKey(event.target, key)) return null;
  if (key === "Escape") return () => viewer.escape();
  const single = document.querySelector("#single-keys").checked || viewer.root.contains(event.target);
  if (key.length === 1 && !single) return null;
  if (/^[1-9]$/.test(key)) return viewer.view.overlays.length ? () => viewer.choose(Number(key) - 1) : null;
  const panel = panelInView(viewer, event.target);
  const act = ANYWHERE[key] ?? (panel && IN_PLANE[key]);
  if (!act) return null;
  return () => {
    viewer.hover = null; // what a key did is to be read
    act(viewer, panel ?? viewer.active);
  };
}

function connectKeys() {
  const dialog = document.querySelector("#keys");
  if (!dialog) return;
  dialog.querySelector("tbody").append(...KEYS.map(({ caps, also, text }) => {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    head.scope = "row";
    for (const cap of caps) {
      const key = document.createElement(cap === "\u2026" ? "span" : "kbd");
      key.textContent = cap;
      head.append(key, " ");
    }
    if (also) head.append(also);
    row.append(head);
    row.insertCell().textContent = text;
    return row;
  }));
  for (const button of document.querySelectorAll("[data-keys]")) {
    button.addEventListener("click", () => dialog.showModal());
  }
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (dialog.open) {
      if (event.key === "?") dialog.close();
      return; // Escape closes it too
    }
    if (isTyping(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const action = event.key === "?" ? () => dialog.showModal() : actionOf(event);
    if (!action || action() === false) return;
    event.preventDefault();
  });
}
