/** Answers to show, and examples to learn from. Offsets count UTF-16 code units, as strings do. */
import type { Answer, Description, Entity, Example } from "onetrunk-web";

export interface Piece {
  start: number;
  text: string;
  entities: Entity[];
}

/** A text, cut where entities begin or end. */
export function pieces(text: string, entities: Entity[]): Piece[] {
  const cuts = new Set([0, text.length, ...entities.flatMap(({ start, end }) => [start, end])]);
  const places = [...cuts].sort((a, b) => a - b);
  return places.slice(1).map((end, i) => {
    const start = places[i];
    const over = entities.filter((entity) => entity.start <= start && end <= entity.end);
    return { start, text: text.slice(start, end), entities: over };
  });
}

/** The example that says that entities are right. */
export function ofEntities(text: string, entities: Omit<Entity, "text" | "score">[]): Example {
  return { text, entities: entities.map(({ start, end, type }) => ({ start, end, type })) };
}

/** The example that says that some characters are of a type. */
export function withType(
  text: string, entities: Entity[], start: number, end: number, type: string,
): Example {
  const apart = entities.filter((entity) => entity.end <= start || end <= entity.start);
  return ofEntities(text, [...apart, { start, end, type }].sort((a, b) => a.start - b.start));
}

/** The example that says that a label is right, or, of several, that it is wrong. */
export function withLabel(app: Description, text: string, answer: Answer, label: string): Example {
  if (app.decoder !== "multi-label") return { text, label };
  const labels = "labels" in answer ? answer.labels : [];
  const others = labels.filter((one) => one !== label);
  return { text, labels: others.length < labels.length ? others : [...labels, label] };
}
