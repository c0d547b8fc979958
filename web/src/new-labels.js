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
  const notes = gained.map((label) => `new label: ${label}`);
  const seen = new Set(beside.flat());
  const missing = from.labels.filter((label) => !seen.has(label));
  if (others.length > beside.length || (others.length && missing.length > known.size / 2)) {
    const gone = missing.length ? `, and none of them has ${firstOf(missing)}` : "";
    notes.push(
      `of ${others.length} examples the labels are new (${firstOf(gained)}); beside them are ` +
        `${beside.length} others${gone}: app ${from.name} may forget its own labels; add examples of ` +
        "those, or texts whose answers stay",
    );
  }
  return notes;
}

function firstOf(names) {
  return names.slice(0, NAMED).join(", ") + (names.length > NAMED ? ", …" : "");
}
