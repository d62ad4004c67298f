import { type FieldError, validationFailed } from '../../common/domain-error.js';
import { formatCidr, parseCidr } from '../../../packages/contract/src/address.js';
import { instantFrom } from '../../../packages/contract/src/instant.js';
import { microCentsFromCents } from '../../common/money.js';
import { API_KEY_FIELDS, type ApiKeyFieldName } from '../../../packages/contract/src/api-key-fields.js';
import { SENTENCES } from '../../../packages/contract/src/schema.js';
import type { ApiKeyFieldsDto, UpdateApiKeyDto } from '../api-key.dto.js';
import type { Environment } from '../api-key.entity.js';
import { raiseAfter } from './budget-raise.js';
import type { ApiKeyRules } from './settings.js';

/** What a create with an empty body makes. */
export function emptyRules(environment: Environment): ApiKeyRules {
  const defaults = Object.entries(API_KEY_FIELDS).filter(([name]) => !KEPT_AS_ONE.has(name));
  return {
    ...(Object.fromEntries(
      defaults.map(([name, field]) => [name, structuredClone(field.default)]),
    ) as unknown as ApiKeyRules),
    environment,
    budgetLimitMicroCents: null,
    lastBudgetType: null,
  };
}

/** Fields of the API that the rules keep as the limit in micro-cents. */
const KEPT_AS_ONE: ReadonlySet<string> = new Set(['isUnlimited', 'budgetLimitCents'] satisfies ApiKeyFieldName[]);

/** What a request to make or to change a key asks for. */
type KeyFields = ApiKeyFieldsDto & Pick<UpdateApiKeyDto, 'budgetRaise'>;

/**
 * `base` with what a request asks for. Absent fields stay, null clears.
 *
 * @throws DomainError 400 for budget fields that contradict each other, and for an expiry that has passed.
 */
export function draftOf(base: ApiKeyRules, fields: KeyFields, now: Date): ApiKeyRules {
  const errors: FieldError[] = [];
  const budget = budgetOf(base, fields, errors);
  const hasBudget = budget.budgetLimitMicroCents !== null;
  const budgetRaise = raiseAfter(base.budgetRaise, fields.budgetRaise, hasBudget, now, errors);
  const expiresAt =
    fields.expiresAt === undefined ? base.expiresAt : fields.expiresAt === null ? null : instantFrom(fields.expiresAt);
  // A client may send back what it read: an expiry that stays as it was is no new one.
  if (fields.expiresAt && expiresAt !== null && expiresAt <= now && expiresAt.getTime() !== base.expiresAt?.getTime()) {
    errors.push({ path: 'expiresAt', message: 'must lie in the future' });
  }
  const allowedIps = fields.allowedIps === undefined ? base.allowedIps : canonicalEntries(fields.allowedIps, errors);
  if (errors.length > 0) throw validationFailed(errors);
  return {
    ...taken(base, fields),
    name: fields.name === undefined ? base.name : fields.name.trim(),
    environment: base.environment,
    allowedIps,
    ...budget,
    budgetRaise,
    expiresAt,
  };
}

/** Fields whose value is more than what was sent, or follows from several; each has a line of its own in `draftOf`. */
const READ_APART = [
  'name',
  'environment',
  'allowedIps',
  'isUnlimited',
  'budgetLimitCents',
  'budgetType',
  'budgetRaise',
  'expiresAt',
] as const satisfies readonly ApiKeyFieldName[];

type TakenField = Exclude<ApiKeyFieldName, (typeof READ_APART)[number]>;

const TAKEN = (Object.keys(API_KEY_FIELDS) as ApiKeyFieldName[]).filter(
  (name): name is TakenField => !(READ_APART as readonly string[]).includes(name),
);

/** The fields that are kept as they are sent. */
function taken(base: ApiKeyRules, fields: ApiKeyFieldsDto): Pick<ApiKeyRules, TakenField> {
  const sent = (name: TakenField) => (fields[name] === undefined ? base[name] : fields[name]);
  return Object.fromEntries(TAKEN.map((name) => [name, sent(name)])) as unknown as Pick<ApiKeyRules, TakenField>;
}

/** A budget is never silently dropped: fields that do not fit together are refused by name. */
function budgetOf(
  base: ApiKeyRules,
  { isUnlimited, budgetLimitCents, budgetType }: ApiKeyFieldsDto,
  errors: FieldError[],
): Pick<ApiKeyRules, 'budgetLimitMicroCents' | 'budgetType' | 'lastBudgetType'> {
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
    budgetType: limit === null ? null : (budgetType ?? base.budgetType ?? base.lastBudgetType ?? 'total'),
    lastBudgetType: limit === null ? (base.budgetType ?? base.lastBudgetType) : null,
  };
}

/** Address lists are kept in their one text, so that comparing lists is comparing text. */
function canonicalEntries(entries: readonly string[], errors: FieldError[]): string[] {
  const canonical = entries.map((entry) => {
    const cidr = parseCidr(entry);
    return cidr === null ? entry : formatCidr(cidr);
  });
  const again = canonical.flatMap((entry, index) => (canonical.indexOf(entry) < index ? [index] : []));
  errors.push(...again.map((index) => ({ path: `allowedIps.${index}`, message: SENTENCES.twice })));
  return canonical;
}
