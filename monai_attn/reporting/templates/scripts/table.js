"use strict";
// The table of cases: sorted by a column, or in one of the two orders of the page.

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

/** Put rows and cases in the order of doubt, or in that in which the scans were given. */
function connectOrder(order) {
  const buttons = [...order.querySelectorAll("[data-order]")];
  const sorted = (elements, by) => [...elements].sort((a, b) => Number(a.dataset[by]) - Number(b.dataset[by]));
  const arrange = (by) => {
    for (const button of buttons) button.setAttribute("aria-pressed", button.dataset.order === by);
    for (const head of document.querySelectorAll("table.cases [aria-sort]")) head.removeAttribute("aria-sort");
    const body = document.querySelector("table.cases tbody");
    body.append(...sorted(body.rows, by));
    document.querySelector("main").append(...sorted(document.querySelectorAll("details.case"), by));
  };
  for (const button of buttons) button.addEventListener("click", () => arrange(button.dataset.order));
}
