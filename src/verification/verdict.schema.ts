const text = { type: 'string' } as const;
/** Text that Latchkey makes, of characters that JSON writes as they are: an id, a word of a closed set, an instant. */
const plain = { type: 'string', format: 'unsafe' } as const;
const number = { type: 'number' } as const;
const flag = { type: 'boolean' } as const;
const nullablePlain = { ...plain, nullable: true } as const;
const parts = {
  type: 'array',
  items: { type: 'object', properties: { text, cents: number, at: plain } },
} as const;
const texts = { type: 'array', items: text } as const;

const limitNumbers = { amount: number, used: number, held: number, remaining: number } as const;

/** A limit of a verdict. */
export const LIMIT_SCHEMA = {
  type: 'object',
  properties: {
    ...{ id: nullablePlain, name: text, unit: plain, per: nullablePlain, state: plain },
    ...limitNumbers,
    ...{ resetsAt: plain, resetSeconds: number },
  },
} as const;

/**
 * How a verdict is written out: compiled by Fastify, several times faster than `JSON.stringify`. Members that are not
 * listed here would not be sent, so it names exactly those of `VerdictView`; a test holds the two equal.
 */
export const VERDICT_SCHEMA = {
  type: 'object',
  properties: {
    valid: flag,
    code: plain,
    detail: text,
    retryAfterSeconds: number,
    limit: {
      type: 'object',
      properties: {
        ...{ id: plain, name: text, unit: plain, per: nullablePlain, state: plain, resetsAt: plain },
        ...limitNumbers,
      },
    },
    keyId: plain,
    name: text,
    ownerId: plain,
    environment: plain,
    scopes: texts,
    roles: texts,
    tags: texts,
    metadata: { type: 'object', additionalProperties: text },
    rateLimits: {
      type: 'array',
      items: { type: 'object', properties: { window: plain, limit: number, remaining: number, resetSeconds: number } },
    },
    budget: {
      type: 'object',
      properties: {
        type: plain,
        limitCents: number,
        raisedByCents: number,
        spentCents: number,
        heldCents: number,
        remainingCents: number,
      },
    },
    reservation: {
      type: 'object',
      properties: { id: plain, expiresAt: plain, cents: number, tokens: number, assumed: flag },
    },
    tightest: LIMIT_SCHEMA,
    limits: { type: 'array', items: LIMIT_SCHEMA },
    degraded: flag,
    checks: {
      type: 'array',
      items: { type: 'object', properties: { check: plain, outcome: plain, detail: text, detailParts: parts } },
    },
    errors: {
      type: 'array',
      items: { type: 'object', properties: { path: text, message: text, messageParts: parts } },
    },
  },
} as const;

/** How the answer to a batch is written out. */
export const VERDICTS_SCHEMA = {
  type: 'object',
  properties: { results: { type: 'array', items: VERDICT_SCHEMA } },
} as const;
