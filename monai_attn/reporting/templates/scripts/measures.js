"use strict";
// Rulers and regions that a reader draws on a plane. Their ends are mm in the plane, so that they stay where they
// are when the picture moves or the grid changes.

const MEASURE_COLOUR = "#ffe14d";

class Measures {
  constructor(viewer) {
    this.viewer = viewer;
    this.tool = ""; // "ruler", "ellipse", or none
    this.done = [];
    this.begun = null;
  }

  /** Take up a tool, or put it down. */
  take(tool) {
    this.tool = this.tool === tool ? "" : tool;
    this.begun = null;
    this.changed();
  }

  begin(plane, at) {
    const place = this.placed(plane, at);
    this.begun = { kind: this.tool, plane, depth: this.depth(plane), from: place, to: place };
  }

  drag(at) {
    this.begun.to = this.placed(this.begun.plane, at);
    this.viewer.draw();
  }

  end() {
    const { begun } = this;
    this.begun = null;
    if (begun && Math.hypot(...this.sizes(begun)) > 0) {
      begun.where = `${begun.plane.name}, slice ${this.viewer.camera.at[begun.plane.through] + 1}`;
      begun.said = this.said(begun);
      this.done.push(begun);
    }
    this.changed();
  }

  /** Begin or end at the crosshair: the way by keyboard. */
  point(plane) {
    const at = [...this.viewer.camera.at];
    if (this.begun?.plane === plane) {
      this.drag(at);
      this.end();
    } else this.begin(plane, at);
    this.viewer.draw();
  }

  /** Take the last one away, or all. */
  remove(all = false) {
    if (this.begun) this.begun = null;
    else this.done.splice(all ? 0 : -1);
    this.changed();
  }

  changed() {
    const { root } = this.viewer;
    for (const button of root.querySelectorAll("[data-tool]")) {
      button.setAttribute("aria-pressed", button.dataset.tool === this.tool);
    }
    root.classList.toggle("measuring", Boolean(this.tool));
    root.querySelector("[data-clear]").disabled = !this.done.length;
    const list = root.querySelector(".measures");
    list.replaceChildren(...this.done.map(({ kind, where, said }) => {
      const entry = document.createElement("li");
      entry.textContent = `${kind === "ruler" ? "Ruler" : "Region"}, ${where}: ${said}`;
      return entry;
    }));
    list.hidden = !this.done.length;
    this.viewer.draw();
  }

  shift(by) {
    for (const mark of this.done) {
      mark.depth += by[mark.plane.through];
      for (const end of [mark.from, mark.to]) {
        end[0] += by[mark.plane.across];
        end[1] += by[mark.plane.up];
      }
    }
  }

  // -------------------------------------------------------------- geometry and numbers

  placed(plane, at) {
    const { spacing } = this.viewer.view;
    return [at[plane.across] * spacing[plane.across], at[plane.up] * spacing[plane.up]];
  }

  depth(plane) {
    return this.viewer.camera.at[plane.through] * this.viewer.view.spacing[plane.through];
  }

  sizes({ from, to }) {
    return [Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1])];
  }

  /** The numbers of a mark, as text. */
  said(mark) {
    const [across, up] = this.sizes(mark);
    if (mark.kind === "ruler") return `${Math.hypot(across, up).toFixed(1)} mm`;
    const size = `${across.toFixed(1)} \u00d7 ${up.toFixed(1)} mm, ${((Math.PI / 4) * across * up).toFixed(0)} mm\u00b2`;
    const values = this.values(mark);
    if (!values.length) return size;
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const spread = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
    return `mean ${mean.toFixed(0)}${this.viewer.view.unit}, SD ${spread.toFixed(0)}, ${size}`;
  }

  /** The values of the voxels, as they are shown, whose middle lies within an ellipse. */
  values({ plane, from, to }) {
    const slice = this.viewer.slice("image", plane);
    if (!slice) return [];
    const { spacing, levels } = this.viewer.view;
    const ends = [plane.across, plane.up].map((axis, n) => {
      const [low, high] = [Math.min(from[n], to[n]), Math.max(from[n], to[n])].map((mm) => mm / spacing[axis]);
      return { middle: (low + high) / 2, half: Math.max((high - low) / 2, 1e-6), low: Math.ceil(low), high: Math.floor(high) };
    });
    const found = [];
    const [a, u] = ends;
    for (let j = Math.max(0, u.low); j <= Math.min(slice.height - 1, u.high); j += 1) {
      for (let i = Math.max(0, a.low); i <= Math.min(slice.width - 1, a.high); i += 1) {
        const inside = ((i - a.middle) / a.half) ** 2 + ((j - u.middle) / u.half) ** 2 <= 1;
        if (inside) found.push(levels[slice.bytes[i + slice.width * j]]);
      }
    }
    return found;
  }
}

function paintMeasures(viewer, context, to, plane, pixels) {
  const { measures, view } = viewer;
  const here = viewer.camera.at[plane.through] * view.spacing[plane.through];
  const marks = [...measures.done, ...(measures.begun ? [measures.begun] : [])];
  for (const mark of marks) {
    if (mark.plane !== plane || Math.abs(mark.depth - here) > view.spacing[plane.through] * 0.51) continue;
    const [a, u] = [view.spacing[plane.across], view.spacing[plane.up]];
    const [x0, y0, x1, y1] = [to.x(mark.from[0] / a), to.y(mark.from[1] / u), to.x(mark.to[0] / a), to.y(mark.to[1] / u)];
    const path = new Path2D();
    if (mark.kind === "ruler") {
      path.moveTo(x0, y0);
      path.lineTo(x1, y1);
      for (const [x, y] of [[x0, y0], [x1, y1]]) path.rect(x - 2 * pixels, y - 2 * pixels, 4 * pixels, 4 * pixels);
    } else path.ellipse((x0 + x1) / 2, (y0 + y1) / 2, Math.abs(x1 - x0) / 2, Math.abs(y1 - y0) / 2, 0, 0, 2 * Math.PI);
    for (const [style, thick] of [[HALO, 3.6], [MEASURE_COLOUR, 1.6]]) {
      context.strokeStyle = style;
      context.lineWidth = thick * pixels;
      context.stroke(path);
    }
    paintSaid(context, mark.said ?? measures.said(mark), Math.max(x0, x1), Math.max(y0, y1), pixels);
  }
}

/** Write the numbers of a mark next to it, inside the picture. */
function paintSaid(context, said, x, y, pixels) {
  const lines = said.split(/, (?=\d)/);
  context.font = `600 ${12 * pixels}px system-ui, sans-serif`;
  const wide = Math.max(...lines.map((line) => context.measureText(line).width));
  context.textAlign = "left";
  const left = clamp(x + 8 * pixels, 4 * pixels, context.canvas.width - wide - 4 * pixels);
  const high = 15 * pixels;
  const top = clamp(y + 10 * pixels, high, context.canvas.height - high * lines.length - 24 * pixels);
  lines.forEach((line, n) => write(context, line, left, top + n * high, pixels));
  context.textAlign = "center";
}
