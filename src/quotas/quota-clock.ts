/** Time as the quota cores see it: given from outside, so that a simulation can own it. */
export interface QuotaClock {
  /** Milliseconds that never go back; may stand still while the host is suspended. */
  monotonicMs(): number;
  /** Milliseconds of the wall clock; compared with the other only to notice a suspended host. */
  wallMs(): number;
  /** Runs something once, `delayMs` from now at the earliest; must not keep a process alive. */
  after(delayMs: number, run: () => void): void;
}
