"use strict";
// What a number means, for those who come by keyboard or finger: the title of what has the focus, shown next to it.
// A pointer shows the title by itself, and a screen reader says it as the description.

function connectTips() {
  const tip = document.querySelector("#tip");
  const hide = () => { tip.hidden = true; };
  document.addEventListener("focusin", ({ target }) => {
    if (!target.title || !target.matches(":focus-visible")) return hide();
    tip.textContent = target.title;
    tip.hidden = false;
    const { left, bottom, top } = target.getBoundingClientRect();
    const below = bottom + tip.offsetHeight + 8 < innerHeight;
    tip.style.left = `${scrollX + clamp(left, 8, document.documentElement.clientWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${scrollY + (below ? bottom + 6 : top - tip.offsetHeight - 6)}px`;
    return undefined;
  });
  document.addEventListener("focusout", hide);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
}
