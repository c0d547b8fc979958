import { BundleError, readable } from "./errors.js";
import { isFormat, isMark, isPunctuation } from "./unicode.js";

const SPACE = /^[\t-\r\x85\p{Zs}\p{Zl}\p{Zp}]$/u;
const LONE_SURROGATE = /^[\ud800-\udfff]$/;
const SYMBOL = /^[\p{S}\ufe0f\u20e3]$/u;
/** Where `tokenizer.json` cuts words: at all symbols but those listed (model/tokenizer.py). */
const SYMBOLS = /^\(\?:\[\^\\P\{S\}((?:\\x\{[0-9a-f]+\})*)\]\|\[\\x\{fe0f\}\\x\{20e3\}\]\)\+$/;
const CJK = [
  [0x3400, 0x4dbf],
  [0x4e00, 0x9fff],
  [0xf900, 0xfaff],
  [0x20000, 0x2a6df],
  [0x2a700, 0x2b81f],
  [0x2b920, 0x2ceaf],
  [0x2f800, 0x2fa1f],
];

/**
 * The tokenizer of BERT and its kin (WordPiece), from the `tokenizer.json` of a bundle, with the
 * place of every token in the text. Offsets are in UTF-16 code units, as JavaScript counts.
 */
export class Tokenizer {
  /** Throws {@link BundleError} for a tokenizer of another kind. */
  constructor(json) {
    readable("tokenizer.json", () => this.#read(json));
  }

  #read(json) {
    const { normalizer, pre_tokenizer: split, model, post_processor: template } = json;
    const symbols = split?.type === "Sequence" && SYMBOLS.exec(split.pretokenizers[0]?.pattern?.Regex);
    for (const [part, expected, actual] of [
      ["normalizer", "BertNormalizer", normalizer?.type],
      ["pre_tokenizer", "BertPreTokenizer", (symbols ? split.pretokenizers[1] : split)?.type],
      ["model", "WordPiece", model?.type],
      ["post_processor", "TemplateProcessing", template?.type],
    ]) {
      if (actual !== expected) {
        throw new BundleError(
          `tokenizer.json: ${part} is ${actual ?? "missing"}; in the browser it has to be ${expected} ` +
            "(BERT, DistilBERT, MiniLM, ELECTRA)",
        );
      }
    }
    const known = (listed) =>
      Array.from(listed.matchAll(/[0-9a-f]+/g), ([hex]) => String.fromCodePoint(`0x${hex}`));
    /** Symbols that the vocabulary holds; null if words are not cut at the others. */
    this.symbols = symbols ? new Set(known(symbols[1])) : null;
    this.clean = normalizer.clean_text;
    this.cjk = normalizer.handle_chinese_chars;
    this.lowercase = normalizer.lowercase;
    this.strip = normalizer.strip_accents ?? normalizer.lowercase;
    this.vocab = new Map(Object.entries(model.vocab));
    this.unknown = this.vocab.get(model.unk_token);
    this.prefix = model.continuing_subword_prefix;
    this.longest = model.max_input_chars_per_word;
    const ids = [this.unknown, this.longest, ...this.vocab.values()];
    if (!ids.every(Number.isInteger) || typeof this.prefix !== "string") {
      throw new BundleError("tokenizer.json is damaged: its vocabulary is no list of pieces");
    }
    this.added = json.added_tokens.filter((token) => token.content);
    const bad = this.added.find((token) => token.normalized || token.single_word);
    if (bad) {
      throw new BundleError(`tokenizer.json: the added token ${bad.content} is not a plain one`);
    }
    if (!this.added.every(({ content, id }) => typeof content === "string" && Number.isInteger(id))) {
      throw new BundleError("tokenizer.json is damaged: an added token has no text or no number");
    }
    this.special = specialTokens(template);
  }

