import type * as Ort from "onnxruntime-web";

export class BundleError extends Error {}

/** Offsets count UTF-16 code units: `text.slice(start, end)` is the entity. */
export interface Entity {
  start: number;
  end: number;
  text: string;
  type: string;
  /** Probability of its least certain word. */
  score: number;
}

/** Of an app that finds entities, one that labels, or one that rates. */
export type Answer =
  | { entities: Entity[] }
  | { labels: string[]; probabilities: Record<string, number> }
  | { value: number };

export interface Prediction {
  text: string;
  apps: Record<string, Answer>;
}

export interface Options {
  /** The module `onnxruntime-web`. */
  ort: typeof Ort;
  /** Apps to open; default: all of the bundle. */
  apps?: string[];
  /** Options of its sessions. */
  session?: Ort.InferenceSession.SessionOptions;
}

export class Runtime {
  static open(
    source: string | ((path: string) => Promise<ArrayBuffer | Uint8Array>),
    options: Options,
  ): Promise<Runtime>;
  readonly names: string[];
  predict(texts: string[], apps?: string[]): Promise<Prediction[]>;
  add(name: string, bytes: ArrayBuffer | Uint8Array): void;
  remove(name: string): void;
  close(): Promise<void>;
}
