/**
 * The permutations of numpy's `default_rng(seed).permutation(count)`, so that rows are held out
 * here as they are in Python. The generator is PCG64 (O'Neill 2014), seeded by numpy's
 * SeedSequence.
 */

const BITS_64 = (1n << 64n) - 1n;
const BITS_128 = (1n << 128n) - 1n;
const MULTIPLIER = (2549297995355413924n << 64n) | 4865540595714422341n;

/** The numbers 0 to `count` - 1 in the order of a seed (0 to 2³² - 1). */
export function permutation(count, seed) {
  const next = numbers(seed);
  const order = Int32Array.from({ length: count }, (_, place) => place);
  for (let last = count - 1; last > 0; last--) {
    const other = upTo(next, last);
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

/** A whole number from 0 to `most`: bits that are too large are thrown away. */
function upTo(next, most) {
  const mask = 2 ** (32 - Math.clz32(most)) - 1;
  for (;;) {
    const number = (next() & mask) >>> 0;
    if (number <= most) return number;
  }
}

/** A function that gives 32 random bits at a time. */
function numbers(seed) {
  const [a, b, c, d] = seedWords(seed);
  const increment = ((((c << 64n) | d) << 1n) | 1n) & BITS_128;
  const step = (state) => (state * MULTIPLIER + increment) & BITS_128;
  let state = step(step(0n) + ((a << 64n) | b));
  let waiting; // the upper half of the last 64 bits, until it is asked for
  return () => {
    if (waiting !== undefined) {
      const upper = waiting;
      waiting = undefined;
      return upper;
    }
    state = step(state);
    const mixed = (state >> 64n) ^ (state & BITS_64);
    const turn = state >> 122n;
    const word = ((mixed >> turn) | (mixed << (64n - turn))) & BITS_64;
    waiting = Number(word >> 32n);
    return Number(word & 0xffffffffn);
  };
}

/** Four words of 64 bits from a seed. */
function seedWords(seed) {
  const pool = new Uint32Array(4);
  const hash = hashing(0x43b0d7e5, 0x931e8875);
  for (let i = 0; i < 4; i++) pool[i] = hash(i === 0 ? seed : 0);
  for (let from = 0; from < 4; from++) {
    for (let to = 0; to < 4; to++) {
      if (from === to) continue;
      const mixed = Math.imul(0xca01f9dd, pool[to]) - Math.imul(0x4973f715, hash(pool[from]));
      pool[to] = mixed ^ (mixed >>> 16);
    }
  }
  const spread = hashing(0x8b51f9dd, 0x58f38ded);
  const halves = Array.from({ length: 8 }, (_, i) => BigInt(spread(pool[i % 4])));
  return [0, 2, 4, 6].map((i) => halves[i] | (halves[i + 1] << 32n));
}

/** A hash of 32 bits that changes with every call. */
function hashing(constant, multiplier) {
  return (value) => {
    const before = constant;
    constant = Math.imul(constant, multiplier);
    const product = Math.imul(value ^ before, constant);
    return (product ^ (product >>> 16)) >>> 0;
  };
}
