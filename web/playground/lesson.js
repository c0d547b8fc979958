/** What stands below an answer: what there is to learn from, the lesson, and what it was worth. */

import { button, download, el } from "./dom.js";
import { drawn } from "./curve.js";
import { exampleLines } from "./model.js";
import { S } from "./strings.js";

const [WIDTH, HEIGHT, MARGIN] = [220, 90, 18];

export class Lesson {
  /** `taught()` is called after a lesson. */
  constructor(side, name, taught) {
    Object.assign(this, { side, name, taught });
    this.says = el("p", { class: "says", role: "status" });
    this.element = el("div", { class: "lesson" });
    this.draw();
  }

  get notebook() {
    return this.side.notebooks.get(this.name);
  }

  draw() {
    if (this.stop) return; // a lesson is under way
    const { rows, curve } = this.notebook;
    const isDraft = this.side.isDraft(this.name);
    const hint = isDraft ? S.noDraftExamples : S.noExamples;
    const teach = button(S.teach, () => this.run(), { class: "strong", "aria-label": `${S.teach}: ${this.name}` });
    this.element.replaceChildren(
      el("div", { class: "row" }, [
        el("span", { class: "hint" }, rows.length ? S.examples(rows.length) : hint),
        rows.length ? teach : [],
      ]),
      this.says,
      ...(curve.some(({ score }) => score !== null) ? [plot(this.notebook)] : []),
      ...(curve.length ? [this.#saving()] : []),
    );
  }

  async run() {
    this.stop = new AbortController();
    const bar = el("progress", { max: 1, value: 0, "aria-label": S.teaching });
    const step = el("span", { class: "hint" }, S.teaching);
    const cancel = button(S.cancel, () => this.stop.abort());
    this.says.textContent = "";
    this.element.replaceChildren(el("div", { class: "row" }, bar, step, cancel), this.says);
    cancel.focus();
    const progress = (what, done, total) => {
      bar.value = total ? done / total : 0;
      step.textContent = S.steps[what] ?? S.teaching;
    };
    let said;
    try {
      const { signal } = this.stop;
      const { report, last } = await this.side.teach(this.name, { progress, signal });
      const { rows, seconds, notes } = report;
      said = [S.taught(report, last), S.taughtFrom(rows, seconds), ...notes.map(S.note)].join(" ");
      this.notebook.metric = report.metric;
      this.says.classList.remove("wrong");
    } catch (error) {
      said = error.name === "AbortError" ? S.stopped : error.message;
      this.says.classList.toggle("wrong", error.name !== "AbortError");
    }
    this.stop = undefined;
    await this.taught();
    this.draw();
    this.says.textContent = said;
    this.element.querySelector("button")?.focus();
  }

  #saving() {
    const { name } = this;
    const app = async () => {
      const bytes = await this.side.runtime.saveApp(name);
      download(`${name}.safetensors`, bytes, "application/octet-stream");
    };
    const examples = () => {
      const kept = this.side.runtime.examples(name);
      download(`${name}.jsonl`, exampleLines(kept), "application/jsonl");
    };
    return el("div", { class: "row" }, [
      button(S.saveApp, app, { "aria-label": `${S.saveApp}: ${name}` }),
      button(S.saveExamples, examples, { "aria-label": `${S.saveExamples}: ${name}` }),
    ]);
  }
}

/** The learning curve so far. */
function plot({ curve, metric }) {
  const { path, dots, low, high } = drawn(curve, WIDTH, HEIGHT, MARGIN);
  const said = dots.map(({ rows, score }) => S.curvePoint(rows, score)).join("; ");
  const text = (x, y, content, anchor) =>
    el("text", { x, y, "text-anchor": anchor, class: "tick" }, content);
  const frame = `M${MARGIN} ${MARGIN / 2}V${HEIGHT - MARGIN}H${WIDTH - MARGIN / 2}`;
  const label = `${S.curve(metric)}. ${said}`;
  const box = { class: "curve", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label };
  const drawing = el(
    "svg",
    box,
    el("path", { d: frame, class: "frame" }),
    el("path", { d: path, class: "line" }),
    dots.map(({ x, y }) => el("circle", { cx: x, cy: y, r: 3.5, class: "dot" })),
    text(MARGIN - 4, MARGIN / 2 + 6, `${high}`, "end"),
    text(MARGIN - 4, HEIGHT - MARGIN + 3, `${low}`, "end"),
    dots.length ? text(dots[0].x, HEIGHT - 5, `${dots[0].rows}`, "middle") : [],
    dots.length > 1 ? text(dots.at(-1).x, HEIGHT - 5, `${dots.at(-1).rows}`, "middle") : [],
  );
  return el("figure", {}, el("figcaption", {}, S.curve(metric)), drawing);
}
