/** The page: a text, the bundles that read it, and their apps' answers. */

import { bundleAt, bundleOf, chosenFiles, droppedFiles } from "./bundles.js";
import { Card } from "./cards.js";
import { droppedTable } from "./csv.js";
import { button, el, labelled } from "./dom.js";
import { sameAnswer } from "./model.js";
import { askForApp } from "./newapp.js";
import { Side } from "./side.js";
import { SAMPLES, S } from "./strings.js";
import { tableSection } from "./table.js";

const PATIENCE = 250; // milliseconds after the last key

const sides = []; // the bundle, and the one that it is compared with
const cards = new Map(); // by side, then by app
const says = el("p", { class: "says", role: "status" });
const input = el("textarea", { rows: 3, spellcheck: "false", placeholder: S.textHint });
const facts = el("p", { class: "facts" });
const offline = el("span", { class: "badge agrees", hidden: true }, S.offline);
const choices = el("fieldset", { class: "apps" });
const answers = el("div", { class: "answers" });
const compare = chooser(S.compare, (files) => openSide(() => bundleOf(files), 1));
const table = tableSection(() => sides[0]);

let turn = 0;
/** Answer the text by all bundles, unless another text comes first. */
async function answer() {
  const mine = ++turn;
  const text = input.value;
  if (!sides.length) return;
  if (!text.trim()) {
    says.textContent = S.empty;
    answers.hidden = true;
    return;
  }
  try {
    const results = [];
    for (const side of sides) results.push(await side.answer(text));
    if (mine !== turn) return;
    answers.hidden = false;
    sides.forEach((side, number) => {
      const { apps, times } = results[number];
      for (const [name, card] of cards.get(side)) {
        const other = sides.length > 1 ? results[1 - number].apps[name] : undefined;
        const mark = other && apps[name] && (sameAnswer(apps[name], other) ? S.agrees : S.differs);
        card.show(text, apps[name], times.get(name), mark);
      }
    });
    const [{ apps, total, trunk }] = results;
    tell(S.answered(Object.keys(apps).length, total, trunk));
  } catch (error) {
    tell(error.message, true);
  }
}

function tell(what, isWrong = false) {
  says.textContent = what;
  says.classList.toggle("wrong", isWrong);
}

/** Lay out a card for each app; of two bundles those of one app side by side. */
function layOut() {
  const [first] = sides;
  for (const side of sides) {
    const old = cards.get(side) ?? new Map();
    // What only the second bundle has is shown, too.
    const shown = side.names.filter((name) => first.chosen.has(name) || !first.names.includes(name));
    const again = side === first ? answer : undefined;
    const card = (name) => [name, old.get(name) ?? new Card(side, name, again)];
    cards.set(side, new Map(shown.map(card)));
  }
  const names = new Set(sides.flatMap((side) => [...cards.get(side).keys()]));
  const title = (side) =>
    el("h2", { class: "column-title" }, `${side.name} `, el("span", { class: "hint" }, side.facts));
  const places = [...names].flatMap((name) =>
    sides.map((side) => cards.get(side).get(name)?.element ?? el("div", { class: "card none" }, S.lacks(side.name, name))),
  );
  answers.replaceChildren(...(sides.length > 1 ? sides.map(title) : []), ...places);
  answers.classList.toggle("compared", sides.length > 1);
  for (const side of sides) {
    for (const card of cards.get(side).values()) card.call(sides.length > 1 ? side.name : "");
  }
  facts.textContent = first ? `${first.name} · ${first.facts}` : "";
  drawChoices();
  drawCompare();
}

function drawChoices() {
  const [side] = sides;
  choices.replaceChildren(el("legend", {}, S.shownApps));
  for (const name of side?.names ?? []) {
    const box = el("input", { type: "checkbox" });
    box.checked = side.chosen.has(name);
    box.addEventListener("change", () => {
      if (box.checked) side.chosen.add(name);
      else side.chosen.delete(name);
      layOut();
      answer();
      [...choices.querySelectorAll("input")].find((one) => one.value === name)?.focus();
    });
    box.value = name;
    choices.append(el("label", { class: "check-label" }, box, name));
  }
}

function drawCompare() {
  const end = button(S.endCompare, () => {
    cards.delete(sides.pop());
    layOut();
    answer();
  });
  actions.querySelector(".compare")?.replaceChildren(sides.length > 1 ? end : compare);
}

/** Put a bundle in the place of the first or second one. */
async function openSide(open, number) {
  tell(S.loading);
  try {
    const side = new Side(await open());
    if (sides[1 - number]?.name === side.name) side.name += " (2)";
    await side.answer(SAMPLES[0]); // the first pass is slow, and says nothing about the next ones
    sides[number] = side;
    layOut();
    await answer();
    return side;
  } catch (error) {
    tell(error.message, true);
  }
  return undefined;
}

/** A button that chooses a folder. */
function chooser(label, chosen) {
  const files = el("input", { type: "file", webkitdirectory: true, class: "visually-hidden", tabindex: "-1", "aria-hidden": "true" });
  files.addEventListener("change", () => {
    if (files.files.length) chosen(chosenFiles(files));
    files.value = "";
  });
  return el("span", {}, button(label, () => files.click()), files);
}

const begin = button(S.newApp, () =>
  askForApp(sides[0].names, (name, kind, labels) => {
    sides[0].begin(name, kind, labels);
    layOut();
    answer();
    cards.get(sides[0]).get(name).element.scrollIntoView({ block: "nearest" });
  }),
);
const actions = el(
  "div",
  { class: "row" },
  chooser(S.openBundle, (files) => openSide(() => bundleOf(files), 0)),
  el("span", { class: "compare" }, compare),
);
const samples = el(
  "div",
  { class: "row samples", role: "group", "aria-label": S.samples },
  SAMPLES.map((sample, i) =>
    button(S.sample(i + 1), () => {
      input.value = sample;
      answer();
    }, { class: "quiet", title: sample }),
  ),
);

let waiting;
input.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(answer, PATIENCE);
});
document.body.append(
  el(
    "header",
    { class: "top" },
    el("div", { class: "brand" }, el("h1", {}, S.title, " ", el("span", {}, S.subtitle)), facts, offline),
    actions,
  ),
  el(
    "main",
    {},
    el("p", { class: "claim" }, S.claim),
    el("section", { class: "panel" }, labelled(S.text, input), samples, says),
    el("section", { class: "panel choose", "aria-label": S.apps }, choices, begin),
    answers,
    table.section,
  ),
);

// Dropped files: one alone is a table, several are a bundle.
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", async (event) => {
  event.preventDefault();
  const files = await droppedFiles(event.dataTransfer);
  const file = droppedTable(files);
  if (file) await table.open(file);
  else if (files.length) await openSide(() => bundleOf(files), 0);
});

input.value = SAMPLES[0];
const address = new URLSearchParams(location.search);
await openSide(() => bundleAt(address.get("bundle") ?? "bundle/"), 0);
if (address.get("compare")) await openSide(() => bundleAt(address.get("compare")), 1);

if (navigator.serviceWorker) {
  try {
    await navigator.serviceWorker.register("sw.js");
    await navigator.serviceWorker.ready;
    offline.hidden = false;
  } catch {
    // The page works without it, but not offline.
  }
}
