import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { permissionDenied } from '../../access/access.errors.js';
import type { KnownCaller } from '../../access/caller.js';
import { keyPolicyOf, type UserGrants } from '../../access/grants.reader.js';
import { withDefaults } from '../../access/key-policy.js';
import { owns } from '../../access/access-basis.js';
import type { Change } from '../../audit/changes.js';
import { diff } from '../../audit/diff.js';
import { Clock } from '../../common/clock.js';
import { inTurn } from '../../common/in-turn.js';
import { centsFromMicroCents } from '../../common/money.js';
import { uuidv7 } from '../../common/uuid.js';
import { Config } from '../../config/config.js';
import { ProjectsService } from '../../projects/projects.service.js';
import type { CreateApiKeyDto } from '../api-key.dto.js';
import type { ApiKeySecret } from '../api-key-secret.entity.js';
import { ApiKey } from '../api-key.entity.js';
import { unknownOwner } from '../api-key.errors.js';
import { type ApiKeyDetails, ApiKeyView } from '../api-key.view.js';
import { ApiKeysRepository, type PastUse } from '../api-keys.repository.js';
import { auditedKey } from '../change/audited-key.js';
import type { StoredSecret } from '../key-inserts.js';
import { requireDrawer } from '../hand-over/drawer.js';
import { NO_HAND_OVER, handOverFrom } from '../hand-over/hand-over.js';
import { DailyCreations } from './daily-creations.js';
import { draftOf, emptyRules } from '../settings/draft.js';
import { KeyCreationRules, type Parties } from './key-creation-rules.js';
import type { ApiKeyRules } from '../settings/settings.js';
import { type ForeignSecret, SecretFactory } from '../secret-factory.js';
import { windowEnd } from '../validity.js';

/** A key just made, and its secret with the public id of it; a key whose owner is to draw the first secret has none. */
export type CreatedKey =
  | { readonly apiKey: ApiKeyView; readonly secretKey: string; readonly kid: string }
  | { readonly apiKey: ApiKeyView; readonly kid: null };

/** Options that differ between the callers of `create`: create, by-alias, import. */
export interface CreationOptions {
  /** Without an expiry from anywhere else, the key ends with its first validity window. */
  readonly startsWindow?: boolean;
  /** How many active keys the owner has, counted with the owner locked; absent: they are counted now. */
  readonly activeKeys?: number;
  /** When and by whom a key was deactivated that comes so. */
  readonly deactivated?: Pick<ApiKey, 'deactivatedAt' | 'deactivatedBy'>;
}

/** A key of another system as it was there. */
export interface PastKey extends PastUse {
  readonly isActive: boolean;
  /** null: it begins now. */
  readonly createdAt: Date | null;
}

/** Brings a key to life inside a change; the doors are create, create-or-renew and import. */
@Injectable()
export class KeyCreation {
  constructor(
    private readonly keys: ApiKeysRepository,
    private readonly admission: KeyCreationRules,
    private readonly mint: SecretFactory,
    private readonly creations: DailyCreations,
    private readonly projects: ProjectsService,
    private readonly clock: Clock,
    private readonly config: Config,
  ) {}

  /** What `caller` lacks to make a key for `ownerId`, as error, or null. */
  refusal({ principal }: KnownCaller, ownerId: string): Error | null {
    if (!principal.may('platform:api-keys:create')) return permissionDenied('platform:api-keys:create');
    if (ownerId !== principal.ownerId && !principal.may('platform:api-keys:assign'))
      return permissionDenied('platform:api-keys:assign');
    return null;
  }

