import type { KeyObject } from 'node:crypto';
import { Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { DataSource, type EntityManager } from 'typeorm';
import { ChainAlarm } from '../audit/chain-alarm.js';
import { type Anchor, ChainCheck } from '../audit/chain-check.js';
import { openChangeLine, signChangeLine } from '../audit/change-line.js';
import { appendCheckpoint } from '../audit/checkpoint-file.js';
import { newestLine } from '../audit/checkpoint-tail.js';
import { checkpointKey, checkpointPublicKeys } from '../audit/checkpoint.js';
import { findKeyChanges, readHead } from '../audit/head.js';
import { findRestores, givenUpBy } from '../audit/restores.js';
import { findCut } from '../audit/segments/sealed-cut.js';
import { type Ask, checkStretch, type Place, segmentsBehind } from '../audit/stretch.js';
import { Attempts } from '../common/attempts.js';
import { Conditions } from '../common/conditions.js';
import { missingVersion } from '../common/missing-version.js';
import { RepeatedLog } from '../common/repeated-log.js';
import { Config } from '../config/config.js';
import { readChanges } from './recorded-changes.js';
import { Periodic } from '../common/periodic.js';

/** A change is in the checkpoint file this long after its commit, in milliseconds; so much can be lost unseen. */
const LOOK_EVERY_MS = 1_000;
/**
 * A line without changes says this often that there are none, so that a reader can tell that from a line that is
 * missing.
 */
const SAY_NOTHING_EVERY_MS = 60_000;
/** How many entries back a file begins that has no line of ours yet. */
const FIRST_ENTRIES = 10_000n;
/** How long the end of a process waits for the last line, in milliseconds. */
const MAX_CLOSE_MS = 2_000;
/** A failure that lasts is said this often. */
const SAY_EVERY_MS = 60_000;

const NOT_WRITTEN =
  'Changes of keys, users and roles cannot be written to the checkpoint file: a restore would not know what was revoked since.';

/**
 * Keeps the changes of keys, users and roles in the checkpoint file, so that what a restored database does not know any
 * more can be done again. Every replica writes into its own file all that the file does not have yet, whichever
 * replica made the change; on one shared file, the others find it written. Without a file it does nothing.
 */
@Injectable()
export class ChangeLog implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('Audit');
  private readonly publicKeys;
  private readonly watch = new Periodic(LOOK_EVERY_MS, () => this.look());
  private looking: Promise<void> = Promise.resolve();
  /** Up to here the trail was read, and the changes it had are in the file; null: not yet known. */
  private seenUpTo: string | null = null;
  /** Where the last line ends. */
  private writtenUpTo: string | null = null;
  /** The last line of this process: a pipe cannot be asked for what is in it. */
  private written: { readonly anchor: Anchor } | null = null;
  private writtenAtMs = Number.NEGATIVE_INFINITY;
  private readonly failures = new RepeatedLog((fields) => this.logger.error(fields), 1, SAY_EVERY_MS);
  private readonly attempts = new Attempts();

  constructor(
    private readonly dataSource: DataSource,
    private readonly config: Config,
    private readonly alarm: ChainAlarm,
    conditions: Conditions,
  ) {
    conditions.register('changeLog', 'changes are written to the checkpoint file, if there is one', () =>
      this.attempts.areFailing ? NOT_WRITTEN : null,
    );
    this.publicKeys = checkpointPublicKeys(config.auditKeys);
  }

  onApplicationBootstrap(): void {
    if (this.config.auditCheckpointFile === null) return;
    this.watch.start();
  }

  async onApplicationShutdown(): Promise<void> {
    if (this.config.auditCheckpointFile === null) return;
    void this.watch.stop();
    await Promise.race([this.look(), new Promise((resolve) => setTimeout(resolve, MAX_CLOSE_MS).unref())]);
  }

  /** Writes what the file does not have yet. A failure is logged once a minute, and tried again each second. */
  look(): Promise<void> {
    this.looking = this.looking.then(() => this.tryToWrite(this.config.auditCheckpointFile!));
    return this.looking;
  }

  private async tryToWrite(file: string): Promise<void> {
    try {
      await this.attempts.run(() => this.write(file));
    } catch (error) {
      this.failures.add('changes', {
        msg: 'changes could not be written to the checkpoint file',
        cause: (error as Error).message,
      });
    }
  }

  private async write(file: string): Promise<void> {
    const { manager } = this.dataSource;
    this.seenUpTo ??= this.writtenUpTo = await this.beginning(file);
    const news = await readChanges(manager, this.seenUpTo);
    if (news.changes.length === 0) {
      this.seenUpTo = news.anchor.seq;
      if (this.seenUpTo === this.writtenUpTo || performance.now() - this.writtenAtMs < SAY_NOTHING_EVERY_MS) return;
    }
    // From where the file ends, which may be further on, by another replica's hand, or further back, if it was rotated.
    let after = await this.beginning(file);
    for (let isAll = false; !isAll;) {
      const found = await readChanges(manager, after);
      const { anchor, changes, signedBy } = found;
      const key = this.keyOf(signedBy);
      if (anchor.seq !== after && key !== null) {
        await this.requireSound(manager, after, anchor);
        // Another replica may have written meanwhile.
        const end = await this.beginning(file);
        if (end !== after) {
          after = end;
          continue;
        }
        await appendCheckpoint(file, signChangeLine(key, { anchor, after, changes }));
      }
      ({ isAll } = found);
      this.written = { anchor };
      this.seenUpTo = this.writtenUpTo = after = anchor.seq;
    }
    this.writtenAtMs = performance.now();
  }

  /** The line vouches for what it lists: that must be of Latchkey. @throws Error naming the first entry that is not */
  private async requireSound(manager: EntityManager, after: string, anchor: Anchor): Promise<void> {
    const place = await placeAt(manager, after);
    const ask: Ask = (text, values) => manager.query(text, values);
    const { keyChanges, version } = await findKeyChanges(manager, place.seq, anchor.seq);
    const behind = segmentsBehind(place, this.config.auditKeys, this.publicKeys, keyChanges, version);
    const broken =
      'segments' in behind
        ? (
            await checkStretch(
              ask,
              new ChainCheck(behind.segments, [], behind.start),
              'audit_event',
              behind.start,
              anchor,
              Infinity,
            )
          ).broken
        : behind;
    this.alarm.tell('changes', broken && { ...broken, chain: 'changes' });
    if (broken !== null)
      throw new Error(`Entry ${broken.seq} of the audit trail: ${broken.reason} Run npm run audit:verify.`);
  }

  /**
   * Null, and said in the log, where the version has ended and is not configured any more: the file has a gap there.
   */
  private keyOf(version: string): KeyObject | null {
    const found = this.config.auditKeys.find((key) => key.version === version);
    if (found === undefined) missingVersion('AUDIT_KEY', version);
    return found === undefined ? null : checkpointKey(found.key);
  }

  /** The entry up to which the file has all changes. */
  private async beginning(file: string): Promise<string> {
    const { manager } = this.dataSource;
    // Before the head: it must not be older than what it is held against.
    const newest = await newestLine<{ readonly anchor: Anchor }>(
      file,
      (claim) => openChangeLine(this.publicKeys, claim),
      this.written,
    );
    const head = await readHead(manager);
    const { seq: cut } = await findCut(manager);
    if (newest === null) {
      const first = BigInt(head.seq) - FIRST_ENTRIES;
      return (first > BigInt(cut) ? first : BigInt(cut)).toString();
    }
    // What lies before is in sealed segments, and in checkpoint files of its time.
    if (BigInt(newest.anchor.seq) < BigInt(cut)) return cut;
    const restore = givenUpBy(newest.anchor, await findRestores(manager));
    if (restore !== null) return restore.afterSeq;
    if (BigInt(newest.anchor.seq) > BigInt(head.seq)) {
      throw new Error(
        `The file ends with entry ${newest.anchor.seq} and the database with entry ${head.seq}: it was restored. Run npm run restore -- --after.`,
      );
    }
    if (!(await isInTrail(manager, newest.anchor))) {
      throw new Error(
        `The database has another entry ${newest.anchor.seq} than the file: it was restored, or a failover lost what the file has. Run npm run restore -- --after.`,
      );
    }
    return newest.anchor.seq;
  }
}

/** The entry that a line goes on from. Where the file has a line already, that names the same hash. */
async function placeAt(manager: EntityManager, seq: string): Promise<Place> {
  const [row] = await manager.query<Place[]>('SELECT seq, hash FROM audit_event WHERE seq = $1', [seq]);
  return row ?? findCut(manager);
}

/** Whether the trail goes through the place that a line names. Its head is behind that place. */
async function isInTrail(manager: EntityManager, { seq, hash }: Anchor): Promise<boolean> {
  const [row] = await manager.query<{ hash: Buffer }[]>('SELECT hash FROM audit_event WHERE seq = $1', [seq]);
  return row?.hash.equals(hash) ?? seq === '0';
}
