"use strict";
// Files that a reader saves: a plane as a PNG picture, and any other content, as a download.

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Save a plane as it is shown, with its marks. */
function savePicture(viewer, { canvas, plane }) {
  viewer.drawNow();
  const name = viewer.view.name.replace(/[^\p{L}\p{N}._-]+/gu, "_");
  canvas.toBlob((blob) => download(blob, `${name}_${plane.name}_${viewer.camera.at[plane.through] + 1}.png`), "image/png");
}
