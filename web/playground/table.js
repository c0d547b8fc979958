/** Annotates a CSV. */

import { answerCells, answerColumns, repeated, tableIn, textColumn, textOf, written } from "./csv.js";
import { button, download, el, labelled } from "./dom.js";
import { S } from "./strings.js";

/** Rows that are read before the page has a turn. */
const AT_ONCE = 8;
const PREVIEW = 5;

/** The section; `side()` is the bundle whose chosen apps answer. */
export function tableSection(side) {
  const body = el("div");
  const says = el("p", { class: "says", role: "status" });
  const open = async (file) => {
    try {
      const table = tableIn(file.name, textOf(file.name, new Uint8Array(await file.arrayBuffer())));
      if (!table.rows.length) throw new Error(S.noRows);
      says.textContent = S.tableFacts(file.name, table.rows.length, table.header.length);
      says.classList.remove("wrong");
      body.replaceChildren(...chooser(file.name, table));
    } catch (error) {
      says.textContent = error.message;
      says.classList.add("wrong");
      body.replaceChildren();
    }
    says.scrollIntoView({ block: "nearest" }); // a file may be dropped anywhere on the page
  };
  const chooser = (name, table) => {
    const options = table.header.map((column, i) => el("option", { value: i }, column));
    const column = el("select", {}, options);
    column.value = `${textColumn(table)}`;
    const out = el("div");
    const run = button(S.annotate, () => annotate(name, table, Number(column.value), out, run), { class: "strong" });
    return [el("div", { class: "row end" }, labelled(S.column, column), run), out];
  };
  const annotate = async (name, { header, rows }, column, out, run) => {
    const { runtime, chosen, notebooks, names } = side();
    const apps = names.filter((app) => chosen.has(app) && runtime.names.includes(app));
    const decoders = apps.map((app) => notebooks.get(app).decoder);
    const columns = [...header, ...apps.flatMap((app, n) => answerColumns(app, decoders[n]))];
    const taken = repeated([...new Set(header), ...columns.slice(header.length)]);
    says.classList.toggle("wrong", taken !== undefined);
    if (taken !== undefined) {
      says.textContent = S.columnTaken(taken);
      return out.replaceChildren();
    }
    const bar = el("progress", { max: rows.length, value: 0, "aria-label": S.annotate });
    const count = el("span", { class: "hint" }, S.annotated(0, rows.length));
    let stopped = false;
    const cancel = button(S.cancel, () => (stopped = true));
    out.replaceChildren(el("div", { class: "row" }, bar, count, cancel));
    run.disabled = true;
    const done = [];
    try {
      for (let first = 0; first < rows.length && !stopped; first += AT_ONCE) {
        const some = rows.slice(first, first + AT_ONCE);
        const results = await runtime.predict(some.map((row) => row[column]), apps);
        results.forEach(({ text, apps: answers }, i) => {
          const cells = apps.flatMap((app, n) => answerCells(decoders[n], answers[app], text));
          done.push([...some[i], ...cells]);
        });
        bar.value = done.length;
        count.textContent = S.annotated(done.length, rows.length);
        await new Promise((resolve) => setTimeout(resolve));
      }
    } catch (error) {
      says.textContent = error.message;
      says.classList.add("wrong");
      stopped = true;
    }
    run.disabled = false;
    if (stopped) return out.replaceChildren();
    says.textContent = S.finished(done.length);
    const save = button(S.saveTable, () => {
      const file = name.replace(/\.\w+$/, "") + ".annotated.csv";
      download(file, written(columns, done), "text/csv");
    }, { class: "strong" });
    out.replaceChildren(preview(columns, done.slice(0, PREVIEW)), el("div", { class: "row" }, save));
    save.focus();
  };
  const input = el("input", { type: "file", accept: ".csv,.tsv,.txt,text/csv", class: "visually-hidden", id: "table-file" });
  input.addEventListener("change", () => input.files[0] && open(input.files[0]));
  const section = el(
    "section",
    { class: "panel table", "aria-labelledby": "table-title" },
    el("h2", { id: "table-title" }, S.table),
    el("div", { class: "drop" }, input, el("label", { for: "table-file", class: "button" }, S.chooseTable), el("p", { class: "hint" }, S.tableHint)),
    says,
    body,
  );
  return { section, open };
}

function preview(header, rows) {
  const cells = (tag, row, properties) => row.map((cell) => el(tag, properties, cell));
  return el(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": S.preview },
    el(
      "table",
      {},
      el("caption", { class: "visually-hidden" }, S.preview),
      el("thead", {}, el("tr", {}, cells("th", header, { scope: "col" }))),
      el("tbody", {}, rows.map((row) => el("tr", {}, cells("td", row, {})))),
    ),
  );
}
