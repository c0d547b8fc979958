/**
 * A text as a tree to show: nodes `{text}` (what is between words), `{word, start, end, text}` (its
 * number) and `{entity, nodes, ends}`. Entities that lie in one another are nested nodes; one that
 * crosses the end of another goes on in a second node, and `ends` is true in the last.
 */
export function tree(text, words, entities) {
  const edges = [...new Set(entities.flatMap(({ start, end }) => [start, end]))];
  const pieces = words.flatMap(([start, end], word) => {
    const cuts = [start, ...edges.filter((edge) => start < edge && edge < end).sort((a, b) => a - b), end];
    return cuts.slice(1).map((to, i) => ({ word, start: cuts[i], end: to }));
  });
  const order = entities.map((entity) => ({ entity, start: entity.start, end: entity.end }));
  order.sort((a, b) => a.start - b.start || b.end - a.end);
  return build(text, pieces, order, 0, text.length);
}

/** The nodes of the characters from `from` to `to`. Takes what it shows out of the lists. */
function build(text, pieces, entities, from, to) {
  const nodes = [];
  let at = from;
  const gap = (until) => {
    if (at < until) nodes.push({ text: text.slice(at, until) });
    at = Math.max(at, until);
  };
  for (;;) {
    const piece = pieces[0]?.start < to ? pieces[0] : undefined;
    const next = entities[0]?.start < to ? entities[0] : undefined;
    if (!piece && !next) break;
    if (next && (!piece || next.start <= piece.start)) {
      entities.shift();
      gap(next.start);
      const end = Math.min(next.end, to);
      if (end < next.end) {
        entities.push({ ...next, start: end });
        entities.sort((a, b) => a.start - b.start || b.end - a.end);
      }
      const inside = build(text, pieces, entities, next.start, end);
      nodes.push({ entity: next.entity, nodes: inside, ends: end === next.end });
      at = end;
    } else {
      pieces.shift();
      gap(piece.start);
      nodes.push({ ...piece, text: text.slice(piece.start, piece.end) });
      at = piece.end;
    }
  }
  gap(to);
  return nodes;
}
