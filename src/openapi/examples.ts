import type { OpenAPIObject } from '@nestjs/swagger';
import { DEMO } from './demo-ids.js';
import { type ParameterObject, type RequestBodyObject, type SchemaObject, operationsOf } from './operations.js';

/** Made up: a session has the id that `GET /users/{id}/sessions` shows. */
export const EXAMPLE_SESSION_ID = '019a8b5e-2222-7cc3-b4a1-3a7c2f1d9e55';

/** Made up: an authenticator app shows another one every 30 seconds. */
export const EXAMPLE_CODE = '492039';

/** Of path parameters, by the resource they stand behind. */
const PATH_EXAMPLES: Record<string, string> = {
  'api-keys/{id}': DEMO.keyId,
  'secrets/{kid}': DEMO.previousKid,
  'by-alias/{alias}': DEMO.alias,
  'users/{id}': DEMO.ownerId,
  'sessions/{sessionId}': EXAMPLE_SESSION_ID,
  'roles/{name}': DEMO.roleName,
  'projects/{id}': DEMO.projectId,
  'limits/{id}': DEMO.limitId,
  'accounts/{member}': DEMO.ownerId,
  'members/{userId}': DEMO.ownerId,
  'ext-authz/{path}': 'v1/chat/completions',
};

/** A path parameter's example where the usual one would not do: a key must be dead to be deleted for good. */
const PATH_EXCEPTIONS: Record<string, string> = {
  'POST /api-keys/{id}/activate': DEMO.deactivatedKeyId,
  'DELETE /api-keys/{id}/permanent': DEMO.revokedKeyId,
  'DELETE /users/{id}': DEMO.auditorId,
  'POST /users/{id}/erase': DEMO.auditorId,
  'DELETE /projects/{id}': DEMO.emptyProjectId,
};

const NEXT_EXPIRY = '2027-12-31T23:59:59Z';

/**
 * Made up, also on a server with demo data: anybody may read the document. There the terminal shows a secret that
 * works, to be put in its place.
 */
export const EXAMPLE_SECRET = 'lk_live_4fT9aZq01LmXyB0kq3v9Jd8sWn2cYp5rTgHbMxLzQf7uEoAiKjDhVt1x6Rw';

/** Made up: the terminal of a server with demo data shows the password of each of its people. */
export const EXAMPLE_PASSWORD = 'the-password-that-the-terminal-shows';

/**
 * Bodies worth sending, by method and path below the prefix: what a person would send first, where the fields'
 * own examples together would be too much, or contradict each other.
 */
