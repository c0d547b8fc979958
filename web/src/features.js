/** Matrices of features in float64, and the sums that a solver needs of them. */

/** Features: `data` (Float64Array, units x width, row by row). */
export class Features {
  constructor(data, units, width) {
    Object.assign(this, { data, units, width });
  }

  row(unit) {
    return this.data.subarray(unit * this.width, (unit + 1) * this.width);
  }

  /** Some of the units. */
  only(units) {
    const data = new Float64Array(units.length * this.width);
    units.forEach((unit, i) => data.set(this.row(unit), i * this.width));
    return new Features(data, units.length, this.width);
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
    const out = new Float64Array(this.units * classes);
    for (let unit = 0; unit < this.units; unit++) {
      const row = this.row(unit);
      for (let c = 0; c < classes; c++) {
        const at = c * stride;
        const sum = dot(row, weights.subarray(at, at + this.width), this.width);
        out[unit * classes + c] = stride > this.width ? sum + weights[at + this.width] : sum;
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
  const out = new Float64Array(x.units ** 2);
  for (let i = 0; i < x.units; i++) {
    for (let j = 0; j <= i; j++) {
      out[i * x.units + j] = out[j * x.units + i] = dot(x.row(i), x.row(j)) / x.units;
    }
  }
  return out;
}

/** Mean products of features with features (D x D). */
export function covariance(x) {
  const out = new Float64Array(x.width ** 2);
  for (let unit = 0; unit < x.units; unit++) {
    const row = x.row(unit);
    for (let i = 0; i < x.width; i++) {
      add(out.subarray(i * x.width, (i + 1) * x.width), row[i] / x.units, row);
    }
  }
  return out;
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
