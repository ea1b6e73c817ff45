"use strict";
// A reader's verdict and comment on each case. They are kept in the browser as a draft, where it allows that, and
// saved as a small JSON file, which `monai-attn report` reads back from the folder of the run.

const VERDICTS = { accept: "accepted", reject: "rejected" };

class Reading {
  constructor({ id, report, cases, known }) {
    Object.assign(this, { report, cases, known });
    this.key = `monai-attn reading ${id}`;
    this.entries = { ...known };
    for (const [name, entry] of Object.entries(this.draft())) {
      if (name in cases && !(this.entries[name]?.time > entry.time)) this.entries[name] = entry;
    }
  }

  draft() {
    try {
      const entries = Object.entries(JSON.parse(localStorage.getItem(this.key)) ?? {});
      return Object.fromEntries(entries.filter(([, entry]) => typeof entry?.time === "string"));
    } catch {
      return {}; // the browser keeps nothing for a page on disk
    }
  }

  get unsaved() {
    return Object.keys(this.entries).some((id) => this.entries[id].time !== this.known[id]?.time);
  }

  set(id, change) {
    const entry = { verdict: "", comment: "", ...this.entries[id], ...change, time: new Date().toISOString() };
    this.entries[id] = entry;
    if (!entry.verdict && !entry.comment && !this.known[id]) delete this.entries[id];
    try {
      localStorage.setItem(this.key, JSON.stringify(this.entries));
      this.kept = true;
    } catch {
      this.kept = false;
    }
    this.describe();
  }

  /** Give a verdict, or take the same one back. */
  judge(id, verdict) {
    this.set(id, { verdict: this.entries[id]?.verdict === verdict ? "" : verdict });
  }

  comment(id) {
    document.querySelector(`[data-reading="${id}"] .comment`)?.focus();
  }

  get content() {
    const cases = Object.entries(this.entries)
      .filter(([, { verdict, comment }]) => verdict || comment)
      .map(([id, { verdict, comment, time }]) => ({ case: this.cases[id], verdict, comment, time }));
    return { format: PAGE.reading.format, version: PAGE.reading.version, report: this.report, cases };
  }

  /** Save the file where the reader chooses; without a chooser the browser downloads it. */
  async save() {
    const text = `${JSON.stringify(this.content, null, 1)}\n`;
    const { file } = PAGE.reading;
    if (window.showSaveFilePicker) {
      try {
        const types = [{ description: "Reading", accept: { "application/json": [".json"] } }];
        this.handle ??= await window.showSaveFilePicker({ suggestedName: file, types });
        const stream = await this.handle.createWritable();
        await stream.write(text);
        await stream.close();
      } catch (error) {
        this.handle = null;
        if (error.name === "AbortError") return;
        download(new Blob([text], { type: "application/json" }), file);
      }
    } else download(new Blob([text], { type: "application/json" }), file);
    this.known = Object.fromEntries(Object.entries(this.entries).map(([id, entry]) => [id, { ...entry }]));
    this.describe();
  }

  describe() {
    const counts = { accept: 0, reject: 0 };
    for (const id of Object.keys(this.cases)) {
      const { verdict = "", comment = "" } = this.entries[id] ?? {};
      if (verdict) counts[verdict] += 1;
      const said = [VERDICTS[verdict], comment].filter(Boolean).join(": ");
      const cell = document.querySelector(`[data-read="${id}"]`);
      if (cell) cell.textContent = said;
      const root = document.querySelector(`[data-reading="${id}"]`);
      if (!root) continue;
      for (const button of root.querySelectorAll("[data-verdict]")) {
        button.setAttribute("aria-pressed", button.dataset.verdict === verdict);
      }
      const input = root.querySelector(".comment");
      if (input !== document.activeElement) input.value = comment;
      const chip = root.closest("details").querySelector(".verdict");
      chip.textContent = VERDICTS[verdict] ?? "";
      chip.hidden = !verdict;
    }
    const bar = document.querySelector(".study");
    if (!bar) return;
    const all = Object.keys(this.cases).length;
    const read = counts.accept + counts.reject;
    bar.querySelector("output").textContent = `${read} of ${all} read: ${counts.accept} accepted, ${counts.reject} rejected.${this.unsaved ? " Not saved yet." : ""}`;
  }

  connect() {
    for (const root of document.querySelectorAll("[data-reading]")) {
      const id = root.dataset.reading;
      for (const button of root.querySelectorAll("[data-verdict]")) {
        button.addEventListener("click", () => this.judge(id, button.dataset.verdict));
      }
      const input = root.querySelector(".comment");
      input.addEventListener("input", () => this.set(id, { comment: input.value }));
    }
    document.querySelector(".study .keep")?.addEventListener("click", () => this.save());
    window.addEventListener("beforeunload", (event) => {
      if (this.unsaved && this.kept === false) event.preventDefault();
    });
    this.describe();
  }
}

const READING = new Reading(PAGE.reading);