export const BODY_EXAMPLES = {
  'POST /auth/login': { email: 'ada@example.com', password: EXAMPLE_PASSWORD },
  'POST /api-keys': {
    name: 'Billing service',
    scopes: ['chat:write'],
    rateLimitPerMinute: 60,
    budgetLimitCents: 500,
    budgetType: 'monthly',
    tags: ['team:billing'],
  },
  'PATCH /api-keys/{id}': { rateLimitPerMinute: 30, tags: ['team:billing', 'reviewed'] },
  'PUT /api-keys/{id}': { rateLimitPerMinute: 30, tags: ['team:billing', 'reviewed'] },
  'PUT /api-keys/by-alias/{alias}': { name: 'Billing service' },
  'POST /api-keys/{id}/regenerate': { overlapSeconds: 3600 },
  'POST /api-keys/{id}/hand-over': { overlapSeconds: 3600 },
  'POST /api-keys/{id}/renew': { expiresAt: NEXT_EXPIRY },
  'POST /api-keys/{id}/revoke': { reason: 'Found in a public repository' },
  'POST /api-keys/{id}/transfer': { ownerId: DEMO.serviceId },
  'POST /api-keys/{id}/explain': {
    ip: '203.0.113.7',
    model: 'gpt-4o-mini',
    chatbot: 'support-bot',
    scopes: ['chat:write'],
  },
  'POST /api-keys/bulk': { ids: [DEMO.keyId, DEMO.deactivatedKeyId], action: 'tag', add: ['reviewed'], dryRun: true },
  'POST /api-keys/import': {
    keys: [
      {
        sha256: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
        prefix: 'old_4711',
        name: 'Imported key',
        ownerId: DEMO.ownerId,
      },
    ],
  },
  'POST /api-keys/self-revoke': { key: 'lk_live_0000000000000000000000000000000000000000000000000000000000000000' },
  'POST /users': {
    email: 'marie@example.com',
    name: 'Marie Curie',
    kind: 'person',
    password: 'a long enough password',
    roles: ['creator'],
  },
  'PATCH /users/{id}': { maxActiveKeys: 20 },
  'POST /users/{id}/erase': { confirm: 'grace@example.com' },
  'PUT /users/{id}/roles': { roles: ['creator'] },
  'PUT /users/{id}/password': { password: 'another long password' },
  'POST /roles': {
    name: 'data-team',
    description: 'Makes keys for small models.',
    permissions: ['platform:api-keys:create'],
  },
  'POST /projects': { name: 'Search', description: 'Search on the web site and in the apps' },
  'PATCH /projects/{id}': { description: 'Search and discovery' },
  'POST /limits': {
    name: 'Pilot, monthly',
    amountCents: 50_000,
    per: 'month',
    timeZone: 'Europe/Berlin',
    target: { kind: 'project', id: DEMO.emptyProjectId },
  },
  'PATCH /limits/{id}': { amountCents: 60_000 },
  'PUT /limits/by-alias/{alias}': {
    name: 'Invoicing, expensive models',
    amountCents: 5000,
    per: 'week',
    target: { kind: 'project', id: DEMO.projectId },
    models: ['gpt-4*'],
  },
  'PUT /limits/{id}/accounts/{member}': {
    amountCents: 20_000,
    until: NEXT_EXPIRY,
    reason: 'Load test of the new model',
  },
  'PUT /projects/{id}/members/{userId}': { role: 'member' },
  'PUT /projects/by-alias/{alias}': { name: 'Invoicing' },
  'PATCH /roles/{name}': { description: 'Helps customers.' },
  'POST /verify': {
    key: EXAMPLE_SECRET,
    ip: '203.0.113.7',
    model: 'gpt-4o-mini',
    chatbot: 'support-bot',
    scopes: ['chat:write'],
  },
  'POST /verify/batch': {
    items: [
      { key: EXAMPLE_SECRET, ip: '203.0.113.7', model: 'gpt-4o-mini', chatbot: 'support-bot', scopes: ['chat:write'] },
      { key: EXAMPLE_SECRET, ip: '198.51.100.1', dryRun: true },
    ],
  },
  'POST /usage': {
    events: [
      {
        id: 'call-0001',
        apiKeyId: DEMO.keyId,
        inputTokens: 812,
        outputTokens: 204,
        costCents: 0.034,
        model: 'gpt-4o-mini',
        statusCode: 200,
        latencyMs: 950,
      },
    ],
  },
  // A form. The credentials of the caller are those that Swagger UI was authorised with.
  'POST /introspect': { token: EXAMPLE_SECRET, token_type_hint: 'access_token' },
  'POST /auth/second-factor': { password: EXAMPLE_PASSWORD },
  'POST /auth/second-factor/confirm': { code: EXAMPLE_CODE },
  'POST /auth/second-factor/recovery-codes': { password: EXAMPLE_PASSWORD },
  'POST /auth/second-factor/remove': { password: EXAMPLE_PASSWORD },
  'POST /reservations/renew': {
    reservationId: 'the id of a reservation, as POST /verify answered it',
    ttlSeconds: 120,
  },
  'POST /reservations/release': { reservationId: 'the id of a reservation, as POST /verify answered it' },
};

/** Gives path parameters and bodies their examples. */
export function addExamples(document: OpenAPIObject, prefix: string): void {
  for (const { method, path, operation } of operationsOf(document)) {
    const route = `${method} ${path.startsWith(`/${prefix}`) ? path.slice(prefix.length + 1) : path}`;
    for (const parameter of (operation.parameters ?? []) as ParameterObject[]) {
      const example = parameter.in === 'path' ? pathExample(route, parameter.name) : undefined;
      if (example !== undefined) parameter.example = example;
      if (parameter.in === 'query' && parameter.required !== true && parameter.schema)
        sayExample(parameter, parameter.schema);
    }
    const { content = {} } = (operation.requestBody as RequestBodyObject | undefined) ?? {};
    for (const body of Object.values(content))
      if (route in BODY_EXAMPLES) body.example = BODY_EXAMPLES[route as keyof typeof BODY_EXAMPLES];
  }
}

/**
 * Swagger UI sends every parameter that has an example: all filters at once, which match nothing. What may be left out
 * has its example in its description.
 */
function sayExample(parameter: ParameterObject, schema: SchemaObject): void {
  const { example } = schema;
  delete schema['example'];
  if (example === undefined || schema['default'] !== undefined) return;
  const text = [example as string | number | boolean | readonly (string | number)[]]
    .flat()
    .map((one) => `\`${one}\``)
    .join(', ');
  parameter.description = [parameter.description, `Example: ${text}.`].filter(Boolean).join(' ');
}

function pathExample(route: string, name: string): string | undefined {
  if (PATH_EXCEPTIONS[route] !== undefined && name === 'id') return PATH_EXCEPTIONS[route];
  const resource = new RegExp(`([^/]+)/\\{${name}\\}`).exec(route)?.[1];
  return resource === undefined ? undefined : PATH_EXAMPLES[`${resource}/{${name}}`];
}
