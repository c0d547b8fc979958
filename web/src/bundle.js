import { DECODERS } from "./decoding.js";
import { BundleError, nearest, readable } from "./errors.js";
import { Neighbours } from "./neighbours.js";
import { readSafetensors } from "./safetensors.js";

const MANIFEST = "bundle.json";
/** In the second, graphs take one text at a time. */
const FORMATS = [1, 2];
const APP = /^apps\/(.+)\.safetensors$/;
/** Name of a LoRA's half at a place: `layer_L.TARGET.a`. */
export const half = (layer, target, which) => `layer_${layer}.${target}.${which}`;

/** A bundle: its manifest, and its files, each checked against its hash as it is read. */
export class Bundle {
  /** `read(path)` gives the bytes of a file of the bundle. */
  static async open(read) {
    let manifest;
    try {
      manifest = JSON.parse(new TextDecoder().decode(await read(MANIFEST)));
    } catch (error) {
      throw new BundleError(`${MANIFEST} cannot be read: ${error.message}`);
    }
    return new Bundle(manifest, read);
  }

  constructor(manifest, read) {
    readable(MANIFEST, () => this.#check(manifest));
    Object.assign(this, manifest);
    this.maxLength = manifest.max_length;
    this.readFile = read;
  }

  #check(manifest) {
    if (!FORMATS.includes(manifest.format)) {
      throw new BundleError(
        `${MANIFEST} is of format ${manifest.format}; this package reads format ${FORMATS.join(" and ")}: upgrade it`,
      );
    }
    for (const [key, type] of Object.entries({
      backbone: "string", depth: "number", width: "number", k: "number", targets: "object",
      pooling: "string", precision: "string", max_length: "number", pad_id: "number", primary: "object",
      files: "object",
    })) {
      if (typeof manifest[key] !== type || manifest[key] === null) {
        throw new BundleError(`${MANIFEST} is damaged: it has no valid ${key}`);
      }
    }
    for (const path of Object.keys(manifest.files)) {
      if (path.startsWith("/") || path.includes("\\") || path.split("/").includes("..")) {
        throw new BundleError(`${MANIFEST}: ${path} lies outside the bundle; refused`);
      }
    }
    for (const key of ["depth", "width", "k", "max_length", "pad_id"]) {
      if (!Number.isInteger(manifest[key]) || manifest[key] < 0 || manifest[key] >= 2 ** 31) {
        throw new BundleError(`${MANIFEST} is damaged: it has no valid ${key}`);
      }
    }
    for (const key of ["targets", "primary"]) {
      if (!Array.isArray(manifest[key]) || !manifest[key].every((one) => typeof one === "string")) {
        throw new BundleError(`${MANIFEST} is damaged: it has no valid ${key}`);
      }
    }
  }

  /** Names of the apps in it. */
  get apps() {
    return Object.keys(this.files).flatMap((path) => APP.exec(path)?.[1] ?? []);
  }

  /** A file's bytes. Throws {@link BundleError} if they are not those that were exported. */
  async read(path) {
    const listed = this.files[path];
    if (!listed) throw new BundleError(`${MANIFEST} is damaged: it does not list ${path}`);
    let bytes;
    try {
      bytes = new Uint8Array(await this.readFile(path));
    } catch (error) {
      throw new BundleError(`the bundle is not complete: ${path}: ${error.message}`);
    }
    if (!globalThis.crypto?.subtle) {
      throw new BundleError(
        "hashes cannot be checked without crypto.subtle: serve a page over https; elsewhere set it",
      );
    }
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
    if (hex !== listed.sha256) {
      throw new BundleError(`${path} is not the file that was exported: its hash differs`);
    }
    return bytes;
  }

  /** Read an app of the bundle. */
  async app(name) {
    const path = `apps/${name}.safetensors`;
    if (!this.files[path]) {
      throw new BundleError(`the bundle has no app ${name}; ${nearest(name, this.apps)}`);
    }
    return this.appOf(name, await this.read(path), path);
  }

