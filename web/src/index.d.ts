import type * as Ort from "onnxruntime-common";

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
  /** `onnxruntime-web`, `onnxruntime-node`, `onnxruntime-react-native`: the module itself. */
  ort: Pick<typeof Ort, "InferenceSession" | "Tensor">;
  /** Apps to open; default: all of the bundle. */
  apps?: string | string[];
  /** Options of its sessions. Default: `executionProviders: ["cpu"]`, which each of them has. */
  session?: Ort.InferenceSession.SessionOptions;
}

/** The milliseconds of a request: of the two graphs, and of the head of each app. */
export interface Times {
  trunk: number;
  top: number;
  apps: Record<string, number>;
}

export type Family = "ner" | "nested-ner" | "tc" | "multi-label" | "rating";

/** A labelled text. Offsets count UTF-16 code units; entities of `nested-ner` may overlap, if they
 * are of different types. */
export type Example =
  | { text: string; entities: { start: number; end: number; type: string }[] }
  | { text: string; label: string }
  | { text: string; labels: string[] }
  | { text: string; value: number };

export interface Watch {
  /** What is under way (texts, penalties, score), how much is done, and of how much. */
  progress?: (what: string, done: number, total: number) => void;
  /** Ends the teaching: it throws the signal's reason, and changes nothing. */
  signal?: AbortSignal;
}

export interface TeachOptions extends Watch {
  /** Labels beside those of the examples; of a rating the ends of the scale. */
  labels?: string[];
  /** Keep the examples in memory, for `correct` and `examples`. Default: no. */
  keepExamples?: boolean;
  /**
   * An app that the head starts from and is held to, in place of zero: a few examples change it, and
   * do not make it forget. Its labels and LoRA stay.
   */
  from?: string;
  /** With `from`, some texts on which its answers should stay as they are. */
  stay?: string[];
  /** The longest window in tokens, as in `onetrunk adapt`. Default: 128. */
  maxLength?: number;
  /** An answer that is less probable is not given, as in `onetrunk adapt --none-below`. */
  noneBelow?: number;
}

export interface Report {
  metric: string;
  /** Cross-validated, in percent; null if there is only one text. The same examples chose the
   * penalty, so that it is a little too good. Of one or two judged rows it means nothing. */
  score: number | null;
  rows: number;
  /** How many of the rows the score is about. */
  judged: number;
  seconds: number;
  penalty: number;
  /** The head reads the states of so many last layers. */
  headLayers: number;
  /** What the app that had this name scores on the same rows; too good if it has learnt from them.
   * null if there was none of this family. */
  before: number | null;
}

export interface Description {
  family: string;
  decoder: Family;
  labels: string[];
  /** Whether it gives words a type; else it is about whole texts. */
  perWord: boolean;
  lora: boolean;
}

export class Runtime {
  static open(
    source: string | ((path: string) => Promise<ArrayBuffer | Uint8Array>),
    options: Options,
  ): Promise<Runtime>;
  readonly names: string[];
  describe(name: string): Description;
  /** One text gives one result, a list gives a list. */
  predict(
    texts: string,
    apps?: string | string[],
    options?: { onTimes?: (times: Times) => void },
  ): Promise<Prediction>;
  predict(
    texts: string[],
    apps?: string | string[],
    options?: { onTimes?: (times: Times) => void },
  ): Promise<Prediction[]>;
  /** Fit an app, a linear head, as `onetrunk.adapt(..., adapter="linear")` does, and add it. */
  teach(name: string, family: Family, examples: Example[], options?: TeachOptions): Promise<Report>;
  /** Teach an app again that keeps its examples, with one more, or a better one of the same text. */
  correct(name: string, example: Example, options?: Watch): Promise<Report>;
  /** The bytes of `apps/NAME.safetensors`. */
  saveApp(name: string): Promise<Uint8Array>;
  /** The examples that an app keeps. */
  examples(name: string): Example[];
  /** Forget the examples that an app keeps; the app stays. */
  forgetExamples(name: string): void;
  add(name: string, bytes: ArrayBuffer | Uint8Array): void;
  remove(name: string): void;
  close(): Promise<void>;
}
