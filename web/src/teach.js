import { BundleError, nearest } from "./errors.js";
import { familyNamed } from "./families.js";
import { Features } from "./features.js";
import { fitHead } from "./penalty.js";
import { newLabels } from "./new-labels.js";
import { writeSafetensors } from "./safetensors.js";
import { DECODERS } from "./decoding.js";
import { States } from "./states.js";

/** The rule by which units are made; files of apps say it. */
const UNITS = "text and tokenizer";
const MAX_LENGTH = 128;
/** Two special tokens and a few others: shorter windows read next to nothing. */
const SHORTEST_WINDOW = 8;
/** Texts that are read before the page has a turn. */
const AT_ONCE = 4;
const NAME = /^[\p{L}\p{N}_][\p{L}\p{N}_.+@ -]{0,99}$/u;

/** Fits linear heads on the states of a bundle: `onetrunk.adapt(..., adapter="linear")`. */
export class Teacher {
  #kept = new Map();

  /** `read(texts, reader, maxLength)` gives, for each text, its windows with the vectors of
   * `reader.name`; `answers(app, texts)` what an app says to texts. */
  constructor(bundle, read, answers) {
    Object.assign(this, { bundle, read, answers });
  }

  /**
   * The bytes of an app's file, and the report. `old` is the app of this name, if there is one. With
   * `from`, an app of the bundle, the head starts from that app's and is held to it, in place of
   * zero; its labels and its LoRA stay. So do its answers to the texts `stay`: they are learnt, too,
   * but not judged. The report's `notes` say what new labels may make it forget.
   */
  async teach(name, family, examples, options = {}, old = undefined) {
    const start = performance.now();
    const { progress = () => {}, signal, keepExamples = false, from, stay = [] } = options;
    const lesson = this.#lesson(name, family, examples, options);
    let notes = [];
    if (from) {
      lesson.rehearsed = await this.#rehearsed(lesson, stay);
      // A value beyond a scale has been refused.
      if (family !== "rating") notes = newLabels(lesson.kind, from, lesson.rows, lesson.rehearsed);
    }
    const { slot, reads, maxLength } = lesson;
    const states = new States({ slot, reads, maxLength }, this.#kept.get(name)?.states);
    const problem = await this.#problem(lesson, states, progress, signal);
    const head = await solved(problem, progress, signal);
    const judged = judgedRows(lesson, problem, head.heldOut);
    const { rows, labels, noneBelow, kind } = lesson;
    const wanted = judged.map(({ row }) => row);
    const score = (answers) => (judged.length ? kind.score(wanted, answers) : null);
    let before = null;
    if (judged.length && old?.family === (from?.family ?? family)) {
      const texts = wanted.map(({ text }) => text);
      before = score(states.answers(old, texts) ?? (await this.answers(old, texts)));
    }
    const report = {
      metric: kind.metric,
      score: score(judged.map(({ answer }) => answer)),
      rows: rows.length,
      judged: judged.length,
      seconds: Math.round(performance.now() - start) / 1000,
      penalty: head.penalty,
      headLayers: head.reads,
      before,
      notes,
    };
    const again = { labels, noneBelow, maxLength, from, stay, keepExamples: true };
    if (!keepExamples) this.#kept.delete(name);
    else {
      const own = states.of(rows.map(({ text }) => text));
      this.#kept.set(name, { family, examples: rows, options: again, states: own });
    }
    return { bytes: this.#bytes(lesson, head), report };
  }

  /** {@link teach} again, with an example more; it replaces that of the same text. */
  correct(name, example, options = {}, old = undefined) {
    const { family, examples, options: again } = this.#lookUp(name);
    const row = familyNamed(family).parse(example, "the example");
    const place = examples.findIndex(({ text }) => text === row.text);
    const rows = [...examples];
    rows.splice(place < 0 ? rows.length : place, 1, row);
    return this.teach(name, family, rows, { ...options, ...again }, old);
  }

  examplesOf(name) {
    return structuredClone(this.#lookUp(name).examples);
  }

  forget(name) {
    this.#kept.delete(name);
  }

  #lookUp(name) {
    const kept = this.#kept.get(name);
    if (kept) return kept;
    const known = this.#kept.size ? nearest(name, this.#kept.keys()) : "no app here does";
    throw new BundleError(`app ${name} keeps no examples (keepExamples: true); ${known}`);
  }

  /** What is to be learned, checked. */
  #lesson(name, family, examples, { labels = [], from, maxLength = MAX_LENGTH, noneBelow }) {
    const { bundle } = this;
    if (typeof name !== "string" || !NAME.test(name) || name === "none") {
      throw new BundleError(
        `an app cannot be called ${JSON.stringify(name)}: letters, digits, - _ . + @ and spaces, ` +
          "100 at most",
      );
    }
    const kind = familyNamed(family);
    if (!Number.isInteger(maxLength) || maxLength < SHORTEST_WINDOW) {
      throw new BundleError(`maxLength ${maxLength}: must be at least ${SHORTEST_WINDOW}`);
    }
    if (noneBelow !== undefined && !(noneBelow >= 0 && noneBelow <= 1)) {
      throw new BundleError(`noneBelow is ${noneBelow}, not a number from 0 to 1`);
    }
    if (!Array.isArray(examples) || !examples.length) {
      throw new BundleError("there are no examples to learn from: pass a list");
    }
    const rows = examples.map((example, i) => kind.parse(example, `example ${i + 1}`));
    if (!from && !kind.learnable(kind.labelSet(rows), rows)) {
      throw new BundleError("there is nothing to tell apart: the examples all have the same answer");
    }
    if (from) checkFamily(from, family);
    const every = kind.allLabels(rows, [...labels, ...(from?.labels ?? [])]);
    if (from) checkStart(from, family, every);
    const decoder = DECODERS[family];
    const slot = bundle.primary.includes(kind.primary) ? kind.primary : "none";
    // An app may have asked for a deeper top than the backbone's.
    const deepest = (bundle.k_of_backbone ?? bundle.k) + 1;
    const choices = kind.deep ? [deepest] : [...new Set([1, deepest])];
    const lesson = {
      ...{ family, kind, rows, labels: every, decoder, slot, from, choices },
      reads: deepest,
      maxLength: Math.min(maxLength, bundle.maxLength),
      noneBelow: noneBelow ?? from?.noneBelow ?? 0,
    };
    if (!from) return lesson;
    const { reads, maxLength: limit } = from;
    return { ...lesson, slot: from.slot, reads, choices: [reads], maxLength: limit };
  }

  /** What the app that a head starts from says to texts that no example is about. */
  async #rehearsed({ kind, rows, from }, stay) {
    const known = new Set(rows.map(({ text }) => text));
    const texts = [...new Set(stay)].filter((text) => !known.has(text));
    const answers = await this.answers(from, texts);
    // An app that abstained from an answer says nothing that could stay.
    return answers.flatMap((answer, i) =>
      answer.abstained ? [] : [kind.parse({ text: texts[i], ...answer }, texts[i])],
    );
  }

