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
  /** What the product is broken by on purpose; absent: nothing. To be handed to the cluster. */
  readonly fault?: Fault;
}

/**
 * A way to break the product that the experiment must notice: its teeth. It is applied to the processes of the
 * experiment from outside; the product has no switch for it.
 */
export interface Fault {
  /** What is broken, as a fact. */
  readonly what: string;
  /** A module of `faults/`, loaded by every replica before the product, whose classes it changes. */
  readonly patch?: string;
  /** Run as the database's owner once the replicas have migrated it. */
  readonly sql?: string;
}

/** What an experiment found. `violations` empty: the guarantee held. */
export interface Outcome {
  readonly violations: readonly string[];
  /** What was counted and measured, units in the names. */
  readonly figures: Readonly<Record<string, number | string | boolean>>;
  /** Why nothing was shown: something is missing on this machine. */
  readonly skipped?: string;
}

/** One row of the guarantees, as something that runs. */
export interface Experiment {
  readonly id: string;
  readonly guarantee: string;
  /** Part of the CI run. */
  readonly inCi: boolean;
  /** What it must notice. */
  readonly fault?: Fault;
  readonly run: (context: ExperimentContext) => Promise<Outcome>;
}
