/** Scores in percent of answers to examples, as `onetrunk/families/` computes them. */

/** Micro-F1 of entities; the characters and the type must be right. */
export function entityF1(examples, answers) {
  const key = ({ start, end, type }) => JSON.stringify([start, end, type]);
  return microOf(
    examples.map(({ entities }) => entities.map(key)),
    answers.map(({ entities }) => entities.map(key)),
  );
}

/** Micro-F1 of labels. */
export function microF1(examples, answers) {
  return microOf(
    examples.map(({ labels }) => labels),
    answers.map(({ labels }) => labels),
  );
}

/** The share of texts whose label is right. */
export function rightShare(examples, answers) {
  const right = examples.filter(({ labels }, i) => answers[i].labels[0] === labels[0]);
  return (100 * right.length) / examples.length;
}

/** Rank correlation of numbers; 0 if all answers, or all values, are equal. */
export function spearman(examples, answers) {
  const [a, b] = [ranks(examples.map(({ value }) => value)), ranks(answers.map(({ value }) => value))];
  const middle = (a.length - 1) / 2;
  let [product, left, right] = [0, 0, 0];
  a.forEach((rank, i) => {
    product += (rank - middle) * (b[i] - middle);
    left += (rank - middle) ** 2;
    right += (b[i] - middle) ** 2;
  });
  return left && right ? (100 * product) / Math.sqrt(left * right) : 0;
}

function microOf(gold, given) {
  let [right, all] = [0, 0];
  gold.forEach((of, i) => {
    const [truth, guess] = [new Set(of), new Set(given[i])];
    all += truth.size + guess.size;
    for (const item of guess) if (truth.has(item)) right++;
  });
  return all ? (200 * right) / all : 0;
}

/** From 0; equal numbers share the mean of their ranks. */
function ranks(numbers) {
  const order = [...numbers.keys()].sort((a, b) => numbers[a] - numbers[b]);
  const ranks = new Float64Array(numbers.length);
  for (let first = 0, after = 0; first < order.length; first = after) {
    while (after < order.length && numbers[order[after]] === numbers[order[first]]) after++;
    for (let i = first; i < after; i++) ranks[order[i]] = (first + after - 1) / 2;
  }
  return ranks;
}