  /** The states and targets of all units: what `fitHead` takes. */
  async #problem(lesson, states, progress, signal) {
    const { kind, labels, decoder, slot, reads, maxLength, choices, from, rehearsed } = lesson;
    const rows = [...lesson.rows, ...(rehearsed ?? [])];
    const reader = { name: "lesson", decoder, slot, reads };
    const vectors = [];
    const groups = [];
    const targets = [];
    lesson.spans = [];
    for (let first = 0; first < rows.length; first += AT_ONCE) {
      signal?.throwIfAborted();
      progress("texts", first, rows.length);
      const some = rows.slice(first, first + AT_ONCE);
      const missing = some.map(({ text }) => text).filter((text) => !states.has(text));
      const read = await this.read(missing, reader, maxLength);
      read.forEach(({ spans, parts }, i) => {
        states.set(missing[i], { spans, parts: parts.map(({ vectors }) => vectors.get(reader.name)) });
      });
      some.forEach(({ text }, i) => {
        const { spans, parts } = states.get(text);
        const ofText = parts.flat();
        const wanted = kind.targets(some[i], spans, labels);
        vectors.push(...ofText);
        for (const _ of ofText) groups.push(first + i);
        // Of a whole text there is one row, which all its windows share.
        for (const part of decoder.perWord ? [wanted] : parts.map(() => wanted)) targets.push(part);
        lesson.spans.push(spans);
      });
      await turn();
    }
    if (!vectors.length) {
      throw new BundleError("the tokenizer leaves nothing of the texts to learn from");
    }
    const width = reads * this.bundle.width;
    const data = new Float64Array(vectors.length * width);
    vectors.forEach((vector, unit) => data.set(vector, unit * width));
    const joined = new targets[0].constructor(targets.reduce((sum, { length }) => sum + length, 0));
    targets.reduce((at, part) => (joined.set(part, at), at + part.length), 0);
    return {
      features: new Features(data, vectors.length, width),
      targets: joined,
      perUnit: kind.perUnit(labels),
      classes: decoder.classes(labels.length),
      groups,
      width: this.bundle.width,
      choices,
      penalty: kind.penalty,
      family: lesson.family,
      start: from && startOf(from, labels, width),
    };
  }

  #bytes({ family, labels, maxLength, slot, from, noneBelow }, { weight, bias, reads }) {
    const classes = bias.length;
    const tensors = new Map([
      ["head.weight", { shape: [classes, weight.length / classes], data: weight }],
      ["head.bias", { shape: [classes], data: bias }],
      ...(from?.lora ?? []),
    ]);
    const record = {
      family: from?.family ?? family,
      decoder: family,
      labels,
      reads,
      units: UNITS,
      max_length: maxLength,
      primary: from?.lora.size ? "none" : slot,
      fingerprint: this.bundle.backbone,
      none_below: noneBelow || null,
    };
    const isHalf = this.bundle.precision !== "fp32";
    return writeSafetensors(tensors, { onetrunk: JSON.stringify(record) }, isHalf);
  }
}

