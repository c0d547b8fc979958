/** Answers as elements. Each function takes what is to be shown, and whom to tell of a correction. */

import { wordsOf } from "./runtime/words.js";
import { button, el, labelled } from "./dom.js";
import { tree } from "./segments.js";
import { S } from "./strings.js";

/** Okabe and Ito's colours, by the number of a type. */
const COLOURS = 7;
/** More labels than these are not shown by themselves. */
const SHOWN = 5;

export const colour = (labels, type) => `c${Math.max(0, labels.indexOf(type)) % COLOURS}`;

/**
 * A text with its entities. With `onword(word, element)`, words are buttons, of which one is in the
 * order of the Tab key and arrow keys move to the others; `word` is its number.
 */
export function entities({ text, answer, labels, onword }) {
  const words = wordsOf(text);
  const shown = words.map(() => undefined);
  const build = (nodes) =>
    nodes.map((node) => {
      if (node.entity) return mark(node);
      if (node.word === undefined) return node.text;
      if (!onword) return el("span", { class: "word" }, node.text);
      const press = (event) => onword(node.word, event.currentTarget);
      const tabindex = shown.some(Boolean) ? "-1" : "0";
      const properties = { class: "word", "data-word": node.word, tabindex };
      return (shown[node.word] = button(node.text, press, properties));
    });
  const mark = ({ entity, nodes, ends }) =>
    el(
      "mark",
      { class: `entity ${colour(labels, entity.type)}` },
      build(nodes),
      ends && el("span", { class: "type" }, S.entity(entity.type, entity.score)),
    );
  const body = el("p", { class: "annotated" }, build(tree(text, words, answer.entities)));
  if (onword) {
    body.setAttribute("role", "group");
    body.setAttribute("aria-label", S.wordHint);
    body.addEventListener("keydown", (event) => rove(event, shown.filter(Boolean)));
  }
  return [body, !answer.entities.length && el("p", { class: "hint" }, S.noEntities)].filter(Boolean);
}

/** Move among buttons by arrow keys, Home and End. */
function rove(event, buttons) {
  const at = buttons.indexOf(event.target);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
  const next = at < 0 || to === undefined ? undefined : buttons[to];
  if (!next) return;
  event.preventDefault();
  for (const one of buttons) one.tabIndex = one === next ? 0 : -1;
  next.focus();
}

/** Labels as bars, the most probable first. With `onlabel(label)` they are buttons. */
export function bars({ answer, labels, onlabel, several }) {
  const probability = (label) => answer.probabilities[label];
  const order = [...labels].sort((a, b) => (probability(b) ?? -1) - (probability(a) ?? -1));
  const rows = order.map((label, number) => {
    const share = probability(label);
    const isChosen = answer.labels.includes(label);
    const inside = [
      el("span", { class: "check", "aria-hidden": "true" }, isChosen ? "✓" : ""),
      el("span", { class: "name" }, label),
      el("span", { class: "share" }, share === undefined ? "" : S.percent(share)),
      share !== undefined && track(share),
    ].filter(Boolean);
    const properties = { class: "bar" };
    if (number >= SHOWN && !isChosen) properties.hidden = true;
    if (!onlabel) return el("div", properties, inside);
    const pressed = { ...properties, "aria-pressed": `${isChosen}`, "data-label": label };
    return button(inside, () => onlabel(label), pressed);
  });
  const hidden = rows.filter((row) => row.hidden);
  const more = button(S.more(hidden.length), (event) => {
    for (const row of hidden) row.hidden = false;
    event.currentTarget.remove();
    hidden[0].focus();
  }, { class: "quiet" });
  const hint = several ? S.labelsHint : S.labelHint;
  return [
    answer.abstained && el("p", { class: "hint" }, S.abstained),
    el("div", { class: "bars", role: "group", "aria-label": onlabel ? hint : undefined }, rows),
    hidden.length > 0 && more,
  ].filter(Boolean);
}

/** A bar that shows a share; the number beside it says the same. */
function track(share) {
  const fill = el("span", { class: "fill" });
  fill.style.width = `${100 * share}%`;
  return el("span", { class: "track", "aria-hidden": "true" }, fill);
}

/** A number on its scale. With `onvalue(number)` it can be set. */
export function rating({ answer, labels, onvalue }) {
  const known = Number.isFinite(answer.value);
  const parts = [
    el(
      "p",
      { class: "rating" },
      el("strong", {}, known ? answer.value.toFixed(1) : "–"),
      labels.length === 2 &&
        el("span", { class: "hint" }, ` ${S.outOf(...labels)}`),
    ),
  ];
  if (!onvalue) return parts;
  const input = el("input", { type: "number", step: "any", required: true });
  if (known) input.value = `${Math.round(10 * answer.value) / 10}`;
  const submit = (event) => {
    event.preventDefault();
    onvalue(input.valueAsNumber);
  };
  const field = labelled(S.ratingHint, input);
  return [...parts, el("form", { class: "row", onsubmit: submit }, field, el("button", {}, S.set))];
}
