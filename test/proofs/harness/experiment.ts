import { Random } from './random.js';

/** How big an experiment is run. `ci`: minutes on two cores. `full`: the figures of the guarantee. */
export type Size = 'ci' | 'full';

export interface ExperimentContext {
  readonly seed: number;
  readonly size: Size;
  /** Numbers that depend on the seed alone. */
  readonly random: Random;
  /** Progress, on standard error: standard output is for the one line of the outcome. */
  readonly log: (line: string) => void;
}

/** What an experiment found. `violations` empty: the guarantee held. */
export interface Outcome {
  readonly violations: readonly string[];
  /** What was counted and measured, units in the names. */
  readonly figures: Readonly<Record<string, number | string | boolean>>;
}

/** One row of the guarantees, as something that runs. */
export interface Experiment {
  readonly id: string;
  readonly guarantee: string;
  /** Part of the CI run. */
  readonly inCi: boolean;
  readonly run: (context: ExperimentContext) => Promise<Outcome>;
}
