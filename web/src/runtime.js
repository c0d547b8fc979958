import { Bundle } from "./bundle.js";
import { DECODERS } from "./decoding.js";
import { BundleError, nearest } from "./errors.js";
import { answerOf } from "./head.js";
import { Sessions } from "./sessions.js";
import { stackOf } from "./stack.js";
import { Teacher } from "./teach.js";
import { Tokenizer } from "./tokenizer.js";
import { unitsOf } from "./units.js";
import { windows } from "./windows.js";

/** Tokens times LoRAs that go through the top together; this bounds memory. */
const BATCH_TOKENS = 4096;
/** The longest text that is read. */
const MAX_CHARACTERS = 200_000;

/**
 * Apps of a bundle, ready to run. The interface and the answers are those of the Python runtime,
 * but that offsets count UTF-16 code units.
 *
 *     texts -> tokenizer -> trunk (once a text) -> top (a group for each distinct LoRA) -> heads
 */
export class Runtime {
  #sessions;
  #tokenizer;
  #primary = new Map();
  #stack;
  #files = new Map();
  #origins = new Map();
  #teacher;

  /**
   * Open a bundle: `source` is its address, or a function that gives the bytes of a path in it.
   * `ort` is the module onnxruntime-web, -node or -react-native; `apps` are those to open (default:
   * all). Throws {@link BundleError} if any part is missing, damaged or does not fit.
   */
  static async open(source, { ort, apps, session = {} } = {}) {
    if (!ort) throw new BundleError("pass the module: Runtime.open(url, { ort })");
    const runtime = new Runtime();
    const bundle = await Bundle.open(typeof source === "function" ? source : fetching(source));
    runtime.bundle = bundle;
    const tokenizer = await bundle.read("tokenizer.json");
    runtime.#tokenizer = new Tokenizer(JSON.parse(new TextDecoder().decode(tokenizer)));
    runtime.#sessions = await Sessions.open(bundle, ort, session);
    for (const family of bundle.primary) {
      runtime.#primary.set(family, await bundle.primaryOf(family));
    }
    const names = listed(apps ?? bundle.apps, "apps");
    const opened = await Promise.all(names.map((name) => bundle.app(name)));
    runtime.#restack(new Map(opened.map((app) => [app.name, app])));
    runtime.#teacher = new Teacher(
      bundle,
      (texts, reader, maxLength) =>
        runtime.#read(runtime.#stack, [reader], readable(texts), maxLength),
      (app, texts) => runtime.#answers(app, readable(texts)),
    );
    return runtime;
  }

  /** Names of the apps. */
  get names() {
    return [...this.#stack.apps.keys()];
  }

  /** What an app is: `{family, decoder, labels, perWord, lora}`. */
  describe(name) {
    const { family, decoder, labels, lora } = this.#app(name);
    const decoderName = Object.keys(DECODERS).find((key) => DECODERS[key] === decoder);
    const { perWord } = decoder;
    return { family, decoder: decoderName, labels: [...labels], perWord, lora: lora.size > 0 };
  }

  /**
   * Add an app from the bytes of its file (`apps/NAME.safetensors`), or put it in the place of the
   * one of its name. A request that is under way does not see it. Throws {@link BundleError}, and
   * changes nothing, if it does not fit the bundle.
   */
  add(name, bytes) {
    this.#put(name, new Uint8Array(bytes));
    this.#origins.delete(name);
    this.#teacher.forget(name);
  }

  /** Forget an app, and its examples. Throws {@link BundleError} with the nearest name if unknown. */
  remove(name) {
    this.#app(name);
    const apps = new Map(this.#stack.apps);
    apps.delete(name);
    this.#restack(apps);
    this.#files.delete(name);
    this.#origins.delete(name);
    this.#teacher.forget(name);
  }

  /**
   * Run apps (default: all) over one text, or over many. One text gives one result, a list gives a
   * list; a result is `{text, apps: {NAME: answer}}`. A text longer than an app's windows is read
   * in several. `onTimes` gets the milliseconds of the two graphs and of each app's head:
   * `{trunk, top, apps}`. Throws {@link BundleError} for an unknown app, for a text that is too long
   * to be read at once, and for anything that is neither a text nor a list of texts.
   */
  async predict(texts, apps, { onTimes } = {}) {
    const every = readable(texts);
    const stack = this.#stack;
    const names = [...new Set(listed(apps ?? [...stack.apps.keys()], "apps"))];
    const chosen = names.map((name) => this.#app(name));
    const answers = every.map(() => ({}));
    const times = clock();
    for (const maxLength of new Set(chosen.map((app) => app.maxLength))) {
      const group = chosen.filter((app) => app.maxLength === maxLength);
      await this.#run(stack, group, every, maxLength, answers, times);
    }
    onTimes?.(times);
    const results = every.map((text, number) => ({
      text,
      apps: Object.fromEntries(names.map((name) => [name, answers[number][name]])),
    }));
    return typeof texts === "string" ? results[0] : results;
  }

  /**
   * Fit an app, a linear head, to labelled examples, and add it under a name; as
   * `onetrunk.adapt(..., adapter="linear")` does. Gives `{metric, score, rows, seconds, penalty, …}`;
   * the score is cross-validated, in percent. `index.d.ts` has the examples and the options. Throws
   * {@link BundleError}, and changes nothing, if there is nothing to learn or an example is wrong.
   */
  async teach(name, family, examples, options = {}) {
    // However often an app is taught from itself, it starts from what it was before.
    const { from: start } = options;
    const from = start === undefined ? undefined : (this.#origins.get(start) ?? this.#app(start));
    const old = this.#stack.apps.get(name);
    const lesson = this.#teacher.teach(name, family, examples, { ...options, from }, old);
    const report = await this.#taught(name, lesson);
    if (start === name) this.#origins.set(name, from);
    else this.#origins.delete(name);
    return report;
  }

  /** Teach an app again, with one more example, which replaces that of the same text. The app must
   * have been taught with `keepExamples`. */
  async correct(name, example, options = {}) {
    const old = this.#app(name);
    return this.#taught(name, this.#teacher.correct(name, example, options, old));
  }

  /** The bytes of an app's file, for {@link add} here, and for a bundle's folder. */
  async saveApp(name) {
    this.#app(name);
    return (this.#files.get(name) ?? (await this.bundle.read(`apps/${name}.safetensors`))).slice();
  }

  /** The examples that an app keeps. */
  examples(name) {
    return this.#teacher.examplesOf(name);
  }

  /** Forget the examples that an app keeps; the app stays. */
  forgetExamples(name) {
    this.#app(name);
    this.#teacher.forget(name);
  }

  /** Free what the sessions hold. */
  async close() {
    await this.#sessions.release();
  }

  async #taught(name, lesson) {
    const { bytes, report } = await lesson;
    this.#put(name, bytes);
    return report;
  }

  #put(name, file) {
    const app = this.bundle.appOf(name, file, `app ${name}`);
    this.#restack(new Map(this.#stack.apps).set(name, app));
    this.#files.set(name, file);
  }

  #app(name) {
    const app = this.#stack.apps.get(name);
    if (!app) throw unknown(name, this.names);
    return app;
  }

  /** The answers of one app, which need not be among those of the bundle any more. */
  async #answers(app, texts) {
    const answers = texts.map(() => ({}));
    await this.#run(this.#stack, [app], texts, app.maxLength, answers, clock());
    return answers.map((ofApps) => ofApps[app.name]);
  }

  /** Put each app's answers for some texts into `answers`, by number of the text and name. */
  async #run(stack, apps, texts, maxLength, answers, times) {
    const prepared = await this.#read(stack, apps, texts, maxLength, times);
    prepared.forEach(({ spans, parts }, number) => {
      const text = texts[number];
      for (const app of apps) {
        const start = performance.now();
        const { name } = app;
        const vectors = parts.flatMap((window) => window.vectors.get(name));
        answers[number][name] = answerOf(app, { text, spans, vectors });
        times.apps[name] = (times.apps[name] ?? 0) + performance.now() - start;
      }
    });
  }

  /** For each text its units' `spans`, and its windows with the vectors of readers by name. */
  async #read(stack, readers, texts, maxLength, times = clock()) {
    const perWord = readers.some(({ decoder }) => decoder.perWord);
    const prepared = texts.map((text) => {
      const parts = windows(this.#tokenizer, text, maxLength);
      const { spans, tokens } = perWord ? unitsOf(text, parts) : {};
      return {
        spans,
        parts: parts.map(({ ids }, i) => ({ ids, tokens: tokens?.[i], vectors: new Map() })),
      };
    });
    const groups = new Set(readers.map(({ slot }) => slot)).size;
    const budget = BATCH_TOKENS / groups;
    const left = prepared.flatMap(({ parts }) => parts);
    left.sort((a, b) => a.ids.length - b.ids.length);
    while (left.length) {
      let count = 1; // the longest comes last, and all are padded to it
      while (count < left.length && (count + 1) * left[count].ids.length <= budget) count++;
      await this.#sessions.read(left.splice(0, count), readers, stack, times);
    }
    return prepared;
  }

  #restack(apps) {
    this.#stack = stackOf(this.bundle, this.#sessions, this.#primary, apps);
  }
}

