/** A text as windows of tokens, and the token and window at which each of its words is read. */

/**
 * Cut `tokens` (`{id, start, end}`) into windows of at most `maxLength` tokens, special ones
 * included; neighbours share a quarter of a window. Each is `{ids, offsets}`; a special token's
 * offset is `[0, 0]`.
 */
export function windows(tokenizer, text, maxLength) {
  const tokens = tokenizer.tokens(text);
  const { before, after } = tokenizer.special;
  const room = maxLength - before.length - after.length;
  const step = room - Math.floor(maxLength / 4);
  const parts = [];
  for (let start = 0; ; start += step) {
    const inside = tokens.slice(start, start + room);
    parts.push({
      ids: [...before, ...inside.map((token) => token.id), ...after],
      offsets: [
        ...before.map(() => [0, 0]),
        ...inside.map((token) => [token.start, token.end]),
        ...after.map(() => [0, 0]),
      ],
    });
    if (start + room >= tokens.length) return parts;
  }
}

/** Index of the first token that overlaps each word, -1 for a word without one. */
function firstTokens(words, offsets) {
  let token = 0;
  return words.map(([start, end]) => {
    while (
      token < offsets.length &&
      (offsets[token][1] <= start || offsets[token][0] === offsets[token][1])
    ) {
      token++;
    }
    return token < offsets.length && offsets[token][0] < end ? token : -1;
  });
}

/**
 * One list a window: `[word, token]` of each word that is read there. A word is given to the window
 * in which its first token is furthest from a border that cuts the text.
 */
export function windowUnits(words, parts) {
  const best = new Map(); // word -> [tokens to the border, window, token]
  parts.forEach(({ ids, offsets }, index) => {
    const spans = offsets.filter(([start, end]) => start < end);
    if (!spans.length) return;
    const first = firstWhere(words, ([, end]) => end > spans[0][0]);
    const after = firstWhere(words, ([start]) => start >= spans.at(-1)[1]);
    firstTokens(words.slice(first, after), offsets).forEach((at, number) => {
      if (at < 0) return;
      const left = index > 0 ? at : Infinity;
      const right = index < parts.length - 1 ? ids.length - 1 - at : Infinity;
      const room = Math.min(left, right);
      const [most] = best.get(first + number) ?? [-1];
      if (room > most) best.set(first + number, [room, index, at]);
    });
  });
  const units = parts.map(() => []);
  for (const word of [...best.keys()].sort((a, b) => a - b)) {
    const [, index, at] = best.get(word);
    units[index].push([word, at]);
  }
  return units;
}

/** Index of the first item that a condition holds for, which holds for all after it. */
function firstWhere(items, holds) {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(items[middle])) high = middle;
    else low = middle + 1;
  }
  return low;
}
