import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { Conditions } from '../common/conditions.js';
import { Metrics } from '../common/metrics.js';
import { onMissingVersion } from '../common/missing-version.js';
import { Config } from '../config/config.js';
import { SECRET_NAMES } from '../config/generated-secrets.js';
import { InstallationRepository, nameOf } from './installation.repository.js';
import { Periodic } from '../common/periodic.js';

const LOOK_EVERY_MS = 30_000;

const LACKING = 'Another replica has a version of a secret that this one lacks: restart this replica with it.';

/**
 * Notices versions of secrets that another replica has brought and this one lacks. They may not sign yet, so it goes on
 * and tells: once for each version in the log, and as metrics.
 */
@Injectable()
export class SecretWatch implements OnApplicationBootstrap, OnModuleDestroy {
  /** Names of versions that were there at the first look, or were told of; null: before the first look. */
  private known: Set<string> | null = null;
  private readonly stopCounting: () => void;
  private readonly logger = new Logger('Secrets');
  private lacking = 0;
  private readonly looks = new Periodic(LOOK_EVERY_MS, () => this.look());

  constructor(
    private readonly manager: EntityManager,
    private readonly config: Config,
    meters: Metrics,
    conditions: Conditions,
  ) {
    const missed = meters.counter(
      'latchkey_missing_secret_versions_total',
      'Times this process met something made with a version of a secret that it lacks.',
      ['variable'],
    );
    // From the start, so that the first one is an increase to Prometheus.
    for (const variable of SECRET_NAMES) missed.inc({ variable }, 0);
    this.stopCounting = onMissingVersion((variable) => missed.inc({ variable }));
    meters.gauge(
      'latchkey_lacking_secret_versions',
      'Versions of secrets that other replicas have brought since this process started, and that it lacks.',
      () => this.lacking,
    );
    conditions.register(
      'secrets',
      'this replica has every version of a secret that others have',
      () => (this.lacking === 0 ? null : LACKING),
      'warn',
    );
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.look();
    this.looks.start();
  }

  /** Returns when no statement of ours is under way any more. */
  async onModuleDestroy(): Promise<void> {
    this.stopCounting();
    await this.looks.stop();
  }

  /** Looks for versions that are new since the start. A failure waits for the next time. */
  async look(): Promise<void> {
    const recorded = await new InstallationRepository(this.manager).findFingerprints().catch(() => null);
    if (recorded === null) return;
    this.known ??= new Set(recorded.map(nameOf));
    for (const one of recorded) {
      const { variable, version } = one;
      if (this.known.has(nameOf(one)) || this.config.secrets[variable].some((key) => key.version === version)) continue;
      this.known.add(nameOf(one));
      this.lacking += 1;
      const cause = `Another replica has brought ${nameOf(one)}, which this one lacks: add it here before it is put first anywhere.`;
      this.logger.warn({ msg: 'another replica has a secret that this one lacks', variable, version, cause });
    }
  }
}
