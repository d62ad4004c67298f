import { access, constants, mkdir } from 'node:fs/promises';
import type { DataSource } from 'typeorm';
import { systemCaller } from '../../access/caller.js';
import { missingVersion } from '../../common/missing-version.js';
import type { Config } from '../../config/config.js';
import { ADVISORY_LOCKS } from '../../database/advisory-locks.js';
import { segmentsMayBegin } from '../../database/older-replicas.js';
import { SessionClient } from '../../database/session-client.js';
import { sessionConfigOf } from '../../database/session-config.js';
import { inTransaction, type OpenTransaction } from '../../database/transaction.js';
import { commitActs } from '../append.js';
import { ChainCheck } from '../chain-check.js';
import { CHANGE_CHANNEL } from '../changes.js';
import { checkpointPublicKeys } from '../checkpoint.js';
import { findKeyChanges } from '../head.js';
import type { KeySegment } from '../key-segments.js';
import { type Ask, segmentsBehind } from '../stretch.js';
import { snapshotOf } from './kept-entries.js';
import { allowedMonths, NOT_ALLOWED } from './allowed-months.js';
import { type CopiesOfTrail, copyThatLacks } from './copies-of-trail.js';
import { findCut, findSegments, type Place, SEAL_ACTION } from './sealed-cut.js';
import { requireThere, segmentShelf } from './segment-shelf.js';
import type { SignedSummary } from './segment-summary.js';
import { endOfEarlier, MAX_ENTRIES, writeSegment } from './write-segment.js';

/** Where segments go, and how many whole months before this one stay in the database. */
export interface SealTerms {
  readonly directory: string;
  readonly keepMonths: number;
  /** Entries of one segment. */
  readonly maxEntries?: number;
}

/** Where the owner of the schema keeps more months, so many are kept: `audit_seal_2` refuses what is younger. */
const SINCE = `(date_trunc('month', now() AT TIME ZONE 'UTC') - make_interval(months => greatest($1::int, (SELECT keep_months FROM audit_sealing)))) AT TIME ZONE 'UTC'`;
const SEEN = '(SELECT coalesce(max(seq), 0) FROM audit_checkpoint)';

/**
 * Up to where the trail behind $2 may be sealed, at most to $3: the entries before the first one of a kept month, as
 * far as a checkpoint has seen them. The database's clock may have been set back, so the first one in the order of
 * `seq` counts. No more is read than one segment may have.
 */
const DUE = `
  SELECT least(coalesce((SELECT e.seq FROM audit_event e WHERE e.seq > $2::bigint AND e.seq <= $3::bigint AND e.at >= ${SINCE}
                          ORDER BY e.seq LIMIT 1) - 1, $3::bigint),
               ${SEEN}) AS "upTo"`;

/** The newest entry that is older than the kept months, as far as a checkpoint has seen the trail. */
const NEWEST_DUE = `
  SELECT least((SELECT max(seq) FROM audit_event WHERE at = (SELECT max(at) FROM audit_event WHERE at < ${SINCE})),
               ${SEEN}) AS seq`;

/** Where the segment behind $1 ends: with its month, after $3 entries, or at $2. */
const END = `
  SELECT least($2::bigint, f.seq + $3::bigint - 1, (
           SELECT e.seq - 1 FROM audit_event e
            WHERE e.seq > f.seq AND e.seq <= least($2::bigint, f.seq + $3::bigint)
              AND e.at >= (date_trunc('month', f.at AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC'
            ORDER BY e.seq LIMIT 1)) AS "toSeq"
    FROM audit_event f WHERE f.seq = $1::bigint + 1`;

/** Of the transaction that removes the entries of a segment, in milliseconds. */
const MAX_CUT_MS = 60_000;
/** PostgreSQL hashes every entry that stays: of millions that takes longer than statements of the pool may. */
const BOUNDS = { lockMs: 2_000, idleMs: 30_000, statementMs: MAX_CUT_MS - 2_000 } as const;

