/**
 * Losses of a linear head, as `onetrunk/losses/head.py` has them. `loss(logits, targets, classes,
 * gradient)` gives the mean loss over units of logits (U x C, row by row), and puts its derivative by
 * each logit into `gradient`. `curvature(logits, classes)` gives the mean second derivative for each
 * of the C outputs. All losses are convex.
 */

/** Outputs of a type in nested NER: O, B and I. */
export const TAGS = 3;

/** Of softmax: targets are classes (Int32Array, U). */
export const crossEntropy = {
  loss(logits, targets, classes, gradient) {
    const units = logits.length / classes;
    let total = 0;
    for (let unit = 0; unit < units; unit++) {
      const at = unit * classes;
      const whole = softmaxInto(logits, at, classes, gradient);
      const target = at + targets[unit];
      total += whole - logits[target];
      gradient[target] -= 1;
    }
    for (let i = 0; i < gradient.length; i++) gradient[i] /= units;
    return total / units;
  },
  curvature(logits, classes) {
    const units = logits.length / classes;
    const of = new Float64Array(classes);
    const shares = new Float64Array(logits.length);
    for (let unit = 0; unit < units; unit++) {
      softmaxInto(logits, unit * classes, classes, shares);
      for (let c = 0; c < classes; c++) {
        const p = shares[unit * classes + c];
        of[c] += (p * (1 - p)) / units;
      }
    }
    return of;
  },
};

/** Of every {@link TAGS} outputs, a mean over units and types: targets are tags (U x types). */
export const crossEntropyOfTags = {
  loss: (logits, targets, _, gradient) => crossEntropy.loss(logits, targets, TAGS, gradient),
  curvature(logits, classes) {
    const of = new Float64Array(classes);
    const units = logits.length / classes;
    const types = classes / TAGS;
    const shares = new Float64Array(logits.length);
    for (let at = 0; at < logits.length; at += TAGS) softmaxInto(logits, at, TAGS, shares);
    shares.forEach((p, i) => (of[i % classes] += (p * (1 - p)) / (units * types)));
    return of;
  },
};

/** Yes or no for each output: targets from 0 to 1 (U x C); a mean over units of the sum of losses. */
export const binaryCrossEntropy = {
  loss(logits, targets, classes, gradient) {
    const units = logits.length / classes;
    let total = 0;
    for (let i = 0; i < logits.length; i++) {
      const small = Math.exp(-Math.abs(logits[i]));
      total += Math.max(logits[i], 0) - targets[i] * logits[i] + Math.log1p(small);
      gradient[i] = ((logits[i] >= 0 ? 1 : small) / (1 + small) - targets[i]) / units;
    }
    return total / units;
  },
  curvature(logits, classes) {
    const of = new Float64Array(classes);
    logits.forEach((logit, i) => {
      const small = Math.exp(-Math.abs(logit));
      of[i % classes] += (small / (1 + small) ** 2 / logits.length) * classes;
    });
    return of;
  },
};

/** Squared error of numbers (U x C), a mean over units and outputs. */
export const squaredError = {
  loss(logits, targets, classes, gradient) {
    let total = 0;
    for (let i = 0; i < logits.length; i++) {
      const error = logits[i] - targets[i];
      total += error * error;
      gradient[i] = (2 * error) / logits.length;
    }
    return total / logits.length;
  },
  curvature: (logits, classes) => new Float64Array(classes).fill(2 / classes),
};

/** Put the softmax of `size` logits from `at` on into the same places of `shares`; gives the
 * logarithm of the sum of their exponentials. */
function softmaxInto(logits, at, size, shares) {
  let most = -Infinity;
  for (let i = at; i < at + size; i++) if (logits[i] > most) most = logits[i];
  let sum = 0;
  for (let i = at; i < at + size; i++) sum += shares[i] = Math.exp(logits[i] - most);
  for (let i = at; i < at + size; i++) shares[i] /= sum;
  return most + Math.log(sum);
}
