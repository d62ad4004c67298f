import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { cannotGrant } from '../access/access.errors.js';
import type { KnownCaller } from '../access/caller.js';
import { type Holder, GrantsReader, grantsOfKey } from '../access/grants.reader.js';
import { violations, widest } from '../access/key-policy.js';
import { containsAll } from '../access/permission-grammar.js';
import { Config } from '../config/config.js';
import { apiKeyLimitReached, outsidePolicy, unknownRoles } from './api-key.errors.js';
import { ApiKeysRepository } from './api-keys.repository.js';
import type { ApiKeyRules } from './rules.js';

/**
 * The three questions asked of every door through which a key comes to life or changes hands: does it grant
 * more than the caller holds, does it lie inside the caller's key policy, has the owner room for it. All are
 * answered inside the change, on locked rows.
 */
@Injectable()
export class KeyAdmission {
  constructor(
    private readonly grants: GrantsReader,
    private readonly keys: ApiKeysRepository,
    private readonly config: Config,
  ) {}

  /**
   * Locks owner and caller, and gives both. The owner's lock orders everything that counts against his cap.
   * A user who does not exist is absent.
   */
  async lockParties(tx: EntityManager, caller: KnownCaller, ownerId: string): Promise<{ owner: Holder | null; actor: Holder | null }> {
    const actorId = caller.principal.ownerId;
    const holders = await this.grants.in(tx).holders(new Map([[actorId, 'share' as const], [ownerId, 'update' as const]]));
    return { owner: holders.get(ownerId) ?? null, actor: holders.get(actorId) ?? null };
  }

  /**
   * Nobody hands out what he does not hold: what the key may do must be covered by what the caller holds now.
   *
   * @throws DomainError 400 for roles that do not exist, 403 CANNOT_GRANT
   */
  async requireGrantable(tx: EntityManager, caller: KnownCaller, actor: Holder | null, owner: Holder, roles: readonly string[]): Promise<void> {
    const { known, grants } = await this.grants.in(tx).grantsOfRoles(roles, 'share');
    const unknown = roles.filter((role) => !known.includes(role));
    if (unknown.length > 0) throw unknownRoles(unknown);
    const effective = grantsOfKey(grants, owner.grants);
    const held = caller.principal.kind === 'user' ? (actor?.grants ?? []) : caller.principal.grants;
    if (!containsAll(held, effective)) throw cannotGrant(effective.filter((grant) => !containsAll(held, [grant])));
  }

  /**
   * Keys made or changed without `platform:api-keys:update` lie inside the key policy of the caller's roles.
   *
   * @throws DomainError 403 OUTSIDE_POLICY with every offending path
   */
  requireInsidePolicy(caller: KnownCaller, actor: Holder | null, rules: ApiKeyRules, now: Date): void {
    if (caller.principal.may('platform:api-keys:update')) return;
    const offending = violations(widest(actor?.policies ?? []), rules, now);
    if (offending.length > 0) throw outsidePolicy(offending);
  }

  /**
   * Room for one more active key. Call it with the owner locked, before the key becomes active.
   *
   * @throws DomainError 429 API_KEY_LIMIT_REACHED naming the cap
   */
  async requireRoom(tx: EntityManager, owner: Holder): Promise<void> {
    const cap = owner.maxActiveKeys ?? this.config.maxActiveKeys;
    if ((await this.keys.in(tx).countActiveOf(owner.id)) >= cap) throw apiKeyLimitReached(cap);
  }
}
