"use strict";
// Colours by byte, as 32 bits RGBA, and what else is drawn with: the hatching of what was not looked at, letters
// with a halo. A table is made once for the same values, so that its pictures can be kept.

const HALO = "rgba(0, 0, 0, 0.75)";
const TABLES = new Map();

function once(name, make) {
  if (!TABLES.has(name)) {
    if (TABLES.size > 400) TABLES.clear(); // a window that is dragged leaves many
    TABLES.set(name, make());
  }
  return TABLES.get(name);
}

/** The grey of each byte of a scan in a window of HU. */
function greyColours(levels, [low, high]) {
  return once(`grey ${low} ${high} ${levels[0]} ${levels[128]} ${levels[255]}`, () => {
    const greys = levels.map((hu) => clamp(Math.round((255 * (hu - low)) / (high - low)), 0, 255));
    return Uint32Array.from(greys, (grey) => (0xff000000 | (grey << 16) | (grey << 8) | grey) >>> 0);
  });
}

/** The colour of each byte of a map: 0 is unseen, 1 to 51 are 0 to 1. */
function mapColours(kind, opacity) {
  return once(`map ${kind} ${opacity}`, () => {
    const colours = new Uint32Array(256);
    const table = PAGE.maps[kind];
    for (let step = 0; step <= PAGE.map_steps; step += 1) {
      const value = step / PAGE.map_steps;
      // certainty hides nothing; attention of 0 is a result, and is shown
      const alpha = opacity * (kind === "entropy" ? Math.min(1, 2.5 * value) : 1);
      colours[step + 1] = ((Math.round(255 * alpha) << 24) | swapped(table[step])) >>> 0;
    }
    return colours;
  });
}

/** Byte n in the n-th of some colours, all with one alpha (0 to 255); byte 0 is clear. */
function fillColours(colours, alpha) {
  return once(`fill ${colours.join(" ")} ${alpha}`, () => Uint32Array.from({ length: 256 }, (_, byte) =>
    byte ? ((alpha << 24) | swapped(colours[byte - 1] ?? "#ffffff")) >>> 0 : 0));
}

/** White where a map was not looked at. */
function unseenColours() {
  return once("unseen", () => Uint32Array.from({ length: 256 }, (_, byte) => (byte ? 0 : 0xffffffff)));
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
