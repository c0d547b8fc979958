/**
 * Words of a raw text, as apps were trained on: runs of letters and digits, single CJK characters,
 * and single other graphemes (punctuation, an emoji with all its modifiers).
 */

const CJK = String.raw`\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}`;
const RUN = new RegExp(
  String.raw`[${CJK}]|[[\p{L}\p{M}\p{N}_\u200c\u200d]--[${CJK}]]+`,
  "vy",
);
const INVISIBLE = /[\s\p{Cf}\p{Cc}]/uy;
const GRAPHEMES = new Intl.Segmenter("en", { granularity: "grapheme" });

/** The spans `[start, end)` of a text's words, in UTF-16 code units. */
export function words(text) {
  const spans = [];
  const graphemes = GRAPHEMES.segment(text);
  for (let at = 0; at < text.length; ) {
    RUN.lastIndex = at;
    INVISIBLE.lastIndex = at;
    const run = RUN.exec(text);
    let end = at;
    if (run) {
      end += run[0].length;
    } else if (INVISIBLE.test(text)) {
      at = INVISIBLE.lastIndex;
      continue;
    } else {
      const { index, segment } = graphemes.containing(at);
      end = index + segment.length;
    }
    spans.push([at, end]);
    at = end;
  }
  return spans;
}