/** Moves the older part of the trail of changes out of the database into sealed segments, one segment at a time. */
export class AuditSealer {
  private session: SessionClient | null = null;
  private hasEnded = false;
  /** The session whose transaction removes the entries of a segment. */
  private cutting: number | null = null;

  constructor(
    private readonly dataSource: DataSource,
    private readonly config: Pick<Config, 'auditKeys'> & Partial<CopiesOfTrail>,
    private readonly terms: SealTerms,
    /** Is told what entries that are due wait for. */
    private readonly onWait: (reason: string) => void = () => undefined,
  ) {}

  /** Gives up what is under way: the process ends, and the next one goes on with that segment. */
  end(): void {
    this.hasEnded = true;
    this.session?.destroy();
    if (this.cutting !== null)
      void this.dataSource.query('SELECT pg_cancel_backend($1)', [this.cutting]).catch(() => undefined);
  }

  /** How many entries wait to be sealed. */
  async due(): Promise<number> {
    const ask: Ask = (text, values) => this.dataSource.query(text, values);
    const { seq: after } = await findCut(this.dataSource.manager);
    const first = BigInt(after) + 1n;
    if (BigInt(await this.upTo(ask, after, first.toString())) < first) return 0;
    const [newest] = await ask<{ seq: string | null }>(NEWEST_DUE, [this.terms.keepMonths]);
    return Math.max(1, Number(BigInt(newest?.seq ?? 0) - BigInt(after)));
  }

  private async upTo(ask: Ask, after: string, atMost: string): Promise<string> {
    const [row] = await ask<{ upTo: string }>(DUE, [this.terms.keepMonths, after, atMost]);
    return row!.upTo;
  }

  /** Whether every replica of late knows sealed segments; before that, none is made. */
  mayBegin(): Promise<boolean> {
    return segmentsMayBegin(this.dataSource);
  }

  /** @throws Error where the owner of the schema has not allowed that entries are removed */
  private async requireAllowed(): Promise<void> {
    const allowed = await allowedMonths(this.dataSource.manager);
    if (allowed === null) throw new Error(NOT_ALLOWED);
    if (allowed > this.terms.keepMonths)
      this.onWait(
        `AUDIT_KEEP_MONTHS is ${this.terms.keepMonths} here, and was ${allowed} when the schema was brought up to date last: ${allowed} months stay`,
      );
  }

  /**
   * Seals what is due. One process at a time does; the others find nothing to do. Ended at any point, the next round
   * goes on: an entry is removed in the transaction that tells of its segment, after that was read back from the disk.
   */
  async sealAll(onSealed: (summary: SignedSummary) => void = () => undefined): Promise<void> {
    // Also where nothing is due: a directory that cannot be written is told of months before it is needed.
    await mkdir(this.terms.directory, { recursive: true });
    await access(this.terms.directory, constants.W_OK | constants.X_OK);
    await this.requireAllowed();
    if ((await this.due()) === 0 || !(await this.mayBegin())) return;
    const session = new SessionClient(sessionConfigOf(this.dataSource, 'audit-segments', 'reader'));
    this.session = session;
    try {
      await session.connect();
      const lock = 'SELECT pg_try_advisory_lock($1) AS taken';
      const { rows } = await session.query<{ taken: boolean }>(lock, [ADVISORY_LOCKS.auditSegments]);
      if (!rows[0]!.taken) return;
      const ask: Ask = async (text, values) => (await session.query(text, values)).rows as never;
      for (let summary = await this.sealNext(ask); summary !== null; summary = await this.sealNext(ask)) {
        onSealed(summary);
        if (this.hasEnded) return;
      }
      // A session that is only closed has it for a moment longer.
      await session.query('SELECT pg_advisory_unlock($1)', [ADVISORY_LOCKS.auditSegments]);
    } catch (error) {
      if (!this.hasEnded) throw error;
    } finally {
      session.destroy();
    }
  }

