import { BundleError } from "./errors.js";

/**
 * Read a safetensors file: `{tensors: Map(name -> {shape, data}), metadata}`, with data as
 * Float32Array (also of what is kept in 16 bits) or Int32Array.
 */
export function readSafetensors(bytes, where) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const damaged = (why) => new BundleError(`${where} is damaged: ${why}`);
  if (bytes.byteLength < 8) throw damaged("it is cut short");
  const size = Number(view.getBigUint64(0, true));
  if (8 + size > bytes.byteLength) throw damaged("it is cut short");
  let header;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size)));
  } catch {
    throw damaged("its header is no JSON");
  }
  const { __metadata__: metadata = {}, ...entries } = header;
  const tensors = new Map();
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(entries)) {
    const width = { F32: 4, F16: 2, I32: 4 }[dtype];
    if (!width) throw damaged(`${name} is of type ${dtype}`);
    const count = shape.reduce((a, b) => a * b, 1);
    const [start, end] = offsets.map((offset) => 8 + size + offset);
    if (end - start !== count * width || start < 8 + size || end > bytes.byteLength) {
      throw damaged(`${name} does not fit its shape`);
    }
    const data = dtype === "I32" ? new Int32Array(count) : new Float32Array(count);
    for (let i = 0; i < count; i++) {
      const at = start + width * i;
      if (dtype === "F32") data[i] = view.getFloat32(at, true);
      else if (dtype === "F16") data[i] = half(view.getUint16(at, true));
      else data[i] = view.getInt32(at, true);
    }
    tensors.set(name, { shape, data });
  }
  return { tensors, metadata };
}

/** The number that 16 bits stand for (IEEE 754 binary16). */
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The bytes of a safetensors file that {@link readSafetensors} reads, in 32 bits. */
export function writeSafetensors(tensors, metadata) {
  const header = { __metadata__: metadata };
  let size = 0;
  for (const [name, { shape, data }] of tensors) {
    const dtype = data instanceof Int32Array ? "I32" : "F32";
    header[name] = { dtype, shape, data_offsets: [size, size + 4 * data.length] };
    size += 4 * data.length;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const begin = 8 + 8 * Math.ceil(text.length / 8); // numbers begin at a multiple of 8
  const bytes = new Uint8Array(begin + size).fill(0x20, 0, begin);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(begin - 8), true);
  bytes.set(text, 8);
  let at = begin;
  for (const { data } of tensors.values()) {
    for (const value of data) {
      if (data instanceof Int32Array) view.setInt32(at, value, true);
      else view.setFloat32(at, value, true);
      at += 4;
    }
  }
  return bytes;
}