  /** The tokens of a text without the special ones around it: `{id, start, end}`. */
  tokens(text) {
    const tokens = [];
    for (const part of this.#split(text)) {
      if (part.id !== undefined) tokens.push(part);
      else for (const word of this.#words(text, part.start, part.end)) this.#pieces(word, tokens);
    }
    return tokens;
  }

  /** The text, cut at the added tokens in it, the leftmost and longest first. */
  #split(text) {
    const parts = [];
    let rest = 0;
    for (let at = 0; at < text.length; ) {
      const here = this.added.filter((token) => text.startsWith(token.content, at));
      if (!here.length) {
        at++;
        continue;
      }
      const token = here.reduce((a, b) => (b.content.length > a.content.length ? b : a));
      let [start, end] = [at, at + token.content.length];
      while (token.lstrip && start > rest && /\s/u.test(text[start - 1])) start--;
      while (token.rstrip && end < text.length && /\s/u.test(text[end])) end++;
      if (start > rest) parts.push({ start: rest, end: start });
      parts.push({ id: token.id, start, end });
      at = rest = end;
    }
    if (rest < text.length) parts.push({ start: rest, end: text.length });
    return parts;
  }

  /** Normalised words of a stretch of text: lists of `{char, start, end}`. */
  *#words(text, from, to) {
    let word = [];
    let ofSymbols = false;
    for (const one of this.#normalised(text, from, to)) {
      const space = SPACE.test(one.char);
      if (!space && !isPunctuation(one.char)) {
        const isSymbol = this.#isUnknownSymbol(one.char);
        if (word.length && isSymbol !== ofSymbols) {
          yield word;
          word = [];
        }
        ofSymbols = isSymbol;
        word.push(one);
        continue;
      }
      if (word.length) yield word;
      word = [];
      if (!space) yield [one];
    }
    if (word.length) yield word;
  }

  /** Whether a run of such characters is a word of its own, such as emoji beside letters. */
  #isUnknownSymbol(char) {
    return this.symbols !== null && SYMBOL.test(char) && !this.symbols.has(char);
  }

  /** Normalised characters, each with the characters of the text that it stands for. */
  *#normalised(text, from, to) {
    for (let start = from; start < to; ) {
      const raw = String.fromCodePoint(text.codePointAt(start));
      const end = start + raw.length;
      // Half a surrogate pair is no Unicode: it is read as U+FFFD.
      const char = LONE_SURROGATE.test(raw) ? "\ufffd" : raw;
      if (!this.clean || !removed(char)) {
        const code = char.codePointAt(0);
        const apart = this.cjk && CJK.some(([low, high]) => low <= code && code <= high);
        if (apart) yield { char: " ", start, end };
        for (const part of this.strip ? char.normalize("NFD") : char) {
          if (this.strip && isMark(part)) continue;
          for (const last of this.lowercase ? part.toLowerCase() : part) {
            yield { char: last, start, end };
          }
        }
        if (apart) yield { char: " ", start, end };
      }
      start = end;
    }
  }

  /** Longest pieces first; a word that they do not make up is unknown as a whole. */
  #pieces(word, tokens) {
    const whole = { id: this.unknown, start: word[0].start, end: word.at(-1).end };
    if (word.length > this.longest) {
      tokens.push(whole);
      return;
    }
    const pieces = [];
    for (let at = 0; at < word.length; ) {
      let end = word.length;
      let id;
      for (; end > at; end--) {
        const piece = word.slice(at, end).map((one) => one.char);
        id = this.vocab.get((at ? this.prefix : "") + piece.join(""));
        if (id !== undefined) break;
      }
      if (id === undefined) {
        tokens.push(whole);
        return;
      }
      pieces.push({ id, start: word[at].start, end: word[end - 1].end });
      at = end;
    }
    tokens.push(...pieces);
  }
}

/** What cleaning deletes: control and format characters, and what replaces a broken one. */
function removed(char) {
  if (char === "\t" || char === "\n" || char === "\r") return false;
  return char === "\ufffd" || isFormat(char);
}

/** Ids before and after a text. */
function specialTokens(template) {
  const ids = (item) => template.special_tokens[item.SpecialToken.id].ids;
  const text = template.single.findIndex((item) => item.Sequence);
  return {
    before: template.single.slice(0, text).flatMap(ids),
    after: template.single.slice(text + 1).flatMap(ids),
  };
}
