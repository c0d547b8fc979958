/** L-BFGS for a linear head, in coordinates in which the objective curves evenly. */

import { add, dot } from "./features.js";
import { kernel } from "./kernel.js";

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

/**
 * Seeks the `point` (C x stride: weights along the axes and, last, the bias) with the least loss +
 * l2/2 · |W|² over features `x`, whose mean square along each axis is `spread`. `offset` (U x C) is
 * added to the logits. The bias has no penalty, unless `isBiasHeld`. Steps are in units of
 * 1 / sqrt(curvature).
 */
export class Descent {
  constructor({ x, spread, targets, classes, kind, offset, isBiasHeld }) {
    Object.assign(this, { x, spread, targets, classes, offset, isBiasHeld, ...kind });
    this.stride = x.width + 1;
    this.point = new Float64Array(classes * this.stride);
    const zeros = new Float64Array(x.units * classes);
    this.scale = this.loss(zeros, targets, classes, zeros.slice());
  }

  /** Go on from `point` until a step promises to lower the objective by less than this share of the
   * loss of a head of zeros. */
  to(l2, tolerance) {
    if (this.point.every((value) => value === 0)) {
      this.#descend(l2, Math.max(COARSE, tolerance) * this.scale);
    }
    this.#descend(l2, tolerance * this.scale);
    return this.point;
  }

  /** Nocedal & Wright 2006, algorithm 7.5. */
  #descend(l2, tolerance) {
    const { classes, stride, x } = this;
    const size = this.point.length;
    const ridge = new Float64Array(size).fill(l2);
    for (let c = 1; c <= classes; c++) ridge[c * stride - 1] = this.isBiasHeld ? l2 : BIAS_L2;
    this.logits = x.times(this.point, classes, stride);
    if (this.offset) add(this.logits, 1, this.offset);
    const byLogits = new Float64Array(this.logits.length);
    this.value = this.loss(this.logits, this.targets, classes, byLogits);
    const ofClass = this.curvature(this.logits, classes);
    const unit = Float64Array.from(ridge, (penalty, i) => {
      const spread = i % stride < x.width ? this.spread[i % stride] : 1;
      return 1 / Math.sqrt(Math.max(ofClass[Math.floor(i / stride)], 1e-8) * spread + penalty);
    });
    let gradient = this.#gradient(byLogits, ridge, unit);
    const history = kernel()?.history(HISTORY, size) ?? new History(HISTORY);
    for (let steps = 0; steps < STEPS; steps++) {
      const direction = history.timesInverseHessian(gradient);
      const slope = -dot(direction, gradient);
      if (-slope <= tolerance) return;
      const step = new Float64Array(size);
      let pull = 0;
      let bend = 0;
      for (let i = 0; i < size; i++) {
        direction[i] = -direction[i];
        step[i] = direction[i] * unit[i];
        pull += this.point[i] * ridge[i] * step[i];
        bend += step[i] * ridge[i] * step[i];
      }
      const along = x.times(step, classes, stride);
      const moved = this.#search(along, slope, pull, bend);
      if (!moved) return; // rounding leaves nothing to gain
      add(this.point, moved.length, step);
      const change = gradient; // its numbers are replaced by those of the change
      gradient = this.#gradient(moved.byLogits, ridge, unit);
      for (let i = 0; i < size; i++) {
        direction[i] *= moved.length;
        change[i] = gradient[i] - change[i];
      }
      history.push(direction, change);
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
    const sums = x.sums(byLogits, classes);
    for (let c = 0; c < classes; c++) {
      gradient.set(sums.subarray(c * x.width, (c + 1) * x.width), c * stride);
    }
    byLogits.forEach((share, i) => (gradient[((i % classes) + 1) * stride - 1] += share));
    for (let i = 0; i < point.length; i++) {
      gradient[i] = (gradient[i] + point[i] * ridge[i]) * unit[i];
    }
    return gradient;
  }
}

/** The last steps, and the change of the gradient over each. */
export class History {
  #pairs = [];

  constructor(room) {
    this.room = room;
  }

  push(step, change) {
    this.#pairs.push([step, change]);
    if (this.#pairs.length > this.room) this.#pairs.shift();
  }

  /** The two-loop recursion (Nocedal & Wright 2006, algorithm 7.4). */
  timesInverseHessian(gradient) {
    const product = gradient.slice();
    const shares = [];
    for (const [step, change] of [...this.#pairs].reverse()) {
      const share = dot(step, product) / dot(step, change);
      shares.unshift(share);
      add(product, -share, change);
    }
    if (this.#pairs.length) {
      const [step, change] = this.#pairs.at(-1);
      const scale = dot(step, change) / dot(change, change);
      for (let i = 0; i < product.length; i++) product[i] *= scale;
    }
    this.#pairs.forEach(([step, change], i) => {
      add(product, shares[i] - dot(change, product) / dot(step, change), step);
    });
    return product;
  }
}

/** Where the slope is about zero, from two [place, slope]. */
function between([place, slope], [end, slopeThere]) {
  const rise = slopeThere - slope;
  const share = rise > 0 ? -slope / rise : 0;
  return place + (end - place) * Math.min(Math.max(share, 0.1), 0.5);
}
