/** A bundle that is open, the apps of it that answer, and what was said about their answers. */

import { FAMILIES } from "./runtime/families.js";
import { Notebook } from "./model.js";

export class Side {
  constructor({ name, facts, runtime }) {
    Object.assign(this, { name, facts, runtime });
    this.notebooks = new Map();
    for (const app of runtime.names) this.notebooks.set(app, new Notebook(runtime.describe(app)));
    this.chosen = new Set(runtime.names);
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
    const ofApp = (name) => times.top / names.length + times.apps[name];
    return { apps, total, trunk: times.trunk, times: new Map(names.map((name) => [name, ofApp(name)])) };
  }

  /** Teach an app from its notebook. Gives the report, and the score before, where it is known. */
  async teach(name, watch) {
    const notebook = this.notebooks.get(name);
    const { decoder, isNew, rows } = notebook;
    // A bundle's app goes on from what it was; what is new learns from its examples alone.
    const before = notebook.curve.length || isNew ? null : await this.#scoreOf(name, rows);
    const labels = decoder === "rating" && isNew ? undefined : notebook.labels;
    const options = { ...watch, labels, from: isNew ? undefined : name, keepExamples: true };
    const report = await this.runtime.teach(name, decoder, rows, options);
    notebook.labels = this.runtime.describe(name).labels;
    return { report, before: notebook.learnt(report, before) };
  }

  /** How well an app answers the examples as it is. */
  async #scoreOf(name, rows) {
    const { decoder } = this.notebooks.get(name);
    const results = await this.runtime.predict(rows.map(({ text }) => text), name);
    return FAMILIES[decoder].score(rows, results.map(({ apps }) => apps[name]));
  }
}
