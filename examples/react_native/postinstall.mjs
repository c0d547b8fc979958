// Expo takes a package with this file for one of its own modules and does not link it. The package
// is none: without the link the app ends with "Cannot read property 'install' of null"
// (github.com/microsoft/onnxruntime/issues/29004).
import { rm } from "node:fs/promises";

await rm("node_modules/onnxruntime-react-native/unimodule.json", { force: true });
