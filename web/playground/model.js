/**
 * What a person says about answers. An example is a text with its right answer, in the form that
 * `runtime.teach` takes.
 */

const SEVERAL = new Set(["nested-ner", "multi-label"]);
const PER_WORD = new Set(["ner", "nested-ner"]);

/** The example that says that an answer is right. */
export function exampleOf(decoder, text, answer) {
  if (PER_WORD.has(decoder)) {
    const entities = answer?.entities ?? [];
    return { text, entities: entities.map(({ start, end, type }) => ({ start, end, type })) };
  }
  if (decoder === "rating") return { text, value: answer?.value };
  return { text, labels: answer?.labels ?? [] };
}

/** An example as an answer to show; probabilities are those of the app's answer. */
export function answerOf(decoder, example, answer) {
  if (PER_WORD.has(decoder)) {
    const { text } = example;
    const entities = example.entities.map((entity) => {
      return { ...entity, text: text.slice(entity.start, entity.end) };
    });
    return { entities };
  }
  if (decoder === "rating") return { value: example.value };
  return { labels: example.labels, probabilities: answer?.probabilities ?? {} };
}

/** With the type of some characters; that of an entity with the same ones is taken away again. */
export function withType(decoder, example, start, end, type) {
  const overlaps = (entity) => entity.start < end && start < entity.end;
  const same = (entity) => entity.start === start && entity.end === end && entity.type === type;
  const nested = SEVERAL.has(decoder);
  const rest = example.entities.filter(
    (entity) => !overlaps(entity) || (nested && entity.type !== type),
  );
  const isThere = example.entities.some(same);
  const entities = isThere && nested ? rest : [...rest, { start, end, type }];
  entities.sort((a, b) => a.start - b.start || b.end - a.end);
  return { ...example, entities };
}

/** Without the entities that share some characters. */
export function withoutTypes(example, start, end) {
  const apart = (entity) => entity.end <= start || end <= entity.start;
  return { ...example, entities: example.entities.filter(apart) };
}

/** With a label: the only one, or, where there may be several, one more or one less. */
export function withLabel(decoder, example, label) {
  if (!SEVERAL.has(decoder)) return { ...example, labels: [label] };
  const { labels } = example;
  const isThere = labels.includes(label);
  return { ...example, labels: isThere ? labels.filter((one) => one !== label) : [...labels, label] };
}

/** Whether an example says what is right, so that it can be learnt from. */
export function isWhole(decoder, example) {
  if (decoder === "rating") return Number.isFinite(example.value);
  return decoder !== "tc" || example.labels.length === 1;
}

/** A score of fewer examples is not shown: right or wrong by chance, it would be 100 or 0. */
const FEWEST_JUDGED = 3;

/** The examples of an app, by text; its labels; and how its score grew. */
export class Notebook {
  constructor({ decoder, labels, isNew = false }) {
    Object.assign(this, { decoder, isNew, labels: [...labels], examples: new Map(), curve: [] });
    /** The app that the head starts from; undefined if there was none. */
    this.from = undefined;
  }

  of(text) {
    return this.examples.get(text);
  }

  note(example) {
    this.examples.set(example.text, example);
  }

  undo(text) {
    this.examples.delete(text);
  }

  /** Add a label; one that is there already is not added again. */
  addLabel(label) {
    const name = label.trim();
    if (name && !this.labels.includes(name)) this.labels.push(name);
    return name;
  }

  /** What there is to learn from. */
  get rows() {
    return [...this.examples.values()].filter((example) => isWhole(this.decoder, example));
  }

  /**
   * Note a lesson's report. Gives its score, null where too few examples were judged, and the lesson
   * before it, `{rows, score}`, if there was one.
   */
  learnt(report) {
    const last = this.curve.at(-1);
    const score = report.judged < FEWEST_JUDGED ? null : report.score;
    const point = { rows: report.rows, score };
    this.curve = [...this.curve.filter(({ rows }) => rows !== report.rows), point];
    this.curve.sort((a, b) => a.rows - b.rows);
    return { score, last };
  }
}

/** Whether two answers say the same. */
export function sameAnswer(one, other) {
  const said = ({ entities, labels, value }) =>
    JSON.stringify(
      entities?.map(({ start, end, type }) => [start, end, type]) ??
        (labels ? [...labels].sort() : Number(value?.toFixed(1))),
    );
  return said(one) === said(other);
}

/** Entities with offsets that count characters, not UTF-16 code units. */
export function inCharacters(text, entities) {
  const characters = (at) => [...text.slice(0, at)].length;
  return entities.map((entity) => {
    return { ...entity, start: characters(entity.start), end: characters(entity.end) };
  });
}

/** Examples as lines of JSON, as bundles keep them; `onetrunk adapt` reads them, too. */
export function exampleLines(examples) {
  const lines = examples.map(({ text, entities, labels, value }) => {
    if (entities) {
      const spans = inCharacters(text, entities);
      return { text, spans: spans.map(({ start, end, type }) => [start, end, type]) };
    }
    if (labels?.length === 1) return { text, label: labels[0] };
    return value === undefined ? { text, labels } : { text, label: `${value}` };
  });
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("");
}
