/**
 * How far a committed change has come: what `?wait=true` waits for. Declared here, so that the routes that narrow
 * know nothing of what keeps copies of keys.
 */
export abstract class ChangePropagation {
  /** Milliseconds after the commit by which every process acts on a change, when nothing is broken. */
  abstract readonly effectiveWithinMs: number;

  /**
   * Returns once every process has applied all changes up to `seq`; null means all that are committed by now, for
   * a request that found its work already done.
   */
  abstract waitUntilApplied(seq: string | null): Promise<void>;

  /** Returns once this process has applied all changes up to `seq`, or after a second: the feed is away then. */
  abstract waitUntilAppliedHere(seq: string): Promise<void>;
}
