/**
 * Where a learning curve's points are in a drawing: `points` are `{rows, score}` in ascending order,
 * scores in percent. Gives `{path, dots: [{x, y, rows, score}], low, high}`, the ends of the scale
 * of scores. Points without a score are left out.
 */
export function drawn(points, width, height, margin) {
  const known = points.filter(({ score }) => score !== null);
  const scores = known.map(({ score }) => score);
  const low = Math.max(-100, Math.floor((Math.min(100, ...scores) - 5) / 10) * 10);
  const high = Math.min(100, Math.ceil((Math.max(low + 10, ...scores) + 5) / 10) * 10);
  const first = known[0]?.rows ?? 0;
  const span = (known.at(-1)?.rows ?? 0) - first;
  const dots = known.map(({ rows, score }) => ({
    x: margin + (span ? (rows - first) / span : 0.5) * (width - 2 * margin),
    y: height - margin - ((score - low) / (high - low)) * (height - 2 * margin),
    rows,
    score,
  }));
  const path = dots.map(({ x, y }, i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  return { path, dots, low, high };
}
