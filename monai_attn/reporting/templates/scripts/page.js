"use strict";
// The page around the viewers: cases that open and close, and the way from one to the next.

const VIEWERS = new Map(); // the viewer of each case that was opened

function connectCase(details) {
  const root = details.querySelector(".viewer");
  if (!root) return;
  const turn = () => {
    if (details.open) {
      if (!VIEWERS.has(details)) VIEWERS.set(details, new Viewer(root));
      VIEWERS.get(details).open();
    } else VIEWERS.get(details)?.release(); // a case that is closed holds no memory
  };
  details.addEventListener("toggle", turn);
  if (details.open) turn();
}

function showCase(details) {
  details.open = true;
  details.scrollIntoView();
  details.querySelector("summary").focus({ preventScroll: true });
}

/** Close a case, and open the next in the page, or by a negative step the one before. */
function stepCase(id, steps) {
  const all = [...document.querySelectorAll("details.case")];
  const here = document.getElementById(id);
  const next = all[all.indexOf(here) + steps];
  if (!next) return;
  here.open = false;
  showCase(next);
}

function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (target && target.matches("details.case")) showCase(target);
}

document.querySelectorAll("details.case").forEach(connectCase);
document.querySelectorAll("table.cases").forEach(connectTable);
document.querySelectorAll(".order").forEach(connectOrder);
connectKeys();
connectTips();
READING.connect();
window.addEventListener("hashchange", openTarget);
document.querySelectorAll("table.cases a").forEach((link) => link.addEventListener("click", () => {
  if (link.hash === location.hash) openTarget(); // a case that was closed again: the address stays
}));
openTarget();
