import type { ApiKey, BudgetRaise, VerifiesEnvironment } from '../api-key.entity.js';
import type { SecretEnvironment } from '../secret.js';

/** The stretch of time one budget is for: the key's whole life, or each month (UTC). */
export type BudgetType = 'total' | 'monthly';

/**
 * Everything about a key that somebody decides: what it is called, may do and may spend. It is complete and already
 * valid by the grammars of the API; every door (create, by-alias, update, renew, import) comes to one of these before
 * it asks whether the change is allowed.
 */
export interface ApiKeyRules {
  readonly name: string;
  readonly description: string | null;
  readonly alias: string | null;
  readonly environment: SecretEnvironment;
  /** Which environment's keys it verifies, where it is a service's own. */
  readonly verifiesEnvironment: VerifiesEnvironment;
  /** Empty: none. */
  readonly scopes: readonly string[];
  /** Names of roles. Empty: none. */
  readonly roles: readonly string[];
  /** Calls in any 60 seconds; null: no limit. */
  readonly rateLimitPerMinute: number | null;
  /** Calls in any hour; null: no limit. */
  readonly rateLimitPerHour: number | null;
  /** Calls in any 24 hours; null: no limit. */
  readonly rateLimitPerDay: number | null;
  /** Addresses and networks. Empty: any. */
  readonly allowedIps: readonly string[];
  /** Names and patterns of models. Empty: any. */
  readonly allowedModels: readonly string[];
  /** Empty: any. */
  readonly allowedChatbots: readonly string[];
  /** In micro-cents; null: unlimited. 0 refuses every call. */
  readonly budgetLimitMicroCents: bigint | null;
  /** Null if and only if the budget is unlimited. */
  readonly budgetType: BudgetType | null;
  /** The type of the budget that an unlimited key had last, for the next one; null: it had none, or has one now. */
  readonly lastBudgetType: BudgetType | null;
  /** On top of the limit until it ends; null: none was given, or it was taken back. */
  readonly budgetRaise: BudgetRaise | null;
  readonly tags: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  /** Null: never. */
  readonly expiresAt: Date | null;
  /** How long a renewal lasts; null: as long as the deployment says. */
  readonly validityDays: number | null;
}

/** A key as a change makes it: its rules, and all that the server itself says about it. */
export type KeyState = Readonly<Omit<ApiKey, keyof ApiKeyRules>> & ApiKeyRules;
