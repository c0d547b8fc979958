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
  // Read in turn: to look one up anywhere in a text takes time that grows with the text.
  const graphemes = GRAPHEMES.segment(text)[Symbol.iterator]();
  let border = 0; // the end of the last grapheme read
  for (let at = 0; at < text.length; ) {
    RUN.lastIndex = INVISIBLE.lastIndex = at;
    let end;
    if (RUN.test(text)) {
      end = RUN.lastIndex;
    } else if (INVISIBLE.test(text)) {
      at = INVISIBLE.lastIndex;
      continue;
    } else {
      while (border <= at) border += graphemes.next().value.segment.length;
      end = border;
    }
    spans.push([at, end]);
    at = end;
  }
  return spans;
}
