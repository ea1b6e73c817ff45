"use strict";
// What is drawn with: the colours of maps, the hatching of what was not looked at, letters with a halo.

const HALO = "rgba(0, 0, 0, 0.75)";

/** The colour of each byte of a map, 32 bits RGBA: 0 is unseen, 1 to 51 are 0 to 1. */
function mapColours(kind, opacity) {
  const colours = new Uint32Array(256);
  const table = PAGE.maps[kind];
  for (let step = 0; step <= PAGE.map_steps; step += 1) {
    const value = step / PAGE.map_steps;
    // certainty hides nothing; attention of 0 is a result, and is shown
    const alpha = opacity * (kind === "entropy" ? Math.min(1, 2.5 * value) : 1);
    colours[step + 1] = ((Math.round(255 * alpha) << 24) | swapped(table[step])) >>> 0;
  }
  return colours;
}

/** "#rrggbb" as 0xbbggrr, the order of pixels. */
function swapped(colour) {
  const rgb = Number.parseInt(colour.slice(1), 16);
  return ((rgb & 255) << 16) | (rgb & 0xff00) | (rgb >> 16);
}

function hatchTile(pixels) {
  const size = Math.round(8 * pixels);
  const tile = document.createElement("canvas");
  Object.assign(tile, { width: size, height: size });
  const context = tile.getContext("2d");
  context.fillStyle = "rgba(20, 26, 32, 0.35)";
  context.fillRect(0, 0, size, size);
  context.strokeStyle = "rgba(143, 179, 201, 0.75)";
  context.lineWidth = 1.2 * pixels;
  context.beginPath();
  for (const shift of [-size, 0, size]) { context.moveTo(shift, size); context.lineTo(shift + size, 0); }
  context.stroke();
  return tile;
}

function write(context, text, x, y, pixels) {
  context.strokeStyle = HALO;
  context.lineWidth = 3 * pixels;
  context.strokeText(text, x, y);
  context.fillStyle = "#f2f2f2";
  context.fillText(text, x, y);
}
