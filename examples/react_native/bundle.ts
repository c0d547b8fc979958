/** The bundle in the app, and the apps that were taught on this phone. */
import { Asset } from "expo-asset";
import { Directory, File, Paths } from "expo-file-system";
import { Runtime } from "onetrunk-web";
import * as ort from "onnxruntime-react-native";

import { FILES } from "./packed";

const TAUGHT = new Directory(Paths.document, "taught");

/**
 * Open the bundle, with the apps of `keep` in the place of its own. `refused` says which of them do
 * not fit, as after an update with another encoder; their files stay.
 */
export async function open(): Promise<{ runtime: Runtime; refused: string[] }> {
  const runtime = await Runtime.open(read, { ort, session: { intraOpNumThreads: 2 } });
  const refused: string[] = [];
  for (const file of TAUGHT.exists ? TAUGHT.list() : []) {
    if (!(file instanceof File)) continue;
    try {
      runtime.add(decodeURIComponent(file.name), await file.bytes());
    } catch (reason) {
      refused.push(`${reason}`);
    }
  }
  return { runtime, refused };
}

/** Write an app that was taught, so that it is there when the phone starts it again. */
export async function keep(runtime: Runtime, name: string): Promise<void> {
  TAUGHT.create({ intermediates: true, idempotent: true });
  new File(TAUGHT, encodeURIComponent(name)).write(await runtime.saveApp(name));
}

/** The bytes of a file of the bundle: what `Runtime.open` takes in place of an address. */
async function read(path: string): Promise<Uint8Array> {
  const asset = await Asset.fromModule(FILES[path]).downloadAsync(); // out of the app, once
  if (!asset.localUri) throw new Error("it cannot be read from the app");
  return new File(asset.localUri).bytes();
}
