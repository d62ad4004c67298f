import type { Clock } from '../../common/clock.js';

/** Between two requests for a document, however often unknown callers, or people at a button, ask for it. */
const COOLDOWN_MS = 5_000;

/**
 * A document of the identity provider, as it was last read. Callers at once share one request, and what was read goes
 * on while the provider is away.
 */
export class ProviderDocument<T> {
  private read: T | null = null;
  private readAtMs = Number.NEGATIVE_INFINITY;
  private triedAtMs = Number.NEGATIVE_INFINITY;
  private inFlight: Promise<void> | null = null;
  /** Why the last request failed; null if it did not. */
  failure: unknown = null;

  /** @param load asks for the document and makes sense of it; what it throws becomes the `failure` */
  constructor(
    private readonly clock: Clock,
    private readonly load: () => Promise<T>,
  ) {}

  /** What was read last, if that was less than `ms` ago. */
  within(ms: number): T | null {
    return this.clock.monotonicMs() - this.readAtMs < ms ? this.read : null;
  }

  /** Asks the provider, unless that was done a moment ago. Never throws: see `failure`. */
  async refresh(): Promise<void> {
    if (this.inFlight === null) {
      if (this.clock.monotonicMs() - this.triedAtMs < COOLDOWN_MS) return;
      this.triedAtMs = this.clock.monotonicMs();
      this.inFlight = this.ask().finally(() => (this.inFlight = null));
    }
    await this.inFlight;
  }

  private async ask(): Promise<void> {
    try {
      this.read = await this.load();
      this.readAtMs = this.clock.monotonicMs();
      this.failure = null;
    } catch (error) {
      this.failure = error;
    }
  }
}
