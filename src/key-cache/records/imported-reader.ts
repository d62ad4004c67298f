import { Injectable, Logger } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import { Conditions } from '../../common/conditions.js';
import { Metrics } from '../../common/metrics.js';
import { RepeatedLog } from '../../common/repeated-log.js';
import { DataPlaneConnections } from '../data-plane-connections.js';
import type { FilterPage, FilterReading } from './imported-filter.js';
import { RecordCache } from './record-cache.js';

const MAX_ROWS = 10_000;
const STATEMENT_TIMEOUT_MS = 2_000;
const RETRY_AFTER_MS = 500;
/** A million secrets take some seconds; beyond this something is wrong. */
const OVERDUE_AFTER_MS = 30_000;

const NOT_READ = 'Imported keys could not be read into memory: every key of another system’s shape costs a look-up.';

/** In the order of the partial index on imported MACs, so that a page begins where the one before ended. */
const READ = `
  SELECT head.epoch, (SELECT string_agg(mac, '' ORDER BY mac) FROM (
           SELECT mac FROM api_key_secret WHERE kind = 'imported' AND mac > $1 ORDER BY mac LIMIT ${MAX_ROWS}) AS page) AS macs
    FROM change_head head`;

const MAC_BYTES = 32;

/** Reads which imported secrets there are into memory, after each start and each change of the database's history. */
@Injectable()
export class ImportedReader {
  private readonly failures = new RepeatedLog((fields) => new Logger('ImportedKeys').warn(fields));
  private reading: Promise<void> = Promise.resolve();
  private beganMs: number | null = null;
  private isStopping = false;

  constructor(
    private readonly cache: RecordCache,
    private readonly connections: DataPlaneConnections,
    conditions: Conditions,
    meters: Metrics,
  ) {
    conditions.register(
      'importedKeys',
      'imported keys are known in memory',
      () => (this.isOverdue ? NOT_READ : null),
      'warn',
    );
    meters.gauge(
      'latchkey_imported_keys_in_memory',
      'Imported secrets that this replica can tell from made-up ones without a look-up.',
      () => cache.imported.stats().keys,
    );
    meters.gauge('latchkey_imported_keys_bytes', 'Memory they take.', () => cache.imported.stats().bytes);
  }

  /** Begins to read, for the history that the cache has just been started with. */
  begin(): void {
    this.beganMs = performance.now();
    this.reading = this.readAll(this.cache.imported.beginReading());
  }

  /** Resolves when all have been read, or after `timeoutMs`: until then each text of a foreign shape is looked up. */
  async settled(timeoutMs: number): Promise<void> {
    const waited = new AbortController();
    await Promise.race([this.reading, sleep(timeoutMs, undefined, { signal: waited.signal }).catch(() => undefined)]);
    waited.abort();
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    await this.reading;
    this.failures.flush();
  }

  private get isOverdue(): boolean {
    return !this.cache.imported.isReady && this.beganMs !== null && performance.now() - this.beganMs > OVERDUE_AFTER_MS;
  }

  private async readAll(reading: FilterReading): Promise<void> {
    const filter = this.cache.imported;
    let after: Buffer = Buffer.alloc(0);
    while (!this.isStopping && filter.isCurrent(reading)) {
      const page = await this.pageAfter(after);
      if (page === null || !filter.take(reading, page)) {
        await sleep(RETRY_AFTER_MS);
      } else if (page.macs.length < MAX_ROWS) {
        return filter.endReading(reading);
      } else {
        after = page.macs.at(-1)!;
      }
    }
  }

  /** null when the database did not answer. */
  private async pageAfter(after: Buffer): Promise<FilterPage | null> {
    try {
      const statement = { name: 'read-imported', text: READ, values: [after] };
      const [row] = await this.connections
        .reader()
        .query<{ epoch: string; macs: Buffer | null }>(statement, STATEMENT_TIMEOUT_MS);
      if (!row) throw new Error('The change head is missing: the schema is damaged.');
      return { epoch: row.epoch, macs: split(row.macs ?? Buffer.alloc(0)) };
    } catch (error) {
      const why = error instanceof Error ? error.message : 'unknown';
      if (!this.isStopping)
        this.failures.add('failed', { msg: `Imported keys could not be read into memory, and will be again: ${why}` });
      return null;
    }
  }
}

function split(macs: Buffer): Buffer[] {
  return Array.from({ length: macs.length / MAC_BYTES }, (_, index) =>
    macs.subarray(index * MAC_BYTES, (index + 1) * MAC_BYTES),
  );
}
