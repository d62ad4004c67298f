import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { Conditions } from '../common/conditions.js';
import { Metrics } from '../common/metrics.js';
import { Config } from '../config/config.js';
import { findUntoldFactors } from '../users/second-factor/factor-findings.js';
import { ComparisonLock } from './comparison-lock.js';
import { compareTables, describeDifference } from './table-comparison.js';

/** From the start of one pass to that of the next, where it takes less. */
const PASS_EVERY_MS = 300_000;
/** A replica without the lock compares all the same after so long: anything with its role can hold the lock. */
const PASS_WITHOUT_LOCK_MS = 1_800_000;
const FIRST_LOOK_MS = 30_000;
const LOOK_EVERY_MS = 10_000;
/** In a pass, the lock is asked for as often: it is lost when its session says nothing for 30 s. */
const KEEP_LOCK_EVERY_MS = 10_000;
/**
 * Between slices: so much longer than a slice took, and no less than this. A pass keeps one session busy a quarter of
 * its time.
 */
const REST_FACTOR = 3;
const LEAST_REST_MS = 50;
/** Passes that have failed for so long are told of: in the meantime nothing is known of the rows. */
const MAX_FAILING_MS = 1_800_000;
/** Lines of one pass; the rest is counted. */
const MAX_LINES = 20;
/** Differences that are remembered as told. */
const MAX_TOLD = 10_000;

const NOT_COMPARED =
  'Keys, users and roles could not be compared with the audit trail for half an hour; the log says why, and `npm run doctor` compares them at once.';
const DIFFERENT =
  'Rows of keys, users or roles are not what the audit trail says of them: something has written to the database past Latchkey.';

/**
 * Compares the tables with the trail in the background, one replica at a time, and tells of each row that differs.
 *
 * @see docs/adr/0026-credentials-are-bound-to-their-rows.md
 */
@Injectable()
export class TableWatch implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger('TableWatch');
  private readonly lock: ComparisonLock;
  private readonly stop = new AbortController();
  private readonly passes: ReturnType<Metrics['counter']>;
  private readonly rows: ReturnType<Metrics['counter']>;
  private running: Promise<void> = Promise.resolve();
  private startedAtMs = performance.now() - PASS_EVERY_MS;
  private differing = 0;
  private told = new Set<string>();
  /** Differences that this pass has named. */
  private named = 0;
  /** Since when no pass has ended; null: the last one has. */
  private failingSinceMs: number | null = null;

  constructor(
    private readonly dataSource: DataSource,
    private readonly config: Config,
    meters: Metrics,
    conditions: Conditions,
  ) {
    this.lock = new ComparisonLock(dataSource);
    this.passes = meters.counter(
      'latchkey_table_comparisons_total',
      'Times this replica has compared all keys, users and roles with the audit trail.',
    );
    this.rows = meters.counter('latchkey_table_rows_compared_total', 'Rows that were compared with the audit trail.');
    meters.gauge(
      'latchkey_table_differences',
      'Rows that differed from the audit trail when this replica compared them last.',
      () => this.differing,
    );
    conditions.register('tables', 'keys, users and roles are what the audit trail says of them', () => {
      if (this.differing > 0) return DIFFERENT;
      const { failingSinceMs } = this;
      return failingSinceMs !== null && performance.now() - failingSinceMs >= MAX_FAILING_MS ? NOT_COMPARED : null;
    });
  }

  onApplicationBootstrap(): void {
    this.running = this.run();
  }

  /** Returns when no statement of ours is under way any more. */
  async onModuleDestroy(): Promise<void> {
    this.stop.abort();
    await this.running;
    await this.lock.release();
  }

  /**
   * Compares everything once, and gives how many rows differ.
   *
   * @param keepsLock keeps the lock; where it is another replica's by now, the pass ends
   */
  async pass(keepsLock: () => Promise<boolean> = () => Promise.resolve(true)): Promise<number> {
    const found: string[] = [];
    this.named = 0;
    let keptLockMs = performance.now();
    for (
      let sinceMs = performance.now(), slices = compareTables(this.config, this.dataSource);
      ;
      sinceMs = performance.now()
    ) {
      const { value: slice, done } = await slices.next();
      if (done) break;
      this.rows.inc(slice.compared);
      found.push(...slice.differences.map(describeDifference));
      // Told with the slice that found it, not with the end of the pass.
      this.tell(slice.differences.map((one) => ({ text: describeDifference(one), type: one.type, id: one.id })));
      this.differing = Math.max(this.differing, found.length);
      const isStillMine = async (): Promise<boolean> => {
        if (performance.now() - keptLockMs < KEEP_LOCK_EVERY_MS) return true;
        keptLockMs = performance.now();
        return keepsLock();
      };
      let restMs = Math.max(LEAST_REST_MS, REST_FACTOR * (performance.now() - sinceMs));
      for (; restMs > 0; restMs -= KEEP_LOCK_EVERY_MS) {
        await this.rest(Math.min(restMs, KEEP_LOCK_EVERY_MS));
        if (this.stop.signal.aborted || !(await isStillMine())) return found.length;
      }
    }
    const factors = (await findUntoldFactors(this.dataSource.manager)).map((text) => `second factor of user ${text}`);
    found.push(...factors);
    this.tell(factors.map((text) => ({ text, type: 'second-factor' })));
    this.differing = found.length;
    this.told = new Set(found);
    this.failingSinceMs = null;
    this.passes.inc();
    return found.length;
  }

  private async run(): Promise<void> {
    for (await this.rest(FIRST_LOOK_MS); !this.stop.signal.aborted; await this.rest(LOOK_EVERY_MS)) {
      const isMine = await this.lock.isMine().catch(() => false);
      const sinceMs = performance.now() - this.startedAtMs;
      if (sinceMs < (isMine ? PASS_EVERY_MS : PASS_WITHOUT_LOCK_MS)) continue;
      this.startedAtMs = performance.now();
      await this.attempt(isMine ? () => this.lock.isMine() : undefined);
    }
  }

  /** A pass; one that fails is told of, and another follows. */
  async attempt(keepsLock?: () => Promise<boolean>): Promise<void> {
    const sinceMs = performance.now();
    try {
      await this.pass(keepsLock);
    } catch (error) {
      this.failingSinceMs ??= sinceMs;
      this.logger.warn({
        msg: 'the tables were not compared with the audit trail; it is tried again',
        cause: (error as Error).message,
      });
    }
  }

  private tell(differences: readonly { text: string; type: string; id?: string }[]): void {
    const fresh = differences.filter(({ text }) => !this.told.has(text));
    for (const { text, ...row } of fresh) {
      if (this.told.size >= MAX_TOLD) break;
      this.told.add(text);
      this.named += 1;
      if (this.named <= MAX_LINES) this.logger.error({ msg: `A row differs from the audit trail. ${text}`, ...row });
      else if (this.named === MAX_LINES + 1)
        this.logger.error({ msg: 'More rows differ from the audit trail; `npm run doctor` names them.' });
    }
  }

  private async rest(ms: number): Promise<void> {
    await sleep(ms, undefined, { ref: false, signal: this.stop.signal }).catch(() => undefined);
  }
}
