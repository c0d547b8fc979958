/** What an app says to a text, from the vectors of its units: `{text, spans, vectors}`. */
export function answerOf(app, { text, spans, vectors }) {
  const { decoder, labels, noneBelow } = app;
  const rows = vectors.map((vector) => logits(app, vector));
  return decoder.answer({ rows, labels, noneBelow, text, spans });
}

function logits({ weight, bias, neighbours, decoder }, vector) {
  const ofHead = Array.from(bias, (value, row) => {
    let sum = value;
    const at = row * vector.length;
    for (let i = 0; i < vector.length; i++) sum += weight[at + i] * vector[i];
    return sum;
  });
  return neighbours ? neighbours.blend(decoder, ofHead, vector) : ofHead;
}
