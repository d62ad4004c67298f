import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { EffectiveRights } from '../../access/effective-rights.js';
import type { KnownCaller } from '../../access/caller.js';
import { GrantsReader, type UserGrants, grantsOfKey } from '../../access/grants.reader.js';
import type { Change } from '../../audit/changes.js';
import { Clock } from '../../common/clock.js';
import { inTurn } from '../../common/in-turn.js';
import { DomainError } from '../../common/domain-error.js';
import { Config } from '../../config/config.js';
import { ApiKey } from '../api-key.entity.js';
import { apiKeyLimitReached } from '../api-key.errors.js';
import { ApiKeysRepository } from '../api-keys.repository.js';
import { moveAll, revokeAll } from './keys-at-once.js';
import { KeyCreationRules } from '../create/key-creation-rules.js';

/** Keys changed in one transaction: it holds the change head, and others wait for it. */
export const OFF_BOARDING_BATCH = 100;

const REASON = 'The owner was deleted.';

/** Who takes over, and on whose word; all of them locked by the transaction. */
export interface Handover {
  readonly caller: KnownCaller;
  readonly rights: EffectiveRights;
  readonly actor: UserGrants;
  readonly to: UserGrants;
}

/**
 * What becomes of the keys of an owner who leaves, one batch a transaction. Call it with the owner locked for update:
 * then no key can be made for the owner meanwhile. Revoked keys stay: they are history.
 */
@Injectable()
export class KeyOffBoarding {
  constructor(
    private readonly keys: ApiKeysRepository,
    private readonly grants: GrantsReader,
    private readonly admission: KeyCreationRules,
    private readonly config: Config,
    private readonly clock: Clock,
  ) {}

  /** Keys of an owner that are not revoked. */
  async count(tx: EntityManager, ownerId: string): Promise<number> {
    const [row] = await tx.query<{ count: number }[]>(
      'SELECT count(*)::int AS count FROM api_key WHERE owner_id = $1 AND revoked_at IS NULL',
      [ownerId],
    );
    return row!.count;
  }

  /** Revokes the next keys, each with an entry of its own; false when some are left for another transaction. */
  async revokeSome(change: Change, ownerId: string): Promise<boolean> {
    const batch = await this.lockBatch(change.tx, ownerId);
    revokeAll(change, batch, REASON, this.clock.now());
    return batch.length < OFF_BOARDING_BATCH;
  }

  /**
   * Gives the next keys to another owner, each with an entry of its own; false when some are left. Whether all of them
   * fit is asked before the first moves, so that a refusal leaves nothing half done.
   *
   * @throws DomainError 403 CANNOT_GRANT for a key that could do more with its new owner than the caller may,
   *   403 OUTSIDE_POLICY; 409 ALIAS_TAKEN; 429 API_KEY_LIMIT_REACHED
   */
  async transferSome(change: Change, ownerId: string, handover: Handover): Promise<boolean> {
    const { tx } = change;
    const { caller, actor, to } = handover;
    await inTurn([
      this.requireRoomForAll(tx, ownerId, to),
      this.requireFreeAliases(tx, ownerId, to.id),
      this.requireGrantable(tx, ownerId, handover),
    ]);
    const batch = await this.lockBatch(tx, ownerId);
    const now = this.clock.now();
    for (const key of batch) this.admission.requireInsidePolicy({ caller, actor }, key, now);
    moveAll(change, batch, { ownerId: to.id }, now);
    return batch.length < OFF_BOARDING_BATCH;
  }

  private async lockBatch(tx: EntityManager, ownerId: string): Promise<ApiKey[]> {
    return tx
      .createQueryBuilder(ApiKey, 'k')
      .where('k.ownerId = :ownerId AND k.revokedAt IS NULL', { ownerId })
      .orderBy('k.id')
      .limit(OFF_BOARDING_BATCH)
      .setLock('pessimistic_write')
      .getMany();
  }

  private async requireRoomForAll(tx: EntityManager, ownerId: string, to: UserGrants): Promise<void> {
    const cap = to.maxActiveKeys ?? this.config.maxActiveKeys;
    const coming = await this.keys.in(tx).countActiveOf(ownerId);
    if (coming > 0 && coming + (await this.keys.in(tx).countActiveOf(to.id)) > cap) throw apiKeyLimitReached(cap);
  }

  private async requireFreeAliases(tx: EntityManager, ownerId: string, toId: string): Promise<void> {
    const rows = await tx.query<{ alias: string }[]>(
      `SELECT alias FROM api_key WHERE owner_id = $1 AND revoked_at IS NULL AND alias IS NOT NULL
       INTERSECT SELECT alias FROM api_key WHERE owner_id = $2 AND revoked_at IS NULL ORDER BY alias LIMIT 10`,
      [ownerId, toId],
    );
    if (rows.length === 0) return;
    const aliases = rows.map((row) => row.alias);
    throw new DomainError(
      'conflict',
      'ALIAS_TAKEN',
      `The new owner has keys of these aliases already: ${aliases.join(', ')}.`,
      { aliases },
    );
  }

  /** A key may do what its roles grant within its owner's: with a new owner that may be more. */
  private async requireGrantable(tx: EntityManager, ownerId: string, { rights, to }: Handover): Promise<void> {
    const rows = await tx.query<{ roles: string[] }[]>(
      `SELECT DISTINCT roles FROM api_key WHERE owner_id = $1 AND revoked_at IS NULL AND roles <> '{}'`,
      [ownerId],
    );
    const { grants } = await this.grants
      .in(tx)
      .grantsOfRoles([...new Set(rows.flatMap((row) => row.roles))].sort(), 'share');
    rights.requireHolding(grantsOfKey(grants, to.grants));
  }
}
