/** A card for each app: its answer, corrections of it, and its lesson. */

import { bars, entities, rating } from "./answers.js";
import { button, el, labelled } from "./dom.js";
import { Lesson } from "./lesson.js";
import * as model from "./model.js";
import { pick } from "./picker.js";
import { S } from "./strings.js";

export class Card {
  /** With `again()`, which answers the text anew, answers can be corrected and apps taught. */
  constructor(side, name, again) {
    Object.assign(this, { side, name, again });
    const { decoder } = this.notebook;
    this.badge = el("span", { class: "badge" });
    this.bundle = el("span", { class: "kind" });
    this.time = el("span", { class: "time", title: S.timeHint });
    this.body = el("div", { class: "answer" });
    this.actions = el("div", { class: "row actions" });
    this.lesson = again && new Lesson(side, name, again);
    this.element = el(
      "article",
      { class: "card", "aria-label": name, "data-app": name },
      el("header", {}, [
        el("h2", {}, name),
        el("span", { class: "kind" }, S.kind[decoder]),
        this.bundle,
        this.badge,
        this.time,
      ]),
      this.body,
      this.actions,
      this.lesson?.element ?? [],
    );
  }

  get notebook() {
    return this.side.notebooks.get(this.name);
  }

  /** Say which bundle it is of, where there are two. */
  call(bundle) {
    this.bundle.textContent = bundle;
    this.element.setAttribute("aria-label", bundle ? `${this.name}, ${bundle}` : this.name);
  }

  /** Show an app's answer to a text; a correction comes before it. `mark` stands beside the name. */
  show(text, answer, milliseconds, mark) {
    Object.assign(this, { text, answer });
    const { decoder, labels } = this.notebook;
    const example = this.notebook.of(text);
    const isDraft = this.side.isDraft(this.name);
    this.time.textContent = milliseconds === undefined ? "" : S.time(milliseconds);
    this.badge.textContent = mark ?? (example ? S.corrected : isDraft ? S.draft : "");
    this.badge.className = `badge ${mark ? (mark === S.agrees ? "agrees" : "differs") : ""}`;
    const blank = model.exampleOf(decoder, text, undefined);
    const shown = example || !answer ? model.answerOf(decoder, example ?? blank, answer) : answer;
    this.body.replaceChildren(...this.#parts(decoder, { text, answer: shown, labels }));
    this.#drawActions(example, isDraft);
    this.lesson?.draw();
  }

  #parts(decoder, shown) {
    const edits = this.again !== undefined;
    if (decoder === "ner" || decoder === "nested-ner") {
      return entities({ ...shown, onword: edits ? (word, anchor) => this.#pick(word, anchor) : undefined });
    }
    if (decoder === "rating") {
      const onvalue = (value) => this.#correct({ text: this.text, value }, "input");
      return rating({ ...shown, onvalue: edits ? onvalue : undefined });
    }
    const onlabel = (label) => {
      const focus = `[data-label="${CSS.escape(label)}"]`;
      this.#correct(model.withLabel(decoder, this.#example(), label), focus);
    };
    const several = decoder === "multi-label";
    return [...bars({ ...shown, several, onlabel: edits ? onlabel : undefined }), ...(edits ? [this.#adding(onlabel)] : [])];
  }

  /** A field for a label that is not there yet. */
  #adding(onlabel) {
    const input = el("input", { type: "text", autocomplete: "off" });
    const submit = (event) => {
      event.preventDefault();
      const label = this.notebook.addLabel(input.value);
      if (label) onlabel(label);
    };
    const form = el("form", { class: "row", onsubmit: submit }, labelled(S.otherLabel, input), el("button", {}, S.add));
    return el("details", {}, el("summary", {}, S.otherLabel), form);
  }

  #pick(word, anchor) {
    const { decoder, labels } = this.notebook;
    const focus = `[data-word="${word}"]`;
    const example = this.#example();
    pick({
      anchor,
      text: this.text,
      word,
      entities: example.entities,
      labels,
      ontype: (start, end, type) =>
        this.#correct(model.withType(decoder, example, start, end, type), focus),
      onnone: (start, end) => this.#correct(model.withoutTypes(example, start, end), focus),
      onadd: (type) => this.notebook.addLabel(type),
    });
  }

  #example() {
    const { decoder } = this.notebook;
    return this.notebook.of(this.text) ?? model.exampleOf(decoder, this.text, this.answer);
  }

  #correct(example, focus) {
    this.notebook.note(example);
    this.show(this.text, this.answer);
    const target = this.body.querySelector(focus);
    target?.focus();
  }

  #drawActions(example, isDraft) {
    if (!this.again) return;
    const undo = () => {
      this.notebook.undo(this.text);
      this.again();
    };
    const right = () => this.#correct(this.#example(), ".word, .bar, input");
    const needsNone = isDraft && !model.isWhole(this.notebook.decoder, this.#example());
    const name = (label) => ({ class: "quiet", "aria-label": `${label}: ${this.name}` });
    this.actions.replaceChildren(
      ...(example
        ? [button(S.undo, undo, name(S.undo))]
        : needsNone ? [] : [button(S.right, right, name(S.right))]),
    );
  }
}
