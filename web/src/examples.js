/** Labelled examples, checked. What is wrong is said with the example's number, from 1 on. */

import { BundleError } from "./errors.js";

/** Largest number that a rating may be: squares of what is beyond could not be computed. */
const LARGEST = 1e15;
/** What a text that is a number looks like; `Number` reads `0x10`, too. */
const NUMBER = /^[ \t]*[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?[ \t]*$/;

/**
 * `{text, entities: [{start, end, type}]}`; offsets count UTF-16 code units. Entities may overlap if
 * they are `nested` and of different types.
 */
export function entitiesOf(example, where, nested) {
  const text = textOf(example, where);
  if (!Array.isArray(example.entities)) throw wrong(where, "entities are missing: pass a list");
  const entities = example.entities.map((entity) => {
    const { start, end, type } = entity ?? {};
    const fits = Number.isInteger(start) && Number.isInteger(end) && 0 <= start && start < end;
    if (!fits || end > text.length || typeof type !== "string" || !type) {
      throw wrong(where, `${JSON.stringify(entity)} is no entity {start, end, type} of its text`);
    }
    return { start, end, type };
  });
  entities.sort((a, b) => a.start - b.start || a.end - b.end);
  entities.forEach((entity, i) => {
    const other = entities
      .slice(0, i)
      .find(({ end, type }) => end > entity.start && (!nested || type === entity.type));
    if (!other) return;
    const [one, two] = [other, entity].map(({ start, end }) => JSON.stringify(text.slice(start, end)));
    throw wrong(where, `${one} and ${two} overlap${nested ? ` and are both ${entity.type}` : ""}`);
  });
  return { text, entities };
}

/** `{text, label}`: exactly one. */
export function labelOf(example, where) {
  const { text, labels } = labelsOf(example, where);
  if (labels.length !== 1) {
    throw wrong(
      where,
      `${labels.length} labels; if a text may have any number, its family is multi-label`,
    );
  }
  return { text, labels };
}

/** `{text, labels}`: any number. */
export function labelsOf(example, where) {
  const text = textOf(example, where);
  const labels = example.labels ?? (example.label === undefined ? undefined : [example.label]);
  if (!Array.isArray(labels) || labels.some((label) => typeof label !== "string" || !label)) {
    throw wrong(where, "pass its label, a string, or its labels, a list of strings");
  }
  return { text, labels: [...new Set(labels)] };
}

/** `{text, label}` or `{text, value}`: a number. */
export function ratingOf(example, where) {
  const text = textOf(example, where);
  const given = example.value ?? example.label;
  const value = typeof given === "string" && NUMBER.test(given) ? Number(given) : given;
  if (typeof value !== "number" || !(Math.abs(value) <= LARGEST)) {
    throw wrong(where, `${JSON.stringify(given)} is no number from -${LARGEST} to ${LARGEST}`);
  }
  return { text, value };
}

function textOf(example, where) {
  if (typeof example?.text !== "string") throw wrong(where, "its text must be a string");
  return example.text;
}

function wrong(where, what) {
  return new BundleError(`${where}: ${what}`);
}