  /**
   * Makes a key with its first secret, or with the offer of it where another owner is to draw it. What the caller
   * left out comes from their key policy, then from the defaults.
   *
   * @throws DomainError 400 contradictory fields, unknown owner or roles; 403 PERMISSION_DENIED, CANNOT_GRANT,
   *   OUTSIDE_POLICY; 409 NOBODY_TO_DRAW; 429 API_KEY_LIMIT_REACHED, CREATION_LIMIT_REACHED
   * The change fails with 23505 on `api_key_alias_key` when the alias is taken.
   */
  async create(
    change: Change,
    parties: Parties,
    ownerId: string,
    input: CreateApiKeyDto,
    options: CreationOptions = {},
  ): Promise<CreatedKey> {
    const key = await this.admit(change.tx, parties, ownerId, input, options);
    const { principal } = parties.caller;
    if (input.handOver === true && ownerId !== principal.ownerId) {
      requireDrawer(parties.owner!);
      Object.assign(key, handOverFrom(key.createdAt, principal.ownerId, 0));
      this.store(change, key, null, 'api-keys:create');
      return { apiKey: ApiKeyView.from(detailsOfNew(key, parties, null), principal, key.createdAt), kid: null };
    }
    const { secret, stored } = this.mint.generate(key.id, key.environment);
    this.store(change, key, stored, 'api-keys:create');
    return {
      apiKey: ApiKeyView.from(detailsOfNew(key, parties, stored), principal, key.createdAt),
      secretKey: secret.reveal(),
      kid: stored.kid,
    };
  }

  /**
   * Makes a key for a secret of another system, which its clients go on presenting, as it was there; gives its id.
   *
   * @throws as `create`; the change fails with 23505 on `api_key_secret_imported_mac_key` when the secret is known
   * already
   */
  async adopt(
    change: Change,
    parties: Parties,
    ownerId: string,
    input: CreateApiKeyDto,
    foreign: ForeignSecret,
    past: PastKey,
  ): Promise<string> {
    const off = { deactivatedAt: this.clock.now(), deactivatedBy: parties.caller.principal.id };
    const key = await this.admit(change.tx, parties, ownerId, input, past.isActive ? {} : { deactivated: off });
    if (past.createdAt !== null) key.createdAt = past.createdAt;
    const { createdAt, lastUsedAt, spentMicroCents } = past;
    this.store(change, key, this.mint.import(key.id, foreign), 'api-keys:import', {
      ...(createdAt === null ? {} : { createdAt: createdAt.toISOString() }),
      ...(lastUsedAt === null ? {} : { lastUsedAt: lastUsedAt.toISOString() }),
      ...(spentMicroCents === 0n ? {} : { spentCents: centsFromMicroCents(spentMicroCents) }),
    });
    change.write(this.keys.in(change.tx).carryOver(key.id, past));
    return key.id;
  }

  /** The key as it will be, if it may be. */
  private async admit(
    tx: EntityManager,
    parties: Parties,
    ownerId: string,
    input: CreateApiKeyDto,
    options: CreationOptions,
  ): Promise<ApiKey> {
    const { caller, owner } = parties;
    const refusal = this.refusal(caller, ownerId);
    if (refusal !== null) throw refusal;
    if (owner === null) throw unknownOwner();
    const projectId = input.projectId?.toLowerCase() ?? null;
    if (projectId !== null) await this.requireProject(tx, parties, projectId);
    this.admission.requireInProject(parties, projectId);
    const now = this.clock.now();
    const rules = this.rulesOf(parties, input, now, options);
    this.admission.requireEnvironment(caller, rules);
    await inTurn([
      this.admission
        .requireGrantable(tx, caller, owner, rules.roles)
        .then(() => this.admission.requireInsidePolicy(parties, rules, now)),
      // A key that is imported inactive takes no room.
      options.deactivated === undefined ? this.requireRoom(tx, owner, options) : null,
      this.creations.count(tx, caller),
    ]);
    const key: ApiKey = keyFrom(rules, ownerId, now, projectId);
    // What an owner without the permission chose for a key of their own, they may choose again.
    const isOwners =
      owns(caller.principal, { ownerId, managerIds: owner.managerIds }) &&
      !caller.principal.may('platform:api-keys:update');
    if (input.expiresAt !== undefined && !isOwners) key.maxExpiresAt = rules.expiresAt;
    return options.deactivated === undefined ? key : Object.assign(key, { isActive: false }, options.deactivated);
  }

