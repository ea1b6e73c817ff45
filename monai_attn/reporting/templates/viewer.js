"use strict";
// Slices of a case in three planes, from the bytes that lie in the page. An index is (x, y, z) in the order
// right, anterior, superior; a volume has x fastest. Lengths are mm from the centre of voxel 0.

const PAGE = JSON.parse(document.getElementById("page-data").textContent);
const PRESETS = [
  { name: "Soft tissue", window: [-160, 240] },
  { name: "Pancreas", window: [-25, 175] },
  { name: "Lung", window: [-1350, 150] },
  { name: "Bone", window: [-500, 1500] },
];
const NOTCH = 40; // pixels: a wheel's notch is 50 and more at any zoom of the page
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** The bytes of a volume, of which the page holds each less the one in the slice below. */
async function unpack(id, [width, height]) {
  const text = atob(document.getElementById(id).textContent);
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const slice = width * height;
  for (let i = slice; i < bytes.length; i += 1) bytes[i] += bytes[i - slice]; // modulo 256
  return bytes;
}

/** Slices that a turn of the wheel stands for: a notch is one, however the browser counts it. */
function notches(panel, { deltaY, deltaMode }) {
  if (deltaMode || Math.abs(deltaY) >= NOTCH) {
    panel.rolled = 0;
    return Math.sign(deltaY);
  }
  panel.rolled = (panel.rolled || 0) + deltaY; // a touchpad sends many small ones
  const steps = Math.trunc(panel.rolled / NOTCH);
  panel.rolled -= NOTCH * steps;
  return steps;
}

class Viewer {
  constructor(root) {
    this.root = root;
    this.id = root.dataset.case;
    this.view = JSON.parse(document.getElementById(`${this.id}-view`).textContent);
    this.panels = [...root.querySelectorAll(".panel")].map((panel) => ({
      root: panel,
      plane: PAGE.planes[Number(panel.dataset.plane)],
      canvas: panel.querySelector("canvas"),
      slider: panel.querySelector(".slice"),
      place: panel.querySelector(".place"),
    }));
    const toggles = [...root.querySelectorAll("[data-toggle]")];
    this.show = Object.fromEntries(
      toggles.map((button) => [button.dataset.toggle, button.getAttribute("aria-pressed") === "true"]),
    );
    this.at = [...this.view.centre];
    this.overlay = -1;
    this.opacity = 0.5;
    this.window = [...this.view.window];
    this.volumes = new Map();
    this.scratch = document.createElement("canvas");
    this.sheet = document.createElement("canvas");
    this.zoom("labels");
    this.connect();
    this.describeWindow();
  }

  // -------------------------------------------------------------- volumes, unpacked when first needed

  async need(key) {
    if (!this.volumes.has(key)) {
      const { volumes } = this; // when the case is closed meanwhile, another holds what is shown
      volumes.set(key, null);
      this.root.setAttribute("aria-busy", "true");
      try {
        volumes.set(key, await unpack(`${this.id}-${key}`, this.view.shape));
      } catch (error) {
        const line = this.root.querySelector(".failure");
        line.textContent = `This browser cannot unpack the slices (${error}); use a current one.`;
        line.hidden = false;
      }
      if ([...this.volumes.values()].every(Boolean)) this.root.removeAttribute("aria-busy");
      this.draw();
    }
  }

  release() {
    this.volumes = new Map();
  }

  open() {
    for (const key of this.view.keys) {
      if (key === "image" || key === "labels" || key === "reference") this.need(key);
    }
    if (this.overlay >= 0) this.need(this.view.overlays[this.overlay].key);
    this.draw();
  }

  // -------------------------------------------------------------- geometry

  range(axis) {
    const { shape, spacing } = this.view;
    return [-0.5 * spacing[axis], (shape[axis] - 0.5) * spacing[axis]];
  }

  zoom(how, factor = 1.25) {
    const ranges = [0, 1, 2].map((axis) => this.range(axis));
    const whole = Math.max(...ranges.map(([low, high]) => high - low));
    if (how === "labels") this.at = [...this.view.centre];
    if (how === "whole" || how === "labels") {
      const shown = how === "whole" ? ranges : this.view.ranges;
      this.field = Math.max(...shown.map(([low, high]) => high - low));
      this.centre = shown.map(([low, high]) => (low + high) / 2);
    } else {
      const field = clamp(this.field * (how === "in" ? 1 / factor : factor), Math.min(20, whole), whole);
      const kept = field / this.field; // the crosshair stays where it is on the screen
      this.centre = this.centre.map((middle, axis) => {
        const fixed = this.at[axis] * this.view.spacing[axis];
        return fixed + (middle - fixed) * kept;
      });
      this.field = field;
    }
    this.keepInside();
  }

