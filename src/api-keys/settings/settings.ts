import type { ApiKeyFieldName } from '../../../packages/contract/src/api-key-fields.js';
import type { ApiKey } from '../api-key.entity.js';

/** The stretch of time one budget is for: the key's whole life, or each month (UTC). */
export type BudgetType = 'total' | 'monthly';

/** Fields of the table as a row keeps them: the limit of a budget is one column, null where there is none. */
type KeptField =
  Exclude<ApiKeyFieldName, 'isUnlimited' | 'budgetLimitCents'> | 'budgetLimitMicroCents' | 'lastBudgetType';

/** A value that no change can alter in place. */
type Fixed<Value> = Value extends (infer Entry)[]
  ? readonly Entry[]
  : Value extends Record<string, string>
    ? Readonly<Value>
    : Value;

/**
 * Everything about a key that its maker decides: what it is called, may do and may spend. It is complete and already
 * valid by the grammars of the API; every route (create, by-alias, update, renew, import) comes to one of these before
 * it asks whether the change is allowed.
 */
export type ApiKeyRules = { readonly [Name in KeptField]: Fixed<ApiKey[Name]> };

/** A key as a change makes it: its rules, and all that the server itself says about it. */
export type KeyState = Readonly<Omit<ApiKey, keyof ApiKeyRules>> & ApiKeyRules;
