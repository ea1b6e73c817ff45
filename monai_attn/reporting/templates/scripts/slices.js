"use strict";
// The slices that are shown, cut from the volumes, and their pictures. Each is kept until its place, its volume
// or its colours change: to scroll one plane costs nothing in the others.

const BLOCK = 16; // sagittal slices that are cut together: neighbours in x lie next to each other in memory

class Slices {
  constructor() {
    this.cut = new Map();
    this.blocks = new Map();
    this.sheets = new Map();
  }

  one(key, volume, shape, plane, at) {
    if (plane.through !== 0) return cutOne(volume, shape, plane, at);
    const first = at - (at % BLOCK);
    let block = this.blocks.get(key);
    if (block?.volume !== volume || block.first !== first) {
      block = { volume, first, slices: cutBlock(volume, shape, first) };
      this.blocks.set(key, block);
    }
    return block.slices[at - first];
  }

  /** The bytes of a slice, or of a slab: the largest byte within `reach` slices on either side. */
  of(key, volume, shape, plane, at, reach = 0) {
    const name = `${key} ${plane.name}`;
    const held = this.cut.get(name);
    if (held && held.volume === volume && held.at === at && held.reach === reach) return held;
    const [width, height] = [shape[plane.across], shape[plane.up]];
    let bytes = this.one(key, volume, shape, plane, at);
    if (reach) {
      bytes = bytes.slice();
      for (let n = Math.max(0, at - reach); n <= Math.min(shape[plane.through] - 1, at + reach); n += 1) {
        const other = n === at ? bytes : this.one(key, volume, shape, plane, n);
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

/** The bytes of an axial or a coronal slice, whose rows run along x. */
function cutOne(volume, shape, plane, at) {
  const [width, height] = [shape[0], shape[plane.up]];
  if (plane.through === 2) return volume.subarray(at * width * height, (at + 1) * width * height);
  const bytes = new Uint8Array(width * height);
  for (let j = 0; j < height; j += 1) {
    const start = width * (at + shape[1] * j);
    bytes.set(volume.subarray(start, start + width), j * width);
  }
  return bytes;
}

/** The bytes of some sagittal slices, from one on. */
function cutBlock(volume, [width, across, up], first) {
  const count = Math.min(BLOCK, width - first);
  const slices = Array.from({ length: count }, () => new Uint8Array(across * up));
  const [low, high] = volume.filled;
  for (let to = low * across, from = first + to * width; to < across * (high + 1); to += 1, from += width) {
    for (let n = 0; n < count; n += 1) slices[n][to] = volume[from + n];
  }
  return slices;
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
