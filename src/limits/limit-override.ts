/** An amount of its own for one member of a limit. */
export interface Override {
  readonly memberId: string;
  /** Micro-cents of a limit of cents, whole numbers of any other. */
  readonly amount: bigint;
  /** When it ends by itself; null: it does not. */
  readonly until: Date | null;
  readonly reason: string;
}
