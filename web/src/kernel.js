/** Products of matrices by WebAssembly with SIMD: `kernel/products.c`, four to eight times as fast as
 * JavaScript; in float32 twice as fast again. */

import { CODE } from "./kernel-code.js";

const PAGE = 65_536; // bytes
const STACK = PAGE / 8; // numbers; the code's stack lies there
const MOST = 2 ** 31 / 8; // numbers

/** Each method gives undefined if there is not enough memory. */
class Kernel {
  constructor() {
    this.start = 0; // numbers before the matrices
    this.memory = new WebAssembly.Memory({ initial: 1 });
    const code = Uint8Array.from(atob(CODE), (character) => character.charCodeAt(0));
    const module = new WebAssembly.Module(code);
    this.code = new WebAssembly.Instance(module, { env: { memory: this.memory } }).exports;
    this.#look();
  }

  /** Products (U x C) of `units` (U x D) with weights (C x D, rows `stride` apart). */
  times({ data, units, width }, weights, classes, stride) {
    const multiply = data instanceof Float32Array ? this.code.times32 : this.code.times64;
    return this.#product(data, weights, units * classes, (a, b, out) =>
      multiply(a, b, out, units, classes, width, stride),
    );
  }

  /** Sums (C x D) of `units`, each times its `shares` (U x C). */
  sums({ data, units, width }, shares, classes) {
    const add = data instanceof Float32Array ? this.code.sums32 : this.code.sums64;
    return this.#product(data, shares, classes * width, (a, b, out) =>
      add(a, b, out, units, classes, width),
    );
  }

  /** Products (U x U) of `units` with each other. */
  gram({ data, units, width }) {
    return this.#product(data, [], units * units, (a, _, out) =>
      this.code.gram(a, out, units, width),
    );
  }

  /** `tridiagonal` of `eigen.js`. */
  tridiagonal(matrix, n) {
    const places = this.#places([n * n, n * n, n, n, 2 * n]);
    if (!places) return undefined;
    this.resident = undefined;
    const [from, turn, diagonal, beside, work] = places;
    const { code, numbers } = this;
    numbers.set(matrix, from);
    numbers.fill(0, turn, work);
    code.tridiagonal(...[from, turn, diagonal, beside, work].map(bytes), n);
    return {
      diagonal: numbers.slice(diagonal, diagonal + n),
      beside: numbers.slice(beside, beside + n),
      rotate: (row, sine, cosine) => code.rotate(bytes(turn + row * n), sine, cosine, n),
      vectors: () => numbers.slice(turn, turn + n * n),
    };
  }

  /** `History` of `descent.js`. A new one takes the place of the last. */
  history(room, size) {
    const { start } = this;
    this.start = (2 * room + 1) * size + room + 1;
    if (start !== this.start) this.resident = undefined; // what lies behind the history moves
    if (!this.#places([])) {
      this.start = 0;
      return undefined;
    }
    const steps = STACK;
    const changes = steps + room * size;
    const product = changes + room * size;
    const places = [steps, changes, product, product + size].map(bytes);
    let count = 0;
    return {
      push: (step, change) => {
        const row = (count++ % room) * size;
        this.numbers.set(step, steps + row);
        this.numbers.set(change, changes + row);
      },
      timesInverseHessian: (gradient) => {
        this.numbers.set(gradient, product);
        this.code.inverse(...places, room, Math.max(0, count - room), Math.min(count, room), size);
        return this.numbers.slice(product, product + size);
      },
    };
  }

  /** `matrix` stays in memory for the next product: a solver needs many of one matrix. So numbers of
   * a matrix must not change once it was multiplied. Its type is that of all numbers of a product. */
  #product(matrix, other, size, multiply) {
    const places = this.#places([matrix.length, other.length, size]);
    if (!places) return undefined;
    const isSingle = matrix instanceof Float32Array;
    const numbers = isSingle ? this.singles : this.numbers;
    const [first, second, out] = places.map((place) => (isSingle ? 2 * place : place));
    if (this.resident !== matrix) numbers.set(matrix, first);
    this.resident = matrix;
    numbers.set(other, second);
    numbers.fill(0, out, out + size);
    multiply(...places.map(bytes));
    return new Float64Array(numbers.subarray(out, out + size));
  }

  /** Where arrays of these sizes lie, one after the other. */
  #places(sizes) {
    let end = STACK + this.start;
    const places = sizes.map((size) => (end += size) - size);
    if (end > MOST) return undefined;
    const missing = end - this.numbers.length;
    if (missing > 0) {
      try {
        this.memory.grow(Math.ceil((missing * 8) / PAGE));
      } catch {
        return undefined;
      }
      this.#look();
    }
    return places;
  }

  #look() {
    this.numbers = new Float64Array(this.memory.buffer);
    this.singles = new Float32Array(this.memory.buffer);
  }
}

const bytes = (place) => place * 8;

let made;

/** The kernel; undefined where the system cannot run it (React Native, an old browser). */
export function kernel() {
  if (made === undefined) {
    try {
      made = new Kernel();
    } catch {
      made = null;
    }
  }
  return made ?? undefined;
}
