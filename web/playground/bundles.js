/** Where a bundle comes from: an address on this site, or files that a person chose or dropped. */

import { Runtime } from "./runtime/index.js";
import * as ort from "./ort/ort.wasm.bundle.min.mjs";
import { S } from "./strings.js";

ort.env.wasm.numThreads = 1;

/** Open the bundle of an address, relative to the page's. */
export async function bundleAt(address) {
  const base = new URL(address.endsWith("/") ? address : `${address}/`, location.href);
  if (base.origin !== location.origin) throw new Error(S.elsewhere(base.href));
  const name = decodeURIComponent(base.pathname.split("/").filter(Boolean).at(-1) ?? "");
  return opened(name, base.href);
}

/** Open a bundle of files, `[{path, file}]`; it may lie in folders. */
export async function bundleOf(files) {
  const manifest = files
    .filter(({ path }) => path.split("/").at(-1) === "bundle.json")
    .sort((a, b) => a.path.length - b.path.length)[0];
  if (!manifest) throw new Error(S.noBundle);
  const base = manifest.path.slice(0, -"bundle.json".length);
  const byPath = new Map(files.map(({ path, file }) => [path, file]));
  return opened(base.split("/").filter(Boolean).at(-1) ?? "", (path) => {
    const file = byPath.get(base + path);
    if (!file) throw new Error(path);
    return file.arrayBuffer();
  });
}

async function opened(name, source) {
  const runtime = await Runtime.open(source, { ort });
  const sizes = Object.values(runtime.bundle.files).map(({ bytes }) => bytes ?? 0);
  const megabytes = sizes.reduce((sum, size) => sum + size, 0) / 1e6;
  return { name, runtime, facts: S.bundleFacts(megabytes, runtime.bundle.precision ?? "") };
}

/** The files of a drop, those in folders too: `[{path, file}]`. */
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ path: file.name, file }));
  const files = [];
  const walk = async (entry, path) => {
    if (entry.isFile) {
      files.push({ path, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) return;
      for (const child of some) await walk(child, `${path}/${child.name}`);
    }
  };
  for (const entry of entries) await walk(entry, entry.name);
  return files;
}

/** The files of an input that chooses a folder. */
export function chosenFiles(input) {
  return [...input.files].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
}