  keepInside() {
    this.centre = this.centre.map((middle, axis) => {
      const [low, high] = this.range(axis);
      const half = Math.min(this.field, high - low) / 2;
      return clamp(middle, low + half, high - half);
    });
  }

  /** From mm in a plane to pixels of its canvas; both axes run to the left and up. */
  project({ plane, canvas }) {
    const scale = Math.min(canvas.width, canvas.height) / this.field;
    const [a, u] = [plane.across, plane.up];
    const { spacing } = this.view;
    return {
      scale,
      x: (i) => canvas.width / 2 - (i * spacing[a] - this.centre[a]) * scale,
      y: (j) => canvas.height / 2 - (j * spacing[u] - this.centre[u]) * scale,
      i: (x) => ((canvas.width / 2 - x) / scale + this.centre[a]) / spacing[a],
      j: (y) => ((canvas.height / 2 - y) / scale + this.centre[u]) / spacing[u],
    };
  }

  slice(volume, plane) {
    const { shape } = this.view;
    const strides = [1, shape[0], shape[0] * shape[1]];
    const [width, height] = [shape[plane.across], shape[plane.up]];
    const [across, up] = [strides[plane.across], strides[plane.up]];
    const bytes = new Uint8Array(width * height);
    let at = 0;
    for (let j = 0; j < height; j += 1) {
      let from = this.at[plane.through] * strides[plane.through] + j * up;
      for (let i = 0; i < width; i += 1, from += across, at += 1) bytes[at] = volume[from];
    }
    return { bytes, width, height };
  }

  // -------------------------------------------------------------- drawing

