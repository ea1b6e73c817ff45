"use strict";
// A plane's picture, layer by layer: the scan, a map over it, differences, labels, marks.

/** Paint one plane of a viewer on its canvas, at the size that the page gives it. */
function paintPlane(viewer, panel) {
  const { canvas, plane } = panel;
  const pixels = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((n) => Math.round(n * pixels));
  if (!width || !height) return;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const to = viewer.camera.project(plane, canvas);
  context.drawImage(groundOf(viewer, panel, to, pixels), 0, 0);
  paintMarks(viewer, context, to, plane, pixels);
  paintMeasures(viewer, context, to, plane, pixels);
}

/** What lies below the marks, kept while it stays the same: a crosshair that moves is drawn alone. */
function groundOf(viewer, panel, to, pixels) {
  const { canvas: { width, height }, plane } = panel;
  const { camera, show } = viewer;
  const [a, u, through] = [plane.across, plane.up, plane.through];
  const state = [
    width, height, camera.field, camera.centre[a], camera.centre[u], camera.at[through], viewer.window, viewer.slab,
    viewer.overlay, viewer.opacity, show.contours, show.fill, show.reference, show.differences, viewer.unpacked,
  ].join(" ");
  panel.ground ??= { canvas: document.createElement("canvas") };
  const { ground } = panel;
  if (ground.state === state) return ground.canvas;
  ground.state = state;
  if (ground.canvas.width !== width || ground.canvas.height !== height) Object.assign(ground.canvas, { width, height });
  const context = ground.canvas.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, width, height);
  paintScan(viewer, context, to, plane);
  paintMap(viewer, context, to, plane);
  paintLabels(viewer, context, to, plane, pixels);
  return ground.canvas;
}

/** Put the colours of a slice's bytes where the slice lies. */
function putSlice(viewer, context, to, plane, key, slice, colours, smooth) {
  const sheet = viewer.slices.sheet(key, plane, slice, colours);
  context.imageSmoothingEnabled = smooth;
  context.imageSmoothingQuality = "high";
  const [x, y] = [to.x(slice.width - 0.5), to.y(slice.height - 0.5)];
  context.drawImage(sheet, x, y, to.x(-0.5) - x, to.y(-0.5) - y);
}

function paintScan(viewer, context, to, plane) {
  const slice = viewer.slice("image", plane);
  if (!slice) {
    const { shape } = viewer.view;
    const [x, y] = [to.x(shape[plane.across] - 0.5), to.y(shape[plane.up] - 0.5)];
    context.fillStyle = "#1c2127"; // where the scan would be
    context.fillRect(x, y, to.x(-0.5) - x, to.y(-0.5) - y);
    return;
  }
  putSlice(viewer, context, to, plane, "image", slice, greyColours(viewer.view.levels, viewer.window), true);
}

function paintMap(viewer, context, to, plane) {
  const map = viewer.map;
  const slice = map && viewer.slice(map.key, plane);
  if (!slice) return;
  putSlice(viewer, context, to, plane, "map", slice, mapColours(map.kind, viewer.opacity), true);
  slice.unseen ??= slice.bytes.includes(0);
  if (!slice.unseen) return;
  const { scratch } = viewer; // hatched where nothing was looked at
  Object.assign(scratch, { width: context.canvas.width, height: context.canvas.height });
  const hatch = scratch.getContext("2d");
  putSlice(viewer, hatch, to, plane, "unseen", slice, unseenColours(), false);
  hatch.globalCompositeOperation = "source-in";
  hatch.fillStyle = hatch.createPattern(hatchTile(window.devicePixelRatio || 1), "repeat");
  hatch.fillRect(0, 0, scratch.width, scratch.height);
  context.globalAlpha = 0.35 + 0.65 * viewer.opacity;
  context.drawImage(scratch, 0, 0);
  context.globalAlpha = 1;
}

function paintLabels(viewer, context, to, plane, pixels) {
  const { show } = viewer;
  const labels = viewer.slice("labels", plane);
  const colours = viewer.view.labels.map(({ colour }) => colour);
  if (labels && show.fill) {
    const alpha = viewer.view.levels.length ? 0x59 : 0xb0;
    putSlice(viewer, context, to, plane, "fill", labels, fillColours(colours, alpha), false);
  }
  const differences = show.differences && viewer.slice("differences", plane);
  if (differences) {
    const found = PAGE.differences.map(({ colour }) => colour);
    putSlice(viewer, context, to, plane, "differences", differences, fillColours(found, 0x99), false);
  }
  if (labels && show.contours) {
    paintOutlines(context, to, labels, (byte) => colours[byte - 1] ?? "#ffffff", pixels, []);
  }
  const reference = show.reference && viewer.slice("reference", plane);
  if (reference) paintOutlines(context, to, reference, () => PAGE.reference_colour, pixels, [5, 4]);
}

function paintOutlines(context, to, slice, colour, pixels, dashes) {
  const placed = new DOMMatrix([to.x(1) - to.x(0), 0, 0, to.y(1) - to.y(0), to.x(0), to.y(0)]);
  context.lineJoin = "round";
  context.setLineDash(dashes.map((dash) => dash * pixels));
  for (const [label, outline] of outlinePaths(slice)) {
    const path = new Path2D();
    path.addPath(outline, placed);
    const strokes = dashes.length ? [] : [["rgba(0, 0, 0, 0.5)", 3.4]]; // or the label below would go
    for (const [style, thick] of [...strokes, [colour(label), 1.8]]) {
      context.strokeStyle = style;
      context.lineWidth = thick * pixels;
      context.stroke(path);
    }
  }
  context.setLineDash([]);
}
