import { Injectable } from '@nestjs/common';
import { QueryFailedError } from 'typeorm';
import { permissionDenied } from '../access/access.errors.js';
import type { KnownCaller } from '../access/caller.js';
import { widest, withDefaults } from '../access/key-policy.js';
import { standingOn } from '../access/standing.js';
import { Changes } from '../audit/changes.js';
import { diff } from '../audit/diff.js';
import { Clock } from '../common/clock.js';
import { uuidv7 } from '../common/uuid.js';
import { ApiKey } from './api-key.entity.js';
import { aliasTaken, apiKeyNotFound, unknownOwner } from './api-key.errors.js';
import type { CreateApiKeyDto } from './api-key.dto.js';
import { ApiKeyView, type CreatedApiKeyView } from './api-key.view.js';
import { ApiKeysRepository } from './api-keys.repository.js';
import { auditedKey } from './audited-key.js';
import { draftOf, emptyRules } from './draft.js';
import { KeyAdmission } from './key-admission.js';
import type { ApiKeyRules } from './rules.js';
import { SecretMint } from './secret-mint.js';

/** Creating and reading keys. */
@Injectable()
export class ApiKeysService {
  constructor(
    private readonly keys: ApiKeysRepository,
    private readonly admission: KeyAdmission,
    private readonly mint: SecretMint,
    private readonly changes: Changes,
    private readonly clock: Clock,
  ) {}

  /**
   * Makes a key with its first secret, for the caller's owner or, with `platform:api-keys:assign`, for another.
   *
   * @throws DomainError 400 contradictory fields, unknown owner or roles; 403 CANNOT_GRANT, OUTSIDE_POLICY,
   *   PERMISSION_DENIED; 409 ALIAS_TAKEN; 429 API_KEY_LIMIT_REACHED
   */
  async create(caller: KnownCaller, input: CreateApiKeyDto): Promise<CreatedApiKeyView> {
    const ownerId = input.ownerId?.toLowerCase() ?? caller.principal.ownerId;
    if (ownerId !== caller.principal.ownerId && !caller.principal.may('platform:api-keys:assign')) {
      throw permissionDenied('platform:api-keys:assign');
    }
    const created = this.changes.transaction(caller, async ({ tx, record }) => {
      const now = this.clock.now();
      const { owner, actor } = await this.admission.lockParties(tx, caller, ownerId);
      if (owner === null) throw unknownOwner();
      const defaults = caller.principal.may('platform:api-keys:update') ? null : widest(actor?.policies ?? []);
      const rules = draftOf({ ...emptyRules(input.environment ?? 'live'), ...withDefaults<Partial<ApiKeyRules>>(defaults, {}, now) }, input, now);
      await this.admission.requireGrantable(tx, caller, actor, owner, rules.roles);
      this.admission.requireInsidePolicy(caller, actor, rules, now);
      await this.admission.requireRoom(tx, owner);

      const key = keyFrom(rules, ownerId, now);
      const { secret, stored } = this.mint.draw(key.id, key.environment);
      await this.keys.in(tx).insert(key);
      await this.keys.in(tx).insertSecret(stored);
      record({ resourceType: 'api-key', resourceId: key.id, changes: diff(null, auditedKey(key)), details: { kid: stored.kid } });
      const details = await this.keys.in(tx).findDetails(key.id);
      return { apiKey: ApiKeyView.from(details!, now), secretKey: secret.reveal() };
    });
    return created.catch((error: unknown) => {
      throw isAliasTaken(error) ? aliasTaken() : error;
    });
  }

  /** @throws DomainError 404 for keys that do not exist or are not for this caller to know */
  async get(caller: KnownCaller, id: string): Promise<ApiKeyView> {
    const ownership = await this.keys.findOwnership(id);
    const itself = caller.principal.kind === 'key' && caller.principal.id === id;
    if (!ownership || !(itself || standingOn(caller.principal, 'platform:api-keys:read', ownership))) throw apiKeyNotFound();
    const details = await this.keys.findDetails(id);
    if (!details) throw apiKeyNotFound();
    return ApiKeyView.from(details, this.clock.now());
  }
}

/** Whether a statement failed on the alias' unique index. */
export function isAliasTaken(error: unknown): boolean {
  return error instanceof QueryFailedError && (error.driverError as { constraint?: string }).constraint === 'api_key_alias_key';
}

/** A fresh, active key of these rules. */
function keyFrom(rules: ApiKeyRules, ownerId: string, now: Date): ApiKey {
  return Object.assign(new ApiKey(), rules, {
    id: uuidv7(now.getTime()),
    ownerId,
    isActive: true,
    deactivatedAt: null,
    deactivatedBy: null,
    createdAt: now,
    updatedAt: now,
    lastUsedAt: null,
    revokedAt: null,
    revokedReason: null,
  });
}
