import type { FieldsWith, Lacking, None } from '../../../packages/contract/src/api-key-fields.js';
import type { BudgetType, VerifiesEnvironment } from '../../api-keys/api-key.entity.js';
import type { Cidr } from '../../../packages/contract/src/address.js';
import { boundBy, type KeyLimits } from '../../quotas/key-limits.js';
import type { LimitFacts } from '../../quotas/limits/limit-facts.js';

/** One secret of a key, as a decision needs it. Instants are Unix milliseconds. Never leaves the process. */
export interface SecretFacts {
  readonly kid: string;
  readonly keyId: string;
  readonly kind: 'own' | 'imported';
  readonly mac: Buffer;
  readonly pepperVersion: string;
  /** What binds an imported secret to its key; null for one made here, whose MAC does. */
  readonly binding: Buffer | null;
  readonly createdAtMs: number;
  readonly revokedAtMs: number | null;
  readonly expiresAtMs: number | null;
  /** As far as it is known here; not part of any decision. */
  lastUsedAtMs: number | null;
}

/** One key, as a decision needs it. Instants are Unix milliseconds. */
export interface KeyFacts {
  readonly id: string;
  readonly environment: 'live' | 'test';
  readonly verifiesEnvironment: VerifiesEnvironment;
  readonly name: string;
  readonly ownerId: string;
  /** Null: in none. */
  readonly projectId: string | null;
  readonly isActive: boolean;
  readonly revokedAtMs: number | null;
  readonly expiresAtMs: number | null;
  readonly scopes: readonly string[];
  readonly roles: readonly string[];
  readonly tags: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly allowedIps: readonly Cidr[];
  readonly allowedModels: readonly string[];
  readonly allowedChatbots: readonly string[];
  readonly rateLimitPerMinute: number | null;
  readonly rateLimitPerHour: number | null;
  readonly rateLimitPerDay: number | null;
  readonly budgetLimitMicroCents: bigint | null;
  readonly budgetType: BudgetType | null;
  /** What a call that reserves no tokens holds in limits of tokens; null: nothing. */
  readonly defaultReserveTokens: number | null;
  /** What its calls draw from by its own row: made once, so that no call allocates it. */
  readonly limits: KeyLimits;
  /** Limits of this key. */
  readonly limitsOfKey: readonly LimitFacts[];
}

/** Fields that a record keeps in another unit. */
type Converted = 'budgetLimitCents' | 'expiresAt';

/** Does not compile while a record lacks a field that the table says it has. */
export type RecordHasEveryField = None<Lacking<KeyFacts, Exclude<FieldsWith<{ inRecord: true }>, Converted>>>;

/** The owner of keys, as far as a decision needs it. */
export interface OwnerFacts {
  readonly id: string;
  /** Neither inactive nor deleted. */
  readonly isActive: boolean;
  readonly roles: readonly string[];
  /** Limits of this owner. */
  readonly limits: readonly LimitFacts[];
}

/** A project of keys, as a decision needs it. */
export interface ProjectFacts {
  readonly id: string;
  /** One that is gone is inactive. */
  readonly isActive: boolean;
  /** Limits of this project. */
  readonly limits: readonly LimitFacts[];
}

/** A role; one that does not exist is inactive and grants nothing. */
export interface RoleFacts {
  readonly name: string;
  readonly isActive: boolean;
  readonly permissions: readonly string[];
}

/** Key, secret, owner and project, joined at the moment of the question. */
export interface KeyRecord {
  readonly secret: SecretFacts;
  readonly key: KeyFacts;
  readonly owner: OwnerFacts;
  /** Null: the key is in none. */
  readonly project: ProjectFacts | null;
  /** What its calls draw from, limits included: made once for a record. */
  readonly limits: KeyLimits;
}

/** The record of a key with what it is joined from. `installation`: limits of all keys. */
export function joined(
  secret: SecretFacts,
  key: KeyFacts,
  owner: OwnerFacts,
  project: ProjectFacts | null,
  installation: readonly LimitFacts[],
): KeyRecord {
  const hasAny = key.limitsOfKey.length + owner.limits.length + (project?.limits.length ?? 0) + installation.length > 0;
  const limits = hasAny
    ? boundBy(key.limits, key, [...key.limitsOfKey, ...owner.limits, ...(project?.limits ?? []), ...installation])
    : key.limits;
  return { secret, key, owner, project, limits };
}
