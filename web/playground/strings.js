/** Every word that the page shows. */

export const SAMPLES = [
  "Dinner with Priya Nair next Tuesday at half past seven, the usual place on Mill Lane?",
  "your FastShip parcel JD0146000021 is waiting, call 020 7946 0182 to rebook",
  "wake me at quarter to six tomorrow, I have an early train",
  "CONGRATS!! You were picked for a free cruise, send your card number to claim it today",
];

const percent = (share) => `${(100 * share).toFixed(share > 0.995 || share < 0.1 ? 1 : 0)} %`;
const many = (count, one, several = `${one}s`) => `${count} ${count === 1 ? one : several}`;
const ms = (time) => (time < 10 ? time.toFixed(1) : Math.round(time).toString());
const METRICS = {
  f1: "entity F1",
  accuracy: "accuracy",
  micro_f1: "label F1",
  spearman: "rank correlation",
};

export const S = {
  title: "onetrunk",
  subtitle: "playground",
  claim: "One small encoder reads the text once; every app answers from it. All of it runs, and learns, in this page: nothing you type leaves your device.",
  metric: (name) => METRICS[name] ?? name,
  percent,

  loading: "Opening the bundle …",
  ready: (name, apps) => `Bundle ${name}, with ${many(apps, "app")}, is open.`,
  noBundle: "There is no bundle among these files. Choose the folder that onetrunk export wrote, or drop it here. Drop a table alone.",
  offline: "Ready to work offline",
  bundle: "Bundle",
  openBundle: "Open another bundle",
  compare: "Compare with a bundle",
  endCompare: "End comparison",
  bundleFacts: (megabytes, precision) => `${megabytes.toFixed(1)} MB · ${precision}`,
  elsewhere: (address) => `${address} is on another site; a bundle must be on the site of this page.`,
  lacks: (bundle, app) => `${bundle} has no app ${app}.`,
  agrees: "same answer",
  differs: "different answer",

  text: "Text",
  textHint: "Type or paste a text.",
  samples: "Samples",
  sample: (number) => `Sample ${number}`,
  empty: "Type a text, and the apps answer.",
  answered: (apps, total, trunk) =>
    `${many(apps, "app")} answered in ${ms(total)} ms, of which the shared trunk took ${ms(trunk)} ms.`,
  time: (milliseconds) => `${ms(milliseconds)} ms`,
  timeHint: "its share of the top layers, and its own head",

  apps: "Apps",
  shownApps: "Apps that answer",
  newApp: "New app",
  kind: {
    ner: "entities",
    "nested-ner": "nested entities",
    tc: "one label",
    "multi-label": "any labels",
    rating: "rating",
  },
  noEntities: "No entities in this text.",
  abstained: "The app is not sure enough to answer.",
  entity: (type, score) => (score === undefined ? type : `${type}, ${percent(score)}`),
  wordHint: "Choose a word to correct its type. Arrow keys move from word to word.",
  labelHint: "Choose the right label to correct the answer.",
  labelsHint: "Choose each label that is right, or not.",
  ratingHint: "Right value",
  set: "Set",
  more: (count) => `${count} more`,
  outOf: (low, high) => `on a scale from ${low} to ${high}`,

  selection: (text) => `“${text}” is`,
  longer: "One word more",
  shorter: "One word less",
  none: "No entity",
  otherType: "Another type",
  otherLabel: "Another label",
  add: "Add",
  close: "Close",

  right: "Answer is right",
  undo: "Undo correction",
  corrected: "corrected",
  draft: "new",
  examples: (count) => `${many(count, "example")} to learn from`,
  noExamples: "Correct an answer, or confirm it, to teach this app.",
  noDraftExamples: "Give the right answer for a few texts, then teach.",
  teach: "Teach",
  cancel: "Cancel",
  teaching: "Learning",
  steps: { texts: "reading the texts", penalties: "choosing the penalty", score: "cross-validating", "": "done" },
  taught: ({ metric, score: now, judged, before }, last) => {
    if (now === null) return "Too few examples to score.";
    const earlier = last ? last.score : before;
    const what = last ? "the lesson before" : "the app before";
    const on = last ? many(last.rows, "example") : "the same";
    return (
      `${METRICS[metric]} ${score(now)} by cross-validation on ${many(judged, "example")}` +
      (earlier === null ? "." : `; ${what}: ${score(earlier)} on ${on}.`) +
      (earlier !== null && now < earlier ? " More examples may help." : "")
    );
  },
  taughtFrom: (rows, seconds) => `Learnt from ${many(rows, "example")} in ${seconds.toFixed(1)} s.`,
  note: (note) => `Note: ${note}.`,
  curve: (metric) => `Learning curve: ${METRICS[metric]} by number of examples`,
  curvePoint: (rows, value) => `${many(rows, "example")}: ${score(value)}`,
  saveApp: "Save app",
  saveExamples: "Save examples",
  stopped: "Stopped; the app is as it was.",

  newTitle: "A new app",
  name: "Name",
  nameHint: "Letters, digits, - and _",
  nameTaken: (name) => `There is an app ${name} already.`,
  kindLabel: "What it does",
  kinds: {
    ner: "Finds entities: words and the type of each",
    "nested-ner": "Finds entities that may lie in one another",
    tc: "Gives a text one label",
    "multi-label": "Gives a text any number of labels",
    rating: "Gives a text a number",
  },
  labels: "Labels or types, with commas between",
  labelsMissing: "Give at least one label.",
  create: "Create",

  table: "Annotate a table",
  tableHint: "Drop a CSV here, or a .txt with a text on each line, or choose one: every row gets the answers of the apps that are chosen above.",
  chooseTable: "Choose a CSV",
  column: "Column with the texts",
  annotate: "Annotate",
  annotated: (done, total) => `${done} of ${total} rows`,
  finished: (rows) => `${many(rows, "row")} annotated.`,
  saveTable: "Save as CSV",
  tableFacts: (name, rows, columns) => `${name}: ${many(rows, "row")}, ${many(columns, "column")}`,
  preview: "First rows",
  columnTaken: (name) => `The column “${name}” of this file has the name of a column of answers. Rename it, or leave that app out.`,
  excelFile: (name) => `${name} is an Excel file: save it as CSV first.`,
  odsFile: (name) => `${name} is a spreadsheet: save it as CSV first.`,
  noText: (name) => `${name} is no text table: choose a CSV, in UTF-8.`,
  noHeader: (first) => `The first row, “${first}”, looks like a text: the first row must name the columns. Write “text” above the texts.`,
  tooManyCells: (first, cells, columns) => `The row “${first}” has ${many(cells, "cell")}, the header ${columns}: put quotes around a cell with a delimiter in it.`,
  noRows: "This file has no rows below its header.",
};

function score(value) {
  return value.toFixed(1);
}
