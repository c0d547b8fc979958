/**
 * The units of a text: what named entity recognition gives a tag. They come from the text and the
 * tokenizer alone, by the rule of `onetrunk/data/units.py`.
 *
 * A unit is a word of the text, but it never ends inside a token: words that share a token are one
 * unit, and a word without a token belongs to the unit beside it.
 */

import { wordsOf } from "./words.js";

/** White space as Python's `str.isspace` has it. */
const SPACE = /[\p{White_Space}\x1c-\x1f]/u;

/**
 * The spans of a text's units. `tokens` are those of its tokens, in ascending order; that of a
 * special token is `[0, 0]`. What the tokenizer keeps nothing of (a broken character) and touches no
 * unit belongs to none.
 */
export function unitSpans(text, tokens) {
  const units = [];
  let alone; // where words without a token begin that touch no unit so far
  let token = 0; // the first token that reaches into the word
  let before = 0; // the end of the word before
  for (const [start, end] of wordsOf(text)) {
    const touches = !SPACE.test(text.slice(before, start));
    if (!touches) alone = undefined;
    token = reaching(tokens, token, start);
    if (token === tokens.length || tokens[token][0] >= end) {
      if (touches && units.length && alone === undefined) units.at(-1)[1] = end;
      else alone ??= start;
    } else if (tokens[token][0] < before) {
      units.at(-1)[1] = end;
    } else {
      units.push([alone ?? start, end]);
      alone = undefined;
    }
    before = end;
  }
  return units;
}

/**
 * The units of a text that was cut into windows `{ids, offsets}`: `spans`, and for each window the
 * `tokens` at which it reads units. In a row, those of all windows are of units 0, 1, 2 and so on.
 *
 * A unit is read at its first token, in the window in which that is furthest from a border that cuts
 * the text.
 */
export function unitsOf(text, parts) {
  const every = parts.flatMap(({ offsets }) => offsets);
  const spans = unitSpans(
    text,
    every.sort((a, b) => a[0] - b[0] || a[1] - b[1]),
  );
  const best = spans.map(() => [-1, 0, 0]); // of each unit: tokens of context, window, token
  parts.forEach(({ ids, offsets }, index) => {
    const visible = offsets.filter(([start, end]) => start < end);
    if (!visible.length) return;
    const first = firstWhere(spans, ([, end]) => end > visible[0][0]);
    const stop = firstWhere(spans, ([start]) => start >= visible.at(-1)[1]);
    let token = 0;
    for (let unit = first; unit < stop; unit++) {
      token = reaching(offsets, token, spans[unit][0]);
      const left = index > 0 ? token : Infinity;
      const right = index < parts.length - 1 ? ids.length - 1 - token : Infinity;
      const context = Math.min(left, right);
      if (context > best[unit][0]) best[unit] = [context, index, token];
    }
  });
  const tokens = parts.map(() => []);
  for (const [, index, token] of best) tokens[index].push(token);
  return { spans, tokens };
}

/** Index of the first token, from `token` on, that ends after the start of a span. */
function reaching(tokens, token, start) {
  while (token < tokens.length && tokens[token][1] <= start) token++;
  return token;
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

/**
 * Entities `{start, end, type}` as ranges of units: `[first unit, unit after the last, type]`.
 *
 * An entity has the units that it shares a character with, and that no entity before it has; one
 * that is left without units is left out. `entities` are in order and do not overlap.
 */
export function inUnits(entities, spans) {
  const ranges = [];
  let free = 0;
  for (const { start, end, type } of entities) {
    const first = Math.max(free, firstWhere(spans, ([, last]) => last > start));
    const stop = firstWhere(spans, ([begin]) => begin >= end);
    if (first < stop) {
      ranges.push([first, stop, type]);
      free = stop;
    }
  }
  return ranges;
}
