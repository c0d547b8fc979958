import type * as Ort from "onnxruntime-web";

export class BundleError extends Error {}

/** Offsets count UTF-16 code units: `text.slice(start, end)` is the entity. */
export interface Entity {
  start: number;
  end: number;
  text: string;
  type: string;
  /** Probability of its least certain unit (a word, mostly). */
  score: number;
}

/**
 * The answer of an app that finds entities, of one that labels, or of one that rates. One that
 * labels abstains if it is not sure enough (`onetrunk adapt --none-below`), or if the text is empty.
 */
export type Answer =
  | { entities: Entity[] }
  | { labels: string[]; probabilities: Record<string, number>; abstained?: true }
  | { value: number };

export interface Prediction {
  text: string;
  apps: Record<string, Answer>;
}

export interface Options {
  /** The module `onnxruntime-web`. */
  ort: typeof Ort;
  /** Apps to open; default: all of the bundle. */
  apps?: string | string[];
  /** Options of its sessions. */
  session?: Ort.InferenceSession.SessionOptions;
}

export class Runtime {
  static open(
    source: string | ((path: string) => Promise<ArrayBuffer | Uint8Array>),
    options: Options,
  ): Promise<Runtime>;
  readonly names: string[];
  /** One text gives one result, a list gives a list. */
  predict(texts: string, apps?: string | string[]): Promise<Prediction>;
  predict(texts: string[], apps?: string | string[]): Promise<Prediction[]>;
  add(name: string, bytes: ArrayBuffer | Uint8Array): void;
  remove(name: string): void;
  close(): Promise<void>;
}
