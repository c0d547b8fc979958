/** Solves for a head, so that the page that asks stays responsive. */

import { Features } from "./features.js";
import { fitHead } from "./penalty.js";

self.onmessage = async ({ data }) => {
  const { data: numbers, units, width } = data.features;
  try {
    const problem = { ...data, features: new Features(numbers, units, width) };
    const head = await fitHead(problem, (...progress) => self.postMessage({ progress }));
    self.postMessage({ head });
  } catch (error) {
    self.postMessage({ error: `${error}` });
  }
};
