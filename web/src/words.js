/**
 * The words of a text, by a rule that knows the text alone; that of `onetrunk/data/words.py`.
 *
 * A word is one of these: an address (`https://…`, `mia@mail.example`), a name with its sign
 * (`@mia`, `#oslo`), an abbreviation with dots (`U.S.`), an initial (`J.` in `J. Smith`), letters and digits, which may be joined by
 * `- &` (`Jean-Luc`, `R&D`) and between digits by `. , : /` (`9:30`, `1,000`), the end of an English
 * contraction (`'s`), a repeated punctuation mark (`...`), a character of a script in which a name
 * may end anywhere (Chinese, Japanese, Korean, Thai, Lao, Khmer, Burmese), or any other visible
 * character with its modifiers, such as an emoji.
 */

// Flag u alone, and no sets: phones' engine (Hermes) has no flag v.
// Scripts without spaces between words; in Korean, particles follow a name without one.
const SCRIPTS = ["Han", "Hiragana", "Katakana", "Hangul", "Thai", "Lao", "Khmer", "Myanmar"];
const UNSPACED = `(?!\\p{M})[${SCRIPTS.map((name) => `\\p{sc=${name}}`).join("")}]`;
const SPACED = `(?!${UNSPACED})`;
// Format characters (a soft hyphen, a zero-width space) are invisible: inside a run of letters they
// are part of it, elsewhere of nothing.
const LETTER = String.raw`(?:${SPACED}[\p{L}\p{M}\p{N}_\u200c\u200d])`;
const LETTERS = String.raw`${LETTER}+(?:\p{Cf}+${LETTER}+)*`;
const NO_URL = String.raw`\p{White_Space}\x1c-\x1f<>"`;
const ALONE = String.raw`(?:${SPACED}\p{L})`;
// Limits keep time linear in the length of a text, whatever it holds.
const KINDS = [
  String.raw`(?:[hH][tT][tT][pP][sS]?:\/\/|[wW]{3}\.)[^${NO_URL}]{0,2000}[^${NO_URL}\p{P}]\/?`,
  String.raw`${LETTER}(?:${SPACED}[\p{L}\p{M}\p{N}_.+\-]){0,63}@${LETTERS}(?:[.\-]${LETTERS})*`,
  String.raw`[@#]${LETTERS}`,
  String.raw`${ALONE}(?:\.${ALONE})+(?![\p{L}\p{M}\p{N}])\.?`,
  // The J. of J. Smith, but not the B of "in room B. Then", where a word in small letters is before.
  String.raw`(?<!(?<!\p{L})\p{Ll}\p{L}{0,40} )\p{Lu}\.(?= \p{Lu})`,
  String.raw`(?:\+(?=\p{N}))?${LETTERS}(?:(?:[\-\u2010\u2011&]|(?<=\p{N})[.,:\/](?=\p{N}))${LETTERS})*`,
  String.raw`['’](?:[sSdDmMtT]|ll|LL|re|RE|ve|VE)(?![\p{L}\p{M}\p{N}_])`,
  String.raw`([\p{P}\p{Sm}\p{Sc}\p{Sk}])\1+(?!\p{M})`,
  String.raw`${UNSPACED}\p{M}*`,
];
const RUN = new RegExp(KINDS.join("|"), "uy");
const INVISIBLE = /[\s\p{Cf}\p{Cc}]/uy;
// Variation selectors and fillers, too, show nothing where they stand alone.
const BLANK = /^[\s\p{Cf}\p{Cc}\p{Default_Ignorable_Code_Point}]*$/u;
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

/** Whether a text shows nothing: white space, control and invisible characters at most. */
export function isBlank(text) {
  return BLANK.test(text);
}

/** The end of the grapheme at a position. The segmenter sees a piece of the text at a time: with the
 * whole text, each look-up takes time that grows with the text. */
function graphemeEnd(text, at) {
  for (let size = 32; ; size *= 2) {
    const [{ segment }] = GRAPHEMES.segment(text.slice(at, at + size));
    if (segment.length < size - 1) return at + segment.length; // the next character is whole
  }
}
