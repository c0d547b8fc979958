// Changed files for the browser's runtime: each is refused with a BundleError, or is read.
//   node benchmarks/fuzz_web.mjs BUNDLE SEED CASES     prints {cases, faults}
//   node benchmarks/fuzz_web.mjs BUNDLE < TEXTS.json   prints the tokens of each text
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { Bundle } from "../web/src/bundle.js";
import { BundleError } from "../web/src/errors.js";
import { Tokenizer } from "../web/src/tokenizer.js";

const [folder, seed, count] = process.argv.slice(2);
const read = (path) => readFileSync(join(folder, path));
const json = (path) => JSON.parse(read(path));

let state = Number(seed) >>> 0 || 1;
/** A whole number below `most` (xorshift). */
function random(most) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % most;
}
const pick = (list) => list[random(list.length)];
const WRONG = [null, true, -1, 0, 3, 1e308, 0.5, "", "x", "ner", [], [[]], ["a"], [1], {}, { a: {} }];

/** A copy of a JSON value with one value changed or left out. */
function changed(value) {
  const copy = structuredClone(value);
  let inside = copy;
  for (;;) {
    const keys = Object.keys(inside);
    if (!keys.length) return copy;
    const key = pick(keys);
    const below = inside[key];
    if (below && typeof below === "object" && Object.keys(below).length && random(4)) {
      inside = below;
      continue;
    }
    if (random(4)) inside[key] = pick(WRONG);
    else delete inside[key];
    return copy;
  }
}

/** A copy of bytes with a few bits changed, a stretch left out, or the end. */
function broken(bytes) {
  let copy = new Uint8Array(bytes);
  for (let times = random(3) + 1; times; times--) {
    if (!copy.length) return copy;
    const at = random(copy.length);
    if (random(3)) copy[at] ^= 1 << random(8);
    else if (random(2)) copy = copy.slice(0, at);
    else copy = new Uint8Array([...copy.slice(0, at), ...copy.slice(at + random(40))]);
  }
  return copy;
}

/** A safetensors file whose header is changed as text, or as JSON. */
function header(bytes) {
  const size = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const old = bytes.subarray(8, 8 + size);
  let made;
  if (random(2)) made = broken(old);
  else {
    const value = JSON.parse(new TextDecoder().decode(old));
    if (random(2)) {
      value.__metadata__.onetrunk = JSON.stringify(changed(JSON.parse(value.__metadata__.onetrunk)));
      made = new TextEncoder().encode(JSON.stringify(value));
    } else made = new TextEncoder().encode(JSON.stringify(changed(value)));
  }
  const out = new Uint8Array(8 + made.length + bytes.length - 8 - size);
  new DataView(out.buffer).setBigUint64(0, BigInt(made.length), true);
  out.set(made, 8);
  out.set(bytes.subarray(8 + size), 8 + made.length);
  return out;
}

/** What is thrown at `cases` changed files that is no BundleError: how often, by its place. */
function fuzz(cases) {
  const manifest = json("bundle.json");
  const tokenizer = json("tokenizer.json");
  const whole = new Bundle(manifest, read);
  const files = Object.keys(manifest.files).filter((path) => path.startsWith("apps/"));
  const apps = files.map((path) => new Uint8Array(read(path)));
  const ways = {
    manifest: () => new Bundle(changed(manifest), read).apps,
    tokenizer: () => new Tokenizer(changed(tokenizer)).tokens("Ann met 日本 [MASK] naïve 😀 don't"),
    app: () => whole.appOf("x", pick([broken, header, header])(pick(apps)), "x"),
  };
  const faults = {};
  for (let number = 0; number < cases; number++) {
    const name = pick(Object.keys(ways));
    try {
      ways[name]();
    } catch (error) {
      if (error instanceof BundleError && !error.message.includes("\n")) continue;
      const key = `${name}: ${error.stack.split("\n").slice(0, 3).join(" ")}`;
      faults[key] = (faults[key] ?? 0) + 1;
    }
  }
  return faults;
}

if (seed === undefined) {
  const tokenizer = new Tokenizer(json("tokenizer.json"));
  const texts = JSON.parse(await text(process.stdin));
  console.log(JSON.stringify(texts.map((one) => tokenizer.tokens(one))));
} else {
  console.log(JSON.stringify({ cases: Number(count), faults: fuzz(Number(count)) }));
}
