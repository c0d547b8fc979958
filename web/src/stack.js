import { half } from "./bundle.js";

/**
 * Apps by name with the LoRAs that they and the families use, stacked as the top takes them:
 * `{apps, slots, stacked}`. `slots` has the number of each; number 0 is the bare backbone.
 */
export function stackOf(bundle, sessions, primary, apps) {
  const loras = new Map([["none", new Map()], ...primary]);
  for (const app of apps.values()) if (app.lora.size) loras.set(app.slot, app.lora);
  let rank = 1;
  for (const lora of loras.values()) {
    for (const [name, { shape }] of lora) if (name.endsWith(".a")) rank = Math.max(rank, shape[1]);
  }
  const stacked = {};
  for (const place of bundle.places()) {
    for (const which of "ab") {
      const name = half(...place, which);
      const fixed = sessions.widthOf(name, which);
      const shape = which === "a" ? [fixed, rank] : [rank, fixed];
      const data = filled([...loras.values()], name, shape);
      stacked[name] = sessions.floats(data, [loras.size, ...shape]);
    }
  }
  const slots = new Map([...loras.keys()].map((name, number) => [name, number]));
  return { apps, slots, stacked };
}

/** The matrices of this name, each padded with zeros to a shape. */
function filled(loras, name, [rows, columns]) {
  const data = new Float32Array(loras.length * rows * columns);
  loras.forEach((lora, number) => {
    const matrix = lora.get(name);
    if (!matrix) return;
    const [count, size] = matrix.shape;
    for (let row = 0; row < count; row++) {
      const part = matrix.data.subarray(row * size, (row + 1) * size);
      data.set(part, (number * rows + row) * columns);
    }
  });
  return data;
}
