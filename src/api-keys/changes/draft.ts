import { type FieldError, validationFailed } from '../../common/domain-error.js';
import { formatCidr, parseCidr } from '../../common/address.js';
import { microCentsFromCents } from '../../common/money.js';
import type { ApiKeyFieldsDto } from '../api-key.dto.js';
import type { BudgetType, Environment } from '../api-key.entity.js';
import type { ApiKeyRules } from './rules.js';

/** What a create with an empty body makes. */
export function emptyRules(environment: Environment): ApiKeyRules {
  return {
    name: 'Default API Key',
    description: null,
    alias: null,
    environment,
    scopes: [],
    roles: [],
    rateLimitPerMinute: null,
    rateLimitPerHour: null,
    rateLimitPerDay: null,
    allowedIps: [],
    allowedModels: [],
    allowedChatbots: [],
    budgetLimitMicroCents: null,
    budgetType: null,
    tags: [],
    metadata: {},
    expiresAt: null,
    validityDays: null,
  };
}

/**
 * `base` with what a request asks for. Absent fields stay, null clears.
 *
 * @throws DomainError 400 for budget fields that contradict each other, and for an expiry that has passed.
 */
export function draftOf(base: ApiKeyRules, fields: ApiKeyFieldsDto, now: Date): ApiKeyRules {
  const errors: FieldError[] = [];
  const budget = budgetOf(base, fields, errors);
  const expiresAt = given(fields.expiresAt, base.expiresAt, (text) => new Date(text));
  // A client may send back what it read: an expiry that stays as it was is no new one.
  if (fields.expiresAt && expiresAt !== null && expiresAt <= now && expiresAt.getTime() !== base.expiresAt?.getTime()) {
    errors.push({ path: 'expiresAt', message: 'must lie in the future' });
  }
  const allowedIps = fields.allowedIps === undefined ? base.allowedIps : canonicalEntries(fields.allowedIps, errors);
  if (errors.length > 0) throw validationFailed(errors);
  return {
    name: fields.name === undefined ? base.name : fields.name.trim(),
    description: given(fields.description, base.description),
    alias: given(fields.alias, base.alias),
    environment: base.environment,
    scopes: fields.scopes ?? base.scopes,
    roles: fields.roles ?? base.roles,
    rateLimitPerMinute: given(fields.rateLimitPerMinute, base.rateLimitPerMinute),
    rateLimitPerHour: given(fields.rateLimitPerHour, base.rateLimitPerHour),
    rateLimitPerDay: given(fields.rateLimitPerDay, base.rateLimitPerDay),
    allowedIps,
    allowedModels: fields.allowedModels ?? base.allowedModels,
    allowedChatbots: fields.allowedChatbots ?? base.allowedChatbots,
    ...budget,
    tags: fields.tags ?? base.tags,
    metadata: fields.metadata ?? base.metadata,
    expiresAt,
    validityDays: given(fields.validityDays, base.validityDays),
  };
}

/** Absent: as it was. Otherwise what was sent, null included. */
function given<T, U>(sent: T | null | undefined, base: U | null, convert?: (value: T) => U): U | null {
  if (sent === undefined) return base;
  if (sent === null) return null;
  return convert ? convert(sent) : (sent as unknown as U);
}

/** A budget is never silently dropped: fields that do not fit together are refused by name. */
function budgetOf(
  base: ApiKeyRules,
  { isUnlimited, budgetLimitCents, budgetType }: ApiKeyFieldsDto,
  errors: FieldError[],
): { budgetLimitMicroCents: bigint | null; budgetType: BudgetType | null } {
  if (isUnlimited === true && typeof budgetLimitCents === 'number') {
    errors.push({ path: 'isUnlimited', message: 'contradicts budgetLimitCents' });
  }
  if (isUnlimited === false && budgetLimitCents === null) {
    errors.push({ path: 'budgetLimitCents', message: 'must be a number when isUnlimited is false' });
  }
  const limit =
    typeof budgetLimitCents === 'number'
      ? microCentsFromCents(budgetLimitCents)
      : isUnlimited === true || budgetLimitCents === null
        ? null
        : base.budgetLimitMicroCents;
  if (isUnlimited === false && limit === null && budgetLimitCents === undefined) {
    errors.push({ path: 'budgetLimitCents', message: 'must be given when isUnlimited is false' });
  }
  if (budgetType !== undefined && limit === null) {
    errors.push({ path: 'budgetType', message: 'needs budgetLimitCents' });
  }
  return {
    budgetLimitMicroCents: limit,
    budgetType: limit === null ? null : (budgetType ?? base.budgetType ?? 'total'),
  };
}

/** Address lists are kept in their one text, so that comparing lists is comparing text. */
function canonicalEntries(entries: readonly string[], errors: FieldError[]): string[] {
  const canonical = entries.map((entry) => {
    const cidr = parseCidr(entry);
    return cidr === null ? entry : formatCidr(cidr);
  });
  if (new Set(canonical).size < canonical.length)
    errors.push({ path: 'allowedIps', message: 'must not name an entry twice' });
  return canonical;
}
