import {
  ADDRESS,
  ALIAS,
  CENTS,
  CHATBOT,
  FLAG,
  INSTANT,
  MODEL,
  NAME,
  NAME_OF_A_ROLE,
  SCOPE,
  TAG,
  isStorable,
  oneOf,
  setOf,
  textOf,
  whole,
} from './grammar.js';
import type { Schema } from './schema.js';

/**
 * What is to be said of each field of a key that its maker decides. Nothing of it is optional: `never` is written out.
 */
export interface ApiKeyField {
  readonly schema: Schema;
  /** Null clears it. */
  readonly isNullable: boolean;
  readonly isOptional: true;
  /** `create`: it is given once, and stays. `update`: to a key that exists. */
  readonly given: 'create' | 'create and update' | 'update';
  /** The column of `api_key` that keeps it; null where other fields say the same. */
  readonly column: string | null;
  /**
   * How an owner without `platform:api-keys:update` may change it. `tighten`: only to less, which
   * `src/api-keys/settings/owner-limits.ts` decides for the field.
   */
  readonly owner: 'free' | 'tighten' | 'never';
  /** The member of a key policy that bounds it, or null. */
  readonly policyBound: string | null;
  /** Whether a change of it is an entry of the audit trail. */
  readonly isAudited: boolean;
  /** Whether it is a column of the CSV export. */
  readonly isExported: boolean;
  /** Whether a replica keeps it in memory to decide, and whether the answer of a verify shows it. */
  readonly inRecord: boolean;
  readonly inVerdict: boolean;
  /**
   * Where the console's form has it: `own`, at a place made for it; `more`, below "More", as its schema says; `none`,
   * in a dialog of its own.
   */
  readonly inForm: 'own' | 'more' | 'none';
  /** What a key has that was made with an empty body, and one that was there before the field was. */
  readonly default: string | readonly string[] | Readonly<Record<string, string>> | null;
  readonly description: string;
  readonly example: unknown;
}

const METADATA_BYTES = 4096;
const NOT_METADATA = `must be a flat map of text by name, at most ${METADATA_BYTES} bytes as JSON`;

const metadata = {
  type: 'object',
  check: (value: Readonly<Record<string, unknown>>) => {
    const isFlat = Object.entries(value).every(([name, text]) => name !== '' && isStorable(name) && isStorable(text));
    const bytes = () => new TextEncoder().encode(JSON.stringify(value)).length;
    return isFlat && bytes() <= METADATA_BYTES ? null : NOT_METADATA;
  },
} as const satisfies Schema;

/** How far ahead a raise of a budget may end. */
export const MAX_RAISE_DAYS = 366;

const raise = {
  type: 'object',
  properties: {
    cents: { ...CENTS, minimum: 0.000001, sentence: 'must be more than 0 and at most 1000000000' },
    until: INSTANT,
    reason: textOf(500),
  },
  required: ['cents', 'until', 'reason'],
  additionalProperties: false,
} as const satisfies Schema;

/** What most fields have in common. */
const ORDINARY = {
  isNullable: false,
  isOptional: true,
  given: 'create and update',
  policyBound: null,
  isAudited: true,
  isExported: true,
  inRecord: true,
  inVerdict: false,
  inForm: 'more',
  default: null,
} as const;

/**
 * Every field of a key that its maker decides, in the order of the API. The requests, their sentences, the OpenAPI
 * document, the owner's rights, the audit trail, the export and the record of a verify take a field from here; what
 * cannot be derived is typed by this table, so that it does not compile while the answer for a field is missing.
 *
 * @see docs/adding-a-key-field.md
 */
