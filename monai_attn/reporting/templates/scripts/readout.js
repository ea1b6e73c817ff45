"use strict";
// Words about a place: where it lies, its value, its label, and the value of the map.

/** Say what lies at a voxel of a viewer, from `who`: the pointer or the crosshair. */
function placeInWords(viewer, at, who) {
  const { view, volumes, show, map } = viewer;
  const known = (key) => volumes.byte(key, at) ?? null;
  const parts = [
    who,
    viewer.camera.position(at).map((mm, axis) => `${letterOf(axis, mm)} ${Math.abs(mm).toFixed(0)}`).join("  ") + " mm",
  ];
  const grey = known("image");
  if (grey !== null) parts.push(`${view.levels[grey].toFixed(0)}${view.unit}`);
  const label = known("labels");
  parts.push(label ? view.labels[label - 1].name : "no label");
  const expected = show.reference ? known("reference") : null;
  if (expected !== null) parts.push(expected ? "in the reference" : "not in the reference");
  const difference = show.differences ? known("differences") : null;
  if (difference) parts.push(PAGE.differences[difference - 1].name);
  const value = map ? known(map.key) : null;
  if (value !== null) {
    parts.push(`${map.kind} ${value ? ((value - 1) / PAGE.map_steps).toFixed(2) : "not looked at"}`);
  }
  return parts.join("   \u00b7   ");
}

function letterOf(axis, mm) {
  return PAGE.letters[axis][mm >= 0 ? 0 : 1];
}

/** Say which slice a plane shows. */
function sliceInWords(viewer, plane) {
  const { at } = viewer.camera;
  const mm = viewer.camera.position(at)[plane.through];
  const count = viewer.view.shape[plane.through];
  return `slice ${at[plane.through] + 1} of ${count} \u00b7 ${letterOf(plane.through, mm)} ${Math.abs(mm).toFixed(0)} mm`;
}
