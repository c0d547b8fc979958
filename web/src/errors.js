/** What is wrong with a bundle or a call, said so that one can act on it. */
export class BundleError extends Error {
  constructor(message) {
    super(message);
    this.name = "BundleError";
  }
}

/** What `read` gives; whatever it throws at values of another kind becomes a {@link BundleError}. */
export function readable(where, read) {
  try {
    return read();
  } catch (error) {
    if (error instanceof BundleError) throw error;
    throw new BundleError(`${where} is damaged: ${error.message}`);
  }
}

/** Of some names, those nearest to a wrong one: a hint for an error message. */
export function nearest(name, names) {
  const known = [...names].sort((a, b) => distance(name, a) - distance(name, b));
  return known.length ? `nearest: ${known.slice(0, 3).join(", ")}` : "there are none";
}

/** Levenshtein's. */
function distance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j] + 1, next[j - 1] + 1));
    }
    row = next;
  }
  return row[b.length];
}
