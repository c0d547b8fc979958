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
