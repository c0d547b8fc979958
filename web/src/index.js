export { BundleError } from "./errors.js";
export { Runtime } from "./runtime.js";
