import type { Principal } from '../access/caller.js';
import { centsFromMicroCents } from '../common/money.js';
import { versionOf } from '../common/version.js';
import { type KeyAct, allowedActs, works } from './allowed-acts.js';
import type { ApiKeySecret } from './api-key-secret.entity.js';
import type { ApiKey, BudgetType, Environment, VerifiesEnvironment } from './api-key.entity.js';
import { keySettings } from './change/audited-key.js';
import { HandOverView } from './hand-over/hand-over.view.js';
import { runningRaise } from './settings/budget-raise.js';
import { type ApiKeyStatus, shownStatusOf } from './status.js';

/** What a key has used, over its whole life. */
export interface KeyTotals {
  readonly requests: number;
  readonly tokens: number;
  readonly costMicroCents: bigint;
  /** The last accepted verify or report, to the minute; null: never used. */
  readonly lastUsedAt: Date | null;
}

/** A key with what its view shows beside its own row. */
export interface ApiKeyDetails {
  readonly key: ApiKey;
  readonly ownerName: string;
  readonly ownerIsActive: boolean;
  readonly ownerKind: 'person' | 'service';
  /** Who manages the owner, and acts for it. */
  readonly managerIds: readonly string[];
  /** Whether who asks is an admin of the key's project, and may do what its owner may. */
  readonly isProjectAdmin: boolean;
  /** Newest first: those that work, and the newest also when it has ended. None: the key has had no secret yet. */
  readonly secrets: readonly ApiKeySecret[];
  /** The name of the user who has offered the next secret to the owner; null where no offer is stored. */
  readonly handOverByName: string | null;
  readonly totals: KeyTotals;
}

/** More budget until an instant; after that it is not shown any more. */
export class BudgetRaiseView {
  /**
   * On top of `budgetLimitCents`.
   * @example 2000
   */
  cents: number;

  /** @example "2027-01-31T23:59:59.000Z" */
  until: string;

  /** @example "Load test of the new model" */
  reason: string;
}

/** One secret of a key, as it may be shown. */
export class ApiKeySecretView {
  /**
   * Public id of the secret.
   * @example "4fT9aZq01LmXyB"
   */
  kid: string;

  /** @example "lk_live_4fT9aZq01LmXyB" */
  keyPrefix: string;

  createdAt: Date;

  lastUsedAt: Date | null;

  /** End of an overlap; null: as long as the key. */
  expiresAt: Date | null;
}

/** An API key. Money is in cents, limits are requests, instants are UTC. */
export class ApiKeyView {
  /** @example "019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55" */
  id: string;

  /**
   * Version of the settings, to be sent as `If-Match: "<version>"` with a change. What the key uses does not change it.
   * @example "p3yQyJkYbQ7mUq0c"
   */
  version: string;

  /** @example "billing-nightly" */
  alias: string | null;

  /** @example "Billing service" */
  name: string;

  description: string | null;

  /** @example "019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55" */
  ownerId: string;

  /** @example "Ada Lovelace" */
  ownerName: string;

  /**
   * The project that the key is in; null: in none.
   * @example "019a8b5e-2222-7cc3-b4a1-3a7c2f1d9e55"
   */
  projectId: string | null;

  /** A key of an inactive owner is refused. */
  ownerIsActive: boolean;

  /**
   * Public start of the newest secret; empty while the key is pending.
   * @example "lk_live_4fT9aZq01LmXyB"
   */
  keyPrefix: string;

  environment: Environment;

  /** Of a service's own key: which environment's keys it verifies. */
  verifiesEnvironment: VerifiesEnvironment;

  /**
   * Derived: revoked before inactive before expired before pending before active. A pending key has had no secret
   * yet, so that nothing verifies with it.
   */
  status: ApiKeyStatus;

  isActive: boolean;

  deactivatedAt: Date | null;

  /** The user who deactivated it. */
  deactivatedBy: string | null;

  /** @example ["chat:write"] */
  scopes: string[];

  roles: string[];

  /** @example 60 */
  rateLimitPerMinute: number | null;

  rateLimitPerHour: number | null;

  rateLimitPerDay: number | null;

  /** @example ["10.0.0.0/8"] */
  allowedIps: string[];

  /** @example ["gpt-4o*"] */
  allowedModels: string[];

  allowedChatbots: string[];

  isUnlimited: boolean;

  /** @example 500 */
  budgetLimitCents: number | null;

  budgetType: BudgetType | null;

  /** The raise that runs: until it ends the budget is `budgetLimitCents` and its `cents`. null: none runs. */
  budgetRaise: BudgetRaiseView | null;

