/**
 * An element. Properties that begin with `on` are listeners; `class`, `aria-…`, `data-…` and the
 * like are attributes, of which `false` and `undefined` are left out. Strings among the children
 * become text, never HTML.
 */
export function el(tag, properties = {}, ...children) {
  const element = tag === "svg" || SVG.has(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null));
  return element;
}

const SVG = new Set(["path", "circle", "line", "text", "title", "g"]);

export function button(label, onclick, properties = {}) {
  return el("button", { type: "button", onclick, ...properties }, label);
}

let last = 0;
/** A label above a control. */
export function labelled(label, control, hint) {
  const id = control.id || `field-${++last}`;
  control.id = id;
  const says = hint && el("span", { class: "hint", id: `${id}-hint` }, hint);
  if (says) control.setAttribute("aria-describedby", says.id);
  return el("div", { class: "field" }, el("label", { for: id }, label), control, says);
}

/** Offer bytes or a text as a file. */
export function download(name, content, type) {
  const address = URL.createObjectURL(new Blob([content], { type }));
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
