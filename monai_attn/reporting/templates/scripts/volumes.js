"use strict";
// The bytes of a case's volumes, unpacked when they are first needed. A volume has x fastest; an index is
// (x, y, z) in the order right, anterior, superior.

const PAGE = JSON.parse(document.getElementById("page-data").textContent);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const plain = atob(text);
  const bytes = new Uint8Array(plain.length);
  for (let i = 0; i < plain.length; i += 1) bytes[i] = plain.charCodeAt(i);
  return bytes;
}

/**
 * The bytes of a volume, whose text holds each less the one in the slice below. Its `filled` are the first and the
 * last slice that hold more than 0: labels fill few of them.
 */
async function unpack(text, [width, height]) {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const slice = width * height;
  bytes.filled = [Infinity, -1];
  for (let z = 0, i = 0; i < bytes.length; z += 1) {
    let any = 0;
    for (const end = i + slice; i < end; i += 1) {
      if (z) bytes[i] += bytes[i - slice]; // modulo 256
      any |= bytes[i];
    }
    if (any) bytes.filled = [Math.min(z, bytes.filled[0]), z];
  }
  return bytes;
}

class Volumes {
  /** `text(key)` is the packed volume; `changed(error)` is called when one more is unpacked, or cannot be. */
  constructor(view, text, changed) {
    Object.assign(this, { view, text, changed });
    this.unpacked = new Map();
  }

  get busy() {
    return [...this.unpacked.values()].includes(null);
  }

  get(key) {
    return this.unpacked.get(key);
  }

  async need(key) {
    if (this.unpacked.has(key) || !this.view.keys.includes(key)) return;
    this.unpacked.set(key, null);
    let fault = null;
    try {
      this.unpacked.set(key, await unpack(this.text(key), this.view.shape));
    } catch (error) {
      this.unpacked.set(key, undefined);
      fault = error;
    }
    this.changed(fault);
  }

  byte(key, at) {
    const { shape } = this.view;
    return this.unpacked.get(key)?.[at[0] + shape[0] * (at[1] + shape[1] * at[2])];
  }
}