  /** An app from the bytes of its file. Throws {@link BundleError} if it does not fit. */
  appOf(name, bytes, where) {
    return readable(where, () => this.#appOf(name, bytes, where));
  }

  #appOf(name, bytes, where) {
    const { tensors, metadata } = readSafetensors(bytes, where);
    let app;
    try {
      app = JSON.parse(metadata.onetrunk);
    } catch {
      throw new BundleError(`${where} is damaged: its metadata does not say what it is`);
    }
    const [weight, bias] = ["head.weight", "head.bias"].map((key) => tensors.get(key));
    tensors.delete("head.weight");
    tensors.delete("head.bias");
    // Before plug-in families had bundles, the family's name was the decoder's.
    const decoderName = app.decoder ?? app.family;
    const decoder = DECODERS[decoderName];
    const classes = decoder?.classes(app.labels.length);
    if (!weight || !bias || weight.shape[0] !== classes || bias.shape[0] !== classes) {
      throw new BundleError(`${where} is damaged: no head for ${decoderName} and its labels`);
    }
    if (app.fingerprint !== this.backbone) {
      throw new BundleError(
        `${where}: the app was trained on another backbone (${app.fingerprint.slice(0, 12)}; the ` +
          `bundle's is ${this.backbone.slice(0, 12)})`,
      );
    }
    if (app.reads < 1 || app.reads > this.k + 1 || weight.shape[1] !== app.reads * this.width) {
      throw new BundleError(
        `${where}: a head over ${weight.shape[1]} numbers of ${app.reads} states; the bundle's top ` +
          `has ${this.k} layers of ${this.width}`,
      );
    }
    if (app.primary !== "none" && !this.primary.includes(app.primary)) {
      throw new BundleError(`${where} needs the primary LoRA ${app.primary}, which is not here`);
    }
    const neighbours =
      app.neighbours && new Neighbours(tensors, app.neighbours, weight.shape[1], classes, where);
    if (neighbours && !decoder.blend) {
      throw new BundleError(`${where} is damaged: neighbours with decoder ${decoderName}`);
    }
    const noneBelow = app.none_below ?? 0;
    if (!(noneBelow >= 0 && noneBelow <= 1)) {
      throw new BundleError(`${where}: none_below is ${noneBelow}, not a number from 0 to 1`);
    }
    this.checkLora(tensors, where);
    return {
      name,
      family: app.family,
      decoder,
      labels: app.labels,
      noneBelow,
      reads: app.reads,
      maxLength: Math.min(app.max_length, this.maxLength),
      weight: weight.data,
      bias: bias.data,
      neighbours,
      lora: tensors,
      slot: tensors.size ? `app:${name}` : app.primary,
    };
  }

  /** The primary LoRA of a family. */
  async primaryOf(family) {
    const path = `primary/${family}.safetensors`;
    const bytes = await this.read(path);
    return readable(path, () => {
      const { tensors } = readSafetensors(bytes, path);
      this.checkLora(tensors, path);
      return tensors;
    });
  }

  /** The places that adapters may change, all in the top: `[layer, target]`. */
  *places() {
    for (let layer = this.depth - this.k; layer < this.depth; layer++) {
      for (const target of this.targets) yield [layer, target];
    }
  }

  checkLora(tensors, where) {
    const known = new Set();
    for (const place of this.places()) for (const which of "ab") known.add(half(...place, which));
    for (const [name, { shape }] of tensors) {
      const other = tensors.get(name.slice(0, -1) + (name.endsWith("a") ? "b" : "a"));
      const fits = name.endsWith("a") ? shape[1] === other?.shape[0] : shape[0] === other?.shape[1];
      if (!known.has(name) || !other || !fits) {
        throw new BundleError(
          `${where}: LoRA ${name} does not fit this bundle's graph, which takes ` +
            `${this.targets.join(", ")} of layers ${this.depth - this.k} to ${this.depth - 1}`,
        );
      }
    }
  }
}
