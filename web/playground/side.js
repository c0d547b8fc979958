/** A bundle that is open, the apps of it that answer, and what was said about their answers. */

import { Notebook } from "./model.js";
import { SAMPLES } from "./strings.js";

/** Of the texts that were read last, so many keep their answers when an app is corrected. */
const STAYING = 12;

export class Side {
  constructor({ name, facts, runtime }) {
    Object.assign(this, { name, facts, runtime });
    this.notebooks = new Map();
    for (const app of runtime.names) this.notebooks.set(app, new Notebook(runtime.describe(app)));
    this.chosen = new Set(runtime.names);
    this.read = new Set(SAMPLES);
  }

  /** All apps, also those that have learnt nothing so far. */
  get names() {
    return [...this.notebooks.keys()];
  }

  isDraft(name) {
    return !this.runtime.names.includes(name);
  }

  /** Begin an app. */
  begin(name, decoder, labels) {
    this.notebooks.set(name, new Notebook({ decoder, labels, isNew: true }));
    this.chosen.add(name);
  }

  /**
   * The answers of the chosen apps, and how long the trunk, each app and all of it took. The top
   * layers are divided evenly among the apps.
   */
  async answer(text) {
    const names = this.names.filter((name) => this.chosen.has(name) && !this.isDraft(name));
    let times = { trunk: 0, top: 0, apps: {} };
    const start = performance.now();
    const { apps } = names.length
      ? await this.runtime.predict(text, names, { onTimes: (measured) => (times = measured) })
      : { apps: {} };
    const total = performance.now() - start;
    this.read.delete(text); // it comes last
    this.read.add(text);
    const ofApp = (name) => times.top / names.length + times.apps[name];
    return { apps, total, trunk: times.trunk, times: new Map(names.map((name) => [name, ofApp(name)])) };
  }

  /** Teach an app from its notebook. Gives the report, with the score that the page shows, and what
   * the lesson before came to. */
  async teach(name, watch) {
    const notebook = this.notebooks.get(name);
    const { decoder, isNew, rows } = notebook;
    // A bundle's app goes on from what it was; what is new learns from its examples alone.
    const from = isNew ? undefined : name;
    const labels = decoder === "rating" && isNew ? [] : notebook.labels;
    // Most words of an example have the answer that they had; a whole text has no such company, and
    // an example of a new type may hold none of the others.
    const hasCompany = decoder.includes("ner") && (isNew || !this.#gainsLabels(name));
    const others = [...this.read].filter((text) => !notebook.of(text));
    const stay = hasCompany ? [] : others.slice(-STAYING);
    const options = { ...watch, labels, from, stay, keepExamples: true };
    const report = await this.runtime.teach(name, decoder, rows, options);
    notebook.labels = this.runtime.describe(name).labels;
    const { score, last } = notebook.learnt(report);
    return { report: { ...report, score }, last };
  }

  #gainsLabels(name) {
    const known = this.runtime.describe(name).labels;
    return this.notebooks.get(name).labels.some((label) => !known.includes(label));
  }
}
