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

/** From here on 16 bits hold no number but infinity. */
const TOO_LARGE = 65520;

/** The bytes of a safetensors file that {@link readSafetensors} reads; numbers with a point are in
 * 32 bits, or in 16 if all of a tensor fit there. */
export function writeSafetensors(tensors, metadata, isHalf = false) {
  const header = { __metadata__: metadata };
  const typeOf = (data) => {
    if (data instanceof Int32Array) return "I32";
    return isHalf && data.every((value) => Math.abs(value) < TOO_LARGE) ? "F16" : "F32";
  };
  let size = 0;
  for (const [name, { shape, data }] of tensors) {
    const dtype = typeOf(data);
    const end = size + (dtype === "F16" ? 2 : 4) * data.length;
    header[name] = { dtype, shape, data_offsets: [size, end] };
    size = end;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const begin = 8 + 8 * Math.ceil(text.length / 8); // numbers begin at a multiple of 8
  const bytes = new Uint8Array(begin + size).fill(0x20, 0, begin);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(begin - 8), true);
  bytes.set(text, 8);
  let at = begin;
  for (const { data } of tensors.values()) {
    const dtype = typeOf(data);
    for (const value of data) {
      if (dtype === "I32") view.setInt32(at, value, true);
      else if (dtype === "F32") view.setFloat32(at, value, true);
      else view.setUint16(at, halfBits(value), true);
      at += dtype === "F16" ? 2 : 4;
    }
  }
  return bytes;
}

/** The 16 bits of the number nearest to this one, of two equally near the even one. */
function halfBits(value) {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (size >= TOO_LARGE) return sign | 0x7c00;
  const exponent = Math.max(Math.floor(Math.log2(size)), -14);
  const steps = size / 2 ** (exponent - 10);
  const below = Math.floor(steps);
  const isUp = steps - below > 0.5 || (steps - below === 0.5 && below % 2 === 1);
  // A fraction that grows beyond its bits makes the exponent one larger, as it should.
  return sign | ((exponent + 14) * 1024 + below + (isUp ? 1 : 0));
}
