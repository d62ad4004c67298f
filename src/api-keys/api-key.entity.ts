import { Column, Entity, PrimaryColumn } from 'typeorm';

/** Where a key is meant to be used; part of its prefix. */
export type Environment = 'live' | 'test';

/** Which environment's keys a service may verify with its own key. */
export type VerifiesEnvironment = 'any' | Environment;

/** `total`: one account for ever. `monthly`: a fresh account each UTC month. */
export type BudgetType = 'total' | 'monthly';

/** More budget until an instant, as it is stored: cents on top of the limit. `until` is an instant in UTC. */
export interface BudgetRaise {
  readonly cents: number;
  readonly until: string;
  readonly reason: string;
}

/** PostgreSQL's bigint as exact integer, where TypeORM would give text. */
const bigintColumn = {
  to: (value: bigint | null | undefined) => (typeof value === 'bigint' ? value.toString() : value),
  from: (value: string | null) => (value === null ? null : BigInt(value)),
};

/**
 * The thing with limits and a budget that outlives its secrets. Empty `allowed…` lists mean any; empty
 * `scopes` and `roles` mean none. Spending and windows live in tables of their own, so that traffic never
 * writes this row.
 */
@Entity('api_key')
export class ApiKey {
  /** UUIDv7. */
  @PrimaryColumn('uuid')
  id: string;

  @Column('uuid', { name: 'owner_id' })
  ownerId: string;

  /** null: in no project. */
  @Column('uuid', { name: 'project_id', nullable: true })
  projectId: string | null;

  /** Unique per owner among keys that are not revoked. */
  @Column('text', { nullable: true })
  alias: string | null;

  @Column('text')
  name: string;

  @Column('text', { nullable: true })
  description: string | null;

  @Column('text')
  environment: Environment;

  @Column('boolean', { name: 'is_active', default: true })
  isActive: boolean;

  @Column('timestamptz', { name: 'deactivated_at', nullable: true })
  deactivatedAt: Date | null;

  /** The user who deactivated it; an owner cannot undo what another user did. */
  @Column('uuid', { name: 'deactivated_by', nullable: true })
  deactivatedBy: string | null;

  @Column('text', { name: 'verifies_environment', default: 'any' })
  verifiesEnvironment: VerifiesEnvironment;

  /** RFC 6749 scope tokens for the platform's own services; opaque to us. */
  @Column('text', { array: true, default: () => "'{}'" })
  scopes: string[];

  /** Names of roles; the key's permissions are theirs, within its owner's. */
  @Column('text', { array: true, default: () => "'{}'" })
  roles: string[];

  /** Requests in any 60 seconds; null: no limit. */
  @Column('integer', { name: 'rate_limit_per_minute', nullable: true })
  rateLimitPerMinute: number | null;

  /** Requests in any 3 600 seconds; null: no limit. */
  @Column('integer', { name: 'rate_limit_per_hour', nullable: true })
  rateLimitPerHour: number | null;

  /** Requests in any 86 400 seconds; null: no limit. */
  @Column('integer', { name: 'rate_limit_per_day', nullable: true })
  rateLimitPerDay: number | null;

  /** Addresses and CIDR blocks in canonical form. */
  @Column('text', { name: 'allowed_ips', array: true, default: () => "'{}'" })
  allowedIps: string[];

  /** Literals, or globs with `*`. */
  @Column('text', { name: 'allowed_models', array: true, default: () => "'{}'" })
  allowedModels: string[];

  @Column('text', { name: 'allowed_chatbots', array: true, default: () => "'{}'" })
  allowedChatbots: string[];

  /** In millionths of a cent; null: unlimited; 0: refuse always. */
  @Column('bigint', { name: 'budget_limit_micro_cents', nullable: true, transformer: bigintColumn })
  budgetLimitMicroCents: bigint | null;

  /** null exactly when the budget is unlimited. */
  @Column('text', { name: 'budget_type', nullable: true })
  budgetType: BudgetType | null;

  /** The type of the budget that an unlimited key had last; null where it had none, or has one now. */
  @Column('text', { name: 'last_budget_type', nullable: true })
  lastBudgetType: BudgetType | null;

  /** Stays when it is over, until another change: what holds now is asked of `runningRaise`. */
  @Column('jsonb', { name: 'budget_raise', nullable: true })
  budgetRaise: BudgetRaise | null;

  /** What a call that reserves no tokens holds where a limit of tokens binds it; null: nothing. */
  @Column('integer', { name: 'default_reserve_tokens', nullable: true })
  defaultReserveTokens: number | null;

  @Column('text', { array: true, default: () => "'{}'" })
  tags: string[];

  @Column('jsonb', { default: () => "'{}'" })
  metadata: Record<string, string>;

  @Column('timestamptz', { name: 'expires_at', nullable: true })
  expiresAt: Date | null;

  /** Latest expiry that the owner may reach, because a caller with the permission chose it; null: none was chosen. */
  @Column('timestamptz', { name: 'max_expires_at', nullable: true })
  maxExpiresAt: Date | null;

  /** Length of the window that a renewal starts anew; null: the configured default. */
  @Column('integer', { name: 'validity_days', nullable: true })
  validityDays: number | null;

  /** The user who offered the next secret to the owner; null, as the two that follow, where no offer is open. */
  @Column('uuid', { name: 'hand_over_by', nullable: true })
  handOverBy: string | null;

  /** When the offer ends. An offer that has ended may still be here. @see openHandOver */
  @Column('timestamptz', { name: 'hand_over_until', nullable: true })
  handOverUntil: Date | null;

  /** How long the secret before the drawn one goes on working. */
  @Column('integer', { name: 'hand_over_overlap_seconds', nullable: true })
  handOverOverlapSeconds: number | null;

  @Column('timestamptz', { name: 'created_at', default: () => 'now()' })
  createdAt: Date;

  @Column('timestamptz', { name: 'updated_at', default: () => 'now()' })
  updatedAt: Date;

  @Column('timestamptz', { name: 'revoked_at', nullable: true })
  revokedAt: Date | null;

  @Column('text', { name: 'revoked_reason', nullable: true })
  revokedReason: string | null;
}
