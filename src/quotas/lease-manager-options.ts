/** Bounds and times of a lease manager; the defaults are those of docs/quotas.md. */
export interface LeaseManagerOptions {
  readonly replicaId: string;
  /** Longest that a call waits, and that an acquire may take. */
  readonly acquireTimeoutMs: number;
  readonly collectMs: number;
  /** How long what is asked for ahead is collected. */
  readonly refillMs: number;
  /** A process asks for no standing lease before it is this old: one that ends again and again loses none. */
  readonly standAfterMs: number;
  /** Standing leases are used for so long after the last poll. */
  readonly polledForMs: number;
  readonly maxCalls: number;
  readonly fewCalls: number;
  readonly patienceMs: number;
  /** Accounts, and windows, in one call; of what is asked for ahead, keys. */
  readonly maxAsks: number;
  readonly maxNeeds: number;
  readonly maxWaiters: number;
  /** Accounts, and rows of windows, in memory. */
  readonly maxEntries: number;
  readonly idleMs: number;
  readonly refusalMs: number;
  /** Wall and monotonic clock may part by this much between two calls; beyond it the host was suspended. */
  readonly suspendMs: number;
  readonly epochPauseMs: number;
  /** `RATE_LIMIT_FALLBACK=local-share`: `limit / shareReplicas` while the store is away; null: `deny`. */
  readonly shareReplicas: number | null;
}

/** What a replica with nothing configured uses. */
export const LEDGER_DEFAULTS: Omit<LeaseManagerOptions, 'replicaId'> = {
  acquireTimeoutMs: 1_000,
  collectMs: 2,
  refillMs: 50,
  standAfterMs: 60_000,
  polledForMs: 15_000,
  maxCalls: 8,
  fewCalls: 2,
  patienceMs: 10,
  maxAsks: 200,
  maxNeeds: 500,
  maxWaiters: 20_000,
  maxEntries: 200_000,
  idleMs: 1_000,
  refusalMs: 100,
  suspendMs: 1_000,
  epochPauseMs: 10_000,
  shareReplicas: null,
};

/** Depths of queues, and what was asked for ahead since the start. */
export interface LeaseStats {
  readonly entries: number;
  readonly waiting: number;
  readonly calls: number;
  readonly returns: number;
  readonly refillsAsked: number;
  readonly refillsDropped: number;
}
