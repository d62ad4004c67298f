import type { BudgetType } from '../api-keys/api-key.entity.js';
import type { Cidr } from '../common/address.js';

/** All that a decision about a key needs, joined from key, secret, owner and roles. Never leaves the process. */
export interface KeyRecord {
  readonly keyId: string;
  readonly kid: string;
  readonly kind: 'own' | 'imported';
  readonly mac: Buffer;
  readonly pepperVersion: string;
  readonly environment: 'live' | 'test';
  readonly secretRevokedAt: Date | null;
  readonly secretExpiresAt: Date | null;
  readonly name: string;
  readonly ownerId: string;
  readonly ownerIsActive: boolean;
  readonly isActive: boolean;
  readonly revokedAt: Date | null;
  readonly expiresAt: Date | null;
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
  /** What the key may do in Latchkey: its roles' grants within its owner's. */
  readonly grants: readonly string[];
}