  private async sealNext(ask: Ask): Promise<SignedSummary | null> {
    const { directory, maxEntries = MAX_ENTRIES } = this.terms;
    const start = await findCut(this.dataSource.manager);
    const { seq: after } = start;
    const shelf = await segmentShelf(ask, this.config.auditKeys, directory);
    const earlier = await endOfEarlier(shelf, 'changes', (BigInt(after) + 1n).toString());
    const upTo = await this.upTo(ask, after, earlier ?? (BigInt(after) + BigInt(maxEntries)).toString());
    if (BigInt(upTo) <= BigInt(after)) return null;
    const newest = (await findSegments(this.dataSource.manager)).at(-1);
    if (newest !== undefined) await requireThere(directory, newest.summary as SignedSummary);
    const [planned] = await ask<{ toSeq: string }>(END, [after, upTo, maxEntries]);
    if (planned === undefined) throw new Error(`Entry ${BigInt(after) + 1n} of the audit trail is missing.`);
    const toSeq = earlier ?? planned.toSeq;
    // It was sealed under other settings, or by another clock: it waits until all of it is due.
    if (BigInt(toSeq) > BigInt(upTo)) {
      this.onWait(`the segment of ${directory} with the entries up to ${toSeq} is due up to ${upTo} alone`);
      return null;
    }
    const lacking = await copyThatLacks(this.dataSource.manager, this.config, toSeq);
    if (lacking !== null) {
      this.onWait(`${lacking} does not have the entries up to ${toSeq} yet`);
      return null;
    }
    const segments = await this.segments(start, toSeq);
    const newCheck = () => new ChainCheck(segments, [], start);
    const summary = await writeSegment(ask, shelf, { chain: 'changes', start, toSeq, newCheck });
    await this.cut(summary);
    return summary;
  }

  /** What signed the entries of a segment. @throws where a version is not configured: they could not be checked */
  private async segments(start: Place, toSeq: string): Promise<readonly KeySegment[]> {
    const { auditKeys } = this.config;
    const { keyChanges, version } = await findKeyChanges(this.dataSource.manager, start.seq, toSeq);
    const behind = segmentsBehind(start, auditKeys, checkpointPublicKeys(auditKeys), keyChanges, version);
    if (!('segments' in behind)) throw new Error(`Entry ${behind.seq} cannot be sealed. ${behind.reason}`);
    const unknown = keyChanges.find(({ from }) => auditKeys.every((key) => key.version !== from));
    if (unknown !== undefined) throw missingVersion('AUDIT_KEY', unknown.from);
    return behind.segments;
  }

  /** Removes the entries of a segment, and tells of it in the trail: both or neither. */
  private async cut(summary: SignedSummary): Promise<void> {
    const bounds = { ...BOUNDS, deadlineMs: performance.now() + MAX_CUT_MS };
    const work = async (tx: OpenTransaction) => {
      const [session] = await tx.manager.query<{ pid: number }[]>('SELECT pg_backend_pid() AS pid');
      this.cutting = session!.pid;
      if (this.hasEnded) throw new Error('The process ends.');
      const { fromSeq, toSeq, hash, entries, file, sha256 } = summary;
      await tx.manager.query('SELECT audit_seal_2($1, $2, $3)', [
        toSeq,
        Buffer.from(hash, 'hex'),
        JSON.stringify(summary),
      ]);
      const kept = await snapshotOf(tx.manager);
      const details = {
        fromSeq,
        toSeq,
        hash,
        entries,
        file,
        sha256,
        keptEntries: kept.entries,
        keptSha256: kept.sha256,
      };
      const entry = { resourceType: 'audit-event', resourceId: null, details };
      await commitActs(tx, this.config.auditKeys, [{ caller: systemCaller(SEAL_ACTION), entry }], CHANGE_CHANNEL);
      this.cutting = null;
    };
    await inTransaction(this.dataSource, bounds, work).finally(() => (this.cutting = null));
  }
}
