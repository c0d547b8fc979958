import { BundleError, nearest } from "./errors.js";
import { familyNamed } from "./families.js";
import { Features } from "./features.js";
import { fitHead } from "./penalty.js";
import { writeSafetensors } from "./safetensors.js";
import { DECODERS } from "./decoding.js";

/** The rule by which units are made; files of apps say it. */
const UNITS = "text and tokenizer";
const MAX_LENGTH = 128;
/** Texts that are read before the page has a turn. */
const AT_ONCE = 4;
const NAME = /^[\p{L}\p{N}_][\p{L}\p{N}_.+@ -]{0,99}$/u;

/**
 * Fits linear heads on the states of a bundle: `onetrunk.adapt(..., adapter="linear")`.
 * `read(texts, reader)` gives, for each text, its windows with the vectors of `reader.name`.
 */
export class Teacher {
  #kept = new Map();

  constructor(bundle, read) {
    this.bundle = bundle;
    this.read = read;
  }

  /**
   * The bytes of an app's file, and the report. With `from`, an app of the bundle, the head starts
   * from that app's and is held to it, in place of zero; its labels and its LoRA stay.
   */
  async teach(name, family, examples, options = {}) {
    const start = performance.now();
    const { progress = () => {}, signal, keepExamples = false, from } = options;
    const lesson = this.#lesson(name, family, examples, options);
    const problem = await this.#problem(lesson, progress, signal);
    const head = await solved(problem, progress, signal);
    const score = this.#score(lesson, problem, head.heldOut);
    if (keepExamples) this.#kept.set(name, { family, examples, options: { ...options, from } });
    else this.#kept.delete(name);
    return {
      bytes: this.#bytes(lesson, head),
      report: {
        metric: lesson.kind.metric,
        score,
        rows: examples.length,
        seconds: Math.round(performance.now() - start) / 1000,
        penalty: head.penalty,
      },
    };
  }

  /** {@link teach} again, with an example more; it replaces that of the same text. */
  correct(name, example, options = {}) {
    const kept = this.#lookUp(name);
    const others = kept.examples.filter(({ text }) => text !== example?.text);
    const all = { ...kept.options, progress: undefined, signal: undefined, ...options };
    return this.teach(name, kept.family, [...others, example], all);
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
  #lesson(name, family, examples, { labels, from, maxLength = MAX_LENGTH }) {
    const { bundle } = this;
    if (typeof name !== "string" || !NAME.test(name) || name === "none") {
      throw new BundleError(
        `an app cannot be called ${JSON.stringify(name)}: letters, digits, - _ . + @ and spaces, ` +
          "100 at most",
      );
    }
    const kind = familyNamed(family);
    if (!Array.isArray(examples) || !examples.length) {
      throw new BundleError("there are no examples to learn from: pass a list");
    }
    const rows = examples.map((example, i) => kind.parse(example, `example ${i + 1}`));
    const every = labels ?? kind.labelSet(rows);
    rows.forEach((row, i) => {
      for (const label of kind.labelsOf(row)) {
        if (every.includes(label)) continue;
        const hint = nearest(label, every);
        throw new BundleError(`example ${i + 1}: label ${label} is not among the labels; ${hint}`);
      }
    });
    if (!kind.learnable(every, rows)) {
      throw new BundleError("there is nothing to tell apart: the examples all have the same answer");
    }
    if (from) checkStart(from, family, every);
    const decoder = DECODERS[family];
    const slot = bundle.primary.includes(kind.primary) ? kind.primary : "none";
    const deep = kind.deep ?? true;
    const lesson = {
      family,
      kind,
      rows,
      labels: every,
      decoder,
      slot,
      reads: deep ? bundle.k + 1 : 1,
      choices: kind.deep === undefined ? [...new Set([1, bundle.k + 1])] : [deep ? bundle.k + 1 : 1],
      maxLength: Math.min(maxLength, bundle.maxLength),
      from,
    };
    if (!from) return lesson;
    const { reads, maxLength: limit } = from;
    return { ...lesson, slot: from.slot, reads, choices: [reads], maxLength: limit };
  }

  /** The states and targets of all units: what `fitHead` takes. */
  async #problem(lesson, progress, signal) {
    const { kind, rows, labels, decoder, slot, reads, maxLength, choices, from } = lesson;
    const reader = { name: "lesson", decoder, slot, reads };
    const vectors = [];
    const groups = [];
    const targets = [];
    lesson.spans = [];
    for (let first = 0; first < rows.length; first += AT_ONCE) {
      signal?.throwIfAborted();
      progress("texts", first, rows.length);
      const some = rows.slice(first, first + AT_ONCE);
      const read = await this.read(some.map(({ text }) => text), reader, maxLength);
      read.forEach(({ spans, parts }, i) => {
        const ofText = parts.flatMap((window) => window.vectors.get(reader.name));
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

  /** The metric of answers to texts that were held out; null if there are none. */
  #score({ kind, rows, labels, decoder, spans }, { groups, classes }, heldOut) {
    const unitsOf = rows.map(() => []);
    groups.forEach((row, unit) => {
      const logits = Array.from(heldOut.subarray(unit * classes, (unit + 1) * classes));
      if (!Number.isNaN(logits[0])) unitsOf[row].push(logits);
    });
    const judged = [...rows.keys()].filter((row) => unitsOf[row].length);
    if (!judged.length) return null;
    const answers = judged.map((row) => {
      const { text } = rows[row];
      return decoder.answer({ rows: unitsOf[row], labels, noneBelow: 0, text, spans: spans[row] });
    });
    const score = kind.score(judged.map((row) => rows[row]), answers);
    return Math.round(100 * score) / 100;
  }

  #bytes({ family, labels, maxLength, slot, from }, { weight, bias, reads }) {
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
      none_below: from?.noneBelow || null,
    };
    return writeSafetensors(tensors, { onetrunk: JSON.stringify(record) });
  }
}

/** Refuse an app that a head cannot start from. */
function checkStart(from, family, labels) {
  if (from.decoder !== DECODERS[family]) {
    throw new BundleError(`app ${from.name} is of family ${from.family}, not ${family}`);
  }
  if (from.neighbours) {
    throw new BundleError(`app ${from.name} has labelled neighbours: a head cannot start from it`);
  }
  const lost = from.labels.find((label) => !labels.includes(label));
  if (lost !== undefined || (family === "rating" && `${labels}` !== `${from.labels}`)) {
    throw new BundleError(`labels must hold those of app ${from.name}: ${from.labels.join(", ")}`);
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
    const worker = new Worker(new URL("./teach-worker.js", import.meta.url), { type: "module" });
    const stop = () => finish(reject, signal.reason);
    const finish = (settle, value) => {
      worker.terminate();
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
