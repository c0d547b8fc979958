/**
 * The best linear head on fixed features: `onetrunk/adaptation/linear.py` in float64. The problem
 * is convex and has one optimum, so the weights are those of Python.
 */

import { Descent } from "./descent.js";
import { symmetricEigen } from "./eigen.js";
import { Features, add, covariance, dot, gram, scaled, standardised } from "./features.js";

/** Tolerances of a solve. ROUGH is enough to compare penalties. */
export const EXACT = 1e-14;
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
    this.standard = start ? scaled(features) : standardised(features);
    this.x = this.standard.x;
    this.spread = new Float64Array(this.x.width).fill(1);
    if (Math.min(this.x.units, this.x.width) <= MOST_AXES) this.#turn();
    this.offset = start && new Features(logitsOf(start, features, classes), features.units, classes);
  }

  /** The weights (C x D), the bias (C). */
  solve(l2, tolerance = EXACT) {
    this.descent ??= this.#descent(this.x, this.targets, this.offset);
    const { point, stride } = this.descent;
    this.descent.to(l2, tolerance);
    const { mean, std } = this.standard;
    const width = mean.length;
    const weight = new Float64Array(this.classes * width);
    const bias = new Float64Array(this.classes);
    for (let c = 0; c < this.classes; c++) {
      const along = point.subarray(c * stride, (c + 1) * stride);
      const row = weight.subarray(c * width, (c + 1) * width);
      if (this.axes) {
        for (let axis = 0; axis < this.x.width; axis++) add(row, along[axis], this.axes.row(axis));
      } else row.set(along.subarray(0, width));
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
   * given. It shares the standardisation and the axes of all units, which know no target.
   */
  without(heldOut, rest, targets, l2) {
    const descent = this.#descent(this.x.only(rest), targets, this.offset?.only(rest));
    const logits = this.x.only(heldOut).times(descent.to(l2, ROUGH), this.classes, descent.stride);
    if (this.offset) add(logits, 1, this.offset.only(heldOut).data);
    return logits;
  }

  #descent(x, targets, offset) {
    const { spread, classes, kind, start } = this;
    const given = { x, spread, targets, classes, kind, offset: offset?.data };
    return new Descent({ ...given, isBiasHeld: start !== undefined });
  }

  /** Describe the features by their principal axes. */
  #turn() {
    const { x } = this;
    const few = x.units < x.width;
    const { values, vectors } = symmetricEigen(few ? gram(x) : covariance(x), few ? x.units : x.width);
    const most = values.reduce((a, b) => Math.max(a, b));
    const spans = [...values.keys()].filter((i) => !few || values[i] > 1e-11 * most);
    this.spread = Float64Array.from(spans, (i) => Math.max(values[i], 0));
    const turned = new Features(new Float64Array(x.units * spans.length), x.units, spans.length);
    this.axes = new Features(new Float64Array(spans.length * x.width), spans.length, x.width);
    spans.forEach((from, axis) => {
      const direction = this.axes.row(axis);
      const size = few ? x.units : x.width;
      const vector = vectors.subarray(from * size, (from + 1) * size);
      if (!few) direction.set(vector);
      else {
        const length = Math.sqrt(values[from] * x.units);
        vector.forEach((share, unit) => add(direction, share / length, x.row(unit)));
      }
      for (let unit = 0; unit < x.units; unit++) {
        turned.data[unit * spans.length + axis] = dot(x.row(unit), direction);
      }
    });
    this.x = turned;
  }
}

/** Logits (U x C) of a head. */
export function logitsOf({ weight, bias }, features, classes) {
  const logits = features.times(weight, classes, features.width);
  for (let i = 0; i < logits.length; i++) logits[i] += bias[i % classes];
  return logits;
}