  private async requireRoom(tx: EntityManager, owner: UserGrants, { activeKeys }: CreationOptions): Promise<void> {
    if (activeKeys === undefined) await this.admission.requireRoom(tx, owner);
    else this.admission.requireRoomBeside(activeKeys, owner);
  }

  /** Members of a project create keys in it. @throws DomainError 400 unknown project; 403 PERMISSION_DENIED */
  private async requireProject(tx: EntityManager, { caller, projectRoles }: Parties, projectId: string): Promise<void> {
    if (!projectRoles.has(projectId) && !caller.principal.may('platform:api-keys:assign'))
      throw permissionDenied('platform:api-keys:assign');
    await this.projects.requireExisting(tx, projectId);
  }

  private store(
    { tx, record, write }: Change,
    key: ApiKey,
    secret: StoredSecret | null,
    action: string,
    past: object = {},
  ): void {
    const keys = this.keys.in(tx);
    write(secret === null ? keys.insert(key) : keys.insertWithSecret(key, secret));
    const details = { ...(secret === null ? {} : { kid: secret.kid }), ...past };
    record({ action, resourceType: 'api-key', resourceId: key.id, changes: diff(null, auditedKey(key)), details });
  }

  private rulesOf(
    { caller, actor }: Parties,
    input: CreateApiKeyDto,
    now: Date,
    { startsWindow }: CreationOptions,
  ): ApiKeyRules {
    const policy = caller.principal.may('platform:api-keys:update') ? null : keyPolicyOf(actor);
    const given = typeof input.validityDays === 'number' ? { validityDays: input.validityDays } : {};
    const base = {
      ...emptyRules(input.environment ?? 'live'),
      ...withDefaults<Partial<ApiKeyRules>>(policy, given, now),
    };
    const rules = draftOf(base, input, now);
    if (!startsWindow || input.expiresAt !== undefined || rules.expiresAt !== null) return rules;
    return { ...rules, expiresAt: windowEnd(now, rules.validityDays ?? this.config.keyValidityDays) };
  }
}

/** What the view of a key shows that was made just now: nothing has used it. */
function detailsOfNew(
  key: ApiKey,
  { owner, actor, projectRoles }: Parties,
  stored: StoredSecret | null,
): ApiKeyDetails {
  return {
    key,
    ownerName: owner!.name,
    ownerIsActive: owner!.isActive,
    ownerKind: owner!.kind,
    managerIds: owner!.managerIds,
    isProjectAdmin: projectRoles.get(key.projectId ?? '') === 'admin',
    secrets: stored === null ? [] : [shownSecret(key, stored)],
    totals: { requests: 0, tokens: 0, costMicroCents: 0n, lastUsedAt: null },
    handOverByName: key.handOverBy === null ? null : actor.name,
  };
}

function shownSecret(
  { createdAt }: ApiKey,
  { kid, keyId, kind, keyPrefix, pepperVersion }: StoredSecret,
): ApiKeySecret {
  return { kid, keyId, kind, keyPrefix, pepperVersion, createdAt, lastUsedAt: null, expiresAt: null, revokedAt: null };
}

/** A fresh, active key of these rules. */
export function keyFrom(rules: ApiKeyRules, ownerId: string, now: Date, projectId: string | null = null): ApiKey {
  return Object.assign(new ApiKey(), rules, {
    id: uuidv7(now.getTime()),
    ownerId,
    ...freshState(now),
    projectId,
  });
}

/** What the server itself says of a key that has just been made. */
export function freshState(now: Date) {
  return {
    projectId: null,
    isActive: true,
    deactivatedAt: null,
    deactivatedBy: null,
    maxExpiresAt: null,
    ...NO_HAND_OVER,
    createdAt: now,
    updatedAt: now,
    revokedAt: null,
    revokedReason: null,
  };
}
