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

/** What must have happened in a run for its result to mean anything. @see floors.ts */
export interface Floor {
  readonly what: string;
  /** More than 0. */
  readonly atLeast: number;
  readonly got: number;
}

/** What an experiment found. `violations` empty and each floor met: the guarantee held. */
export interface Findings {
  readonly violations: readonly string[];
  /** Checked by `prove.ts`: a run in which nothing succeeded, or nothing was refused, does not pass. */
  readonly floors: readonly [Floor, ...Floor[]];
  /** What was counted and measured, units in the names. */
  readonly figures: Readonly<Record<string, number | string | boolean>>;
}

/** Nothing was shown, because something is missing on this machine. */
export interface Skipped {
  /** What is missing, and how to install it. */
  readonly skipped: string;
}

export type Outcome = Findings | Skipped;

/** One row of the guarantees, as something that runs. */
export interface Experiment {
  readonly id: string;
  readonly guarantee: string;
  /** Part of the CI run. */
  readonly inCi: boolean;
  /**
   * What it must notice. `mutants`: each run breaks the product itself, in many ways, and fails if one is not noticed.
   */
  readonly fault: Fault | 'mutants';
  readonly run: (context: ExperimentContext) => Promise<Outcome>;
}
