/** The menu in which a person says what some words of a text are. */

import { wordsOf } from "./runtime/words.js";
import { colour } from "./answers.js";
import { button, el } from "./dom.js";
import { S } from "./strings.js";

/**
 * Open it below `anchor`, the button of the word of number `word`. `entities` are those of the text;
 * `ontype(start, end, type)` and `onnone(start, end)` are told what is chosen, after which it closes.
 */
export function pick({ anchor, text, word, entities, labels, ontype, onnone, onadd }) {
  const words = wordsOf(text);
  // What is chosen first is the entity that the word is in, or else the word alone.
  const inside = entities.filter(({ start, end }) => start < words[word][1] && words[word][0] < end);
  const most = inside.sort((a, b) => a.end - a.start - (b.end - b.start))[0];
  let first = most ? words.findIndex(([, end]) => end > most.start) : word;
  let last = most ? words.findLastIndex(([start]) => start < most.end) : word;
  const box = el("div", { class: "picker", role: "dialog", popover: "auto" });
  const range = () => [words[first][0], words[last][1]];
  const close = (work) => () => {
    const [start, end] = range();
    box.hidePopover();
    work(start, end);
  };
  const draw = (focus) => {
    const [start, end] = range();
    const title = el("p", { class: "title", id: "picker-title" }, S.selection(text.slice(start, end)));
    const types = labels.map((type) => {
      const isIt = entities.some((one) => one.start === start && one.end === end && one.type === type);
      const chip = el("span", { class: `chip ${colour(labels, type)}`, "aria-hidden": "true" });
      return button([chip, type], close((from, to) => ontype(from, to, type)), {
        class: "choice",
        "aria-pressed": `${isIt}`,
      });
    });
    const grow = button(S.longer, () => move(1), { disabled: last === words.length - 1 });
    const shrink = button(S.shorter, () => move(-1), { disabled: first === last });
    const input = el("input", { type: "text", "aria-label": S.otherType, placeholder: S.otherType });
    const add = (event) => {
      event.preventDefault();
      const type = onadd(input.value);
      if (type) close((from, to) => ontype(from, to, type))();
    };
    box.replaceChildren(
      title,
      el("div", { class: "row" }, shrink, grow),
      el("div", { class: "choices" }, types, inside.length ? button(S.none, close(onnone), { class: "choice" }) : []),
      el("form", { class: "row", onsubmit: add }, input, el("button", {}, S.add)),
    );
    const target = { grow, shrink }[focus];
    (target && !target.disabled ? target : box.querySelector(".choice") ?? input).focus();
  };
  const move = (by) => {
    last += by;
    draw(by > 0 ? "grow" : "shrink");
    place();
  };
  const place = () => {
    const { left, bottom, top } = anchor.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = box;
    box.style.left = `${Math.max(8, Math.min(left, innerWidth - width - 8))}px`;
    const below = bottom + 6 + height < innerHeight;
    box.style.top = `${below ? bottom + 6 : Math.max(8, top - height - 6)}px`;
  };
  box.setAttribute("aria-labelledby", "picker-title");
  box.addEventListener("toggle", ({ newState }) => {
    if (newState === "closed") {
      box.remove();
      if (anchor.isConnected) anchor.focus();
    }
  });
  document.body.append(box);
  box.showPopover();
  draw();
  place();
}
