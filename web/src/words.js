/**
 * The words of a text, by a rule that knows the text alone; that of `onetrunk/data/words.py`.
 *
 * A word is a run of letters, digits and underscores, a CJK character, or any other visible
 * character with its modifiers, such as a punctuation mark or an emoji.
 */

const CJK = String.raw`\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}`;
// Format characters (a soft hyphen, a zero-width space) are invisible: inside a run of letters they
// are part of it, elsewhere of nothing.
const LETTERS = String.raw`[[\p{L}\p{M}\p{N}_\u200c\u200d]--[${CJK}]]+`;
const RUN = new RegExp(
  String.raw`[${CJK}]\p{M}*|${LETTERS}(?:\p{Cf}+${LETTERS})*`,
  "vy",
);
const INVISIBLE = /[\s\p{Cf}\p{Cc}]/uy;
const GRAPHEMES = new Intl.Segmenter("en", { granularity: "grapheme" });

/** The spans `[start, end)` of a text's words, in UTF-16 code units. */
export function wordsOf(text) {
  const spans = [];
  for (let at = 0; at < text.length; ) {
    RUN.lastIndex = INVISIBLE.lastIndex = at;
    let end;
    if (RUN.test(text)) {
      end = RUN.lastIndex;
    } else if (INVISIBLE.test(text)) {
      at = INVISIBLE.lastIndex;
      continue;
    } else {
      end = graphemeEnd(text, at);
    }
    spans.push([at, end]);
    at = end;
  }
  return spans;
}

/** The end of the grapheme at a position. The segmenter sees a piece of the text at a time: with the
 * whole text, each look-up takes time that grows with the text. */
function graphemeEnd(text, at) {
  for (let size = 32; ; size *= 2) {
    const [{ segment }] = GRAPHEMES.segment(text.slice(at, at + size));
    if (segment.length < size - 1) return at + segment.length; // the next character is whole
  }
}
