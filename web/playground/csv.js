/** Tables in CSV, as RFC 4180 has it, and with the delimiters that are in use. */

import { inCharacters } from "./model.js";
import { S } from "./strings.js";

/** The text of a file, given its name and its bytes. Throws for what is no text: a spreadsheet, or
 * anything else with a NUL byte or with the first bytes of a zip file. */
export function textOf(name, bytes) {
  if (/\.xl[st][a-z]?$/i.test(name)) throw new Error(S.excelFile(name));
  if (/\.ods$/i.test(name)) throw new Error(S.odsFile(name));
  const isZip = [0x50, 0x4b, 3, 4].every((byte, i) => bytes[i] === byte);
  if (isZip || bytes.includes(0)) throw new Error(S.noText(name));
  return new TextDecoder().decode(bytes);
}

/** The file of a drop that is taken for a table: one alone. A bundle is a folder of several. */
export function droppedTable(files) {
  const [first] = files;
  const isTable = files.length === 1 && first.path.split("/").at(-1) !== "bundle.json";
  return isTable ? first.file : undefined;
}

const USUAL = /^(text|sentence|message|content|body)$/i;

/** The table in a file of this name; lines of a `.txt` are texts without a header. */
export function tableIn(name, text) {
  if (!/\.txt$/i.test(name)) return parse(text);
  const lines = text.replace(/^\ufeff+/, "").replace(/\r?\n$/, "").split(/\r?\n/);
  return { header: ["text"], rows: lines.map((line) => [line]) };
}

/** The header and the rows of a file; short rows are filled with empty cells. Throws if a quote is
 * not closed, if a row has more cells than the header, and if the header seems to be a text. */
export function parse(text) {
  const content = text.replace(/^\ufeff+/, "");
  const delimiter = delimiterOf(content);
  const rows = [];
  let row = [];
  let cell = "";
  let quoted = false;
  let began = false; // whether the cell began with a quote
  for (let at = 0; at < content.length; at++) {
    const char = content[at];
    if (quoted) {
      if (char !== '"') cell += char;
      else if (content[at + 1] === '"') cell += content[++at];
      else quoted = false;
    } else if (char === "\ufeff" && !row.length && !cell && !began) {
      continue; // the mark of a file that was joined to another one
    } else if (char === '"' && !cell && !began) {
      quoted = began = true;
    } else if (char === delimiter) {
      row.push(cell);
      [cell, began] = ["", false];
    } else if (char === "\n" || char === "\r") {
      if (char === "\r" && content[at + 1] === "\n") at++;
      rows.push([...row, cell]);
      [row, cell, began] = [[], "", false];
    } else cell += char;
  }
  if (quoted) throw new Error(`row ${rows.length + 1}: a quote is not closed`);
  if (row.length || cell || began) rows.push([...row, cell]);
  const [header = [], ...body] = rows.filter((cells) => cells.length > 1 || cells[0] !== "");
  const names = header.map((name) => name.trim());
  if (!names.some((name) => USUAL.test(name)) && names.some((name) => name.split(/\s+/).length > 2)) {
    throw new Error(S.noHeader(header[0]));
  }
  const long = body.find((cells) => cells.slice(header.length).some((cell) => cell.trim()));
  if (long) throw new Error(S.tooManyCells(long[0], long.length, header.length));
  return {
    header,
    rows: body.map((cells) => header.map((_, i) => cells[i] ?? "")),
  };
}

/** Of the usual delimiters the one that the first line has most of, outside of quotes. */
function delimiterOf(text) {
  const line = text.slice(0, 10_000).replace(/"[^"]*"/g, "").split(/[\r\n]/).find(Boolean) ?? "";
  const counts = [",", ";", "\t"].map((char) => line.split(char).length);
  return [",", ";", "\t"][counts.indexOf(Math.max(...counts))];
}

/** The column that most probably holds the texts: one of a usual name, or that of the longest. */
export function textColumn({ header, rows }) {
  const named = header.findIndex((name) => USUAL.test(name.trim()));
  if (named >= 0) return named;
  const lengths = header.map((_, i) => rows.slice(0, 50).reduce((sum, row) => sum + row[i].length, 0));
  return lengths.indexOf(Math.max(...lengths));
}

/** The names of an app's columns, and its cells: those of `onetrunk predict --out answers.csv`. */
export function answerColumns(name, decoder) {
  return decoder === "tc" || decoder === "multi-label" ? [name, `${name}.probability`] : [name];
}

/** Offsets count characters, as Python's do. */
export function answerCells(decoder, answer, text) {
  if (answer.entities) return [JSON.stringify(inCharacters(text, answer.entities))];
  if (!answer.labels) return [`${answer.value}`];
  if (answer.abstained) return ["", ""];
  const probabilities = answer.labels.map((label) => answer.probabilities[label]);
  if (decoder === "tc") return [answer.labels[0], `${probabilities[0]}`];
  return [JSON.stringify(answer.labels), JSON.stringify(probabilities)];
}

/** The first name that two columns have, or undefined. */
export function repeated(columns) {
  return columns.find((name, i) => columns.indexOf(name) < i);
}

/** A file of a header and rows. */
export function written(header, rows) {
  const cell = (value) => (/[",\n\r]|^\s|\s$/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  return [header, ...rows].map((row) => `${row.map(cell).join(",")}\n`).join("");
}
