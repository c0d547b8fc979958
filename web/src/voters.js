import { sigmoid, softmax } from "./decoding.js";
import { BundleError } from "./errors.js";

const PREFIX = "neighbours.";
const PARTS = ["keys", "rows", "columns", "values", "shift"];
const SMALLEST = { tc: 1e-9, "multi-label": 1e-6 };

/**
 * The labelled neighbours of an app: N states of length one and their votes over C outputs, sparse
 * (row, column, value; rows ascend). Takes its tensors out of those of the file.
 */
export class Voters {
  constructor(tensors, numbers, width, classes, where) {
    for (const part of PARTS) {
      this[part] = tensors.get(PREFIX + part)?.data;
      if (part === "keys") this.shape = tensors.get(PREFIX + part)?.shape;
      if (!this[part]) throw new BundleError(`${where} is damaged: neighbours without ${part}`);
      tensors.delete(PREFIX + part);
    }
    Object.assign(this, { count: 0, temperature: 0, share: 0 }, numbers);
    const [many] = this.shape;
    const fit =
      this.shape[1] === width &&
      this.shift.length === classes &&
      this.rows.length === this.columns.length &&
      this.rows.length === this.values.length &&
      this.rows.every((row, i) => row >= (i ? this.rows[i - 1] : 0) && row < many) &&
      this.columns.every((column) => column >= 0 && column < classes) &&
      this.count > 0 && this.temperature > 0 && this.share > 0 && this.share < 1;
    if (!fit) throw new BundleError(`${where} is damaged: its neighbours do not fit its head`);
    // Where each one's votes begin; those of the last end with the list.
    this.starts = new Int32Array(many + 1);
    for (const row of this.rows) this.starts[row + 1]++;
    for (let row = 0; row < many; row++) this.starts[row + 1] += this.starts[row];
  }

  /** A head's logits, mixed with the votes of the neighbours nearest to what it read. */
  blend(family, logits, state) {
    const { share, shift } = this;
    const votes = this.votes(state);
    const mixed = (answer, column) => (1 - share) * answer + share * votes[column];
    if (family === "rating") return logits.map((logit, c) => mixed(logit, c) + shift[c]);
    const small = SMALLEST[family];
    if (family === "tc") {
      return softmax(logits).map((p, c) => Math.log(Math.max(mixed(p, c), small)) + shift[c]);
    }
    return logits.map((logit, c) => {
      const p = Math.min(Math.max(mixed(sigmoid(logit), c), small), 1 - small);
      return Math.log(p / (1 - p)) + shift[c];
    });
  }

  votes(state) {
    const [many, width] = this.shape;
    const length = Math.max(Math.hypot(...state), 1e-12);
    const cosines = Array.from({ length: many }, (_, row) => {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += this.keys[row * width + i] * state[i];
      return sum / length;
    });
    const order = cosines.map((_, row) => row).sort((a, b) => cosines[b] - cosines[a]);
    const nearest = order.slice(0, this.count);
    const weights = softmax(nearest.map((row) => cosines[row] / this.temperature));
    const found = new Float64Array(this.shift.length);
    nearest.forEach((row, at) => {
      for (let vote = this.starts[row]; vote < this.starts[row + 1]; vote++) {
        found[this.columns[vote]] += weights[at] * this.values[vote];
      }
    });
    return found;
  }
}
