"use strict";
// Windows of grey values: named ones, as radiology uses them, and the reader's own.

// width and level in HU, as in common use; liver and pancreas are those for a scan with contrast
const PRESETS = [
  { name: "Abdomen", width: 400, level: 40 },
  { name: "Liver", width: 150, level: 70 },
  { name: "Pancreas", width: 200, level: 75 },
  { name: "Lung", width: 1500, level: -600 },
  { name: "Bone", width: 1800, level: 400 },
];

class Windows {
  constructor(viewer) {
    this.viewer = viewer;
    this.select = viewer.root.querySelector(".preset");
    if (!this.select) return;
    const { view } = viewer;
    const own = view.bundle_window ? [{ name: "As the network sees it", ends: view.window }] : [];
    const named = view.unit ? PRESETS : []; // an image without HU has no such windows
    this.presets = [...own, ...named.map(({ name, width, level }) => ({ name, ends: [level - width / 2, level + width / 2] }))];
    if (!this.presets.length) this.presets = [{ name: "As stored", ends: view.window }];
    for (const { name, ends: [low, high] } of this.presets) {
      this.select.add(new Option(`${name} (W ${Math.round(high - low)}, L ${Math.round((low + high) / 2)})`, name));
    }
    this.select.add(new Option("Own", "Own"));
    this.connect();
    this.describe();
  }

  set(low, high) {
    this.viewer.window = [low, Math.max(high, low + 1)];
    this.describe();
    this.viewer.draw();
  }

  next() {
    if (this.select) this.set(...this.presets[(this.select.selectedIndex + 1) % this.presets.length].ends);
  }

  /** Change the window as a drag of some pixels does, from where it was. */
  drag([low, high], dx, dy) {
    if (!this.select) return;
    const { levels } = this.viewer.view;
    const [least, most] = [levels[0], levels[255]];
    const width = clamp((high - low) * 1.005 ** dx, 2, most - least);
    const level = clamp((low + high) / 2 + (dy * (high - low)) / 400, least, most);
    this.set(Math.round(level - width / 2), Math.round(level + width / 2));
  }

  describe() {
    const { root, window: [low, high], view: { unit } } = this.viewer;
    const [level, width] = [(low + high) / 2, high - low];
    for (const [name, value] of Object.entries({ level, width })) {
      root.querySelector(`.${name}`).value = value;
      root.querySelector(`.${name}-said`).textContent = `${value.toFixed(0)}${unit}`;
    }
    const same = this.presets.findIndex(({ ends }) => ends[0] === low && ends[1] === high);
    this.select.selectedIndex = same < 0 ? this.presets.length : same;
  }

  connect() {
    const { root, view } = this.viewer;
    const [low, high] = [view.levels[0], view.levels[255]];
    const ranges = { level: [Math.floor(low), Math.ceil(high)], width: [5, Math.ceil(high - low)] };
    for (const [name, [least, most]] of Object.entries(ranges)) {
      const slider = root.querySelector(`.${name}`);
      Object.assign(slider, { min: least, max: most, step: 1 });
      slider.addEventListener("input", () => {
        const [from, to] = this.viewer.window;
        const level = name === "level" ? Number(slider.value) : (from + to) / 2;
        const width = name === "width" ? Number(slider.value) : to - from;
        this.set(level - width / 2, level + width / 2);
      });
    }
    this.select.addEventListener("change", () => {
      const preset = this.presets[this.select.selectedIndex];
      if (preset) this.set(...preset.ends);
    });
  }
}
