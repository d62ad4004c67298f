import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { KnownCaller } from '../access/caller.js';
import type { Change } from '../audit/changes.js';
import { Clock } from '../common/clock.js';
import { apiKeyNotFound } from './api-key.errors.js';
import type { CreateApiKeyDto } from './api-key.dto.js';
import { ApiKeyView, type CreatedApiKeyView } from './api-key.view.js';
import { ApiKeysRepository } from './api-keys.repository.js';
import { Idempotency, type RepeatedAnswer } from './idempotency/idempotency.js';
import { type CountedParties, KeyCreationRules } from './create/key-creation-rules.js';
import { KeyChanges } from './change/key-changes.js';
import { KeyCreation } from './create/key-creation.js';
import { standingOnKey } from './key-standing.js';
import { SecretReplay } from './secrets/secret-replay.js';

/** Creating and reading keys. */
@Injectable()
export class ApiKeysService {
  constructor(
    private readonly keys: ApiKeysRepository,
    private readonly changes: KeyChanges,
    private readonly admission: KeyCreationRules,
    private readonly creation: KeyCreation,
    private readonly idempotency: Idempotency,
    private readonly replay: SecretReplay,
    private readonly clock: Clock,
  ) {}

  /**
   * Makes a key with its first secret, for the caller's owner or, with `platform:api-keys:assign`, for another; with
   * `handOver` that owner draws the secret.
   *
   * @throws DomainError 400 contradictory fields, unknown owner or roles; 403 CANNOT_GRANT, OUTSIDE_POLICY,
   *   PERMISSION_DENIED; 409 ALIAS_TAKEN, IDEMPOTENCY_CONFLICT, NOBODY_TO_DRAW; 422 IDEMPOTENCY_KEY_REUSED; 429
   *   API_KEY_LIMIT_REACHED
   */
  async create(
    caller: KnownCaller,
    input: CreateApiKeyDto,
    idempotencyKey: string | null = null,
  ): Promise<RepeatedAnswer<CreatedApiKeyView>> {
    const ownerId = input.ownerId?.toLowerCase() ?? caller.principal.ownerId;
    const refusal = this.creation.refusal(caller, ownerId);
    if (refusal !== null) throw refusal;
    const hold = (tx: EntityManager) => this.admission.lockAndCount(tx, caller, ownerId);
    const make = async (change: Change, { parties, activeKeys }: CountedParties) => {
      const { kid, ...body } = await this.creation.create(change, parties, ownerId, input, { activeKeys });
      return { status: 201, kid, body };
    };
    if (idempotencyKey === null) return { ...(await this.changes.commitBehind(caller, hold, make)), isReplayed: false };
    const request = {
      idempotencyKey,
      principalId: caller.principal.ownerId,
      route: 'POST /api-keys',
      target: '',
      payload: input,
    };
    return this.changes.commit(caller, (change) =>
      this.idempotency.answer<CreatedApiKeyView>(
        change,
        request,
        async () => make(change, await hold(change.tx)),
        // An answer without a secret shows nothing that the caller may not read again.
        async ({ body, kid }) =>
          kid === null ? undefined : this.replay.require(change, caller, { keyId: body.apiKey.id, kid, ownerId }),
      ),
    );
  }

  /** @throws DomainError 404 for keys that do not exist or are not for this caller to know */
  async get(caller: KnownCaller, id: string): Promise<ApiKeyView> {
    const ownership = await this.keys.findOwnership(id, caller.principal.signedInUserId);
    const rule = { permission: 'platform:api-keys:read', itself: true } as const;
    if (!ownership || standingOnKey(caller.principal, rule, ownership) === null) throw apiKeyNotFound();
    const details = await this.keys.findDetails(id, caller.principal.signedInUserId);
    if (!details) throw apiKeyNotFound();
    return ApiKeyView.from(details, caller.principal, this.clock.now());
  }
}
