import type { Runtime } from './runtime.js';

/** When the circuit opens, and for how long. */
export interface CircuitBreakerOptions {
  /** Failures in a row that open it; default 5. */
  failures?: number;
  /** How long it stays open before one question is let through to try, in milliseconds; default 1000. */
  openMs?: number;
}

/** Leave to ask once. Exactly one of the three is to be called. */
export interface Passage {
  /** The server answered, whatever it said. */
  succeeded(): void;
  /** The server did not answer, or could not decide. */
  failed(): void;
  /** The asker gave up: that says nothing about the server. */
  abandoned(): void;
}

/**
 * Stops asking a server that does not answer, so that requests here are refused at once instead of piling up. After
 * `openMs` one question is let through; its outcome closes the circuit or opens it anew.
 */
export class CircuitBreaker {
  private readonly failures: number;
  private readonly openMs: number;
  private failuresInARow = 0;
  /** null: closed. */
  private openUntil: number | null = null;
  private isTrying = false;

  constructor(
    private readonly runtime: Runtime,
    { failures = 5, openMs = 1_000 }: CircuitBreakerOptions = {},
  ) {
    this.failures = failures;
    this.openMs = openMs;
  }

  /** Leave to ask now; null while the circuit is open, and while another caller tries. */
  enter(): Passage | null {
    if (this.openUntil === null) return this.passage();
    if (this.isTrying || this.runtime.now() < this.openUntil) return null;
    this.isTrying = true;
    return this.trial();
  }

  /** Milliseconds until the next try; 0 where it may be made now. */
  get waitMs(): number {
    return this.openUntil === null ? 0 : Math.max(0, this.openUntil - this.runtime.now());
  }

  /** Outcomes of questions asked before it opened come late and change nothing: the try decides. */
  private passage(): Passage {
    return {
      succeeded: () => {
        if (this.openUntil === null) this.failuresInARow = 0;
      },
      failed: () => {
        this.failuresInARow += 1;
        if (this.openUntil === null && this.failuresInARow >= this.failures) this.open();
      },
      abandoned: () => undefined,
    };
  }

  private trial(): Passage {
    return {
      succeeded: () => {
        this.isTrying = false;
        this.failuresInARow = 0;
        this.openUntil = null;
      },
      failed: () => {
        this.isTrying = false;
        this.open();
      },
      abandoned: () => {
        this.isTrying = false;
      },
    };
  }

  private open(): void {
    // A tenth up or down: clients that lost the same server do not all try at the same instant.
    this.openUntil = this.runtime.now() + this.openMs * (0.9 + this.runtime.random() * 0.2);
  }
}
