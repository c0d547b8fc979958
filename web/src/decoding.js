/**
 * From logits to answers. Logits are a list of rows: one for each unit of a text. A unit is a word
 * (`units.js`), or a window of a whole text.
 */

import { isBlank } from "./words.js";

/**
 * All decoders, each by the name of the built-in family that uses it:
 *
 * - `perWord`: whether units are words, read at their first token, or whole, pooled windows;
 * - `classes(labels)`: the number of a head's outputs for a number of labels;
 * - `answer({ rows, labels, noneBelow, text, spans })`: the `Answer` of `index.d.ts` for one text,
 *   without what is less probable than `noneBelow`. `spans[i]` are the characters of the unit that
 *   row i belongs to; those of whole texts do not look at them;
 * - `blend(logits, votes, share)`: logits in which the votes of labelled neighbours have `share`
 *   and the head's answer has the rest. Decoders without it have no neighbours.
 */
export const DECODERS = {
  ner: {
    perWord: true,
    classes: (labels) => 1 + 2 * labels,
    answer: (asked) => rendered(asked, tagged(asked.rows, asked.spans, asked.labels)),
  },
  "nested-ner": {
    perWord: true,
    classes: (labels) => 3 * labels,
    answer: (asked) => rendered(asked, nested(asked.rows, asked.spans, asked.labels)),
  },
  tc: {
    perWord: false,
    classes: (labels) => labels,
    answer: (asked) => {
      const answer = labelled(asked, softmax(mean(asked.rows)), (p, i, all) => i === highest(all));
      return answer.labels.length ? answer : { ...answer, abstained: true };
    },
    blend: (logits, votes, share) =>
      mixed(softmax(logits), votes, share).map((p) => Math.log(Math.max(p, 1e-9))),
  },
  "multi-label": {
    perWord: false,
    classes: (labels) => labels,
    answer: (asked) => labelled(asked, mean(asked.rows).map(sigmoid), (p) => p >= 0.5),
    blend: (logits, votes, share) =>
      mixed(logits.map(sigmoid), votes, share).map((value) => {
        const p = Math.min(Math.max(value, 1e-6), 1 - 1e-6);
        return Math.log(p / (1 - p));
      }),
  },
  rating: {
    perWord: false,
    classes: () => 1,
    answer: ({ rows, labels }) => ({ value: rating(rows, labels) }),
    blend: mixed,
  },
};

function mixed(answer, votes, share) {
  return answer.map((value, column) => (1 - share) * value + share * votes[column]);
}

/** Entities `{start, end, type, score}` of the most probable valid IOB2 sequence. */
function tagged(rows, spans, labels) {
  const scores = rows.map(logSoftmax);
  const entities = [];
  bestValidPath(scores).forEach((tag, unit) => {
    if (tag === 0) return;
    const [start, end] = spans[unit];
    const score = Math.exp(scores[unit][tag]);
    if (tag % 2) {
      entities.push({ start, end, type: labels[(tag - 1) / 2], score });
    } else {
      const last = entities.at(-1); // an I follows the B or I of its entity
      last.end = end;
      last.score = Math.min(last.score, score);
    }
  });
  return entities;
}

/** Each type by itself: three columns are its O, B and I. Of entities that begin together the
 * longest comes first. */
function nested(rows, spans, labels) {
  const every = labels.flatMap((label, number) =>
    tagged(
      rows.map((row) => row.slice(3 * number, 3 * number + 3)),
      spans,
      [label],
    ),
  );
  return every.sort((a, b) => a.start - b.start || b.end - a.end || (a.type < b.type ? -1 : 1));
}

/** The most probable tag sequence in which every I-x follows B-x or I-x (Viterbi). */
export function bestValidPath(scores) {
  const path = scores.map(highest);
  const inside = (tag) => tag > 0 && tag % 2 === 0;
  const allowed = (from, to) => !inside(to) || from === to || from === to - 1;
  if (path.every((tag, i) => (i ? allowed(path[i - 1], tag) : !inside(tag)))) return path;
  let best = scores[0].map((score, tag) => (inside(tag) ? -Infinity : score));
  const back = [];
  for (const row of scores.slice(1)) {
    const from = row.map((_, to) => {
      let most = -1;
      best.forEach((score, tag) => {
        if (allowed(tag, to) && (most < 0 || score > best[most])) most = tag;
      });
      return most;
    });
    best = row.map((score, to) => best[from[to]] + score);
    back.push(from);
  }
  path[path.length - 1] = highest(best);
  for (let i = path.length - 1; i > 0; i--) path[i - 1] = back[i - 1][path[i]];
  return path;
}

/** The chosen labels that are probable enough; none if the text shows nothing. */
function labelled({ labels, noneBelow, text }, probabilities, chosen) {
  const blank = isBlank(text);
  const given = (p, i) => !blank && p >= noneBelow && chosen(p, i, probabilities);
  const ranked = labels.map((label, i) => [label, probabilities[i]]);
  ranked.sort((a, b) => b[1] - a[1]);
  return {
    labels: labels.filter((_, i) => given(probabilities[i], i)),
    probabilities: Object.fromEntries(ranked.map(([label, p]) => [label, rounded(p)])),
    ...(blank && { abstained: true }),
  };
}

function rating(rows, labels) {
  const [low, high] = labels.map(Number);
  const share = rows.reduce((sum, [value]) => sum + value, 0) / rows.length;
  return rounded(low + (high - low) * Math.min(1, Math.max(0, share)));
}

/** The entities that are probable enough. */
function rendered({ noneBelow, text }, entities) {
  const sure = entities.filter(({ score }) => score >= noneBelow);
  return {
    entities: sure.map(({ start, end, type, score }) => {
      return { start, end, text: text.slice(start, end), type, score: rounded(score) };
    }),
  };
}

/** The index of the highest of some numbers, the first if there are several. */
function highest(numbers) {
  return numbers.indexOf(Math.max(...numbers));
}

function mean(rows) {
  return rows[0].map((_, column) => rows.reduce((sum, row) => sum + row[column], 0) / rows.length);
}

function logSoftmax(row) {
  const most = Math.max(...row);
  const total = Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
  return row.map((logit) => logit - most - total);
}

/** Over a list. */
export function softmax(row) {
  return logSoftmax(row).map(Math.exp);
}

/** 1 / (1 + e^-x), without overflow. */
function sigmoid(logit) {
  return logit >= 0 ? 1 / (1 + Math.exp(-logit)) : Math.exp(logit) / (1 + Math.exp(logit));
}

function rounded(value) {
  return Math.round(value * 1e4) / 1e4;
}
