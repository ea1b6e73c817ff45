"use strict";
// Marching squares around one label of a slice, as closed lines through the middle between two voxels.
// What lies outside the box (i0, j0, i1, j1) is none.

function outlines({ bytes, width: row }, label, [i0, j0, i1, j1]) {
  const width = 2 * (i1 - i0 + 4);
  const point = (i, j) => Math.round(2 * (i - i0 + 1)) + width * Math.round(2 * (j - j0 + 1));
  const next = new Map();
  const inside = (i, j) => i >= i0 && i <= i1 && j >= j0 && j <= j1 && bytes[i + row * j] === label;
  for (let j = j0 - 1; j <= j1; j += 1) {
    let [a, d] = [false, false]; // the corner at the left is the one that was at the right
    for (let i = i0 - 1; i <= i1; i += 1) {
      const [b, c] = [inside(i + 1, j), inside(i + 1, j + 1)];
      if (a !== b || b !== c || c !== d) {
        const low = point(i + 0.5, j), right = point(i + 1, j + 0.5);
        const high = point(i + 0.5, j + 1), left = point(i, j + 0.5);
        // from the edge where one leaves the label to the edge where one comes back, label at the left
        const edges = [[a, b, low], [b, c, right], [c, d, high], [d, a, left]];
        const leaves = edges.filter(([from, to]) => from && !to).map((edge) => edge[2]);
        const enters = edges.filter(([from, to]) => !from && to).map((edge) => edge[2]);
        if (leaves.length === 1) next.set(leaves[0], enters[0]);
        else if (a) { next.set(low, left); next.set(high, right); } // two corners that touch: kept apart
        else { next.set(right, low); next.set(left, high); }
      }
      [a, d] = [b, c];
    }
  }
  const lines = [];
  while (next.size) {
    const line = [];
    let key = next.keys().next().value;
    while (next.has(key)) {
      line.push([(key % width) / 2 + i0 - 1, Math.floor(key / width) / 2 + j0 - 1]);
      const following = next.get(key);
      next.delete(key);
      key = following;
    }
    lines.push(line);
  }
  return lines;
}
