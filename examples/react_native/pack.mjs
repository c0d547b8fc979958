// Puts a bundle into the app: `npm run pack -- FOLDER`.
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

const [folder] = process.argv.slice(2);
if (!folder) fail("say which: npm run pack -- FOLDER, a bundle that onetrunk export wrote");
const manifest = await readFile(join(folder, "bundle.json"), "utf8").catch(() =>
  fail(`${folder} is no bundle: it holds no bundle.json`),
);
const { files } = JSON.parse(manifest);
// Not what apps were taught from on another device.
const paths = ["bundle.json", ...Object.keys(files).filter((path) => !path.startsWith("examples/"))];
await rm("assets", { recursive: true, force: true });
await mkdir("assets");
// Numbers, since names of Android's resources hold neither capitals nor folders.
await Promise.all(paths.map((path, number) => copyFile(join(folder, path), `assets/${number}.bin`)));
const lines = paths.map((path, number) => `  ${JSON.stringify(path)}: require("./assets/${number}.bin"),`);
await writeFile("packed.js", `export const FILES = {\n${lines.join("\n")}\n};\n`);
console.log(`${paths.length} files of ${folder} are in the app`);

function fail(reason) {
  console.error(reason);
  process.exit(2);
}
