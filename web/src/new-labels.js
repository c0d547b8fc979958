import { BundleError } from "./errors.js";

/** A message names so many labels. */
const NAMED = 5;

/**
 * What is said of labels that an app gains as it is taught. Without rows of its own labels beside
 * them, and without texts whose answers stay, it would forget those: that is refused. Gives the notes;
 * `rehearsed` are the examples of texts that stay. (`onetrunk/bundle/new_labels.py` has the rule.)
 */
export function newLabels(kind, from, rows, rehearsed) {
  const known = new Set(from.labels);
  const gained = kind.labelSet(rows).filter((label) => !known.has(label));
  const ofRows = [...rows, ...rehearsed].map((row) => kind.labelSet([row]));
  const beside = ofRows.filter((labels) => !labels.length || labels.some((label) => known.has(label)));
  const others = ofRows.filter((labels) => labels.length && !labels.some((label) => known.has(label)));
  if (others.length && !beside.length) {
    throw new BundleError(
      `all examples have new labels alone (${firstOf(gained)}): app ${from.name} would forget its ` +
        `own (${firstOf(from.labels)}). Add as many examples of those, or pass texts whose answers ` +
        "shall stay, as stay",
    );
  }
  const notes = gained.map((label) => `new label: ${label}${hint(label, from.labels)}`);
  const seen = new Set(beside.flat());
  const missing = from.labels.filter((label) => !seen.has(label));
  if (others.length > beside.length || (others.length && missing.length > known.size / 2)) {
    const gone = missing.length ? `, and none has ${firstOf(missing)}` : "";
    notes.push(
      `${others.length} of ${ofRows.length} examples have new labels (${firstOf(gained)})${gone}: app ` +
        `${from.name} may forget its own labels; add examples of those, or texts whose answers stay`,
    );
  }
  return notes;
}

/** A question for a label that may be a misspelt one of those that the app has. */
function hint(label, labels) {
  const [best] = labels
    .map((known) => ({ known, edits: edits(label.toLowerCase(), known.toLowerCase()) }))
    .sort((one, other) => one.edits - other.edits);
  const alike = best && best.edits <= Math.max(1, Math.floor(Math.min(label.length, best.known.length) / 3));
  return alike ? `; did you mean ${best.known}?` : "";
}

/** How many characters must be added, left out or replaced to make one string the other. */
function edits(one, other) {
  let row = [...Array(other.length + 1).keys()];
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    for (let j = 1; j <= other.length; j++) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (one[i - 1] !== other[j - 1])));
    }
    row = next;
  }
  return row.at(-1);
}

function firstOf(names) {
  return names.slice(0, NAMED).join(", ") + (names.length > NAMED ? ", …" : "");
}
