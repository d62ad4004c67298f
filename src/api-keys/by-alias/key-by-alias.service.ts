import { Injectable } from '@nestjs/common';
import { permissionDenied } from '../../access/access.errors.js';
import type { KnownCaller } from '../../access/caller.js';
import { accessBasisOn } from '../../access/access-basis.js';
import type { Change } from '../../audit/changes.js';
import { DomainError, validationFailed } from '../../common/domain-error.js';
import { inTurn } from '../../common/in-turn.js';
import { requireVersion } from '../../common/version.js';
import { Config } from '../../config/config.js';
import type { ApiKey } from '../api-key.entity.js';
import { unknownOwner } from '../api-key.errors.js';
import { ApiKeysRepository } from '../api-keys.repository.js';
import { KeyChangeRules } from '../change/key-change-rules.js';
import { draftOf } from '../settings/draft.js';
import { renewedUntil, withFixedExpiry } from '../settings/fixed-expiry.js';
import type { LockedKey } from '../change/locked-key.js';
import { Idempotency, type Answer, type RepeatedAnswer } from '../idempotency/idempotency.js';
import { activityOf } from '../change/key-activity.js';
import { KeyCreationRules, type Parties } from '../create/key-creation-rules.js';
import { KeyChanges } from '../change/key-changes.js';
import { KeyCreation } from '../create/key-creation.js';
import type { UpsertApiKeyDto } from '../change/key-lifecycle.dto.js';
import type { UpsertedApiKeyView } from '../change/key-lifecycle.view.js';
import { SecretReplay } from '../secrets/secret-replay.js';

const UPDATE = { permission: 'platform:api-keys:update' } as const;

/** Create-or-renew: one call that a pipeline can make as often as it likes. */
@Injectable()
export class KeyByAliasService {
  constructor(
    private readonly changes: KeyChanges,
    private readonly creation: KeyCreation,
    private readonly admission: KeyCreationRules,
    private readonly changeAdmission: KeyChangeRules,
    private readonly keys: ApiKeysRepository,
    private readonly idempotency: Idempotency,
    private readonly replay: SecretReplay,
    private readonly config: Config,
  ) {}

  /**
   * Makes a key of this alias, or renews the owner's key that has it: window anew, active again, name and roles
   * replaced, the secret as it was. Of two at once, one creates and the other renews.
   *
   * @throws DomainError 400, 403, 409 and 429 as create and as update, each for its own half
   */
  put(
    caller: KnownCaller,
    alias: string,
    askedOwnerId: string | undefined,
    input: UpsertApiKeyDto,
    idempotencyKey: string | null = null,
  ): Promise<RepeatedAnswer<UpsertedApiKeyView>> {
    const ownerId = askedOwnerId?.toLowerCase() ?? caller.principal.ownerId;
    const request = {
      idempotencyKey,
      principalId: caller.principal.ownerId,
      route: 'PUT /api-keys/by-alias/:alias',
      target: `${ownerId}/${alias}`,
      payload: input,
    };
    const attempt = () =>
      this.changes.commit(caller, (change) =>
        this.idempotency.answer<UpsertedApiKeyView>(
          change,
          request,
          () => this.createOrRenew(change, caller, ownerId, alias, input),
          // What was done already is not done again: it has changed the version itself.
          (answer) => this.recheck(change, { ...caller, precondition: null }, ownerId, answer),
        ),
      );
    // Another request gave the alias to a key since this one looked: now it is known.
    return attempt().catch((error: unknown) => {
      if (error instanceof DomainError && error.code === 'ALIAS_TAKEN') return attempt();
      throw error;
    });
  }

  private async createOrRenew(
    change: Change,
    caller: KnownCaller,
    ownerId: string,
    alias: string,
    input: UpsertApiKeyDto,
  ): Promise<Answer<UpsertedApiKeyView>> {
    const [parties, known] = await inTurn([
      this.admission.lockParties(change.tx, caller, ownerId),
      this.keys.in(change.tx).findByAliasForUpdate(ownerId, alias),
    ]);
    this.requireSomeRight(parties, ownerId);
    if (known !== null) return this.renew(this.holdKnown(change, parties, known), input);
    requireVersion(caller, 'api-key', null, null);
    const { kid, ...created } = await this.creation.create(
      change,
      parties,
      ownerId,
      { ...input, alias },
      { startsWindow: true },
    );
    return { status: 201, kid, body: { ...created, renewed: false } };
  }

  /**
   * A caller who may neither create for this owner nor change the owner's keys gets one answer, whether or not the
   * owner has such a key, or exists.
   */
  private requireSomeRight({ caller, owner }: Parties, ownerId: string): void {
    const refusal = this.creation.refusal(caller, ownerId);
    if (refusal === null) {
      if (owner === null) throw unknownOwner();
      return;
    }
    const ownership = { ownerId, managerIds: owner?.managerIds ?? [] };
    if (owner === null || accessBasisOn(caller.principal, UPDATE.permission, ownership) === null) throw refusal;
  }

  private holdKnown(change: Change, parties: Parties, key: ApiKey): LockedKey {
    const ownership = { ownerId: key.ownerId, managerIds: parties.owner?.managerIds ?? [] };
    if (accessBasisOn(parties.caller.principal, UPDATE.permission, ownership) === null)
      throw permissionDenied(UPDATE.permission);
    return this.changes.holdLocked(change, parties, UPDATE, key, key.ownerId);
  }

  private async renew(held: LockedKey, input: UpsertApiKeyDto): Promise<Answer<UpsertedApiKeyView>> {
    const { key, now } = held;
    if (input.environment !== undefined && input.environment !== key.environment) {
      throw validationFailed([
        { path: 'environment', message: `is ${key.environment} for the key of this alias and cannot be changed` },
      ]);
    }
    const rules = draftOf(key, { ...input, roles: input.roles ?? [] }, now);
    const isOwnWindow = input.expiresAt === undefined;
    const expiresAt = isOwnWindow
      ? renewedUntil(held, rules.validityDays ?? this.config.keyValidityDays)
      : rules.expiresAt;
    const after = withFixedExpiry(held, { ...key, ...rules, expiresAt, ...activityOf(held, true) }, !isOwnWindow);
    await this.changeAdmission.admit(held, after, { isRenewal: isOwnWindow });
    held.save(after, { action: 'api-keys:renew', details: { isByAlias: true } });
    return { status: 200, kid: null, body: { apiKey: await held.view(), renewed: true } };
  }

  private async recheck(
    change: Change,
    caller: KnownCaller,
    ownerId: string,
    { body, kid }: Answer<UpsertedApiKeyView>,
  ): Promise<void> {
    const parties = await this.admission.lockParties(change.tx, caller, ownerId);
    this.requireSomeRight(parties, ownerId);
    if (kid !== null) await this.replay.require(change, caller, { keyId: body.apiKey.id, kid, ownerId });
    else await this.changes.lock(change, caller, body.apiKey.id, UPDATE);
  }
}
