"use strict";
// The buttons and sliders of a case.

function connectControls(viewer) {
  const { root } = viewer;
  const each = (name, act) => {
    for (const button of root.querySelectorAll(`[data-${name}]`)) {
      button.addEventListener("click", () => act(button.dataset[name]));
    }
  };
  for (const swatch of root.querySelectorAll("[data-colour]")) {
    swatch.style.color = swatch.dataset.colour;
  }
  each("toggle", (name) => viewer.toggle(name));
  each("overlay", (number) => viewer.choose(Number(number)));
  each("zoom", (how) => viewer.zoom(how));
  each("tool", (tool) => viewer.measures.take(tool));
  each("clear", () => viewer.measures.remove(true));
  each("disagreement", (steps) => viewer.disagreements.step(Number(steps)));
  each("full", () => viewer.fullResolution.toggle());
  root.querySelector(".opacity")?.addEventListener("input", (event) =>
    viewer.setOpacity(Number(event.target.value) / 100));
  root.querySelector(".slab")?.addEventListener("change", (event) => viewer.setSlab(Number(event.target.value)));
  describeMap(viewer);
  for (const panel of viewer.panels) connectPanel(viewer, panel);
  new ResizeObserver(() => viewer.draw()).observe(root);
}

function connectPanel(viewer, panel) {
  panel.slider.addEventListener("input", () => {
    const at = [...viewer.camera.at];
    at[panel.plane.through] = Number(panel.slider.value);
    viewer.go(at);
  });
  panel.canvas.addEventListener("focus", () => { viewer.active = panel; });
  panel.root.querySelector(".enlarge").addEventListener("click", () => viewer.enlarge(panel));
  panel.root.querySelector(".save").addEventListener("click", () => savePicture(viewer, panel));
  connectPointer(viewer, panel);
}

/** Show the scale of the map that is on. */
function describeMap(viewer) {
  const { root, map, opacity } = viewer;
  const slider = root.querySelector(".opacity");
  if (!slider) return;
  const percent = Math.round(100 * opacity);
  slider.value = percent;
  root.querySelector(".opacity-said").textContent = `${percent} %`;
  const scale = root.querySelector(".scale");
  scale.hidden = !map;
  if (!map) return;
  scale.querySelector(".scale-title").textContent = map.title;
  scale.querySelector(".evidence").hidden = map.kind !== "attention";
  const stops = [...mapColours(map.kind, opacity)].slice(1, PAGE.map_steps + 2).map((colour) => {
    const [r, g, b, a] = [0, 8, 16, 24].map((shift) => (colour >>> shift) & 255);
    return `rgba(${r}, ${g}, ${b}, ${(a / 255).toFixed(3)})`;
  });
  // as over a soft organ: what is seen there is what the legend shows
  scale.querySelector(".bar").style.background = `linear-gradient(90deg, ${stops.join(",")}), #808080`;
}
