/**
 * The best linear head on fixed features: `onetrunk/adaptation/linear.py` in float64. The problem
 * is convex and has one optimum, so the weights are those of Python.
 */

import { symmetricEigen } from "./eigen.js";
import { Features, add, covariance, dot, gram, standardised } from "./features.js";

/** A solve ends when the next step promises to lower the objective by less than this share of the
 * loss of a head of zeros. ROUGH is enough to compare penalties. */
export const EXACT = 1e-14;
export const ROUGH = 1e-6;
/** The curvature at zero is a poor guide later on. It is measured again at this tolerance. */
const COARSE = 1e-3;
const HISTORY = 10; // the steps that L-BFGS remembers
const STEPS = 500;
const TRIALS = 30;
/** A search along a line ends where the slope is between these multiples of that at its start. */
const STILL_STEEP = 0.7;
const TOO_FAR = -0.5;
/** Rounding may change the loss by this share of the loss of a head of zeros. */
const NOISE = 1e-14;
/** The bias has no penalty, except for this: that of a label without units would never stop. */
const BIAS_L2 = 1e-9;
/** Principal axes of more numbers than this take longer than the steps that they save. */
const MOST_AXES = 800;

/**
 * The head that minimises mean loss + l2/2 · |W|² over standardised features. Standardisation is
 * folded into its weights; the bias has no penalty. One problem is solved for one penalty after
 * another, each from the last optimum on.
 *
 * L-BFGS (Nocedal & Wright 2006, algorithm 7.5) seeks the weights in coordinates in which the
 * objective curves about equally in every direction: a class's weights along the principal axes of
 * the features, in units of 1 / sqrt(curvature). Where units are fewer than features, the axes are
 * those of the units, and the weights combinations of them.
 */
export class Problem {
  /** With `start` the penalty is on what differs from the weights of that head. */
  constructor(features, targets, classes, { loss, curvature }, start) {
    Object.assign(this, { targets, classes, loss, curvature, start });
    this.offset = start && logitsOf(start, features, classes);
    this.standard = standardised(features);
    this.x = this.standard.x;
    this.spread = new Float64Array(this.x.width).fill(1);
    if (Math.min(this.x.units, this.x.width) <= MOST_AXES) this.#turn();
    this.stride = this.x.width + 1; // weights along the axes and, last, the bias
    this.point = new Float64Array(classes * this.stride);
    const zeros = new Float64Array(this.x.units * classes);
    this.scale = loss(zeros, targets, classes, new Float64Array(zeros.length));
  }

