/**
 * From logits to answers. Logits are a list of rows, one for each word that a window reads (NER), or
 * for each window of the text (the other families).
 */

/** The answer of an app for one text: see `Answer` in `index.d.ts`. */
export function answer(app, rows, text, words, read) {
  switch (app.family) {
    case "ner":
      return { entities: tagged(rows, read, app.labels).map((one) => entity(text, words, one)) };
    case "nested-ner":
      return { entities: nested(rows, read, app.labels).map((one) => entity(text, words, one)) };
    case "tc":
      return labelled(softmax(mean(rows)), app.labels, (p, i, all) => i === highest(all));
    case "multi-label":
      return labelled(mean(rows).map(sigmoid), app.labels, (p) => p >= 0.5);
    default:
      return { value: rating(rows, app.labels) };
  }
}

/** Entities `{first, stop, type, score}` of the most probable valid IOB2 sequence, by word. */
function tagged(rows, read, labels) {
  const scores = rows.map(logSoftmax);
  const path = bestValidPath(scores);
  const found = [];
  let last;
  path.forEach((tag, row) => {
    const word = read[row];
    const score = Math.exp(scores[row][tag]);
    const inside = tag > 0 && tag % 2 === 0;
    if (inside && last?.stop === word) {
      last.stop = word + 1;
      last.score = Math.min(last.score, score);
    } else if (tag > 0 && !inside) {
      last = { first: word, stop: word + 1, type: labels[(tag - 1) >> 1], score };
      found.push(last);
    } else {
      last = undefined; // outside, or I behind a word that no window reads, which is O
    }
  });
  return found;
}

/** Each type by itself: three columns are its O, B and I. The outer entity before the inner. */
function nested(rows, read, labels) {
  const every = labels.flatMap((label, at) =>
    tagged(
      rows.map((row) => row.slice(3 * at, 3 * at + 3)),
      read,
      [label],
    ),
  );
  return every.sort(
    (a, b) => a.first - b.first || b.stop - a.stop || (a.type < b.type ? -1 : 1),
  );
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

function labelled(probabilities, labels, chosen) {
  const ranked = labels.map((label, i) => [label, probabilities[i]]);
  ranked.sort((a, b) => b[1] - a[1]);
  return {
    labels: labels.filter((_, i) => chosen(probabilities[i], i, probabilities)),
    probabilities: Object.fromEntries(ranked.map(([label, p]) => [label, rounded(p)])),
  };
}

function rating(rows, labels) {
  const [low, high] = labels.map(Number);
  const share = rows.reduce((sum, [value]) => sum + value, 0) / rows.length;
  return rounded(low + (high - low) * Math.min(1, Math.max(0, share)));
}

function entity(text, words, { first, stop, type, score }) {
  const [start, end] = [words[first][0], words[stop - 1][1]];
  return { start, end, text: text.slice(start, end), type, score: rounded(score) };
}

/** Where the highest of some numbers stands, the first if there are several. */
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
export function sigmoid(logit) {
  return logit >= 0 ? 1 / (1 + Math.exp(-logit)) : Math.exp(logit) / (1 + Math.exp(logit));
}

function rounded(value) {
  return Math.round(value * 1e4) / 1e4;
}
