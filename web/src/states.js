import { answerOf } from "./head.js";

/** Numbers of states that stay in memory: 64 MB. With more of them, none stay. */
const MOST_NUMBERS = 16_000_000;

/** The states that texts were read as: `{spans, parts}`, where `parts` holds the vectors of each
 * window. They depend on `{slot, reads, maxLength}`: the LoRA, the number of layers, the windows. */
export class States {
  #ofText = new Map();

  /** Those of `earlier` serve again, if they were read in the same way. */
  constructor(how, earlier = undefined) {
    this.how = how;
    const isSame = earlier && Object.keys(how).every((key) => how[key] === earlier.how[key]);
    if (isSame) this.#ofText = new Map(earlier.#ofText);
  }

  has(text) {
    return this.#ofText.has(text);
  }

  get(text) {
    return this.#ofText.get(text);
  }

  set(text, states) {
    this.#ofText.set(text, states);
  }

  /** Those of some texts, if they may stay in memory. */
  of(texts) {
    const some = new States(this.how);
    let numbers = 0;
    for (const text of new Set(texts)) {
      const states = this.get(text);
      for (const vector of states.parts.flat()) numbers += vector.length;
      some.set(text, states);
    }
    return numbers > MOST_NUMBERS ? undefined : some;
  }

  /** What an app says to texts; undefined if it reads texts in another way. */
  answers(app, texts) {
    const { slot, reads, maxLength } = this.how;
    if (app.slot !== slot || app.reads > reads || app.maxLength !== maxLength) return undefined;
    return texts.map((text) => {
      const { spans, parts } = this.get(text);
      const vectors = parts.flat().map((vector) => {
        return vector.subarray(vector.length - (vector.length / reads) * app.reads);
      });
      return answerOf(app, { text, spans, vectors });
    });
  }
}