  /** The weights (C x D), the bias (C). */
  solve(l2, tolerance = EXACT) {
    if (this.point.every((value) => value === 0)) {
      this.#descend(l2, Math.max(COARSE, tolerance) * this.scale);
    }
    this.#descend(l2, tolerance * this.scale);
    const { mean, std } = this.standard;
    const width = mean.length;
    const weight = new Float64Array(this.classes * width);
    const bias = new Float64Array(this.classes);
    for (let c = 0; c < this.classes; c++) {
      const along = this.point.subarray(c * this.stride, (c + 1) * this.stride);
      const row = weight.subarray(c * width, (c + 1) * width);
      if (this.axes) {
        for (let axis = 0; axis < this.x.width; axis++) {
          const { data } = this.axes;
          for (let i = 0; i < width; i++) row[i] += along[axis] * data[axis * width + i];
        }
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

  /** From `point` on, until a step promises to gain less than `tolerance`. */
  #descend(l2, tolerance) {
    const { classes, stride, x } = this;
    const size = this.point.length;
    const ridge = new Float64Array(size).fill(l2);
    for (let c = 1; c <= classes; c++) ridge[c * stride - 1] = BIAS_L2;
    this.logits = x.times(this.point, classes, stride);
    if (this.offset) add(this.logits, 1, this.offset);
    let byLogits = new Float64Array(this.logits.length);
    this.value = this.loss(this.logits, this.targets, classes, byLogits);
    const ofClass = this.curvature(this.logits, classes);
    const unit = Float64Array.from(ridge, (penalty, i) => {
      const spread = i % stride < x.width ? this.spread[i % stride] : 1;
      return 1 / Math.sqrt(Math.max(ofClass[Math.floor(i / stride)], 1e-8) * spread + penalty);
    });
    let gradient = this.#gradient(byLogits, ridge, unit);
    const history = [];
    for (let steps = 0; steps < STEPS; steps++) {
      const direction = timesInverseHessian(gradient, history).map((value) => -value);
      const slope = dot(direction, gradient);
      if (-slope <= tolerance) return;
      const step = direction.map((value, i) => value * unit[i]);
      let pull = 0;
      let bend = 0;
      for (let i = 0; i < size; i++) {
        pull += this.point[i] * ridge[i] * step[i];
        bend += step[i] * ridge[i] * step[i];
      }
      const along = x.times(step, classes, stride);
      const moved = this.#search(along, slope, pull, bend);
      if (!moved) return; // rounding leaves nothing to gain
      add(this.point, moved.length, step);
      byLogits = moved.byLogits;
      const previous = gradient;
      gradient = this.#gradient(byLogits, ridge, unit);
      history.push([
        direction.map((value) => value * moved.length),
        gradient.map((value, i) => value - previous[i]),
      ]);
      if (history.length > HISTORY) history.shift();
    }
  }

  /**
   * Move `logits` by a multiple of `along`. Logits are linear in the weights, so that a trial needs
   * no product of matrices. It is accepted by the approximate Wolfe conditions (Hager & Zhang 2005,
   * SIAM J. Optim. 16, section 4), which need no difference of two losses that rounding makes equal.
   */
  #search(along, slope, pull, bend) {
    let length = 1;
    let low = [0, slope];
    let high;
    for (let trial = 0; trial < TRIALS; trial++) {
      const logits = this.logits.map((logit, i) => logit + length * along[i]);
      const byLogits = new Float64Array(logits.length);
      const value = this.loss(logits, this.targets, this.classes, byLogits);
      const steepness = dot(byLogits, along) + pull + length * bend;
      const rise = value - this.value + length * (pull + 0.5 * length * bend);
      if (!(steepness <= TOO_FAR * slope && rise <= NOISE * this.scale)) high = [length, steepness];
      else if (steepness < STILL_STEEP * slope) low = [length, steepness];
      else {
        Object.assign(this, { logits, value });
        return { length, byLogits };
      }
      length = high ? between(low, high) : 4 * length;
    }
    return undefined;
  }

  #gradient(byLogits, ridge, unit) {
    const { classes, stride, x, point } = this;
    const gradient = new Float64Array(point.length);
    for (let i = 0; i < x.units; i++) {
      const row = x.row(i);
      for (let c = 0; c < classes; c++) {
        const share = byLogits[i * classes + c];
        if (share === 0) continue;
        add(gradient.subarray(c * stride, (c + 1) * stride - 1), share, row);
        gradient[(c + 1) * stride - 1] += share;
      }
    }
    for (let i = 0; i < point.length; i++) {
      gradient[i] = (gradient[i] + point[i] * ridge[i]) * unit[i];
    }
    return gradient;
  }
}

/** Logits (U x C) of a head. */
export function logitsOf({ weight, bias }, features, classes) {
  const logits = features.times(weight, classes, features.width);
  for (let i = 0; i < logits.length; i++) logits[i] += bias[i % classes];
  return logits;
}

/** The two-loop recursion (Nocedal & Wright 2006, algorithm 7.4). */
function timesInverseHessian(gradient, history) {
  const product = gradient.slice();
  const shares = [];
  for (const [step, change] of [...history].reverse()) {
    const share = dot(step, product) / dot(step, change);
    shares.unshift(share);
    add(product, -share, change);
  }
  if (history.length) {
    const [step, change] = history.at(-1);
    const scale = dot(step, change) / dot(change, change);
    for (let i = 0; i < product.length; i++) product[i] *= scale;
  }
  history.forEach(([step, change], i) => {
    add(product, shares[i] - dot(change, product) / dot(step, change), step);
  });
  return product;
}

/** Where the slope is about zero, from two [place, slope]. */
function between([place, slope], [end, slopeThere]) {
  const rise = slopeThere - slope;
  const share = rise > 0 ? -slope / rise : 0;
  return place + (end - place) * Math.min(Math.max(share, 0.1), 0.5);
}
