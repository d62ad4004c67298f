import { Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { Attempts } from '../../common/attempts.js';
import { Conditions } from '../../common/conditions.js';
import { Metrics } from '../../common/metrics.js';
import { Periodic } from '../../common/periodic.js';
import { RepeatedLog } from '../../common/repeated-log.js';
import type { AuditSyslogConfig } from '../../config/audit-syslog.js';
import { Config } from '../../config/config.js';
import { AuditEventsRepository } from '../audit-events.repository.js';
import { addWhatLacks } from '../copies/copy-round.js';
import { CopyTurn } from '../copies/copy-turn.js';
import { type CopiedUpTo, SealedMeanwhile, SetBack, UncopiedEntries } from '../copies/uncopied-entries.js';
import { deliver, MAX_DELIVER_MS } from './deliver.js';
import { syslogMessage } from './syslog-message.js';
import { noteTaken, placeOfReceiver } from './syslog-place.js';

/** An entry is sent this long after its commit at the latest, while the receiver takes what came before. */
const LOOK_EVERY_MS = 1_000;
/** What is in memory of the trail. */
const MAX_BATCH_BYTES = 512 * 1024;
const MAX_ROWS = 500;
/** A batch that takes longer makes the next ones smaller, one that does not makes them greater. */
const LONG_MS = 1_000;
/** A replica that is frozen keeps the others from sending for no longer. */
const MAX_HOLD_MS = MAX_DELIVER_MS + 4_000;
/** How long the end of a process waits for the last batch. */
const MAX_CLOSE_MS = 2_000;
const SAY_EVERY_MS = 60_000;

const NOT_SENT =
  'The audit trail cannot be sent to AUDIT_SYSLOG_URL: the receiver is behind, and gets the rest when it takes it.';

/**
 * Sends both chains of the audit trail to a receiver of syslog, in order. One replica sends at a time. What a receiver
 * has taken is noted in the database; where it is not known whether it has taken a batch, it is sent again.
 *
 * @see docs/adr/0042-syslog-is-delivered-by-the-end-of-a-connection.md
 */
@Injectable()
export class AuditSyslog implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('Audit');
  private readonly attempts = new Attempts();
  private readonly failures = new RepeatedLog((fields) => this.logger.error(fields), 1, SAY_EVERY_MS);
  private readonly looks = new Periodic(LOOK_EVERY_MS, () => this.look());
  private readonly uncopied: UncopiedEntries;
  private readonly turn: CopyTurn;
  private readonly sent;
  private looking: Promise<void> = Promise.resolve();
  private behind = 0;
  private rows = MAX_ROWS;

  constructor(
    private readonly dataSource: DataSource,
    events: AuditEventsRepository,
    private readonly config: Config,
    meters: Metrics,
    conditions: Conditions,
  ) {
    this.uncopied = new UncopiedEntries(events);
    this.turn = new CopyTurn(dataSource, 'auditSyslog', MAX_HOLD_MS);
    conditions.register('auditSyslog', 'the audit trail is sent to AUDIT_SYSLOG_URL, if it is set', () =>
      this.attempts.areFailing ? NOT_SENT : null,
    );
    meters.gauge(
      'latchkey_audit_syslog_behind',
      'Entries of the audit trail that the receiver of AUDIT_SYSLOG_URL lacked when this replica looked last.',
      () => this.behind,
    );
    this.sent = meters.counter(
      'latchkey_audit_syslog_events_total',
      'Entries of the audit trail that the receiver of AUDIT_SYSLOG_URL has taken from this replica.',
    );
  }

  onApplicationBootstrap(): void {
    if (this.config.auditSyslog !== null) this.looks.start();
  }

  async onApplicationShutdown(): Promise<void> {
    if (this.config.auditSyslog === null) return;
    void this.looks.stop();
    await Promise.race([this.look().then(() => this.turn.end()), sleep(MAX_CLOSE_MS, undefined, { ref: false })]);
  }

  /** Sends what the receiver does not have yet. A failure is logged once a minute, and tried again each second. */
  look(): Promise<void> {
    const receiver = this.config.auditSyslog!;
    this.looking = this.looking
      .then(() => this.send(receiver))
      .catch((error: Error) =>
        this.failures.add('syslog', { msg: 'the audit trail could not be sent as syslog', cause: error.message }),
      );
    return this.looking;
  }

  private async send(receiver: AuditSyslogConfig): Promise<void> {
    const name = nameOf(receiver);
    const copy = {
      lacking: async () => this.lacking(name, await placeOfReceiver(this.dataSource.manager, name)),
      addBatch: () => this.goOn(receiver, name),
    };
    await addWhatLacks(copy, this.turn, this.attempts);
  }

  /** Sends the next batch; false: nothing was sent, or another replica has sent. */
  private async goOn(receiver: AuditSyslogConfig, name: string): Promise<boolean> {
    const { manager } = this.dataSource;
    const place = await placeOfReceiver(manager, name);
    const limits = { maxBytes: MAX_BATCH_BYTES, maxRows: this.rows, bytesOf: ({ length }: Buffer) => length };
    const batch = await this.uncopied.next(place, syslogMessage, limits).catch((error: Error) => {
      throw error instanceof SealedMeanwhile ? sealedMeanwhile(name, error) : error;
    });
    if (batch.length === 0) return false;
    await this.deliver(receiver, Buffer.concat(batch.map(({ formatted }) => formatted)));
    const next = { ...place };
    for (const { table, event } of batch) next[table] = { seq: event.record.seq };
    if (!(await noteTaken(manager, name, place, next))) return false;
    this.sent.inc(batch.length);
    await this.lacking(name, next);
    return true;
  }

  /** A receiver that is slow gets less with one connection, so that each of them ends in time. */
  private async deliver(receiver: AuditSyslogConfig, messages: Buffer): Promise<void> {
    const beganMs = performance.now();
    try {
      await deliver(receiver, messages);
    } finally {
      const isLong = performance.now() - beganMs > LONG_MS;
      this.rows = isLong ? Math.max(1, this.rows >> 1) : Math.min(MAX_ROWS, this.rows * 2);
    }
  }

  /** How many entries a receiver lacks. @throws Error where the trail ends before what it has */
  private async lacking(name: string, place: CopiedUpTo): Promise<number> {
    try {
      return (this.behind = await this.uncopied.count(place));
    } catch (error) {
      if (!(error instanceof SetBack)) throw error;
      throw new Error(
        `The database does not have entry ${error.seq}, which ${name} was sent. Where the trail was set back, delete the row of ${name} in audit_syslog: it is then sent whole.`,
        { cause: error },
      );
    }
  }
}

function sealedMeanwhile(name: string, { seq, cut }: SealedMeanwhile): Error {
  return new Error(
    `${name} has the trail up to entry ${seq}, and entries up to ${cut} were sealed since: it would have a gap. Give it these from the segments in AUDIT_ARCHIVE_DIR, set changes_seq of its row in audit_syslog to ${cut}, and it goes on behind them.`,
  );
}

/** How the database knows a receiver: another one begins with the first entry. */
export function nameOf({ host, port }: AuditSyslogConfig): string {
  return `${host}:${port}`;
}
