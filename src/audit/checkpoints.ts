import { Injectable, Logger } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyInstance } from 'fastify';
import { setTimeout as sleep } from 'node:timers/promises';
import { Config } from '../config/config.js';
import { appendCheckpoint } from './checkpoint-file.js';
import { checkpointKey, signCheckpoint, type SignedCheckpoint } from './checkpoint.js';
import { type CheckpointState, CheckpointsRepository } from './checkpoints.repository.js';

/** A checkpoint is due after this many rows, or this long after the last one if there are rows at all. */
const MAX_ROWS = 1_000;
const MAX_AGE_MS = 60_000;
const LOOK_EVERY_MS = 5_000;
/** A failure that lasts is said this often. */
const SAY_EVERY_MS = 60_000;
/** At shutdown the last checkpoint is waited for this long; the process must end also where it cannot be written. */
const MAX_CLOSE_MS = 4_000;

/**
 * Writes signed checkpoints of the chain to where the database cannot reach: the log, and the file that is
 * configured. Without them whoever owns the database could cut off the end of the trail unseen. Of several
 * replicas one writes at a time.
 */
@Injectable()
export class Checkpoints {
  private readonly key;
  private readonly logger = new Logger('Audit');
  private readonly watch = setInterval(() => {
    // One that takes long is not followed by a queue of others.
    if (this.looks === 0) void this.look(MAX_AGE_MS);
  }, LOOK_EVERY_MS).unref();
  private looking: Promise<void> = Promise.resolve();
  private looks = 0;
  private failures = 0;
  private saidAtMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly checkpoints: CheckpointsRepository,
    private readonly config: Config,
    private readonly host: HttpAdapterHost,
  ) {
    this.key = checkpointKey(config.auditKey);
  }

  /** Writes a checkpoint if there are rows it could cover and the last one is `maxAgeMs` old. Logs what fails. */
  look(maxAgeMs: number): Promise<void> {
    this.looks += 1;
    this.looking = this.looking.then(() => this.tryToWrite(maxAgeMs)).finally(() => (this.looks -= 1));
    return this.looking;
  }

  /** Covers what was recorded last, so that a stopped server leaves no tail that could be cut. */
  async close(): Promise<void> {
    clearInterval(this.watch);
    const late = new AbortController();
    await Promise.race([this.look(0), sleep(MAX_CLOSE_MS, undefined, { signal: late.signal }).catch(() => undefined)]);
    late.abort();
  }

  private async tryToWrite(maxAgeMs: number): Promise<void> {
    try {
      await this.writeIfDue(maxAgeMs);
      this.failures = 0;
    } catch (error) {
      this.complain(error as Error);
    }
  }

  /** Once an interval, with how often it failed meanwhile. */
  private complain({ message }: Error): void {
    this.failures += 1;
    const nowMs = performance.now();
    if (nowMs - this.saidAtMs < SAY_EVERY_MS) return;
    this.saidAtMs = nowMs;
    this.logger.error({ msg: 'no audit checkpoint could be written', failures: this.failures, cause: message });
  }

  private async writeIfDue(maxAgeMs: number): Promise<void> {
    if (!isDue(await this.checkpoints.findState(), maxAgeMs)) return;
    await this.checkpoints.exclusively(async (state) => {
      if (!isDue(state, maxAgeMs)) return null;
      const checkpoint = signCheckpoint(this.key, state.head);
      await this.publish(checkpoint);
      return checkpoint;
    });
  }

  private async publish(checkpoint: SignedCheckpoint): Promise<void> {
    if (this.config.auditCheckpointFile !== null) await appendCheckpoint(this.config.auditCheckpointFile, checkpoint);
    // At a level of its own: a quieter LOG_LEVEL must not lose the anchor.
    const { log } = this.host.httpAdapter.getInstance<FastifyInstance>();
    log.child({}, { level: 'info' }).info({ auditCheckpoint: checkpoint }, 'audit checkpoint');
  }
}

function isDue({ rowsSince, ageMs }: CheckpointState, maxAgeMs: number): boolean {
  return rowsSince >= MAX_ROWS || (rowsSince > 0 && (ageMs === null || ageMs >= maxAgeMs));
}
