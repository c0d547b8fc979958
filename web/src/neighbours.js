import { softmax } from "./decoding.js";
import { BundleError } from "./errors.js";

const PREFIX = "neighbours.";
const PARTS = ["keys", "rows", "columns", "values", "shift"];

/**
 * The labelled neighbours of an app: N states of length one and their votes over C outputs, as a
 * sparse matrix (row, column, value; rows ascend). It takes its tensors out of those of the file.
 */
export class Neighbours {
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
    // Where the votes of each state begin; those of the last end with the list.
    this.starts = new Int32Array(many + 1);
    for (const row of this.rows) this.starts[row + 1]++;
    for (let row = 0; row < many; row++) this.starts[row + 1] += this.starts[row];
  }

  /** A head's logits, blended with the votes of the neighbours nearest to its input. */
  blend(decoder, logits, state) {
    const blended = decoder.blend(logits, this.votes(state), this.share);
    return blended.map((logit, column) => logit + this.shift[column]);
  }

  /** The mean votes of the nearest. */
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
    const votes = new Float64Array(this.shift.length);
    nearest.forEach((row, place) => {
      for (let vote = this.starts[row]; vote < this.starts[row + 1]; vote++) {
        votes[this.columns[vote]] += weights[place] * this.values[vote];
      }
    });
    return votes;
  }
}