  draw() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = 0;
      for (const panel of this.panels) this.drawPanel(panel);
      this.say();
    });
  }

  drawPanel(panel) {
    const { canvas, plane } = panel;
    const pixels = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((n) => Math.round(n * pixels));
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    const to = this.project(panel);
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    this.drawImage(context, to, plane);
    this.drawOverlay(context, to, plane);
    this.drawLabels(context, to, plane, pixels);
    this.drawMarks(context, to, plane, pixels);
    const { slider, place } = panel;
    const count = this.view.shape[plane.through];
    slider.max = count - 1;
    slider.disabled = count === 1;
    slider.value = this.at[plane.through];
    const mm = this.position(this.at)[plane.through];
    place.textContent = `slice ${this.at[plane.through] + 1} of ${count} \u00b7 ${PAGE.letters[plane.through][mm >= 0 ? 0 : 1]} ${Math.abs(mm).toFixed(0)} mm`;
    slider.setAttribute("aria-valuetext", place.textContent);
  }

  /** Put the colours of a slice's bytes (RGBA, 32 bits each) where the slice lies. */
  place(context, to, { bytes, width, height }, colours, smooth) {
    const { sheet } = this;
    Object.assign(sheet, { width, height });
    const sheetContext = sheet.getContext("2d");
    const data = sheetContext.createImageData(width, height);
    const pixels = new Uint32Array(data.data.buffer);
    for (let at = 0; at < bytes.length; at += 1) pixels[bytes.length - 1 - at] = colours[bytes[at]]; // left, up
    sheetContext.putImageData(data, 0, 0);
    context.imageSmoothingEnabled = smooth;
    context.imageSmoothingQuality = "high";
    const [x, y] = [to.x(width - 0.5), to.y(height - 0.5)];
    context.drawImage(sheet, x, y, to.x(-0.5) - x, to.y(-0.5) - y);
  }

  drawImage(context, to, plane) {
    const volume = this.volumes.get("image");
    if (!volume) {
      const [x, y] = [to.x(this.view.shape[plane.across] - 0.5), to.y(this.view.shape[plane.up] - 0.5)];
      context.fillStyle = "#1c2127"; // where the scan would be
      context.fillRect(x, y, to.x(-0.5) - x, to.y(-0.5) - y);
      return;
    }
    const [low, high] = this.window;
    const greys = this.view.levels.map((hu) => clamp(Math.round((255 * (hu - low)) / (high - low)), 0, 255));
    const colours = Uint32Array.from(greys, (grey) => (0xff000000 | (grey << 16) | (grey << 8) | grey) >>> 0);
    this.place(context, to, this.slice(volume, plane), colours, true);
  }

  drawOverlay(context, to, plane) {
    const overlay = this.view.overlays[this.overlay];
    const volume = overlay && this.volumes.get(overlay.key);
    if (!volume) return;
    const slice = this.slice(volume, plane);
    this.place(context, to, slice, mapColours(overlay.kind, this.opacity), true);
    if (!slice.bytes.includes(0)) return;
    const { scratch } = this; // hatched where nothing was looked at
    Object.assign(scratch, { width: context.canvas.width, height: context.canvas.height });
    const hatch = scratch.getContext("2d");
    this.place(hatch, to, slice, Uint32Array.from({ length: 256 }, (_, byte) => (byte ? 0 : 0xffffffff)), false);
    hatch.globalCompositeOperation = "source-in";
    hatch.fillStyle = hatch.createPattern(hatchTile(window.devicePixelRatio || 1), "repeat");
    hatch.fillRect(0, 0, scratch.width, scratch.height);
    context.globalAlpha = 0.35 + 0.65 * this.opacity;
    context.drawImage(scratch, 0, 0);
    context.globalAlpha = 1;
  }

  drawLabels(context, to, plane, pixels) {
    const labels = this.volumes.get("labels");
    if (labels && (this.show.fill || this.show.contours)) {
      const slice = this.slice(labels, plane);
      if (this.show.fill) {
        const opacity = this.view.levels.length ? 0x59000000 : 0xb0000000;
        const colours = Uint32Array.from({ length: 256 }, (_, byte) =>
          byte ? (opacity | swapped(this.colour(byte))) >>> 0 : 0);
        this.place(context, to, slice, colours, false);
      }
      if (this.show.contours) {
        this.drawOutlines(context, to, slice, (byte) => this.colour(byte), pixels, []);
      }
    }
    const reference = this.volumes.get("reference");
    if (reference && this.show.reference) {
      this.drawOutlines(context, to, this.slice(reference, plane), () => PAGE.reference_colour, pixels, [5, 4]);
    }
  }

  colour(byte) {
    return this.view.labels[byte - 1]?.colour ?? "#ffffff";
  }

  drawOutlines(context, to, { bytes, width, height }, colour, pixels, dashes) {
    const boxes = new Map();
    for (let at = 0; at < bytes.length; at += 1) {
      if (!bytes[at]) continue;
      const [i, j] = [at % width, Math.floor(at / width)];
      const box = boxes.get(bytes[at]);
      if (!box) boxes.set(bytes[at], [i, j, i, j]);
      else [box[0], box[2], box[3]] = [Math.min(box[0], i), Math.max(box[2], i), j];
    }
    for (const [label, box] of boxes) {
      const path = new Path2D();
      for (const line of outlines((i, j) => bytes[i + width * j], label, box)) {
        line.forEach(([i, j], n) => path[n ? "lineTo" : "moveTo"](to.x(i), to.y(j)));
        path.closePath();
      }
      context.lineJoin = "round";
      context.setLineDash(dashes.map((dash) => dash * pixels));
      const strokes = dashes.length ? [] : [["rgba(0, 0, 0, 0.5)", 3.4]]; // or the label below would go
      for (const [style, thick] of [...strokes, [colour(label), 1.8]]) {
        context.strokeStyle = style;
        context.lineWidth = thick * pixels;
        context.stroke(path);
      }
    }
    context.setLineDash([]);
  }

  drawMarks(context, to, plane, pixels) {
    const { width, height } = context.canvas;
    if (this.show.crosshair) {
      const [x, y] = [Math.round(to.x(this.at[plane.across])), Math.round(to.y(this.at[plane.up]))];
      const gap = 14 * pixels;
      context.beginPath();
      for (const [from, end] of [[0, x - gap], [x + gap, width]]) { context.moveTo(from, y); context.lineTo(end, y); }
      for (const [from, end] of [[0, y - gap], [y + gap, height]]) { context.moveTo(x, from); context.lineTo(x, end); }
      context.strokeStyle = "rgba(120, 205, 255, 0.6)";
      context.lineWidth = pixels;
      context.stroke();
    }
    const edge = 15 * pixels;
    const places = [[edge, height / 2], [width - edge, height / 2], [width / 2, edge], [width / 2, height - edge]];
    context.font = `600 ${14 * pixels}px system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    places.forEach(([x, y], n) => write(context, plane.letters[n], x, y, pixels));
    const bar = [100, 50, 20, 10, 5, 2, 1].find((mm) => mm <= this.field / 3);
    context.font = `${11.5 * pixels}px system-ui, sans-serif`;
    if (this.volumes.get("image")) { // printed too, where the controls are not
      const [low, high] = this.window;
      context.textAlign = "left";
      write(context, `W ${(high - low).toFixed(0)}  L ${((low + high) / 2).toFixed(0)}`, 9 * pixels, height - 13 * pixels, pixels);
      context.textAlign = "center";
    }
    if (!bar) return;
    const [x, y] = [width - 12 * pixels, height - 12 * pixels];
    for (const [style, thick] of [[HALO, 5], ["#f2f2f2", 2.5]]) {
      context.beginPath();
      context.moveTo(x - bar * to.scale, y);
      context.lineTo(x, y);
      context.strokeStyle = style;
      context.lineWidth = thick * pixels;
      context.stroke();
    }
    write(context, `${bar} mm`, x - (bar * to.scale) / 2, y - 11 * pixels, pixels);
  }

  // -------------------------------------------------------------- what is where

  position(at) {
    return this.view.affine.slice(0, 3).map((row) => row[0] * at[0] + row[1] * at[1] + row[2] * at[2] + row[3]);
  }

  byte(key, at) {
    const volume = this.volumes.get(key);
    const { shape } = this.view;
    return volume && volume[at[0] + shape[0] * (at[1] + shape[1] * at[2])];
  }

  /** Say what is at the pointer, while it is over a plane, or else at the crosshair. */
  say() {
    const at = this.hover ? this.under(this.hover.panel, this.hover) : this.at;
    const parts = [
      this.hover ? "Pointer" : "Crosshair",
      this.position(at).map((mm, axis) => `${PAGE.letters[axis][mm >= 0 ? 0 : 1]} ${Math.abs(mm).toFixed(0)}`).join("  ") + " mm",
    ];
    const grey = this.byte("image", at);
    if (grey !== undefined && grey !== null) parts.push(`${this.view.levels[grey].toFixed(0)} HU`);
    const label = this.byte("labels", at);
    parts.push(label ? this.view.labels[label - 1].name : "no label");
    const expected = this.show.reference ? this.byte("reference", at) : null;
    if (expected !== undefined && expected !== null) parts.push(expected ? "in the reference" : "not in the reference");
    const overlay = this.view.overlays[this.overlay];
    const value = overlay && this.byte(overlay.key, at);
    if (overlay && value !== undefined && value !== null) {
      const said = value ? ((value - 1) / PAGE.map_steps).toFixed(2) : "not looked at";
      parts.push(`${overlay.kind} ${said}`);
    }
    this.root.querySelector(".readout").textContent = parts.join("   \u00b7   ");
  }

  // -------------------------------------------------------------- what a user does

  move(axis, steps) {
    this.at[axis] = clamp(this.at[axis] + steps, 0, this.view.shape[axis] - 1);
    this.follow();
  }

  /** Keep the crosshair in sight. */
  follow() {
    for (let axis = 0; axis < 3; axis += 1) {
      const mm = this.at[axis] * this.view.spacing[axis];
      this.centre[axis] = clamp(this.centre[axis], mm - this.field / 2, mm + this.field / 2);
    }
    this.keepInside();
    this.draw();
  }

  toggle(name) {
    if (!(name in this.show)) return;
    this.show[name] = !this.show[name];
    this.root.querySelector(`[data-toggle="${name}"]`).setAttribute("aria-pressed", this.show[name]);
    this.draw();
  }

  choose(number) {
    if (number >= this.view.overlays.length) return;
    this.overlay = this.overlay === number ? -1 : number;
    for (const button of this.root.querySelectorAll("[data-overlay]")) {
      button.setAttribute("aria-pressed", Number(button.dataset.overlay) === this.overlay);
    }
    if (this.overlay >= 0) this.need(this.view.overlays[this.overlay].key);
    this.describeMap();
    this.draw();
  }

  setOpacity(value) {
    this.opacity = clamp(value, 0, 1);
    this.describeMap();
    this.draw();
  }

  setWindow(low, high) {
    this.window = [low, Math.max(high, low + 1)];
    this.describeWindow();
    this.draw();
  }

  nextPreset() {
    if (!this.presets) return;
    const select = this.root.querySelector(".preset");
    const following = (select.selectedIndex + 1) % this.presets.length;
    this.setWindow(...this.presets[following].window);
  }

  describeWindow() {
    const select = this.root.querySelector(".preset");
    if (!select) return;
    const [low, high] = this.window;
    const [level, width] = [(low + high) / 2, high - low];
    this.root.querySelector(".level").value = level;
    this.root.querySelector(".width").value = width;
    this.root.querySelector(".level-said").textContent = `${level.toFixed(0)} HU`;
    this.root.querySelector(".width-said").textContent = `${width.toFixed(0)} HU`;
    const same = this.presets.findIndex(({ window: ends }) => ends[0] === low && ends[1] === high);
    select.selectedIndex = same < 0 ? this.presets.length : same;
  }

  describeMap() {
    const slider = this.root.querySelector(".opacity");
    if (!slider) return;
    const percent = Math.round(100 * this.opacity);
    slider.value = percent;
    this.root.querySelector(".opacity-said").textContent = `${percent} %`;
    const overlay = this.view.overlays[this.overlay];
    const scale = this.root.querySelector(".scale");
    scale.hidden = !overlay;
    if (!overlay) return;
    scale.querySelector(".scale-title").textContent = overlay.title;
    scale.querySelector(".evidence").hidden = overlay.kind !== "attention";
    const stops = [...mapColours(overlay.kind, this.opacity)].slice(1, PAGE.map_steps + 2).map((colour) => {
      const [r, g, b, a] = [0, 8, 16, 24].map((shift) => (colour >>> shift) & 255);
      return `rgba(${r}, ${g}, ${b}, ${(a / 255).toFixed(3)})`;
    });
    // as over a soft organ: what is seen there is what the legend shows
    scale.querySelector(".bar").style.background = `linear-gradient(90deg, ${stops.join(",")}), #808080`;
  }

  enlarge(panel) {
    const root = this.root.querySelector(".panels");
    const large = !panel.root.classList.contains("large");
    for (const other of this.panels) {
      const here = large && other === panel;
      other.root.classList.toggle("large", here);
      other.root.querySelector(".enlarge").setAttribute("aria-pressed", here);
    }
    root.classList.toggle("one", large);
    panel.root.scrollIntoView({ block: "nearest" });
    this.draw();
  }

  connect() {
    for (const swatch of this.root.querySelectorAll("[data-colour]")) {
      swatch.style.borderTopColor = swatch.dataset.colour;
    }
    for (const panel of this.panels) this.connectPanel(panel);
    for (const button of this.root.querySelectorAll("[data-toggle]")) {
      button.addEventListener("click", () => this.toggle(button.dataset.toggle));
    }
    for (const button of this.root.querySelectorAll("[data-overlay]")) {
      button.addEventListener("click", () => this.choose(Number(button.dataset.overlay)));
    }
    for (const button of this.root.querySelectorAll("[data-zoom]")) {
      button.addEventListener("click", () => { this.zoom(button.dataset.zoom); this.draw(); });
    }
    this.root.querySelector(".opacity")?.addEventListener("input", (event) =>
      this.setOpacity(Number(event.target.value) / 100));
    this.describeMap();
    this.connectWindow();
    this.root.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.root);
  }

  connectWindow() {
    const select = this.root.querySelector(".preset");
    if (!select) return;
    const own = this.view.bundle_window ? [{ name: "As the network sees it", window: this.view.window }] : [];
    this.presets = [...own, ...PRESETS];
    for (const { name } of [...this.presets, { name: "Own" }]) select.add(new Option(name));
    const [low, high] = [this.view.levels[0], this.view.levels[255]];
    const ends = { level: [Math.floor(low), Math.ceil(high)], width: [5, Math.ceil(high - low)] };
    for (const [name, [least, most]] of Object.entries(ends)) {
      const slider = this.root.querySelector(`.${name}`);
      Object.assign(slider, { min: least, max: most, step: 1 });
      slider.addEventListener("input", () => {
        const level = name === "level" ? Number(slider.value) : (this.window[0] + this.window[1]) / 2;
        const width = name === "width" ? Number(slider.value) : this.window[1] - this.window[0];
        this.setWindow(level - width / 2, level + width / 2);
      });
    }
    select.addEventListener("change", () => {
      const preset = this.presets[select.selectedIndex];
      if (preset) this.setWindow(...preset.window);
    });
  }

  connectPanel(panel) {
    const { canvas, plane, slider } = panel;
    slider.addEventListener("input", () => {
      this.at[plane.through] = Number(slider.value);
      this.follow();
    });
    panel.root.querySelector(".enlarge").addEventListener("click", () => this.enlarge(panel));
    canvas.addEventListener("dblclick", () => this.enlarge(panel));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (event.ctrlKey) {
        this.zoom(event.deltaY < 0 ? "in" : "out", 1.1);
        this.draw();
        return;
      }
      const steps = notches(panel, event);
      if (steps) this.move(plane.through, -steps);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      canvas.focus({ preventScroll: true });
      const kind = event.button === 2 || event.altKey ? "window" : event.shiftKey ? "pan" : "cross";
      panel.drag = { kind, x: event.clientX, y: event.clientY, window: [...this.window], centre: [...this.centre] };
      this.drag(panel, event);
    });
    canvas.addEventListener("pointermove", (event) => {
      this.hover = { panel, clientX: event.clientX, clientY: event.clientY };
      if (panel.drag) this.drag(panel, event);
      else this.say();
    });
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, () => { panel.drag = null; });
    }
    canvas.addEventListener("pointerleave", () => { this.hover = null; this.say(); });
  }

  /** The voxel below the pointer. */
  under({ plane, canvas, ...panel }, event) {
    const box = canvas.getBoundingClientRect();
    const pixels = canvas.width / box.width;
    const to = this.project({ plane, canvas, ...panel });
    const at = [...this.at];
    at[plane.across] = to.i((event.clientX - box.left) * pixels);
    at[plane.up] = to.j((event.clientY - box.top) * pixels);
    return at.map((value, axis) => clamp(Math.round(value), 0, this.view.shape[axis] - 1));
  }

  drag(panel, event) {
    const { plane, canvas, drag } = panel;
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    if (drag.kind === "window") {
      if (!this.presets) return;
      const [low, high] = drag.window;
      const [least, most] = [this.view.levels[0], this.view.levels[255]];
      const width = clamp((high - low) * 1.005 ** dx, 2, most - least);
      const level = clamp((low + high) / 2 + (dy * (high - low)) / 400, least, most);
      this.setWindow(Math.round(level - width / 2), Math.round(level + width / 2));
    } else if (drag.kind === "pan") {
      const mm = (canvas.width / canvas.clientWidth) / this.project(panel).scale;
      this.centre[plane.across] = drag.centre[plane.across] + dx * mm;
      this.centre[plane.up] = drag.centre[plane.up] + dy * mm;
      this.keepInside();
      this.draw();
    } else {
      this.at = this.under(panel, event);
      this.draw();
    }
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("select")) return;
    const panel = this.panels.find(({ canvas }) => canvas === event.target);
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const anywhere = {
      c: () => this.toggle("contours"),
      f: () => this.toggle("fill"),
      r: () => this.toggle("reference"),
      x: () => this.toggle("crosshair"),
      w: () => this.nextPreset(),
      "[": () => this.setOpacity(this.opacity - 0.1),
      "]": () => this.setOpacity(this.opacity + 0.1),
      "+": () => { this.zoom("in"); this.draw(); },
      "=": () => { this.zoom("in"); this.draw(); },
      "-": () => { this.zoom("out"); this.draw(); },
      0: () => { this.zoom("whole"); this.draw(); },
    };
    const through = panel && panel.plane.through;
    const inPanel = panel && {
      ArrowLeft: () => this.move(panel.plane.across, 1),
      ArrowRight: () => this.move(panel.plane.across, -1),
      ArrowUp: () => this.move(panel.plane.up, 1),
      ArrowDown: () => this.move(panel.plane.up, -1),
      PageUp: () => this.move(through, 1),
      PageDown: () => this.move(through, -1),
      Home: () => this.move(through, -this.view.shape[through]),
      End: () => this.move(through, this.view.shape[through]),
      Enter: () => this.enlarge(panel),
    };
    const action = anywhere[key] || (inPanel && inPanel[key])
      || (/^[1-9]$/.test(key) && this.view.overlays.length && (() => this.choose(Number(key) - 1)));
    if (!action) return;
    event.preventDefault();
    this.hover = null; // what a key did is to be read
    action();
  }
}
