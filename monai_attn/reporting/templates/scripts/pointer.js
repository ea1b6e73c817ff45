"use strict";
// What the mouse, the pen and the finger do on a plane.

const NOTCH = 40; // pixels: a wheel's notch is 50 and more at any zoom of the page

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

/** The place of the pointer in a plane, in voxels that need not be whole. */
function pointedAt(viewer, { plane, canvas }, event) {
  const box = canvas.getBoundingClientRect();
  const pixels = canvas.width / box.width;
  const to = viewer.camera.project(plane, canvas);
  const at = [...viewer.camera.at];
  at[plane.across] = to.i((event.clientX - box.left) * pixels);
  at[plane.up] = to.j((event.clientY - box.top) * pixels);
  return at;
}

function voxelAt(viewer, panel, event) {
  return pointedAt(viewer, panel, event).map((value, axis) =>
    clamp(Math.round(value), 0, viewer.view.shape[axis] - 1));
}

function connectPointer(viewer, panel) {
  const { canvas, plane } = panel;
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("dblclick", () => viewer.measures.tool || viewer.enlarge(panel));
  canvas.addEventListener("pointerdown", (event) => beginDrag(viewer, panel, event));
  canvas.addEventListener("pointermove", (event) => {
    viewer.hover = { panel, clientX: event.clientX, clientY: event.clientY };
    if (panel.drag) dragOn(viewer, panel, event);
    else viewer.say();
  });
  const endDrag = () => {
    if (panel.drag?.kind === "measure") viewer.measures.end();
    panel.drag = null;
  };
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, endDrag);
  canvas.addEventListener("pointerleave", () => { viewer.hover = null; viewer.say(); });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey) {
      viewer.zoom(event.deltaY < 0 ? "in" : "out", 1.1);
      return;
    }
    const steps = notches(panel, event);
    if (steps) viewer.move(plane.through, -steps);
  }, { passive: false });
}

function beginDrag(viewer, panel, event) {
  const { canvas, plane } = panel;
  canvas.focus({ preventScroll: true });
  viewer.active = panel;
  const plain = event.button === 0 && !event.altKey && !event.shiftKey;
  const kind = event.button === 2 || event.altKey ? "window" : event.shiftKey ? "pan" : "cross";
  panel.drag = {
    kind: plain && viewer.measures.tool ? "measure" : kind,
    x: event.clientX,
    y: event.clientY,
    window: [...viewer.window],
    centre: [...viewer.camera.centre],
  };
  canvas.setPointerCapture(event.pointerId);
  if (panel.drag.kind === "measure") viewer.measures.begin(plane, pointedAt(viewer, panel, event));
  if (panel.drag.kind === "cross") dragOn(viewer, panel, event);
}

function dragOn(viewer, panel, event) {
  const { plane, canvas, drag } = panel;
  const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
  const { camera } = viewer;
  if (drag.kind === "window") viewer.windows.drag(drag.window, dx, dy);
  else if (drag.kind === "measure") viewer.measures.drag(pointedAt(viewer, panel, event));
  else if (drag.kind === "pan") {
    const mm = (canvas.width / canvas.clientWidth) / camera.project(plane, canvas).scale;
    camera.centre[plane.across] = drag.centre[plane.across] + dx * mm;
    camera.centre[plane.up] = drag.centre[plane.up] + dy * mm;
    camera.keepInside();
    viewer.draw();
  } else {
    camera.go(pointedAt(viewer, panel, event));
    viewer.draw();
  }
}