/** `{row, answer}` of each text that was held out: what a head says that has not seen it. */
function judgedRows({ rows, labels, decoder, spans, noneBelow }, { groups, classes }, heldOut) {
  const ofRow = spans.map(() => []); // those of the texts that stay, too
  groups.forEach((row, unit) => {
    ofRow[row].push(Array.from(heldOut.subarray(unit * classes, (unit + 1) * classes)));
  });
  const all = heldOut.every((logit) => !Number.isNaN(logit));
  return rows.flatMap((row, i) => {
    // A row without a unit has an answer, too: nothing.
    if (!(all || ofRow[i].some(([first]) => !Number.isNaN(first)))) return [];
    const { text } = row;
    const answer = decoder.answer({ rows: ofRow[i], labels, noneBelow, text, spans: spans[i] });
    return [{ row, answer }];
  });
}

/** Refuse an app of another family, whose labels may be of another kind. */
function checkFamily(from, family) {
  if (from.decoder !== DECODERS[family]) {
    throw new BundleError(`app ${from.name} is of family ${from.family}, not ${family}`);
  }
}

/** Refuse an app that a head cannot start from. */
function checkStart(from, family, labels) {
  if (from.neighbours) {
    throw new BundleError(`app ${from.name} has labelled neighbours: a head cannot start from it`);
  }
  if (family === "rating" && `${labels}` !== `${from.labels}`) {
    const [low, high] = from.labels;
    throw new BundleError(`app ${from.name} rates from ${low} to ${high}: values beyond are refused`);
  }
}

/** The head of an app, with rows of zeros for labels that it does not have. */
function startOf({ decoder, labels: old, weight, bias }, labels, width) {
  const classes = decoder.classes(labels.length);
  const of = { weight: new Float64Array(classes * width), bias: new Float64Array(classes) };
  const shared = decoder.classes(0); // outputs that belong to no label, which come first
  const perLabel = decoder.classes(1) - shared;
  const move = (from, to) => {
    of.weight.set(weight.subarray(from * width, (from + 1) * width), to * width);
    of.bias[to] = bias[from];
  };
  for (let row = 0; row < (perLabel ? shared : classes); row++) move(row, row);
  old.forEach((label, number) => {
    for (let row = 0; row < perLabel; row++) {
      move(shared + number * perLabel + row, shared + labels.indexOf(label) * perLabel + row);
    }
  });
  return of;
}

/** A worker that has solved before, and so is fast: its code is compiled. */
let idle;

/** {@link fitHead}; on a page in a worker, so that the page stays responsive. */
function solved(problem, progress, signal) {
  signal?.throwIfAborted();
  if (typeof document === "undefined") {
    return fitHead(problem, async (what, done, total) => {
      progress(what, done, total);
      await turn();
      signal?.throwIfAborted();
    });
  }
  return new Promise((resolve, reject) => {
    const worker =
      idle ?? new Worker(new URL("./teach-worker.js", import.meta.url), { type: "module" });
    idle = undefined;
    const stop = () => finish(reject, signal.reason);
    const finish = (settle, value) => {
      if (settle === resolve && !idle) idle = worker;
      else {
        if (idle === worker) idle = undefined; // it failed later, while nobody waited for it
        worker.terminate();
      }
      signal?.removeEventListener("abort", stop);
      settle(value);
    };
    signal?.addEventListener("abort", stop);
    worker.onmessage = ({ data }) => {
      if (data.progress) progress(...data.progress);
      else if (data.head) finish(resolve, data.head);
      else finish(reject, new Error(data.error));
    };
    worker.onerror = (event) => finish(reject, new Error(event.message ?? "the worker failed"));
    worker.postMessage(problem, [problem.features.data.buffer]);
  });
}

/** Let the page have its turn. */
function turn() {
  return new Promise((resolve) => setTimeout(resolve));
}
