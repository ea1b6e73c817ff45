"use strict";
// What is drawn over every plane: the crosshair, the letters of the directions, the window, a scale in mm.

function paintMarks(viewer, context, to, plane, pixels) {
  if (viewer.show.crosshair) paintCrosshair(viewer, context, to, plane, pixels);
  paintLetters(context, plane, pixels);
  paintWindow(viewer, context, plane, pixels);
  paintScale(viewer, context, to, pixels);
}

function paintCrosshair(viewer, context, to, plane, pixels) {
  const { width, height } = context.canvas;
  const { at } = viewer.camera;
  const [x, y] = [Math.round(to.x(at[plane.across])), Math.round(to.y(at[plane.up]))];
  const gap = 14 * pixels;
  context.beginPath();
  for (const [from, end] of [[0, x - gap], [x + gap, width]]) { context.moveTo(from, y); context.lineTo(end, y); }
  for (const [from, end] of [[0, y - gap], [y + gap, height]]) { context.moveTo(x, from); context.lineTo(x, end); }
  context.strokeStyle = "rgba(120, 205, 255, 0.6)";
  context.lineWidth = pixels;
  context.stroke();
}

function paintLetters(context, plane, pixels) {
  const { width, height } = context.canvas;
  const edge = 15 * pixels;
  const places = [[edge, height / 2], [width - edge, height / 2], [width / 2, edge], [width / 2, height - edge]];
  context.font = `600 ${14 * pixels}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  places.forEach(([x, y], n) => write(context, plane.letters[n], x, y, pixels));
}

/** Say the window and the slab, which are printed too, where the controls are not. */
function paintWindow(viewer, context, plane, pixels) {
  if (!viewer.volumes.get("image")) return;
  const [low, high] = viewer.window;
  const slab = viewer.slab ? `  max of ${viewer.slabOf(plane).mm.toFixed(1)} mm` : "";
  context.font = `${11.5 * pixels}px system-ui, sans-serif`;
  context.textAlign = "left";
  const said = `W ${(high - low).toFixed(0)}  L ${((low + high) / 2).toFixed(0)}${slab}`;
  write(context, said, 9 * pixels, context.canvas.height - 13 * pixels, pixels);
}

function paintScale(viewer, context, to, pixels) {
  const bar = [100, 50, 20, 10, 5, 2, 1].find((mm) => mm <= viewer.camera.field / 3);
  if (!bar) return;
  const [x, y] = [context.canvas.width - 12 * pixels, context.canvas.height - 12 * pixels];
  for (const [style, thick] of [[HALO, 5], ["#f2f2f2", 2.5]]) {
    context.beginPath();
    context.moveTo(x - bar * to.scale, y);
    context.lineTo(x, y);
    context.strokeStyle = style;
    context.lineWidth = thick * pixels;
    context.stroke();
  }
  context.font = `${11.5 * pixels}px system-ui, sans-serif`;
  context.textAlign = "center";
  write(context, `${bar} mm`, x - (bar * to.scale) / 2, y - 11 * pixels, pixels);
}
