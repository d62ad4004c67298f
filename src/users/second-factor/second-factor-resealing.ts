import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import { Config } from '../../config/config.js';
import { openSecret, sealSecret } from './factor-secret.js';
import { SecondFactorRepository } from './second-factor.repository.js';

/** After a pass that failed. */
const RETRY_MS = 60_000;

const BEFORE_ALL = '00000000-0000-0000-0000-000000000000';

/**
 * Seals the secrets of second factors under the pepper that signs now, once after each start, so that an old version of
 * API_KEY_PEPPERS is not needed for ever by people who never sign in. Only after a start: while replicas are restarted
 * one by one, two that sign with different versions would undo each other's work.
 */
@Injectable()
export class SecondFactorResealing implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger('SecondFactor');
  private readonly ended = new AbortController();
  private running: Promise<void> = Promise.resolve();

  constructor(
    private readonly factors: SecondFactorRepository,
    private readonly config: Config,
  ) {}

  onApplicationBootstrap(): void {
    this.running = this.untilDone();
  }

  /** Returns when no statement of ours is under way any more. */
  async onModuleDestroy(): Promise<void> {
    this.ended.abort();
    await this.running;
  }

  /** One pass over all secrets that another version seals, in slices. */
  async reseal(): Promise<void> {
    const { peppers } = this.config;
    let after = BEFORE_ALL;
    while (!this.ended.signal.aborted) {
      const found = await this.factors.findSealedByOthers(peppers[0]!.version, after);
      for (const sealed of found) {
        const secret = openSecret(peppers, sealed, sealed);
        if (secret !== null)
          await this.factors.reseal(sealed.userId, sealed.sealedSecret, sealSecret(peppers, sealed, secret));
      }
      const last = found.at(-1);
      if (last === undefined) return;
      after = last.userId;
    }
  }

  private async untilDone(): Promise<void> {
    while (!this.ended.signal.aborted) {
      try {
        return await this.reseal();
      } catch (error) {
        const cause = error instanceof Error ? error.message : 'unknown';
        this.logger.warn({
          msg: 'secrets of second factors could not be sealed under the new pepper; tried again in a minute',
          cause,
        });
        await sleep(RETRY_MS, undefined, { signal: this.ended.signal, ref: false }).catch(() => undefined);
      }
    }
  }
}
