"use strict";
// The page around the viewers: cases that open and close, the table that is sorted.

function connectCase(details) {
  const root = details.querySelector(".viewer");
  if (!root) return;
  let viewer = null;
  const turn = () => {
    if (details.open) {
      viewer = viewer || new Viewer(root);
      viewer.open();
    } else if (viewer) viewer.release(); // a case that is closed holds no memory
  };
  details.addEventListener("toggle", turn);
  if (details.open) turn();
}

function connectTable(table) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent.trim();
      const number = head.classList.contains("number");
      const compare = (a, b) => {
        if (!a || !b) return (a ? 0 : 1) - (b ? 0 : 1); // what is missing comes last, either way
        const order = number ? Number(a) - Number(b) : a.localeCompare(b, undefined, { numeric: true });
        return down ? -order : order;
      };
      body.append(...[...body.rows].sort((a, b) => compare(key(a), key(b))));
    });
  });
}

function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (target && target.matches("details.case")) {
    target.open = true;
    target.scrollIntoView();
    target.querySelector("summary").focus({ preventScroll: true });
  }
}

document.querySelectorAll("details.case").forEach(connectCase);
document.querySelectorAll("table.cases").forEach(connectTable);
window.addEventListener("hashchange", openTarget);
document.querySelectorAll("table.cases a").forEach((link) => link.addEventListener("click", () => {
  if (link.hash === location.hash) openTarget(); // a case that was closed again: the address stays
}));
openTarget();
