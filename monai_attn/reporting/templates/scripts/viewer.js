"use strict";
// A case in three planes: its state, and what can be done with it by any means.

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
    this.camera = new Camera(this.view);
    this.slices = new Slices();
    this.overlay = -1;
    this.opacity = 0.5;
    this.slab = 0; // mm; 0 is one slice
    this.window = [...this.view.window];
    this.unpacked = 0; // counts what has changed in the volumes
    this.scratch = document.createElement("canvas");
    this.active = this.panels[0];
    this.windows = new Windows(this);
    this.measures = new Measures(this);
    this.disagreements = new Disagreements(this);
    this.fullResolution = new FullResolution(this);
    this.useText((key) => document.getElementById(`${this.id}-${key}`).textContent);
    connectControls(this);
  }

  // -------------------------------------------------------------- volumes and slices

  useText(text) {
    const changed = (fault) => {
      this.unpacked += 1;
      if (fault) this.fail(`This browser cannot unpack the slices (${fault}); use a current one.`);
      this.root.toggleAttribute("aria-busy", false);
      if (this.volumes.busy) this.root.setAttribute("aria-busy", "true");
      this.draw();
    };
    this.text = text;
    this.unpacked += 1;
    this.volumes = new Volumes(this.view, text, changed);
    this.slices = new Slices();
  }

  fail(words) {
    const line = this.root.querySelector(".failure");
    line.textContent = words;
    line.hidden = !words;
  }

  need(key) {
    this.volumes.need(key);
    if (this.volumes.busy) this.root.setAttribute("aria-busy", "true");
  }

  /** Unpack what is shown, and draw. */
  open() {
    for (const key of ["image", "labels", "reference", "differences"]) this.need(key);
    if (this.map) this.need(this.map.key);
    this.draw();
  }

  /** Free the memory of a case that is closed. */
  release() {
    this.useText(this.text);
    this.root.removeAttribute("aria-busy");
  }

  get map() {
    return this.view.overlays[this.overlay];
  }

  /** The slices that a slab takes on either side of one, and its thickness in mm. */
  slabOf(plane) {
    const spacing = this.view.spacing[plane.through];
    const reach = Math.round((this.slab / spacing - 1) / 2);
    return reach > 0 ? { reach, mm: (2 * reach + 1) * spacing } : { reach: 0, mm: spacing };
  }

  /** The slice of a volume that a plane shows, or null until it is unpacked. */
  slice(key, plane) {
    const volume = this.volumes.get(key);
    if (!volume) return null;
    const reach = key === "image" && this.slab ? this.slabOf(plane).reach : 0;
    return this.slices.of(key, volume, this.view.shape, plane, this.camera.at[plane.through], reach);
  }

  // -------------------------------------------------------------- drawing

  draw() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => this.drawNow());
  }

  drawNow() {
    cancelAnimationFrame(this.pending);
    this.pending = 0;
    for (const panel of this.panels) {
      paintPlane(this, panel);
      this.describeSlice(panel);
    }
    this.say();
  }

  describeSlice({ slider, place, plane }) {
    const count = this.view.shape[plane.through];
    slider.max = count - 1;
    slider.disabled = count === 1;
    slider.value = this.camera.at[plane.through];
    place.textContent = sliceInWords(this, plane);
    slider.setAttribute("aria-valuetext", place.textContent);
  }

  /** Say what is at the pointer, while it is over a plane, or else at the crosshair. */
  say() {
    const at = this.hover ? voxelAt(this, this.hover.panel, this.hover) : this.camera.at;
    const who = this.hover ? "Pointer" : "Crosshair";
    this.root.querySelector(".readout").textContent = placeInWords(this, at, who);
  }

  // -------------------------------------------------------------- what a user does

  move(axis, steps) {
    const at = [...this.camera.at];
    at[axis] += steps;
    this.go(at);
  }

  /** Move the crosshair to a voxel, and keep it in sight. */
  go(at) {
    this.camera.go(at);
    this.camera.follow();
    if (this.measures.begun) this.measures.drag(this.camera.at);
    this.draw();
  }

  zoom(how, factor) {
    if (how === "whole" || how === "labels") this.camera.fit(how);
    else this.camera.zoom(how, factor);
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
    if (this.map) this.need(this.map.key);
    describeMap(this);
    this.draw();
  }

  setOpacity(value) {
    this.opacity = clamp(Math.round(20 * value) / 20, 0, 1);
    describeMap(this);
    this.draw();
  }

  setSlab(mm) {
    this.slab = mm;
    const select = this.root.querySelector(".slab");
    if (select) select.value = String(mm);
    this.draw();
  }

  /** Take the next slab of the list; after the thickest comes one slice. */
  nextSlab() {
    const select = this.root.querySelector(".slab");
    if (!select) return;
    const values = [...select.options].map((option) => Number(option.value));
    this.setSlab(values[(values.indexOf(this.slab) + 1) % values.length]);
  }

  get enlarged() {
    return this.panels.find((panel) => panel.root.classList.contains("large"));
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
    this.active = panel;
    panel.root.scrollIntoView({ block: "nearest" });
    this.draw();
  }

  /** Go one step back: from what is being measured, from a tool, from an enlarged plane. */
  escape() {
    if (this.measures.begun) this.measures.remove();
    else if (this.measures.tool) this.measures.take(this.measures.tool);
    else if (this.enlarged) this.enlarge(this.enlarged);
    else return false;
    return true;
  }
}
