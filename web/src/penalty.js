/**
 * How strong the penalty of a linear head should be, by the rows that are held out:
 * `choose_penalty` of `onetrunk/adaptation/linear.py`.
 */

import { FAMILIES } from "./families.js";
import { EXACT, Problem, ROUGH, logitsOf } from "./linear.js";
import { crossEntropy } from "./losses.js";
import { permutation } from "./random.js";

export const PENALTIES = [10, 3, 1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001];
/** Those of a head that starts from another; where the family has a penalty, this one. The features
 * are scaled to length 1, which makes them look small beside those above. */
const STAYING = [0.1, 0.03, 0.01, 0.003, 0.001, 3e-4, 1e-4, 3e-5, 1e-5];
const STAYING_FIXED = 3e-4;
const FOLDS = 5;
/** With more units than this, or more logits, one fold is enough to tell penalties apart. */
const MANY_UNITS = 4000;
const MANY_LOGITS = 1_000_000;
/** The penalty where no fold can be held out. */
const PENALTY = 0.1;

/**
 * The best head for `{features, targets, perUnit, classes, groups, width, choices, penalty,
 * family, start}`:
 *
 * - `features` (U x D) holds the states side by side, each of `width` numbers; a head may read the
 *   last `choices[i]` of them;
 * - `targets` has `perUnit` numbers for each unit; `family` says which loss there is;
 * - `groups[u]` is the text of unit u: the units of one are held out together;
 * - `penalty` undefined: cross-validation chooses it, and of several choices the best;
 * - `start` `{weight, bias}`: the head that is penalised for differing from, in place of zero.
 *
 * Gives `{weight, bias, penalty, reads, heldOut}`, where `heldOut` are logits (U x C) of heads that
 * did not see the text; NaN where none was held out. `pause(what, done, total)` is awaited between
 * solves, and may throw to end it all.
 */
export async function fitHead(problem, pause) {
  const { features, targets, perUnit, classes, groups, width, choices, penalty, start } = problem;
  const kind = FAMILIES[problem.family].loss;
  const folds = heldOutFolds(groups, classes);
  const [several, one] = start ? [STAYING, STAYING_FIXED] : [PENALTIES, penalty];
  const penalties = penalty === undefined ? several : [one];
  const total = choices.length * penalties.length + folds.length + 1;
  let done = 0;
  const tell = (what, by = 1) => pause(what, Math.min((done += by), total) - by, total);
  let best;
  for (const reads of choices) {
    const view = { ...problem, kind, features: features.last(reads * width) };
    const chosen = { reads, view, penalty: penalties[0], loss: 0 };
    if (penalties.length > 1 || choices.length > 1) {
      Object.assign(chosen, await choosePenalty(view, folds, penalties, tell));
    }
    if (!best || chosen.loss < best.loss) best = chosen; // the fewest states, of equally good ones
  }
  const last = new Problem(best.view.features, targets, classes, kind, start);
  const heldOut = new Float64Array(features.units * classes).fill(NaN);
  done = total - folds.length - 1;
  for (const fold of folds) {
    await tell("score");
    const rest = others(features.units, fold);
    const logits = last.without(fold, rest, only(targets, rest, perUnit), best.penalty);
    fold.forEach((unit, i) => {
      heldOut.set(logits.subarray(i * classes, (i + 1) * classes), unit * classes);
    });
  }
  await tell("score");
  const head = last.solve(best.penalty, EXACT);
  await pause("", total, total);
  return { ...head, penalty: best.penalty, reads: best.reads, heldOut };
}

/** The penalty with the lowest mean loss on held-out units, from the strongest on, until two in a
 * row are no better; and that loss. */
async function choosePenalty(problem, folds, penalties, tell) {
  const { features, targets, perUnit, classes, kind, start } = problem;
  if (!folds.length) {
    return { penalty: penalties.length > 1 ? PENALTY : penalties[0], loss: Infinity };
  }
  const problems = [];
  for (const fold of folds) {
    await tell("penalties", 0);
    const rest = others(features.units, fold);
    const wanted = only(targets, rest, perUnit);
    problems.push(new Problem(features.only(rest), wanted, classes, kind, start));
  }
  const judged = folds.map((fold) => (kind === crossEntropy ? known(targets, fold) : fold));
  const losses = [];
  for (const l2 of penalties) {
    await tell("penalties");
    let sum = 0;
    for (const [number, units] of judged.entries()) {
      const logits = logitsOf(problems[number].solve(l2, ROUGH), features.only(units), classes);
      const gradient = new Float64Array(logits.length);
      sum += kind.loss(logits, only(targets, units, perUnit), classes, gradient);
    }
    losses.push(sum);
    if (losses.length - losses.indexOf(Math.min(...losses)) > 2) break;
  }
  const best = losses.indexOf(Math.min(...losses));
  return { penalty: penalties[best], loss: losses[best] / folds.length };
}

/**
 * Lists of units to hold out, those of one group together: five, a single one if there are very
 * many units or logits, and none if there is one group. They are those of Python.
 */
export function heldOutFolds(groups, classes) {
  const names = [...new Set(groups)].sort((a, b) => a - b);
  const count = Math.min(FOLDS, names.length);
  if (count < 2) return [];
  const order = permutation(names.length, 0);
  const place = new Map(names.map((name, i) => [name, order[i]]));
  const many = groups.length > MANY_UNITS || groups.length * classes > MANY_LOGITS;
  return Array.from({ length: many ? 1 : count }, (_, fold) =>
    [...groups.keys()].filter((unit) => place.get(groups[unit]) % count === fold),
  );
}

/** Those of the units held out whose class some other unit has: no head can know the others. */
function known(targets, fold) {
  const out = new Set(fold);
  const learnt = new Set(targets.filter((_, unit) => !out.has(unit)));
  const judged = fold.filter((unit) => learnt.has(targets[unit]));
  return judged.length ? judged : fold;
}

function others(units, fold) {
  const out = new Set(fold);
  return [...Array(units).keys()].filter((unit) => !out.has(unit));
}

function only(targets, units, perUnit) {
  const some = new targets.constructor(units.length * perUnit);
  units.forEach((unit, i) => {
    some.set(targets.subarray(unit * perUnit, (unit + 1) * perUnit), i * perUnit);
  });
  return some;
}
