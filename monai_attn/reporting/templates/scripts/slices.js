"use strict";
// The slices that are shown, cut from the volumes, and their pictures. Each is kept until its place, its volume
// or its colours change: to scroll one plane costs nothing in the others.

class Slices {
  constructor() {
    this.cut = new Map();
    this.sheets = new Map();
  }

  /** The bytes of a slice, or of a slab: the largest byte within `reach` slices on either side. */
  of(key, volume, shape, plane, at, reach = 0) {
    const name = `${key} ${plane.name}`;
    const held = this.cut.get(name);
    if (held && held.volume === volume && held.at === at && held.reach === reach) return held;
    const [width, height] = [shape[plane.across], shape[plane.up]];
    let bytes = cutOne(volume, shape, plane, at);
    if (reach) {
      bytes = bytes.slice();
      for (let n = Math.max(0, at - reach); n <= Math.min(shape[plane.through] - 1, at + reach); n += 1) {
        const other = n === at ? bytes : cutOne(volume, shape, plane, n);
        for (let i = 0; i < bytes.length; i += 1) if (other[i] > bytes[i]) bytes[i] = other[i];
      }
    }
    const slice = { volume, at, reach, bytes, width, height, paths: new Map() };
    this.cut.set(name, slice);
    return slice;
  }

  /** A canvas with the colour (RGBA, 32 bits) of each byte of a slice, turned left and up. */
  sheet(key, plane, slice, colours) {
    const name = `${key} ${plane.name}`;
    const held = this.sheets.get(name) || { canvas: document.createElement("canvas") };
    if (held.slice === slice && held.colours === colours) return held.canvas;
    const { bytes, width, height } = slice;
    if (!held.data || held.data.width !== width || held.data.height !== height) {
      Object.assign(held.canvas, { width, height });
      held.context = held.canvas.getContext("2d");
      held.data = held.context.createImageData(width, height);
      held.pixels = new Uint32Array(held.data.data.buffer);
    }
    const { pixels } = held;
    for (let from = 0, to = bytes.length - 1; to >= 0; from += 1, to -= 1) pixels[to] = colours[bytes[from]];
    held.context.putImageData(held.data, 0, 0);
    this.sheets.set(name, Object.assign(held, { slice, colours }));
    return held.canvas;
  }
}

function cutOne(volume, shape, plane, at) {
  const strides = [1, shape[0], shape[0] * shape[1]];
  const [width, height] = [shape[plane.across], shape[plane.up]];
  const [across, up] = [strides[plane.across], strides[plane.up]];
  const first = at * strides[plane.through];
  if (across === 1 && up === width) return volume.subarray(first, first + width * height);
  const bytes = new Uint8Array(width * height);
  for (let j = 0; j < height; j += 1) {
    const start = first + j * up;
    if (across === 1) bytes.set(volume.subarray(start, start + width), j * width);
    else for (let i = 0, from = start, to = j * width; i < width; i += 1, from += across, to += 1) bytes[to] = volume[from];
  }
  return bytes;
}

/** The largest box (i0, j0, i1, j1) of each label of a slice. */
function boxesOf({ bytes, width, height }) {
  const boxes = new Map();
  for (let j = 0, at = 0; j < height; j += 1) {
    for (let i = 0; i < width; i += 1, at += 1) {
      const label = bytes[at];
      if (!label) continue;
      const box = boxes.get(label);
      if (!box) boxes.set(label, [i, j, i, j]);
      else {
        if (i < box[0]) box[0] = i;
        if (i > box[2]) box[2] = i;
        box[3] = j;
      }
    }
  }
  return boxes;
}

/** The outline of each label of a slice, in its voxels. */
function outlinePaths(slice) {
  if (slice.paths.size) return slice.paths;
  for (const [label, box] of boxesOf(slice)) {
    const path = new Path2D();
    for (const line of outlines(slice, label, box)) {
      line.forEach(([i, j], n) => path[n ? "lineTo" : "moveTo"](i, j));
      path.closePath();
    }
    slice.paths.set(label, path);
  }
  return slice.paths;
}
