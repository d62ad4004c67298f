import { Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { Attempts } from '../../common/attempts.js';
import { Conditions } from '../../common/conditions.js';
import { Metrics } from '../../common/metrics.js';
import { RepeatedLog } from '../../common/repeated-log.js';
import { Periodic } from '../../common/periodic.js';
import { Config } from '../../config/config.js';
import { appendLine } from '../append-line.js';
import { AuditEventsRepository } from '../audit-events.repository.js';
import type { ChainTable } from '../chain-tables.js';
import type { AuditedEvent } from '../stored-event.js';
import { type CopyPlace, MAX_BATCH_BYTES, notePlace, placeOfCopy } from './copy-place.js';
import { addWhatLacks } from './copy-round.js';
import { CopyTurn } from './copy-turn.js';
import { lineWithoutPersonal } from './event-line.js';
import { SealedMeanwhile, SetBack, UncopiedEntries } from './uncopied-entries.js';

/** An entry is in the copy this long after its commit, and what its write takes. */
const LOOK_EVERY_MS = 1_000;
/** How long the storage may take to answer a question about the file. */
const STORAGE_MS = 3_000;
/** A replica that is frozen keeps the others from writing for no longer. */
const MAX_HOLD_MS = 8_000;
/** How long the end of a process waits for the last batch. */
const MAX_CLOSE_MS = 2_000;
const SAY_EVERY_MS = 60_000;

const NOT_WRITTEN =
  'The audit trail cannot be copied to AUDIT_COPY_FILE: the copy is behind, and goes on where it ends.';

/**
 * Keeps a copy of both chains of the audit trail in `AUDIT_COPY_FILE`, the lines of an export, each entry once and in
 * order. One replica writes at a time, so that replicas may share a file; with a file of its own each has a whole copy.
 * It goes on where the file ends, also after it was rotated. Without the setting it does nothing.
 */
@Injectable()
export class AuditCopy implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('Audit');
  private readonly attempts = new Attempts();
  private readonly failures = new RepeatedLog((fields) => this.logger.error(fields), 1, SAY_EVERY_MS);
  private readonly looks = new Periodic(LOOK_EVERY_MS, () => this.look());
  private looking: Promise<void> = Promise.resolve();
  private readonly uncopied: UncopiedEntries;
  private readonly turn: CopyTurn;
  private behind = 0;

  constructor(
    dataSource: DataSource,
    events: AuditEventsRepository,
    private readonly config: Config,
    meters: Metrics,
    conditions: Conditions,
  ) {
    this.uncopied = new UncopiedEntries(events);
    this.turn = new CopyTurn(dataSource, 'auditCopy', MAX_HOLD_MS);
    conditions.register('auditCopy', 'the audit trail is copied to AUDIT_COPY_FILE, if it is set', () =>
      this.attempts.areFailing ? NOT_WRITTEN : null,
    );
    meters.gauge(
      'latchkey_audit_copy_behind',
      'Entries of the audit trail that AUDIT_COPY_FILE lacked when this replica looked last.',
      () => this.behind,
    );
  }

  onApplicationBootstrap(): void {
    if (this.config.auditCopyFile === null) return;
    this.looks.start();
  }

  async onApplicationShutdown(): Promise<void> {
    if (this.config.auditCopyFile === null) return;
    void this.looks.stop();
    await Promise.race([this.look().then(() => this.turn.end()), sleep(MAX_CLOSE_MS, undefined, { ref: false })]);
  }

  /** Writes what the file does not have yet. A failure is logged once a minute, and tried again each second. */
  look(): Promise<void> {
    const file = this.config.auditCopyFile!;
    this.looking = this.looking
      .then(() => this.write(file))
      .catch((error: Error) =>
        this.failures.add('copy', { msg: 'the audit trail could not be copied', cause: error.message }),
      );
    return this.looking;
  }

  private async write(file: string): Promise<void> {
    const copy = {
      lacking: async () => this.lacking(file, await inTime(placeOfCopy(file), file)),
      addBatch: () => this.goOn(file),
    };
    await addWhatLacks(copy, this.turn, this.attempts);
  }

  /** Writes the next batch; false: nothing was written. */
  private async goOn(file: string): Promise<boolean> {
    // Another replica may have written to the same file since.
    const place = await inTime(placeOfCopy(file), file);
    if ((await this.lacking(file, place)) === 0) return false;
    await this.uncopied.requireSameHistory(place).catch(nameFile(file));
    return this.writeBatch(file, place);
  }

  /** Whether there was something to write. */
  private async writeBatch(file: string, place: CopyPlace): Promise<boolean> {
    const next: Record<ChainTable, CopyPlace[ChainTable]> & Pick<CopyPlace, 'bytes'> = { ...place };
    const limits = { maxBytes: MAX_BATCH_BYTES, bytesOf: (line: string) => Buffer.byteLength(line) };
    const entries = await this.uncopied.next(place, lineWithoutPersonal, limits).catch((error: Error) => {
      throw error instanceof SealedMeanwhile ? sealedMeanwhile(file, error) : error;
    });
    for (const { table, event } of entries) next[table] = entryOf(event);
    const lines = entries.map(({ formatted }) => formatted);
    if (lines.length === 0) return false;
    await appendLine(file, lines.join('').trimEnd());
    await inTime(notePlace(file, next), file);
    await this.lacking(file, next);
    return true;
  }

  /**
   * How many entries a copy lacks.
   * @throws Error where the database ends before the copy: it was set back
   */
  private async lacking(file: string, place: CopyPlace): Promise<number> {
    return (this.behind = await this.uncopied.count(place).catch(nameFile(file)));
  }
}

/** Says of which file it is that its database was set back. */
function nameFile(file: string): (error: Error) => never {
  return (error) => {
    throw error instanceof SetBack ? setBack(file, error.seq) : error;
  };
}

function entryOf({ record, hash }: AuditedEvent): { seq: string; hash: string } {
  return { seq: record.seq, hash: hash.toString('hex') };
}

function sealedMeanwhile(file: string, { seq, cut }: SealedMeanwhile): Error {
  return new Error(
    `${file} ends with entry ${seq}, and entries up to ${cut} were sealed since: it would have a gap. Move ${file} and ${file}.position away, and a new copy is begun behind them.`,
  );
}

function setBack(file: string, seq: string): Error {
  return new Error(
    `The database does not have entry ${seq} as ${file} has it: it was restored, or a failover lost it. Move ${file} and ${file}.position away, and a new copy is begun.`,
  );
}

/** The outcome of work with a file. @throws Error when its storage does not answer */
export async function inTime<T>(work: Promise<T>, file: string): Promise<T> {
  work.catch(() => undefined);
  const over = new AbortController();
  const silence = sleep(STORAGE_MS, undefined, { signal: over.signal, ref: false }).then(() => {
    throw new Error(`The storage of ${file} does not answer.`);
  });
  silence.catch(() => undefined);
  try {
    return await Promise.race([work, silence]);
  } finally {
    over.abort();
  }
}
