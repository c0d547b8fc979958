/**
 * The best linear head on fixed features: `onetrunk/adaptation/linear.py` in float64. The problem
 * is convex and has one optimum, so the weights are those of Python.
 */

import { Descent } from "./descent.js";
import { symmetricEigen } from "./eigen.js";
import { Features, add, covariance, dot, gram, scaled, standardised } from "./features.js";

/** Tolerances of a solve. ROUGH is enough to compare penalties; float32 is enough for it. */
export const EXACT = 1e-12;
export const ROUGH = 1e-6;
/** Principal axes of more numbers than this take longer than the steps that they save. */
const MOST_AXES = 800;

/**
 * The head that minimises mean loss + l2/2 · |W|² over standardised features. Standardisation is
 * folded into its weights; the bias has no penalty. One problem is solved for one penalty after
 * another, each from the last optimum on.
 *
 * Weights are sought along the principal axes of the features. Where units are fewer than features,
 * the axes are those of the units, and the weights combinations of them.
 */
export class Problem {
  /**
   * With `start` the penalty is on what differs from that head. A few units say nothing about the
   * mean and the deviation of all texts, which that head knows: features are then only scaled, and
   * the bias is penalised like any weight.
   */
  constructor(features, targets, classes, kind, start) {
    Object.assign(this, { targets, classes, kind, start });
    this.points = []; // the optima without some units
    this.standard = start ? scaled(features) : standardised(features);
    this.x = this.standard.x;
    this.spread = new Float64Array(this.x.width).fill(1);
    if (Math.min(this.x.units, this.x.width) <= MOST_AXES) this.#turn();
    this.offset = start && new Features(logitsOf(start, features, classes), features.units, classes);
  }

  /** The weights (C x D), the bias (C). */
  solve(l2, tolerance = EXACT) {
    if (!this.descent) {
      this.descent = this.#descent(this.x, this.targets, this.offset);
      for (const point of this.points) add(this.descent.point, 1 / this.points.length, point);
    }
    const { point, stride } = this.descent;
    this.descent.x = this.#inSingles();
    this.descent.to(l2, Math.max(ROUGH, tolerance));
    if (tolerance < ROUGH) {
      this.descent.x = this.x;
      this.descent.to(l2, tolerance);
    }
    const { mean, std } = this.standard;
    const width = mean.length;
    const weight = new Float64Array(this.classes * width);
    const bias = new Float64Array(this.classes);
    for (let c = 0; c < this.classes; c++) {
      const along = point.subarray(c * stride, (c + 1) * stride);
      const row = weight.subarray(c * width, (c + 1) * width);
      row.set(this.#acrossFeatures(along.subarray(0, this.x.width)));
      for (let i = 0; i < width; i++) row[i] /= std[i];
      bias[c] = along[this.x.width] - dot(row, mean);
    }
    if (this.start) {
      add(weight, 1, this.start.weight);
      add(bias, 1, this.start.bias);
    }
    return { weight, bias };
  }

  /**
   * Logits (n x C) of some units by a rough head that learns from the `rest`, whose targets are
   * given. It shares the standardisation and the axes of all units, which know no target. What it
   * finds is a good place for {@link solve} to start from.
   */
  without(heldOut, rest, targets, l2) {
    const descent = this.#descent(this.#inSingles().only(rest), targets, this.offset?.only(rest));
    const point = descent.to(l2, ROUGH);
    this.points.push(point);
    const logits = this.x.only(heldOut).times(point, this.classes, descent.stride);
    if (this.offset) add(logits, 1, this.offset.only(heldOut).data);
    return logits;
  }

  #inSingles() {
    return (this.singles ??= this.x.inSingles());
  }

  #descent(x, targets, offset) {
    const { spread, classes, kind, start } = this;
    const given = { x, spread, targets, classes, kind, offset: offset?.data };
    return new Descent({ ...given, isBiasHeld: start !== undefined });
  }

  /**
   * Describe the features by their principal axes. Where units are fewer than features, these are
   * combinations of the units, and a unit's place along each follows from the eigenvectors alone.
   */
  #turn() {
    const { x } = this;
    const isFew = x.units < x.width;
    const size = isFew ? x.units : x.width;
    const { values, vectors } = symmetricEigen(isFew ? gram(x) : covariance(x), size);
    const most = values.reduce((a, b) => Math.max(a, b));
    const spans = [...values.keys()].filter((i) => !isFew || values[i] > 1e-11 * most);
    this.spread = Float64Array.from(spans, (i) => Math.max(values[i], 0));
    this.axes = new Features(vectors, size, size).only(spans);
    if (isFew) {
      this.rows = x;
      const lengths = this.spread.map((value) => Math.sqrt(value * x.units));
      this.x = new Features(new Float64Array(x.units * spans.length), x.units, spans.length);
      for (let unit = 0; unit < x.units; unit++) {
        const row = this.x.row(unit);
        lengths.forEach((length, axis) => (row[axis] = this.axes.data[axis * size + unit] * length));
      }
      lengths.forEach((length, axis) => {
        const direction = this.axes.row(axis);
        for (let i = 0; i < size; i++) direction[i] /= length;
      });
    } else this.x = new Features(x.times(this.axes.data, size, size), x.units, size);
  }

  /** Weights along the axes as weights of the features. */
  #acrossFeatures(along) {
    if (!this.axes) return along;
    const weights = this.axes.sums(along, 1);
    return this.rows ? this.rows.sums(weights, 1) : weights;
  }
}

/** Logits (U x C) of a head. */
export function logitsOf({ weight, bias }, features, classes) {
  const logits = features.times(weight, classes, features.width);
  for (let i = 0; i < logits.length; i++) logits[i] += bias[i % classes];
  return logits;
}