  /**
   * What a call without `reserveTokens` holds where a limit of tokens binds it; null: nothing.
   * @example 4000
   */
  defaultReserveTokens: number | null;

  /** @example ["team:billing"] */
  tags: string[];

  metadata: Record<string, string>;

  expiresAt: Date | null;

  /**
   * Latest expiry that a renewal by the owner can reach: a caller with `platform:api-keys:update` chose it. null: no
   * such choice was made.
   */
  maxExpiresAt: Date | null;

  validityDays: number | null;

  createdAt: Date;

  updatedAt: Date;

  lastUsedAt: Date | null;

  revokedAt: Date | null;

  revokedReason: string | null;

  totalRequests: number;

  totalTokens: number;

  /** @example 12.034 */
  totalCostCents: number;

  /** Secrets that work, newest first: one, or two during an overlap; none while the key is pending. */
  secrets: ApiKeySecretView[];

  /** The offer of the next secret to the owner; null: none is open. */
  handOver: HandOverView | null;

  /**
   * What the caller may do to the key as it is now. An act that is not in the list is refused, or changes nothing; one
   * that is may be refused for what it would give, such as a limit above that of the caller's key policy.
   * @example ["update", "renew", "deactivate", "regenerate", "revoke"]
   */
  allowedActs: KeyAct[];

  /** Lists the fields that may leave, to this caller. */
  static from(details: ApiKeyDetails, principal: Principal, now: Date): ApiKeyView {
    const { key, ownerName, ownerIsActive, secrets, totals } = details;
    return {
      id: key.id,
      version: versionOf(keySettings(key)),
      alias: key.alias,
      name: key.name,
      description: key.description,
      ownerId: key.ownerId,
      projectId: key.projectId,
      ownerName,
      ownerIsActive,
      keyPrefix: secrets[0]?.keyPrefix ?? '',
      environment: key.environment,
      verifiesEnvironment: key.verifiesEnvironment,
      status: shownStatusOf(key, secrets.length > 0, now),
      isActive: key.isActive,
      deactivatedAt: key.deactivatedAt,
      deactivatedBy: key.deactivatedBy,
      scopes: key.scopes,
      roles: key.roles,
      rateLimitPerMinute: key.rateLimitPerMinute,
      rateLimitPerHour: key.rateLimitPerHour,
      rateLimitPerDay: key.rateLimitPerDay,
      allowedIps: key.allowedIps,
      allowedModels: key.allowedModels,
      allowedChatbots: key.allowedChatbots,
      isUnlimited: key.budgetLimitMicroCents === null,
      budgetLimitCents: key.budgetLimitMicroCents === null ? null : centsFromMicroCents(key.budgetLimitMicroCents),
      budgetType: key.budgetType,
      budgetRaise: key.budgetLimitMicroCents === null ? null : runningRaise(key.budgetRaise, now),
      defaultReserveTokens: key.defaultReserveTokens,
      tags: key.tags,
      metadata: key.metadata,
      expiresAt: key.expiresAt,
      maxExpiresAt: key.maxExpiresAt,
      validityDays: key.validityDays,
      createdAt: key.createdAt,
      updatedAt: key.updatedAt,
      lastUsedAt: totals.lastUsedAt,
      revokedAt: key.revokedAt,
      revokedReason: key.revokedReason,
      totalRequests: totals.requests,
      totalTokens: totals.tokens,
      totalCostCents: centsFromMicroCents(totals.costMicroCents),
      secrets: secretsOf(secrets, now),
      handOver: HandOverView.from(details, principal, now),
      allowedActs: allowedActs(details, principal, now),
    };
  }
}

function secretsOf(secrets: readonly ApiKeySecret[], now: Date): ApiKeySecretView[] {
  return secrets
    .filter((secret) => works(secret, now))
    .map(({ kid, keyPrefix, createdAt, lastUsedAt, expiresAt }) => ({
      kid,
      keyPrefix,
      createdAt,
      lastUsedAt,
      expiresAt,
    }));
}

/** A key just made, with its secret: the only answer that ever shows it. */
export class CreatedApiKeyView {
  apiKey: ApiKeyView;

  /**
   * What clients present. Keep it now: it cannot be shown again. Absent where the owner is to draw it (`handOver`).
   * @example "lk_live_4fT9aZq01LmXyB0kq3v9Jd8sWn2cYp5rTgHbMxLzQf7uEoAiKjDhVt1x6Rw"
   */
  secretKey?: string;
}
