/** An amount of its own for one member of a limit. */
export interface Override {
  readonly memberId: string;
  /** Micro-cents. */
  readonly amount: bigint;
  /** When it ends by itself; null: it does not. */
  readonly until: Date | null;
  readonly reason: string;
}
