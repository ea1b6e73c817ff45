"use strict";
// The scan's own grid, from a file next to the page. A script may lie next to a page that is opened from disk,
// where data may not be fetched; it calls `takeCase`.

const SIDE_FILES = new Map(); // what each has brought, by its key

function takeCase(key, content) {
  SIDE_FILES.set(key, content);
}

class FullResolution {
  constructor(viewer) {
    this.viewer = viewer;
    this.coarse = { view: viewer.view };
    this.button = viewer.root.querySelector("[data-full]");
  }

  async toggle() {
    const { viewer, button } = this;
    if (!button || button.getAttribute("aria-busy")) return;
    if (viewer.view === this.coarse.view) {
      this.coarse.text = viewer.text;
      const content = await this.load();
      if (content) this.use(content.view, (key) => content.volumes[key]);
    } else this.use(this.coarse.view, this.coarse.text);
    button.setAttribute("aria-pressed", viewer.view !== this.coarse.view);
  }

  use(view, text) {
    const { viewer } = this;
    viewer.view = view;
    viewer.measures.shift(viewer.camera.change(view));
    viewer.useText(text);
    viewer.open();
  }

  /** The content of the file, or null if it is not there or of another report, which is said. */
  async load() {
    const { viewer, button } = this;
    const { file, key, path } = viewer.view.full;
    viewer.fail("");
    if (!SIDE_FILES.has(key)) {
      const script = document.createElement("script");
      script.src = path;
      button.setAttribute("aria-busy", "true");
      viewer.root.setAttribute("aria-busy", "true");
      const there = await new Promise((go) => {
        script.onload = () => go(true);
        script.onerror = () => go(false);
        document.head.append(script);
      });
      script.remove();
      button.removeAttribute("aria-busy");
      viewer.root.removeAttribute("aria-busy");
      if (!there) viewer.fail(`Full resolution lies in ${file}, which is not next to this page. Put it there, or write the report again.`);
      else if (!SIDE_FILES.has(key)) viewer.fail(`${file} belongs to another report. Write the report again.`);
    }
    return SIDE_FILES.get(key) ?? null;
  }
}
