import { Injectable, Logger } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyInstance } from 'fastify';
import type { KeyObject } from 'node:crypto';
import { Attempts } from '../common/attempts.js';
import { Conditions } from '../common/conditions.js';
import { Metrics } from '../common/metrics.js';
import { missingVersion } from '../common/missing-version.js';
import { RepeatedLog } from '../common/repeated-log.js';
import { setTimeout as sleep } from 'node:timers/promises';
import { Config } from '../config/config.js';
import { appendCheckpoint, type CheckpointLine } from './checkpoint-file.js';
import { type CheckpointPublicKey, checkpointKey, checkpointPublicKeys, signCheckpoint } from './checkpoint.js';
import { type CheckpointState, CheckpointsRepository } from './checkpoints.repository.js';
import { ChainAlarm } from './chain-alarm.js';
import type { Anchor } from './chain-check.js';
import { signReadCheckpoint } from './reads/read-checkpoint.js';
import { checkUnsigned } from './unsigned-entries.js';
import { Periodic } from '../common/periodic.js';

/** A checkpoint is due after this many rows, or this long after the last one if there are rows at all. */
const MAX_ROWS = 1_000;
const MAX_AGE_MS = 60_000;
const LOOK_EVERY_MS = 5_000;
/** A failure that lasts is said this often. */
const SAY_EVERY_MS = 60_000;
/** At shutdown the last checkpoint is waited for this long; the process must end also where it cannot be written. */
const MAX_CLOSE_MS = 4_000;

const NOT_WRITTEN =
  'Checkpoints of the audit trail cannot be written: the end of it is not anchored outside of the database.';

/**
 * Writes signed checkpoints of the chain to where the database cannot reach: the log, and the file that is
 * configured. Without them the owner of the database could cut off the end of the trail unseen. What a checkpoint
 * vouches for is checked before: a break is told, and nothing is signed over it. Of several replicas one writes at a
 * time.
 */
@Injectable()
export class Checkpoints {
  private readonly logger = new Logger('Audit');
  private readonly failures = new RepeatedLog((fields) => this.logger.error(fields), 1, SAY_EVERY_MS);
  private readonly watch = new Periodic(LOOK_EVERY_MS, () => this.look(MAX_AGE_MS)).start();
  private readonly publicKeys: readonly CheckpointPublicKey[];
  private looking: Promise<void> = Promise.resolve();
  private readonly attempts = new Attempts();
  /** When the last checkpoint was signed, monotonic; before the first: when this process began to look. */
  private lastAtMs = performance.now();

  constructor(
    private readonly checkpoints: CheckpointsRepository,
    private readonly config: Config,
    private readonly host: HttpAdapterHost,
    private readonly alarm: ChainAlarm,
    meters: Metrics,
    conditions: Conditions,
  ) {
    this.publicKeys = checkpointPublicKeys(config.auditKeys);
    meters.gauge(
      'latchkey_audit_checkpoint_age_seconds',
      'Age of the last checkpoint of the audit trail, by any replica.',
      () => (performance.now() - this.lastAtMs) / 1000,
    );
    conditions.register('checkpoints', 'checkpoints of the audit trail are written', () =>
      this.attempts.areFailing ? NOT_WRITTEN : null,
    );
  }

  /** Writes a checkpoint if there are rows it could cover and the last one is `maxAgeMs` old. Logs what fails. */
  look(maxAgeMs: number): Promise<void> {
    this.looking = this.looking.then(() => this.tryToWrite(maxAgeMs));
    return this.looking;
  }

  /** Covers what was recorded last, so that a stopped server leaves no tail that could be cut. */
  async close(): Promise<void> {
    void this.watch.stop();
    const late = new AbortController();
    await Promise.race([this.look(0), sleep(MAX_CLOSE_MS, undefined, { signal: late.signal }).catch(() => undefined)]);
    late.abort();
  }

  private async tryToWrite(maxAgeMs: number): Promise<void> {
    try {
      await this.attempts.run(() => this.writeIfDue(maxAgeMs));
    } catch (error) {
      this.failures.add('checkpoint', { msg: 'no audit checkpoint could be written', cause: (error as Error).message });
    }
  }

  private async writeIfDue(maxAgeMs: number): Promise<void> {
    const found = await this.checkpoints.findState();
    if (found.ageMs !== null) this.lastAtMs = performance.now() - found.ageMs;
    if (!isAnyDue(found, maxAgeMs)) return;
    await this.checkpoints.exclusively(async (state, ask) => {
      const none = { changes: null, reads: null };
      if (!isAnyDue(state, maxAgeMs)) return none;
      const sound = await checkUnsigned(state, this.config.auditKeys, this.publicKeys, ask);
      this.alarm.tell('checkpoints', 'reason' in sound ? sound : null);
      if ('reason' in sound) return none;
      const key = this.keyOf(sound.version);
      // Where one is due, both that have moved are signed: they are of one instant.
      const changes = state.rowsSince === 0 ? null : signCheckpoint(key, sound.head);
      const reads =
        sound.reads === null || state.reads.rowsSince === 0
          ? null
          : signReadCheckpoint(key, state.head.at, placeOf(sound.reads), placeOf(sound.head));
      const keyChanges = state.keyChanges.filter(({ seq }) => BigInt(seq) <= BigInt(sound.head.seq));
      await this.publish([...keyChanges, ...[changes, reads].filter((line) => line !== null)]);
      this.lastAtMs = performance.now();
      return { changes, reads };
    });
  }

  /** A version that has ended signs nothing more: who checks the trail would take it for forged. */
  private keyOf(version: string): KeyObject {
    const found = this.config.auditKeys.find((key) => key.version === version);
    if (found === undefined) throw missingVersion('AUDIT_KEY', version);
    return checkpointKey(found.key);
  }

  private async publish(lines: readonly CheckpointLine[]): Promise<void> {
    if (this.config.auditCheckpointFile !== null) await appendCheckpoint(this.config.auditCheckpointFile, ...lines);
    // At a level of its own: a quieter LOG_LEVEL must not lose the anchor.
    const { log } = this.host.httpAdapter.getInstance<FastifyInstance>();
    for (const line of lines) log.child({}, { level: 'info' }).info({ auditCheckpoint: line }, 'audit checkpoint');
  }
}

function isAnyDue(state: CheckpointState, maxAgeMs: number): boolean {
  return isDue(state, maxAgeMs) || isDue(state.reads, maxAgeMs);
}

function placeOf({ seq, hash }: Anchor): { seq: string; hash: string } {
  return { seq, hash: hash.toString('hex') };
}

function isDue({ rowsSince, ageMs }: Pick<CheckpointState, 'rowsSince' | 'ageMs'>, maxAgeMs: number): boolean {
  return rowsSince >= MAX_ROWS || (rowsSince > 0 && (ageMs === null || ageMs >= maxAgeMs));
}
