import {
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
  type OnModuleInit,
} from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { type Binding, importedBinding, isSameBinding, passwordBinding } from '../../access/credential-binding.js';
import { systemCaller } from '../../access/caller.js';
import { Changes } from '../../audit/changes.js';
import { Metrics } from '../../common/metrics.js';
import { missingVersion } from '../../common/missing-version.js';
import { RepeatedLog } from '../../common/repeated-log.js';
import { Config } from '../../config/config.js';
import { hasOlderReplicas } from '../../database/older-replicas.js';
import { BIND_ACTION, hasBoundAll } from './bind-action.js';
import { BindingsRepository } from './bindings.repository.js';
import { Periodic } from '../../common/periodic.js';

const LOOK_EVERY_MS = 30_000;
/** While secrets are changed, replicas have another first pepper each: they must not bind anew in turns. */
const RENEW_EVERY_MS = 3_600_000;

/** What can be refused for want of a binding. */
const KINDS = ['password', 'imported-secret'] as const;

const UNBOUND =
  'A credential was refused: nothing of this installation has bound it to its row, so it was written past Latchkey, or by ' +
  'the release before. docs/operations.md, "Rows that differ from the trail".';

/** A secret of another system, as it is stored. */
export interface ImportedSecret {
  readonly keyId: string;
  readonly kid: string;
  readonly mac: Buffer;
  readonly pepperVersion: string;
  readonly binding: Buffer | null;
}

/**
 * Decides whether a stored credential is the one that this installation gave to its row. What the release before has
 * stored is bound in the background; when all of it is, and no replica of that release is alive, an entry of the trail
 * says so, and from then on nothing without a binding is accepted.
 *
 * @see docs/adr/0026-credentials-are-bound-to-their-rows.md
 */
@Injectable()
export class CredentialBindings implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy {
  /** Until the trail was read nothing without a binding is accepted. */
  private isClosed = true;
  private renewedAtMs = Number.NEGATIVE_INFINITY;
  private readonly looks = new Periodic(LOOK_EVERY_MS, () => this.look());
  private readonly logger = new Logger('Credentials');
  private readonly lines = new RepeatedLog((fields) => this.logger.error(fields));
  private readonly refused: ReturnType<Metrics['counter']>;

  constructor(
    private readonly manager: EntityManager,
    private readonly changes: Changes,
    private readonly config: Config,
    meters: Metrics,
  ) {
    this.refused = meters.counter(
      'latchkey_unbound_credentials_total',
      'Credentials that were right and refused all the same, because nothing binds them to their row.',
      ['kind'],
    );
    // From the start, so that the first one is an increase to Prometheus.
    for (const kind of KINDS) this.refused.inc({ kind }, 0);
  }

  async onModuleInit(): Promise<void> {
    this.isClosed = await hasBoundAll(this.manager);
  }

  onApplicationBootstrap(): void {
    void this.looks.start().run();
  }

  /** Returns when no statement of ours is under way any more. */
  async onModuleDestroy(): Promise<void> {
    await this.looks.stop();
    this.lines.flush();
  }

  /**
   * Whether a password hash is that of its user. @throws DomainError 503 where this replica lacks the pepper that bound
   * it
   */
  isPasswordOf(userId: string, hash: string, binding: Binding | null): boolean {
    if (binding === null) return !this.isClosed;
    return isSameBinding(binding.mac, passwordBinding(this.pepper(binding.version), userId, hash)) || !this.isClosed;
  }

  /** Whether an imported secret is that of its key. @throws DomainError 503 as `isPasswordOf` */
  isSecretOf({ keyId, kid, mac, pepperVersion, binding }: ImportedSecret): boolean {
    if (binding === null) return !this.isClosed;
    return isSameBinding(binding, importedBinding(this.pepper(pepperVersion), keyId, kid, mac)) || !this.isClosed;
  }

  /** Counts and tells that a credential was right and is refused. `id`: of the user or key. */
  noteRefused(kind: (typeof KINDS)[number], id: string): void {
    this.refused.inc({ kind });
    this.lines.add(kind, { msg: UNBOUND, kind, id });
  }

  /** Binds what is not bound, and closes when nothing is left. A failure waits for the next time. */
  async look(): Promise<void> {
    try {
      const bindings = new BindingsRepository(this.manager);
      this.isClosed = await hasBoundAll(this.manager);
      if (!this.isClosed) await this.bind(bindings);
      await this.renew(bindings);
    } catch (error) {
      this.logger.warn({ msg: 'credentials were not bound; it is tried again', cause: (error as Error).message });
    }
  }

  private async bind(bindings: BindingsRepository): Promise<void> {
    const { passwords, importedSecrets } = await bindings.bindUnbound(this.config.peppers);
    if (passwords + importedSecrets > 0)
      this.logger.log(`Bound to their rows: ${passwords} passwords, ${importedSecrets} imported secrets.`);
    // What it stores has no binding.
    if (await hasOlderReplicas(this.manager)) return;
    await this.changes.transaction(systemCaller(BIND_ACTION), async ({ tx, record }) => {
      const inside = new BindingsRepository(tx);
      const left = await inside.countUnbound(this.config.peppers);
      if (left.passwords + left.importedSecrets > 0 || (await hasBoundAll(tx))) return;
      record({ resourceType: 'system', resourceId: null });
    });
    this.isClosed = await hasBoundAll(this.manager);
    if (this.isClosed)
      this.logger.log(
        'All passwords and imported secrets are bound to their rows: none without a binding is accepted from now on.',
      );
  }

  private async renew(bindings: BindingsRepository): Promise<void> {
    if (performance.now() - this.renewedAtMs < RENEW_EVERY_MS) return;
    const renewed = await bindings.renewPasswords(this.config.peppers);
    this.renewedAtMs = performance.now();
    if (renewed > 0)
      this.logger.log(
        `Bound ${renewed} passwords anew, with API_KEY_PEPPERS version ${this.config.peppers[0]!.version}.`,
      );
  }

  private pepper(version: string): Buffer {
    const found = this.config.peppers.find((pepper) => pepper.version === version);
    if (found === undefined) throw missingVersion('API_KEY_PEPPERS', version);
    return found.key;
  }
}
