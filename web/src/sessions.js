/** The two graphs of a bundle, and what heads read of their states. */
export class Sessions {
  #ort;
  #trunk;
  #top;
  #bundle;
  #queue = Promise.resolve();

  static async open(bundle, ort, session) {
    const sessions = new Sessions();
    sessions.#ort = ort;
    sessions.#bundle = bundle;
    const [trunk, top] = await Promise.all(["trunk.onnx", "top.onnx"].map((path) => bundle.read(path)));
    const options = { executionProviders: ["cpu"], ...session };
    sessions.#trunk = await ort.InferenceSession.create(trunk, options);
    sessions.#top = await ort.InferenceSession.create(top, options);
    return sessions;
  }

  /**
   * Of each window `{ids, tokens}` the vectors that readers `{name, decoder, slot, reads}` ask for,
   * into its Map `vectors`, by name: one for each of its `tokens`, or one that is pooled. `stack` is
   * that of `stack.js`. The milliseconds of both graphs are added to those in `times`.
   */
  async read(windows, readers, stack, times) {
    const { k, width, pooling } = this.#bundle;
    const length = Math.max(...windows.map((window) => window.ids.length));
    const slots = [...new Set(readers.map((reader) => reader.slot))];
    const most = Math.max(...readers.map((reader) => reader.reads));
    const names = [];
    for (let n = k - Math.min(most, k) + 1; n <= k; n++) names.push(`state_${n}`);
    const numbers = slots.map((slot) => stack.slots.get(slot));
    const pass = this.#bundle.precision === "int8-text" ? this.#oneByOne : this.#together;
    const [hidden, states] = await this.#alone(() => {
      return pass.call(this, windows, length, numbers, names, stack, times);
    });
    const size = windows.length * length * width;
    for (const { name, decoder, slot, reads } of readers) {
      const group = slots.indexOf(slot) * size;
      // What enters the top is the same for every group.
      const every = [...(most > k ? [[hidden, 0]] : []), ...states.map((data) => [data, group])];
      const read = every.slice(-reads);
      windows.forEach(({ ids, tokens, vectors }, row) => {
        const at = read.map(([data, start]) => [data, start + row * length * width]);
        vectors.set(
          name,
          decoder.perWord
            ? tokens.map((token) => vector(at, token, 1, width))
            : [vector(at, 0, pooling === "cls" ? 1 : ids.length, width)],
        );
      });
    }
  }

  /** The trunk's states `(B, T, D)` of windows, and those called `names` `(G, B, T, D)` under the
   * LoRAs of these numbers. */
  async #together(windows, length, numbers, names, stack, times) {
    const { width, pad_id: pad } = this.#bundle;
    const ids = new BigInt64Array(windows.length * length).fill(BigInt(pad));
    const mask = new BigInt64Array(windows.length * length);
    windows.forEach((window, row) =>
      window.ids.forEach((id, at) => {
        ids[row * length + at] = BigInt(id);
        mask[row * length + at] = 1n;
      }),
    );
    const shape = [windows.length, length];
    const start = performance.now();
    const { hidden } = await this.#trunk.run({
      input_ids: this.#integers(ids, shape),
      attention_mask: this.#integers(mask, shape),
    });
    const between = performance.now();
    const feeds = {
      hidden: this.floats(hidden.data, [1, ...shape, width]),
      attention_mask: this.#integers(mask, [1, ...shape]),
      slots: this.#integers(BigInt64Array.from(numbers, BigInt), [numbers.length]),
      ...stack.stacked,
    };
    const out = await this.#top.run(feeds, names);
    times.trunk += between - start;
    times.top += performance.now() - between;
    return [hidden.data, names.map((name) => out[name].data)];
  }

  /** `#together` for graphs that take one text and one LoRA at a time; zero where a window has no
   * token. */
  async #oneByOne(windows, length, numbers, names, stack, times) {
    const size = length * this.#bundle.width;
    const every = new Float32Array(windows.length * size);
    const states = names.map(() => new Float32Array(numbers.length * every.length));
    const loras = numbers.map((number) => this.#loraOf(stack, number));
    for (const [row, { ids }] of windows.entries()) {
      const start = performance.now();
      const input = this.#integers(BigInt64Array.from(ids, BigInt), [1, ids.length]);
      const entering = await this.#trunk.run({ input_ids: input });
      const between = performance.now();
      every.set(entering.hidden.data, row * size);
      for (const [group, lora] of loras.entries()) {
        const out = await this.#top.run({ ...entering, ...lora }, names);
        names.forEach((name, n) => states[n].set(out[name].data, group * every.length + row * size));
      }
      times.trunk += between - start;
      times.top += performance.now() - between;
    }
    return [every, states];
  }

  /** One LoRA of a stack, as inputs. */
  #loraOf({ stacked }, number) {
    const lora = {};
    for (const [name, { data, dims }] of Object.entries(stacked)) {
      const [, rows, columns] = dims;
      const size = rows * columns;
      const matrix = data.subarray(number * size, (number + 1) * size);
      lora[name] = this.floats(matrix, [1, rows, columns]);
    }
    return lora;
  }

  /** The input or output width of the linear map that a half of LoRA belongs to. */
  widthOf(name, which) {
    const shape = this.#top.inputMetadata.find((input) => input.name === name).shape;
    return shape[which === "a" ? 1 : 2];
  }

  floats(data, shape) {
    return new this.#ort.Tensor("float32", data, shape);
  }

  async release() {
    await this.#trunk.release();
    await this.#top.release();
  }

  #integers(data, shape) {
    return new this.#ort.Tensor("int64", data, shape);
  }

  /** One pass after another: a session runs one at a time. */
  #alone(work) {
    const turn = this.#queue.then(work);
    this.#queue = turn.catch(() => {});
    return turn;
  }
}

/** The mean of each state over `count` tokens from `first` on; the states side by side. */
function vector(states, first, count, width) {
  const sums = new Float32Array(states.length * width);
  states.forEach(([data, start], part) => {
    for (let token = first; token < first + count; token++) {
      const from = start + token * width;
      for (let i = 0; i < width; i++) sums[part * width + i] += data[from + i] / count;
    }
  });
  return sums;
}
