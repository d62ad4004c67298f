import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { KnownCaller } from '../../access/caller.js';
import type { UserGrants } from '../../access/grants.reader.js';
import { type Change, Changes, type Committed } from '../../audit/changes.js';
import { RetryTransaction } from '../../audit/retry-transaction.js';
import { Clock } from '../../common/clock.js';
import { inTurn } from '../../common/in-turn.js';
import { requireVersion } from '../../common/version.js';
import type { ApiKey } from '../api-key.entity.js';
import { aliasTaken, apiKeyNotFound } from '../api-key.errors.js';
import { ApiKeysRepository, isAliasTaken } from '../api-keys.repository.js';
import { keySettings } from './audited-key.js';
import { LockedKey } from './locked-key.js';
import { KeyCreationRules, type Parties } from '../create/key-creation-rules.js';
import { type KeyRule, requireStanding } from '../key-standing.js';

/**
 * The one way to change a key that exists: lock everybody concerned, then the key, ask again whether the caller may,
 * work, and leave through the audit trail.
 */
@Injectable()
export class KeyChanges {
  constructor(
    private readonly changes: Changes,
    private readonly admission: KeyCreationRules,
    private readonly keys: ApiKeysRepository,
    private readonly clock: Clock,
  ) {}

  /**
   * Runs `work` on the key, in a transaction of its own.
   *
   * @throws DomainError 404 for keys that do not exist or are not for this caller to know; 409 ALIAS_TAKEN; 503 when a
   *   lock is not to be had; and what `work` throws
   */
  async change<T>(
    caller: KnownCaller,
    id: string,
    rule: KeyRule,
    work: (held: LockedKey) => Promise<T>,
    others: readonly string[] = [],
  ): Promise<T> {
    return this.commit(caller, async (change) => work(await this.lock(change, caller, id, rule, others)));
  }

  /** Runs `work` in one transaction; what `change` and callers that hold keys in it by `hold` have in common. */
  async commit<T>(caller: KnownCaller, work: (change: Change) => Promise<T>): Promise<T> {
    return resultOf(this.changes.commit(caller, work));
  }

  /** As `commit`, after what `first` reads and locks. @see Changes.commitBehind */
  async commitBehind<F, T>(
    caller: KnownCaller,
    first: (tx: EntityManager) => Promise<F>,
    work: (change: Change, found: F) => Promise<T>,
  ): Promise<T> {
    return resultOf(this.changes.commitBehind(caller, first, work));
  }

  /**
   * Takes the key into a change that is under way. Several keys in one change are best taken in order of their ids;
   * where two changes block each other all the same, one of them runs again.
   *
   * @throws DomainError 404
   */
  async lock(
    change: Change,
    caller: KnownCaller,
    id: string,
    rule: KeyRule,
    others: readonly string[] = [],
  ): Promise<LockedKey> {
    const keys = this.keys.in(change.tx);
    const ownership = await keys.findOwnership(id, caller.principal.signedInUserId);
    if (ownership === null) throw apiKeyNotFound();
    // In one round trip, the users first.
    const [parties, key] = await inTurn([
      this.admission.lockParties(change.tx, caller, ownership.ownerId, others),
      keys.findForUpdate(id),
    ]);
    return this.holdLocked(change, parties, rule, key, ownership.ownerId);
  }

  /**
   * As `hold`, where everybody concerned has been locked already: `key` says whose it was then.
   *
   * @throws DomainError 404
   */
  async lockWith(
    change: Change,
    parties: Parties,
    rule: KeyRule,
    { id, ownerId }: { readonly id: string; readonly ownerId: string },
  ): Promise<LockedKey> {
    return this.holdLocked(change, parties, rule, await this.keys.in(change.tx).findForUpdate(id), ownerId);
  }

  /**
   * As `take`, where the key has been locked as well; it was `ownerId`'s when its parties were chosen.
   *
   * @throws DomainError 404; 412 VERSION_MISMATCH where the caller has read another version of it
   */
  holdLocked(change: Change, parties: Parties, rule: KeyRule, key: ApiKey | null, ownerId: string): LockedKey {
    if (key === null) throw apiKeyNotFound();
    if (key.ownerId !== ownerId) throw new RetryTransaction();
    const owner = parties.others.get(ownerId) ?? nobody(ownerId);
    const projectRole = parties.projectRoles.get(key.projectId ?? '') ?? null;
    const ownership = { id: key.id, ownerId, managerIds: owner.managerIds, projectRole };
    const standing = requireStanding(parties.caller.principal, rule, ownership);
    requireVersion(parties.caller, 'api-key', key.id, keySettings(key));
    return new LockedKey(key, { ...parties, owner }, standing, this.clock.now(), change, this.keys.in(change.tx));
  }
}

async function resultOf<T>(committed: Promise<Committed<T>>): Promise<T> {
  const { result } = await committed.catch((error: unknown) => {
    throw isAliasTaken(error) ? aliasTaken() : error;
  });
  return result;
}

/** A user who was deleted: such a user's keys grant nothing, and there is room for none. */
function nobody(id: string): UserGrants {
  return {
    id,
    name: '',
    kind: 'person',
    isActive: false,
    hasTemporaryPassword: false,
    maxActiveKeys: 0,
    managerIds: [],
    roles: [],
    assignedGrants: [],
    grants: [],
    policies: [],
    reservedTagPrefixes: [],
  };
}
