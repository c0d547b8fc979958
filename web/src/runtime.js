import { Bundle, half } from "./bundle.js";
import { BundleError, nearest } from "./errors.js";
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
  #ort;
  #trunk;
  #top;
  #tokenizer;
  #primary;
  #loaded;
  #queue = Promise.resolve();

  /**
   * Open a bundle: `source` is its address, or a function that gives the bytes of a path in it.
   * `ort` is the module onnxruntime-web; `apps` are those to open (default: all). Throws
   * {@link BundleError} if any part is missing, damaged or does not fit.
   */
  static async open(source, { ort, apps, session = {} } = {}) {
    if (!ort) throw new BundleError("pass the module: Runtime.open(url, { ort })");
    const runtime = new Runtime();
    runtime.#ort = ort;
    const bundle = await Bundle.open(typeof source === "function" ? source : fetching(source));
    runtime.bundle = bundle;
    const [trunk, top, tokenizer] = await Promise.all(
      ["trunk.onnx", "top.onnx", "tokenizer.json"].map((path) => bundle.read(path)),
    );
    runtime.#tokenizer = new Tokenizer(JSON.parse(new TextDecoder().decode(tokenizer)));
    const options = { executionProviders: ["wasm"], ...session };
    runtime.#trunk = await ort.InferenceSession.create(trunk, options);
    runtime.#top = await ort.InferenceSession.create(top, options);
    runtime.#primary = new Map();
    for (const family of bundle.primary) {
      runtime.#primary.set(family, await bundle.primaryOf(family));
    }
    const names = listed(apps ?? bundle.apps, "apps");
    const opened = await Promise.all(names.map((name) => bundle.app(name)));
    runtime.#loaded = runtime.#stack(new Map(opened.map((app) => [app.name, app])));
    return runtime;
  }

  /** Names of the apps. */
  get names() {
    return [...this.#loaded.apps.keys()];
  }

  /**
   * Add an app from the bytes of its file (`apps/NAME.safetensors`), or put it in the place of the
   * one of its name. A request that is under way does not see it. Throws {@link BundleError}, and
   * changes nothing, if it does not fit the bundle.
   */
  add(name, bytes) {
    const app = this.bundle.appOf(name, new Uint8Array(bytes), `app ${name}`);
    this.#loaded = this.#stack(new Map(this.#loaded.apps).set(name, app));
  }

  /** Forget an app. Throws {@link BundleError} with the nearest name if unknown. */
  remove(name) {
    const apps = new Map(this.#loaded.apps);
    if (!apps.delete(name)) throw unknown(name, this.names);
    this.#loaded = this.#stack(apps);
  }

  /**
   * Run apps (default: all) over one text, or over many. One text gives one result, a list gives a
   * list; a result is `{text, apps: {NAME: answer}}`. A text longer than an app's windows is read
   * in several. Throws {@link BundleError} for an unknown app, for a text that is too long to be
   * read at once, and for anything that is neither a text nor a list of texts.
   */
  async predict(texts, apps) {
    const every = listed(texts, "texts");
    every.forEach((text, number) => {
      if (text.length > MAX_CHARACTERS) {
        throw new BundleError(
          `text ${number} has ${text.length} characters; at most ${MAX_CHARACTERS} are read at ` +
            "once: cut it into its parts",
        );
      }
    });
    const loaded = this.#loaded;
    const names = [...new Set(listed(apps ?? [...loaded.apps.keys()], "apps"))];
    for (const name of names) if (!loaded.apps.has(name)) throw unknown(name, loaded.apps.keys());
    const answers = every.map(() => ({}));
    const chosen = names.map((name) => loaded.apps.get(name));
    for (const maxLength of new Set(chosen.map((app) => app.maxLength))) {
      const group = chosen.filter((app) => app.maxLength === maxLength);
      await this.#run(loaded, group, every, maxLength, answers);
    }
    const results = every.map((text, number) => ({
      text,
      apps: Object.fromEntries(names.map((name) => [name, answers[number][name]])),
    }));
    return typeof texts === "string" ? results[0] : results;
  }

  /** Free what the sessions hold. */
  async close() {
    await this.#trunk.release();
    await this.#top.release();
  }

  /** Put each app's answers for some texts into `answers`, by number of the text and name. */
  async #run(loaded, apps, texts, maxLength, answers) {
    const perWord = apps.some((app) => app.decoder.perWord);
    const prepared = texts.map((text) => {
      const parts = windows(this.#tokenizer, text, maxLength);
      const { spans, tokens } = perWord ? unitsOf(text, parts) : {};
      return {
        spans,
        parts: parts.map(({ ids }, i) => ({ ids, tokens: tokens?.[i], rows: new Map() })),
      };
    });
    const groups = new Set(apps.map((app) => app.slot)).size;
    const budget = BATCH_TOKENS / groups;
    const left = prepared.flatMap(({ parts }) => parts);
    left.sort((a, b) => a.ids.length - b.ids.length);
    while (left.length) {
      let count = 1; // the longest comes last, and all are padded to it
      while (count < left.length && (count + 1) * left[count].ids.length <= budget) count++;
      await this.#batch(loaded, apps, left.splice(0, count));
    }
    prepared.forEach(({ spans, parts }, number) => {
      const text = texts[number];
      for (const { name, decoder, labels, noneBelow } of apps) {
        const rows = parts.flatMap((window) => window.rows.get(name));
        answers[number][name] = decoder.answer({ rows, labels, noneBelow, text, spans });
      }
    });
  }

  /** Put each app's rows of logits into some windows. */
  async #batch(loaded, apps, batch) {
    const { k, width, pad_id: pad, pooling } = this.bundle;
    const length = Math.max(...batch.map((window) => window.ids.length));
    const ids = new BigInt64Array(batch.length * length).fill(BigInt(pad));
    const mask = new BigInt64Array(batch.length * length);
    batch.forEach((window, row) =>
      window.ids.forEach((id, at) => {
        ids[row * length + at] = BigInt(id);
        mask[row * length + at] = 1n;
      }),
    );
    const slots = [...new Set(apps.map((app) => app.slot))];
    const most = Math.max(...apps.map((app) => app.reads));
    const names = [];
    for (let n = k - Math.min(most, k) + 1; n <= k; n++) names.push(`state_${n}`);
    const tensor = (data, dims) => new this.#ort.Tensor("int64", data, dims);
    const [hidden, states] = await this.#alone(async () => {
      const shape = [batch.length, length];
      const { hidden } = await this.#trunk.run({
        input_ids: tensor(ids, shape),
        attention_mask: tensor(mask, shape),
      });
      const feeds = {
        hidden: new this.#ort.Tensor("float32", hidden.data, [1, ...shape, width]),
        attention_mask: tensor(mask, [1, ...shape]),
        slots: tensor(
          BigInt64Array.from(slots, (slot) => BigInt(loaded.slots.get(slot))),
          [slots.length],
        ),
        ...loaded.stacked,
      };
      const out = await this.#top.run(feeds, names);
      return [hidden.data, names.map((name) => out[name].data)];
    });
    const size = batch.length * length * width;
    for (const app of apps) {
      const group = slots.indexOf(app.slot) * size;
      // What enters the top is the same for every group.
      const every = [...(most > k ? [[hidden, 0]] : []), ...states.map((data) => [data, group])];
      const read = every.slice(-app.reads);
      batch.forEach((window, row) => {
        const at = read.map(([data, start]) => [data, start + row * length * width]);
        const features = app.decoder.perWord
          ? window.tokens.map((token) => vector(at, token, 1, width))
          : [vector(at, 0, pooling === "cls" ? 1 : window.ids.length, width)];
        window.rows.set(
          app.name,
          features.map((vector) => logits(app, vector)),
        );
      });
    }
  }

  /** The apps with the LoRAs that they use, stacked; number 0 is the bare backbone. */
  #stack(apps) {
    const loras = new Map([["none", new Map()]]);
    for (const app of apps.values()) {
      loras.set(app.slot, app.lora.size ? app.lora : (this.#primary.get(app.slot) ?? new Map()));
    }
    let rank = 1;
    for (const lora of loras.values()) {
      for (const [name, { shape }] of lora) if (name.endsWith(".a")) rank = Math.max(rank, shape[1]);
    }
    const stacked = {};
    for (const place of this.bundle.places()) {
      for (const which of "ab") {
        const name = half(...place, which);
        stacked[name] = this.#stackedHalf(name, which, [...loras.values()], rank);
      }
    }
    const slots = new Map([...loras.keys()].map((name, number) => [name, number]));
    return { apps, slots, stacked };
  }

  #stackedHalf(name, which, loras, rank) {
    const fixed = this.#widthOf(name, which);
    const data = new Float32Array(loras.length * fixed * rank);
    loras.forEach((lora, number) => {
      const matrix = lora.get(name);
      if (!matrix) return;
      const [rows, columns] = matrix.shape;
      const across = which === "a" ? rank : fixed;
      for (let row = 0; row < rows; row++) {
        const part = matrix.data.subarray(row * columns, (row + 1) * columns);
        data.set(part, number * fixed * rank + row * across);
      }
    });
    const dims = which === "a" ? [loras.length, fixed, rank] : [loras.length, rank, fixed];
    return new this.#ort.Tensor("float32", data, dims);
  }

  /** The input or output width of the linear map that a half of LoRA belongs to. */
  #widthOf(name, which) {
    const shape = this.#top.inputMetadata.find((input) => input.name === name).shape;
    return shape[which === "a" ? 1 : 2];
  }

  /** One pass after another: a session runs one at a time. */
  #alone(work) {
    const turn = this.#queue.then(work);
    this.#queue = turn.catch(() => {});
    return turn;
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

/** The mean of each state over `count` tokens from `first` on; the states side by side. */
function vector(states, first, count, width) {
  const sums = new Float32Array(states.length * width);
  states.forEach(([data, start], part) => {
    for (let token = first; token < first + count; token++) {
      const from = start + token * width;
      for (let i = 0; i < width; i++) sums[part * width + i] += data[from + i] / count;
    }
  });
  return sums;
}

function logits({ weight, bias, neighbours, decoder }, vector) {
  const ofHead = Array.from(bias, (value, row) => {
    let sum = value;
    const at = row * vector.length;
    for (let i = 0; i < vector.length; i++) sum += weight[at + i] * vector[i];
    return sum;
  });
  return neighbours ? neighbours.blend(decoder, ofHead, vector) : ofHead;
}
