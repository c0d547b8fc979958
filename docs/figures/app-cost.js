// What apps cost on a device: sliders, and bars in bytes and milliseconds. The numbers come from
// app-cost-numbers.js. Plain controls, so keyboards and screen readers work; nothing is loaded.
"use strict";

const PRIMARIES = 2; // linear apps of both families read under two task-primary LoRAs
const SEPARATE = "one model for each app";
const BUNDLE = "one bundle";

function cost(apps, linear, k) {
  const m = MEASURED;
  const lora = apps - linear;
  const tops = lora + Math.min(linear, PRIMARIES);
  const kilobytes =
    m.kilobytes_of_backbone + apps * m.kilobytes_of_head +
    (lora + PRIMARIES) * k * m.kilobytes_of_lora_layer;
  return {
    megabytes: { [BUNDLE]: kilobytes / 1000, [SEPARATE]: (apps * m.kilobytes_of_model) / 1000 },
    milliseconds: {
      [BUNDLE]: m.ms_of_request + m.ms_of_layer * (m.layers - k + k * tops),
      [SEPARATE]: apps * m.ms_of_model,
    },
  };
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function slider(id, label, attributes) {
  const input = element("input", { type: "range", id, ...attributes });
  const output = element("strong");
  const row = element("p", {}, element("label", { for: id }, label, " ", output), input);
  return { input, output, row };
}

function bars(said, values, largest) {
  const list = element("dl", {}, element("dt", { class: "what" }, said));
  for (const [name, value] of Object.entries(values)) {
    const bar = element("span", { class: name === BUNDLE ? "bar ours" : "bar" });
    bar.style.width = `${Math.max(0.5, (100 * value) / largest)}%`;
    list.append(element("dd", {}, `${name}: ${value.toFixed(1)}`, element("span", { class: "track" }, bar)));
  }
  return list;
}

function start(place) {
  const apps = slider("cost-apps", "Apps:", { min: 1, max: 30, value: 10 });
  const linear = slider("cost-linear", "of them linear (a head alone):", { min: 0, max: 10, value: 5 });
  const k = slider("cost-k", "k, the layers that a LoRA is on:", { min: 1, max: 6, value: 2 });
  const shown = element("div");
  const said = element("p", { role: "status" });

  function show() {
    const count = Number(apps.input.value);
    linear.input.max = count;
    const heads = Number(linear.input.value);
    const layers = Number(k.input.value);
    const found = cost(count, heads, layers);
    apps.output.textContent = count;
    linear.output.textContent = heads;
    k.output.textContent = layers;
    shown.replaceChildren(
      ...Object.entries(found).map(([unit, values]) =>
        bars(unit === "megabytes" ? "Megabytes on the device" : "Milliseconds for all apps on a message",
          values, Math.max(...Object.values(values)))),
    );
    const ratio = (values) => {
      const times = values[SEPARATE] / values[BUNDLE];
      return times >= 1 ? `${times.toFixed(1)} times less` : `${(1 / times).toFixed(1)} times more`;
    };
    said.textContent =
      `The bundle takes ${ratio(found.megabytes)} space and ${ratio(found.milliseconds)} time than ` +
      `${count === 1 ? "one model" : `${count} models`}.`;
  }

  const form = element("form", { "aria-label": "What apps cost" }, apps.row, linear.row, k.row);
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  place.replaceChildren(form, shown, said);
  show();
}

const place = document.getElementById("app-cost");
if (place) start(place);
