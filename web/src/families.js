/**
 * What can be taught: of each built-in family the examples, labels, targets and score, as
 * `onetrunk/families/` has them.
 *
 * - `primary`: whose task-primary LoRA its states are computed under;
 * - `penalty`: of the standardised head; undefined: chosen by cross-validation;
 * - `deep`: whether heads read all states of the top; undefined: cross-validation chooses;
 * - `loss`: one of `losses.js`; `perUnit(labels)`: numbers that a unit's target has;
 * - `parse(example, where)`: an example in the family's form, or a BundleError;
 * - `labelSet(examples)`: the labels that occur; `allLabels(examples, others)`: with others;
 * - `targets(example, spans, labels)`: of its units, or the one row that all windows of it share;
 * - `score(examples, answers)`: the metric in percent.
 */

import { BundleError, nearest } from "./errors.js";
import { entitiesOf, labelOf, labelsOf, ratingOf } from "./examples.js";
import { binaryCrossEntropy, crossEntropy, crossEntropyOfTags, squaredError } from "./losses.js";
import { entityF1, microF1, rightShare, spearman } from "./scores.js";
import { inUnits } from "./units.js";

const sorted = (labels) => [...new Set(labels)].sort(byCodePoint);
/** The ends of a scale. */
const ends = (values) => (values.length ? [Math.min(...values), Math.max(...values)].map(String) : []);

const perWord = {
  primary: "ner",
  metric: "f1",
  penalty: 1e-2,
  deep: true,
  labelSet: (examples) =>
    sorted(examples.flatMap(({ entities }) => entities.map(({ type }) => type))),
  allLabels: (examples, others) => sorted([...perWord.labelSet(examples), ...others]),
  learnable: (labels) => labels.length > 0,
  score: entityF1,
};
const wholeText = {
  primary: "tc",
  penalty: undefined,
  deep: undefined,
  labelSet: (examples) => sorted(examples.flatMap(({ labels }) => labels)),
  allLabels: (examples, others) => sorted([...wholeText.labelSet(examples), ...others]),
};

export const FAMILIES = {
  ner: {
    ...perWord,
    loss: crossEntropy,
    perUnit: () => 1,
    parse: (example, where) => entitiesOf(example, where, false),
    targets({ entities }, spans, labels) {
      const tags = new Int32Array(spans.length);
      for (const [first, stop, type] of inUnits(entities, spans)) {
        tags.fill(2 + 2 * labels.indexOf(type), first, stop);
        tags[first] -= 1;
      }
      return tags;
    },
  },
  "nested-ner": {
    ...perWord,
    loss: crossEntropyOfTags,
    perUnit: (labels) => labels.length,
    parse: (example, where) => entitiesOf(example, where, true),
    targets({ entities }, spans, labels) {
      const tags = new Int32Array(spans.length * labels.length);
      labels.forEach((label, column) => {
        const ofType = entities.filter(({ type }) => type === label);
        for (const [first, stop] of inUnits(ofType, spans)) {
          for (let unit = first; unit < stop; unit++) {
            tags[unit * labels.length + column] = unit === first ? 1 : 2;
          }
        }
      });
      return tags;
    },
  },
  tc: {
    ...wholeText,
    metric: "accuracy",
    loss: crossEntropy,
    perUnit: () => 1,
    parse: labelOf,
    learnable: (labels) => labels.length > 1,
    targets: (example, _, labels) => Int32Array.of(labels.indexOf(example.labels[0])),
    score: rightShare,
  },
  "multi-label": {
    ...wholeText,
    metric: "micro_f1",
    loss: binaryCrossEntropy,
    perUnit: (labels) => labels.length,
    parse: labelsOf,
    // One label is enough, if one text has it and another has not.
    learnable: (labels, examples) =>
      new Set(examples.map((example) => JSON.stringify(sorted(example.labels)))).size > 1,
    targets: (example, _, labels) =>
      Float64Array.from(labels, (label) => (example.labels.includes(label) ? 1 : 0)),
    score: microF1,
  },
  rating: {
    ...wholeText,
    metric: "spearman",
    loss: squaredError,
    perUnit: () => 1,
    parse: ratingOf,
    labelSet: (examples) => ends(examples.map(({ value }) => value)),
    allLabels: (examples, others) => {
      const given = others.map((label) => ratingOf({ text: "", label }, "labels"));
      return ends([...examples, ...given].map(({ value }) => value));
    },
    learnable: (labels) => labels.length === 2 && Number(labels[0]) < Number(labels[1]),
    targets({ value }, _, labels) {
      const [low, high] = labels.map(Number);
      return Float64Array.of((value - low) / (high - low));
    },
    score: spearman,
  },
};

/** Look a family up. Throws {@link BundleError} with the nearest name if unknown. */
export function familyNamed(name) {
  if (!Object.hasOwn(FAMILIES, name)) {
    throw new BundleError(`unknown task family ${name}; ${nearest(`${name}`, Object.keys(FAMILIES))}`);
  }
  return FAMILIES[name];
}

/** As Python sorts: characters beyond 16 bits come last. */
function byCodePoint(one, other) {
  const [a, b] = [[...one], [...other]];
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    if (a[i] !== b[i]) return a[i].codePointAt(0) - b[i].codePointAt(0);
  }
  return a.length - b.length;
}