export const API_KEY_FIELDS = {
  name: {
    ...ORDINARY,
    schema: NAME,
    default: 'Default API Key',
    column: 'name',
    owner: 'free',
    inVerdict: true,
    inForm: 'own',
    description: 'What people call the key; 1 to 100 characters on one line, trimmed.',
    example: 'Billing service',
  },
  description: {
    ...ORDINARY,
    schema: textOf(500),
    isNullable: true,
    column: 'description',
    owner: 'free',
    inRecord: false,
    inForm: 'own',
    description: 'At most 500 characters; null clears it.',
    example: 'Used by the nightly invoice run',
  },
  alias: {
    ...ORDINARY,
    schema: ALIAS,
    isNullable: true,
    column: 'alias',
    owner: 'free',
    inRecord: false,
    inForm: 'own',
    description: 'Your own name for the key, unique among the owner’s keys that are not revoked; null clears it.',
    example: 'billing-nightly',
  },
  environment: {
    ...ORDINARY,
    schema: oneOf(['live', 'test']),
    default: 'live',
    inVerdict: true,
    given: 'create',
    column: 'environment',
    owner: 'never',
    inForm: 'own',
    description: 'Part of the secret’s prefix; cannot be changed later. Absent: `live`.',
    example: 'live',
  },
  verifiesEnvironment: {
    ...ORDINARY,
    schema: oneOf(['any', 'live', 'test']),
    default: 'any',
    column: 'verifies_environment',
    owner: 'tighten',
    description:
      'Of a service’s own key: which environment’s keys it verifies; keys of the other are `WRONG_ENVIRONMENT` to it. Absent: `any`.',
    example: 'live',
  },
  scopes: {
    ...ORDINARY,
    schema: setOf(100, SCOPE),
    default: [],
    column: 'scopes',
    owner: 'tighten',
    policyBound: 'scopes',
    inVerdict: true,
    inForm: 'own',
    description:
      'What the key may do in your own services: RFC 6749 scope tokens, exact. Empty: nothing that needs a scope.',
    example: ['chat:write'],
  },
  roles: {
    ...ORDINARY,
    schema: setOf(50, NAME_OF_A_ROLE),
    default: [],
    column: 'roles',
    owner: 'tighten',
    inVerdict: true,
    inForm: 'own',
    description: 'Roles the key carries; what it may do in Latchkey is what they grant within what its owner holds.',
    example: ['gateway'],
  },
  rateLimitPerMinute: {
    ...ORDINARY,
    schema: whole(1, 10_000),
    isNullable: true,
    column: 'rate_limit_per_minute',
    owner: 'tighten',
    policyBound: 'maxRateLimitPerMinute',
    inForm: 'own',
    description: 'Requests in any 60 seconds, 1 to 10 000; null: no limit.',
    example: 60,
  },
  rateLimitPerHour: {
    ...ORDINARY,
    schema: whole(1, 100_000),
    isNullable: true,
    column: 'rate_limit_per_hour',
    owner: 'tighten',
    policyBound: 'maxRateLimitPerHour',
    inForm: 'own',
    description: 'Requests in any hour, 1 to 100 000; null: no limit.',
    example: 1000,
  },
  rateLimitPerDay: {
    ...ORDINARY,
    schema: whole(1, 1_000_000),
    isNullable: true,
    column: 'rate_limit_per_day',
    owner: 'tighten',
    policyBound: 'maxRateLimitPerDay',
    inForm: 'own',
    description: 'Requests in any 24 hours, 1 to 1 000 000; null: no limit.',
    example: 10_000,
  },
  allowedIps: {
    ...ORDINARY,
    schema: setOf(64, ADDRESS),
    default: [],
    column: 'allowed_ips',
    owner: 'tighten',
    inForm: 'own',
    description: 'Addresses and CIDR blocks the key may be used from, IPv4 and IPv6, at most 64. Empty: any.',
    example: ['10.0.0.0/8', '2001:db8::/32'],
  },
  allowedModels: {
    ...ORDINARY,
    schema: setOf(256, MODEL),
    default: [],
    column: 'allowed_models',
    owner: 'tighten',
    policyBound: 'models',
    inForm: 'own',
    description:
      'Models the key may ask for: names of 1 to 128 characters without control characters, or globs with `*`; at most 256. Empty: any.',
    example: ['gpt-4o*', 'claude-sonnet-5'],
  },
  allowedChatbots: {
    ...ORDINARY,
    schema: setOf(256, CHATBOT),
    default: [],
    column: 'allowed_chatbots',
    owner: 'tighten',
    inForm: 'own',
    description:
      'Chatbots the key may be used for, exact, 1 to 128 characters without control characters; at most 256. Empty: any.',
    example: ['support-bot'],
  },
  isUnlimited: {
    ...ORDINARY,
    schema: FLAG,
    column: null,
    owner: 'tighten',
    inRecord: false,
    inForm: 'own',
    description: 'No budget. Contradicts `budgetLimitCents`.',
    example: false,
  },
  budgetLimitCents: {
    ...ORDINARY,
    schema: CENTS,
    isNullable: true,
    column: 'budget_limit_micro_cents',
    owner: 'tighten',
    policyBound: 'maxBudgetLimitCents',
    inForm: 'own',
    description:
      'What the key may spend, in cents with at most 6 decimals, up to 10⁹; 0: every call is refused; null: unlimited.',
    example: 500,
  },
  budgetType: {
    ...ORDINARY,
    schema: oneOf(['total', 'monthly']),
    column: 'budget_type',
    owner: 'tighten',
    policyBound: 'budgetType',
    inForm: 'own',
    description: 'Whether the budget is for ever or for each UTC month. Needs `budgetLimitCents`; absent: `total`.',
    example: 'monthly',
  },
  budgetRaise: {
    ...ORDINARY,
    schema: raise,
    isNullable: true,
    given: 'update',
    column: 'budget_raise',
    owner: 'tighten',
    inRecord: false,
    inForm: 'none',
    description:
      `More budget until an instant: \`cents\` on top of \`budgetLimitCents\` until \`until\`, at most ${MAX_RAISE_DAYS} days ahead, ` +
      'with a `reason` of at most 500 characters. It ends by itself, replaces the one before, and ends with the budget; null takes it back.',
    example: { cents: 2000, until: '2027-01-31T23:59:59Z', reason: 'Load test of the new model' },
  },
  defaultReserveTokens: {
    ...ORDINARY,
    schema: whole(1, 1_000_000_000),
    isNullable: true,
    column: 'default_reserve_tokens',
    owner: 'tighten',
    policyBound: 'maxDefaultReserveTokens',
    inForm: 'own',
    description:
      'Tokens that a call without `reserveTokens` holds where a limit of tokens binds it, 1 to 10⁹; null: it holds none. ' +
      'Its verdict has the `reservation`, with `assumed: true`.',
    example: 4000,
  },
  tags: {
    ...ORDINARY,
    schema: setOf(50, TAG),
    default: [],
    column: 'tags',
    owner: 'free',
    policyBound: 'reservedTagPrefixes',
    inVerdict: true,
    inForm: 'own',
    description: 'For finding and grouping keys; at most 50 of `A-Z a-z 0-9 . _ : / -`.',
    example: ['team:billing'],
  },
  metadata: {
    ...ORDINARY,
    schema: metadata,
    default: {},
    column: 'metadata',
    owner: 'never',
    inVerdict: true,
    inForm: 'own',
    description: 'Text by name for your own use, handed to services at verify; at most 4 KiB; replaced whole.',
    example: { costCentre: '4711' },
  },
  expiresAt: {
    ...ORDINARY,
    schema: INSTANT,
    isNullable: true,
    column: 'expires_at',
    owner: 'tighten',
    policyBound: 'maxValidityDays',
    inForm: 'own',
    description: 'When the key ends; null: never.',
    example: '2027-12-31T23:59:59Z',
  },
  validityDays: {
    ...ORDINARY,
    schema: whole(1, 3650),
    isNullable: true,
    column: 'validity_days',
    owner: 'never',
    policyBound: 'maxValidityDays',
    inRecord: false,
    inForm: 'own',
    description: 'How many days a renewal lasts, 1 to 3650; null: the configured default (15).',
    example: 30,
  },
} as const satisfies Readonly<Record<string, ApiKeyField>>;

type Fields = typeof API_KEY_FIELDS;

/** The name of a field of a key, as in the API. */
export type ApiKeyFieldName = keyof Fields;

/** The fields of which the table says this, such as `FieldsWith<{ isExported: true }>`. */
export type FieldsWith<Says> = { [Name in ApiKeyFieldName]: Fields[Name] extends Says ? Name : never }[ApiKeyFieldName];

/** A type that nothing satisfies but "none": names what is missing where it does not compile. */
export type None<Missing extends never> = Missing;

/** The fields of the table that `Type` lacks. */
export type Lacking<Type, Names extends ApiKeyFieldName = ApiKeyFieldName> = Exclude<Names, keyof Type>;
