/** Matrices of features in float64, and the sums that a solver needs of them. */

import { kernel } from "./kernel.js";

/** Features: `data` (Float64Array or, where rounding does no harm, Float32Array; units x width, row by
 * row). They do not change once they were multiplied. Without WebAssembly, JavaScript multiplies. */
export class Features {
  constructor(data, units, width) {
    Object.assign(this, { data, units, width });
  }

  row(unit) {
    return this.data.subarray(unit * this.width, (unit + 1) * this.width);
  }

  /** Some of the units. */
  only(units) {
    const data = new this.data.constructor(units.length * this.width);
    units.forEach((unit, i) => data.set(this.row(unit), i * this.width));
    return new Features(data, units.length, this.width);
  }

  /** The same in float32: half the memory, and products take half the time. */
  inSingles() {
    return new Features(Float32Array.from(this.data), this.units, this.width);
  }

  /** The last numbers of each unit. */
  last(width) {
    if (width === this.width) return this;
    const data = new Float64Array(this.units * width);
    for (let i = 0; i < this.units; i++) data.set(this.row(i).subarray(-width), i * width);
    return new Features(data, this.units, width);
  }

  /** Products with the rows of `weights` (C x stride; those beyond `width` are added): U x C. */
  times(weights, classes, stride) {
    const { width } = this;
    const out = kernel()?.times(this, weights, classes, stride) ?? this.#times(weights, classes, stride);
    if (stride > width) {
      for (let i = 0; i < out.length; i++) out[i] += weights[(i % classes) * stride + width];
    }
    return out;
  }

  /** Four rows at a time: each number of a unit is read once for them. */
  #times(weights, classes, stride) {
    const { data, units, width } = this;
    const out = new Float64Array(units * classes);
    for (let unit = 0; unit < units; unit++) {
      const row = unit * width;
      for (let c = 0; c < classes; c += 4) {
        const rest = classes - c;
        const first = c * stride;
        // Beyond the last row the first is read again, and its product dropped.
        const second = rest > 1 ? first + stride : first;
        const third = rest > 2 ? second + stride : first;
        const fourth = rest > 3 ? third + stride : first;
        let [s0, s1, s2, s3] = [0, 0, 0, 0];
        for (let i = 0; i < width; i++) {
          const number = data[row + i];
          s0 += number * weights[first + i];
          s1 += number * weights[second + i];
          s2 += number * weights[third + i];
          s3 += number * weights[fourth + i];
        }
        const at = unit * classes + c;
        out[at] = s0;
        if (rest > 1) out[at + 1] = s1;
        if (rest > 2) out[at + 2] = s2;
        if (rest > 3) out[at + 3] = s3;
      }
    }
    return out;
  }

  /** Sums of the units, each times its `shares` (U x C): C x D. */
  sums(shares, classes) {
    return kernel()?.sums(this, shares, classes) ?? this.#sums(shares, classes);
  }

  /** Four units at a time: each sum is read and written once for them. */
  #sums(shares, classes) {
    const { data, units, width } = this;
    const out = new Float64Array(classes * width);
    for (let unit = 0; unit < units; unit += 4) {
      const rest = units - unit;
      const first = unit * width;
      const second = rest > 1 ? first + width : first;
      const third = rest > 2 ? second + width : first;
      const fourth = rest > 3 ? third + width : first;
      for (let c = 0; c < classes; c++) {
        const at = unit * classes + c;
        const s0 = shares[at];
        const s1 = rest > 1 ? shares[at + classes] : 0;
        const s2 = rest > 2 ? shares[at + 2 * classes] : 0;
        const s3 = rest > 3 ? shares[at + 3 * classes] : 0;
        const to = c * width;
        for (let i = 0; i < width; i++) {
          out[to + i] +=
            s0 * data[first + i] + s1 * data[second + i] + (s2 * data[third + i] + s3 * data[fourth + i]);
        }
      }
    }
    return out;
  }
}

/** Features of mean 0 and variance 1, and the mean and deviation that they had. */
export function standardised(features) {
  const { units, width } = features;
  const mean = new Float64Array(width);
  for (let unit = 0; unit < units; unit++) add(mean, 1 / units, features.row(unit));
  const x = new Features(features.data.slice(), units, width);
  const std = new Float64Array(width);
  for (let unit = 0; unit < units; unit++) {
    const row = x.row(unit);
    for (let i = 0; i < width; i++) {
      row[i] -= mean[i];
      std[i] += (row[i] * row[i]) / units;
    }
  }
  for (let i = 0; i < width; i++) std[i] = Math.max(Math.sqrt(std[i]), 1e-6);
  for (let i = 0; i < x.data.length; i++) x.data[i] /= std[i % width];
  return { x, mean, std };
}

/** Features whose mean square length is 1, and what they were divided by, in the form of
 * {@link standardised}. */
export function scaled(features) {
  const { data, units, width } = features;
  const length = Math.sqrt(dot(data, data) / units) || 1;
  return {
    x: new Features(data.map((value) => value / length), units, width),
    mean: new Float64Array(width),
    std: new Float64Array(width).fill(length),
  };
}

/** Mean products of units with units (U x U). */
export function gram(x) {
  const { data, units, width } = x;
  const products = kernel()?.gram(x) ?? x.times(data, units, width);
  return products.map((product) => product / units);
}

/** Mean products of features with features (D x D). */
export function covariance(x) {
  return x.sums(x.data, x.width).map((product) => product / x.units);
}

/** The product of two vectors; four sums at a time are faster than one. */
export function dot(a, b, size = a.length) {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let i = 0;
  for (; i + 3 < size; i += 4) {
    s0 += a[i] * b[i];
    s1 += a[i + 1] * b[i + 1];
    s2 += a[i + 2] * b[i + 2];
    s3 += a[i + 3] * b[i + 3];
  }
  for (; i < size; i++) s0 += a[i] * b[i];
  return s0 + s1 + (s2 + s3);
}

/** Add a multiple of a vector to another. */
export function add(to, share, vector) {
  for (let i = 0; i < vector.length; i++) to[i] += share * vector[i];
}
