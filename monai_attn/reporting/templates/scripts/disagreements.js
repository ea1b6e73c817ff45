"use strict";
// The places where the labels and the reference differ, largest first, as the page lists them.

class Disagreements {
  constructor(viewer) {
    this.viewer = viewer;
    this.index = -1;
    this.output = viewer.root.querySelector(".disagreement");
  }

  /** Go to the next place, or back by a negative step; after the last comes the first. */
  step(steps) {
    const { viewer } = this;
    const { places, more } = viewer.view;
    if (!this.output || !places.length) return;
    this.index = this.index < 0 && steps < 0 ? places.length - 1 : (this.index + steps + places.length) % places.length;
    const { kind, at, ml } = places[this.index];
    viewer.hover = null;
    if (!viewer.show.differences) viewer.toggle("differences");
    viewer.go(at);
    const others = more ? ` (the ${places.length} largest of ${places.length + more})` : "";
    this.output.textContent = `${this.index + 1} of ${places.length}${others}: ${PAGE.differences[kind - 1].name}, ${ml} ml`;
  }
}
