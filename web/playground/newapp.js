/** The dialog in which a new app is begun. */

import { button, el, labelled } from "./dom.js";
import { S } from "./strings.js";

/** What names of files have in common that some systems take for the same. */
const fileOf = (name) => name.normalize("NFC").toLowerCase();

/** Ask for a name, a kind and labels; `create(name, kind, labels)` is told. */
export function askForApp(taken, create) {
  const name = el("input", {
    type: "text", required: true, maxlength: 100,
    pattern: "[\\p{L}\\p{N}_]([\\p{L}\\p{N}_.+@ \\-]*[\\p{L}\\p{N}_+@ \\-])?", autocomplete: "off",
  });
  const options = Object.entries(S.kinds).map(([value, text]) => el("option", { value }, text));
  const kind = el("select", {}, options);
  kind.value = "tc";
  const labels = el("input", { type: "text", autocomplete: "off" });
  const wrong = el("p", { class: "says wrong", role: "alert" });
  const labelField = labelled(S.labels, labels);
  kind.addEventListener("change", () => (labelField.hidden = kind.value === "rating"));
  const dialog = el("dialog", { "aria-labelledby": "new-title" });
  const submit = (event) => {
    event.preventDefault();
    const chosen = [...new Set(labels.value.split(",").map((label) => label.trim()).filter(Boolean))];
    const called = name.value.trim();
    const same = taken.find((other) => fileOf(other) === fileOf(called));
    if (same !== undefined) wrong.textContent = S.nameTaken(same);
    else if (kind.value !== "rating" && !chosen.length) wrong.textContent = S.labelsMissing;
    else {
      dialog.close();
      create(called, kind.value, kind.value === "rating" ? [] : chosen);
    }
  };
  dialog.append(
    el(
      "form",
      { onsubmit: submit },
      el("h2", { id: "new-title" }, S.newTitle),
      labelled(S.name, name, S.nameHint),
      labelled(S.kindLabel, kind),
      labelField,
      wrong,
      el("div", { class: "row" }, el("button", { class: "strong" }, S.create), button(S.cancel, () => dialog.close())),
    ),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
