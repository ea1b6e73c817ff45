"use strict";
// The part of a case that its planes show. Lengths are mm from the centre of voxel 0; `at` is the crosshair.

class Camera {
  constructor(view) {
    this.view = view;
    this.at = [...view.centre];
    this.fit("labels");
  }

  range(axis) {
    const { shape, spacing } = this.view;
    return [-0.5 * spacing[axis], (shape[axis] - 0.5) * spacing[axis]];
  }

  get ranges() {
    return [0, 1, 2].map((axis) => this.range(axis));
  }

  /** Show the labels, with the crosshair among them, or the whole scan. */
  fit(how) {
    if (how === "labels") this.at = [...this.view.centre];
    const shown = how === "whole" ? this.ranges : this.view.ranges;
    this.field = Math.max(...shown.map(([low, high]) => high - low));
    this.centre = shown.map(([low, high]) => (low + high) / 2);
    this.keepInside();
  }

  /** Come closer, or go farther; the crosshair stays where it is on the screen. */
  zoom(how, factor = 1.25) {
    const whole = Math.max(...this.ranges.map(([low, high]) => high - low));
    const field = clamp(this.field * (how === "in" ? 1 / factor : factor), Math.min(20, whole), whole);
    const kept = field / this.field;
    this.centre = this.centre.map((middle, axis) => {
      const fixed = this.at[axis] * this.view.spacing[axis];
      return fixed + (middle - fixed) * kept;
    });
    this.field = field;
    this.keepInside();
  }

  keepInside() {
    this.centre = this.centre.map((middle, axis) => {
      const [low, high] = this.range(axis);
      const half = Math.min(this.field, high - low) / 2;
      return clamp(middle, low + half, high - half);
    });
  }

  go(at) {
    this.at = at.map((value, axis) => clamp(Math.round(value), 0, this.view.shape[axis] - 1));
  }

  /** Keep the crosshair in sight. */
  follow() {
    for (let axis = 0; axis < 3; axis += 1) {
      const mm = this.at[axis] * this.view.spacing[axis];
      this.centre[axis] = clamp(this.centre[axis], mm - this.field / 2, mm + this.field / 2);
    }
    this.keepInside();
  }

  /** Show the same part of the same case on another grid. */
  change(view) {
    const shift = view.offset.map((mm, axis) => this.view.offset[axis] - mm);
    const mm = this.at.map((value, axis) => value * this.view.spacing[axis] + shift[axis]);
    this.view = view;
    this.go(mm.map((value, axis) => value / view.spacing[axis]));
    this.centre = this.centre.map((middle, axis) => middle + shift[axis]);
    this.keepInside();
    return shift;
  }

  /** From voxels in a plane to pixels of its canvas, and back; both axes run to the left and up. */
  project(plane, canvas) {
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

  /** The patient's position of a voxel, RAS mm. */
  position(at) {
    return this.view.affine.slice(0, 3).map((row) => row[0] * at[0] + row[1] * at[1] + row[2] * at[2] + row[3]);
  }
}
