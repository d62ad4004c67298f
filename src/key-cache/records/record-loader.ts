import { unavailable } from '../../common/domain-error.js';
import type { KeyRecord } from './key-record.js';
import { LookupResult, type LoadedRows, type Wanted } from './loaded-records.js';
import type { RecordCache } from './record-cache.js';

/** One thing to look up. `name` is what the cache knows it by when there is none. */
export interface Lookup {
  readonly name: string;
  /** A secret made here. */
  readonly kid?: string;
  /** An imported secret, by any of its possible MACs. */
  readonly macs?: readonly Buffer[];
}

/** What a loader needs of the outside. */
export interface LoaderEnvironment {
  readonly monotonicMs: () => number;
  /** Runs something once this turn of the event loop is over: what is asked for until then travels together. */
  readonly soon: (run: () => void) => void;
  /** Sends one statement; rejects when there is no answer within `timeoutMs`. */
  readonly fetch: (wanted: Wanted, timeoutMs: number) => Promise<LoadedRows>;
}

/** Bounds of a loader. */
export interface LoaderOptions {
  readonly maxQueued: number;
  readonly maxPerStatement: number;
  readonly maxStatements: number;
  /** A load that changes overtake is repeated; the last attempt answers without being kept. */
  readonly maxAttempts: number;
  /** A caller waits no longer than this. */
  readonly timeoutMs: number;
}

/** What a process with nothing configured uses. */
export const LOADER_DEFAULTS: LoaderOptions = {
  maxQueued: 10_000,
  maxPerStatement: 250,
  maxStatements: 2,
  maxAttempts: 3,
  timeoutMs: 1_000,
};

interface Waiting {
  readonly want: Lookup;
  readonly deadlineMs: number;
  readonly promise: Promise<LookupResult>;
  readonly resolve: (loaded: LookupResult) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Brings records into the cache, many in one statement and each only once at a time. A caller that waits gets the rows
 * themselves: they are true even where a change has kept them out of the cache.
 */
export class RecordLoader {
  private readonly waiting = new Map<string, Waiting>();
  private queue: Waiting[] = [];
  private statements = 0;
  private isScheduled = false;

  constructor(
    private readonly cache: RecordCache,
    private readonly environment: LoaderEnvironment,
    private readonly options: LoaderOptions = LOADER_DEFAULTS,
  ) {}

  /** Looks one thing up. @throws DomainError 503 when the database does not answer in time, or too many wait. */
  load(want: Lookup): Promise<LookupResult> {
    const known = this.waiting.get(want.name);
    if (known !== undefined) return known.promise;
    if (this.waiting.size >= this.options.maxQueued)
      return Promise.reject(unavailable('Too many keys are being looked up at the moment.'));
    const waiting = waitingFor(want, this.environment.monotonicMs() + this.options.timeoutMs);
    this.waiting.set(want.name, waiting);
    this.queue.push(waiting);
    this.schedule();
    return waiting.promise;
  }

  /** How many look-ups wait, and how many statements are under way. */
  stats(): { waiting: number; statements: number } {
    return { waiting: this.waiting.size, statements: this.statements };
  }

  private schedule(): void {
    if (this.isScheduled || this.queue.length === 0 || this.statements >= this.options.maxStatements) return;
    this.isScheduled = true;
    this.environment.soon(() => {
      this.isScheduled = false;
      while (this.queue.length > 0 && this.statements < this.options.maxStatements) {
        void this.run(this.queue.splice(0, this.options.maxPerStatement));
      }
    });
  }

  private async run(batch: readonly Waiting[]): Promise<void> {
    this.statements += 1;
    try {
      const loaded = await this.attempt(batch);
      // Before anybody goes on: who asks from now on gets another load.
      this.forget(batch);
      for (const waiting of batch) waiting.resolve(loaded);
    } catch (error) {
      this.forget(batch);
      for (const waiting of batch) waiting.reject(error);
    } finally {
      this.statements -= 1;
      this.schedule();
    }
  }

  private async attempt(batch: readonly Waiting[]): Promise<LookupResult> {
    const wanted: Wanted = {
      kids: batch.flatMap(({ want }) => want.kid ?? []),
      macs: batch.flatMap(({ want }) => want.macs ?? []),
    };
    const deadlineMs = Math.min(...batch.map((waiting) => waiting.deadlineMs));
    for (let attempt = 1; ; attempt += 1) {
      const nowMs = this.environment.monotonicMs();
      if (nowMs >= deadlineMs) throw unavailable('The database did not answer in time.');
      // Nobody may join the last attempt: it answers even if a change has been applied since it was sent.
      if (attempt === this.options.maxAttempts) this.forget(batch);
      const ticket = this.cache.beginLoad(nowMs);
      const loaded = new LookupResult(await this.environment.fetch(wanted, deadlineMs - nowMs));
      const missing = batch.filter(({ want }) => recordIn(loaded, want) === null).map(({ want }) => want.name);
      const outcome = this.cache.put(ticket, loaded.rows, missing);
      if (outcome === 'put' || (outcome === 'behind' && attempt >= this.options.maxAttempts)) return loaded;
      // Rows of a history that is not, or no longer, ours must not answer anything.
      if (attempt >= this.options.maxAttempts) throw unavailable('The database has changed over; ask again.');
    }
  }

  private forget(batch: readonly Waiting[]): void {
    for (const waiting of batch) {
      if (this.waiting.get(waiting.want.name) === waiting) this.waiting.delete(waiting.want.name);
    }
  }
}

/** The record of a want in a load, or null. */
export function recordIn(loaded: LookupResult, { kid, macs }: Lookup): KeyRecord | null {
  return (kid === undefined ? null : loaded.findByKid(kid)) ?? (macs === undefined ? null : loaded.findByMac(macs));
}

function waitingFor(want: Lookup, deadlineMs: number): Waiting {
  let resolve!: Waiting['resolve'];
  let reject!: Waiting['reject'];
  const promise = new Promise<LookupResult>((onLoaded, onFailed) => {
    resolve = onLoaded;
    reject = onFailed;
  });
  return { want, deadlineMs, promise, resolve, reject };
}