function fetching(address) {
  const base = address.endsWith("/") ? address : `${address}/`;
  return async (path) => {
    const response = await fetch(base + path.split("/").map(encodeURIComponent).join("/"));
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
    return response.arrayBuffer();
  };
}

/** Texts that are not too long. */
function readable(texts) {
  const every = listed(texts, "texts");
  every.forEach((text, number) => {
    if (text.length > MAX_CHARACTERS) {
      throw new BundleError(
        `text ${number} has ${text.length} characters; at most ${MAX_CHARACTERS} are read at ` +
          "once: cut it into its parts",
      );
    }
  });
  return every;
}

function clock() {
  return { trunk: 0, top: 0, apps: {} };
}

/** The strings of one string or of an array of strings; anything else is an error. */
function listed(value, what) {
  if (typeof value === "string") return [value];
  if (!Array.isArray(value)) {
    throw new BundleError(`${what}: pass a string or an array of strings, not ${typeof value}`);
  }
  value.forEach((item, i) => {
    if (typeof item !== "string") {
      throw new BundleError(
        `${what}: item ${i} is ${item === null ? "null" : typeof item}; every one must be a string`,
      );
    }
  });
  return value;
}

function unknown(name, names) {
  return new BundleError(`unknown app ${name}; ${nearest(name, names)}`);
}
