import type { TestApp } from '../support/app.js';
import { makeLimit, spend } from '../support/made-limits.js';

/** A name that is a script where it is taken for HTML. */
export const XSS = '<img src=x onerror="window.hacked=1">';

/** What the screens are about. */
export interface SampleData {
  readonly keyId: string;
  readonly serviceId: string;
  readonly personId: string;
  readonly projectId: string;
  /** A key in the project. */
  readonly projectKeyId: string;
  /** On the project: one account for all of its keys, and one for each owner. */
  readonly sharedLimitId: string;
  readonly eachLimitId: string;
}

/** People, roles, keys of every state, a month of usage, and refusals: what an installation in use looks like. */
export async function addSampleData(app: TestApp): Promise<SampleData> {
  const token = await app.adminToken();
  const made = async (path: string, body: object) => {
    const answer = await app.post(path, { token, body });
    if (answer.status >= 300) throw new Error(`${path}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString().replace(/\.\d+Z/, 'Z');
  await made('/roles', {
    name: 'trial-plan',
    description: 'Runs the trial plan',
    permissions: ['platform:api-keys:create'],
    keyPolicy: {
      models: ['gpt-4o-mini'],
      maxRateLimitPerMinute: 60,
      maxBudgetLimitCents: 500,
      maxValidityDays: 30,
      defaults: { scopes: ['chat:write'], rateLimitPerMinute: 20, budgetLimitCents: 100, budgetType: 'monthly' },
    },
  });
  await made('/users', { name: 'Ada Lovelace', email: 'ada@example.com', roles: ['creator'] });
  const grace = await made('/users', {
    name: 'Grace Hopper',
    email: 'grace@example.com',
    roles: ['auditor', 'trial-plan'],
  });
  const service = await made('/users', {
    name: 'Chat gateway',
    kind: 'service',
    roles: ['gateway'],
    managerIds: [grace.id],
  });
  const gateway = await made('/api-keys', {
    name: 'Chat gateway',
    ownerId: service.id,
    roles: ['gateway'],
    tags: ['prod'],
  });
  const { apiKey, secretKey } = await made('/api-keys', {
    name: 'Billing assistant',
    description: 'Answers questions about invoices.',
    alias: 'billing',
    scopes: ['chat:write', 'invoices:read'],
    rateLimitPerMinute: 60,
    rateLimitPerDay: 5000,
    allowedIps: ['10.0.0.0/8', '2001:db8::/32'],
    allowedModels: ['gpt-4o*'],
    budgetLimitCents: 500,
    budgetType: 'monthly',
    tags: ['team:billing', 'prod'],
    metadata: { tenant: 'acme' },
    expiresAt: inDays(6),
  });
  await app.post(`/api-keys/${apiKey.id}/regenerate`, { token, body: { overlapSeconds: 86_400 } });
  await app.patch(`/api-keys/${apiKey.id}`, { token, body: { rateLimitPerMinute: 50, tags: ['team:billing'] } });
  const search = await made('/api-keys', {
    name: 'Site search',
    ownerId: grace.id,
    scopes: ['search:read'],
    tags: ['team:web', 'prod'],
    budgetLimitCents: 20_000,
    budgetType: 'total',
    expiresAt: inDays(200),
  });
  const support = await made('/api-keys', {
    name: 'Support bot',
    ownerId: grace.id,
    scopes: ['chat:write'],
    tags: ['team:support'],
    allowedChatbots: ['support-bot'],
    rateLimitPerMinute: 300,
  });
  await made('/api-keys', { name: XSS, description: XSS, metadata: { note: XSS }, tags: ['team:red'] });
  const old = await made('/api-keys', { name: 'Old importer' });
  await app.post(`/api-keys/${old.apiKey.id}/revoke`, {
    token,
    body: { reason: `Found in a public repository ${XSS}` },
  });
  const off = await made('/api-keys', { name: 'Nightly report', environment: 'test' });
  await app.post(`/api-keys/${off.apiKey.id}/deactivate`, { token });
  await addHistory(app, [
    { id: apiKey.id, perHour: 9, cents: 0.6, models: ['gpt-4o', 'gpt-4o-mini', 'gpt-4o-audio'] },
    { id: search.apiKey.id, perHour: 30, cents: 0.2, models: ['text-embedding-3-small', 'gpt-4o-mini'] },
    { id: support.apiKey.id, perHour: 14, cents: 0.4, models: ['claude-sonnet', 'gpt-4o-mini'] },
  ]);
  const events = Array.from({ length: 12 }, (_, index) => ({
    id: `event-${index}`,
    apiKeyId: apiKey.id,
    requests: 3,
    inputTokens: 1400 + index * 130,
    outputTokens: 420 + index * 70,
    costCents: 33 + index * 1.25,
    model: ['gpt-4o', 'gpt-4o-mini'][index % 2],
  }));
  const reported = await app.post('/usage', { apiKey: gateway.secretKey, body: { events } });
  if (reported.status !== 200) throw new Error(`usage: ${JSON.stringify(reported.body)}`);
  for (const body of [
    { ip: '203.0.113.7', model: 'gpt-4o' },
    { ip: '10.1.2.3', model: 'claude' },
    { ip: '10.1.2.3', model: 'gpt-4o' },
    { ip: '10.1.2.3', model: 'gpt-4o' },
  ]) {
    await app.post('/verify', { apiKey: gateway.secretKey, body: { key: secretKey, ...body } });
  }
  return { keyId: apiKey.id, serviceId: service.id, ...(await addProject(app, token, grace.id)) };
}

/** A project with the keys of one person, who is its admin, and limits. */
async function addProject(app: TestApp, token: string, personId: string) {
  const body = { name: 'Search', description: `On the web site ${XSS}`, alias: 'search' };
  const { id } = (await app.post('/projects', { token, body })).body as { id: string };
  const { data } = (await app.get(`/api-keys?ownerId=${personId}`, { token })).body as { data: { id: string }[] };
  for (const key of data) await app.post(`/api-keys/${key.id}/transfer`, { token, body: { projectId: id } });
  await app.put(`/projects/${id}/members/${personId}`, { token, body: { role: 'admin' } });
  const [{ id: projectKeyId }] = data as [{ id: string }];
  return { personId, projectId: id, projectKeyId, ...(await addLimits(app, token, personId, id)) };
}

/** Limits near their ends; the person has an amount of their own in one of them. */
async function addLimits(app: TestApp, token: string, personId: string, projectId: string) {
  const target = { kind: 'project', id: projectId };
  const shared = await makeLimit(app, token, { name: 'Search, monthly', amountCents: 50_000, per: 'month', target });
  await spend(app, shared.id, 47_250);
  const each = await makeLimit(app, token, {
    name: `Expensive models ${XSS}`,
    amountCents: 20_000,
    per: 'week',
    timeZone: 'Europe/Berlin',
    models: ['gpt-4*', 'claude-opus-*'],
    target,
    each: 'owner',
  });
  const until = new Date(Date.now() + 3 * 86_400_000).toISOString();
  const body = { amountCents: 30_000, until, reason: 'A load test' };
  const given = await app.put(`/limits/${each.id}/accounts/${personId}`, { token, body });
  if (given.status >= 300) throw new Error(`limits: ${JSON.stringify(given.body)}`);
  await spend(app, each.id, 29_100, personId);
  return { sharedLimitId: shared.id as string, eachLimitId: each.id as string };
}

interface Usage {
  readonly id: string;
  readonly perHour: number;
  readonly cents: number;
  readonly models: readonly string[];
}

/** Four weeks by the hour, busier by day than by night; straight into the rollups, because nobody reports the past. */
async function addHistory(app: TestApp, keys: readonly Usage[]): Promise<void> {
  for (const [index, { id, perHour, cents, models }] of keys.entries()) {
    await app.dataSource.query(
      `INSERT INTO usage_rollup_hour (key_id, hour, model, requests, input_tokens, output_tokens, cost_micro_cents)
       SELECT $1, h, m, r, r * (380 + 40 * n), r * (95 + 15 * n), r * $3::bigint * (5 - n)
         FROM generate_series(date_trunc('hour', now()) - interval '28 days', date_trunc('hour', now()) - interval '1 hour', interval '1 hour') h,
              unnest($2::text[]) WITH ORDINALITY u (m, n),
              LATERAL (SELECT greatest(1, round($4 * (1.2 - cos(extract(hour FROM h) * pi() / 12)) * (1 + 0.4 * sin(extract(day FROM h) * 1.7 + $5)) / n))::bigint AS r) s`,
      [id, models, Math.round((cents / 4) * 1e6), perHour / models.length, index],
    );
    await app.dataSource.query(
      `INSERT INTO key_totals (key_id, requests, input_tokens, output_tokens, cost_micro_cents, last_used_at)
       SELECT key_id, sum(requests), sum(input_tokens), sum(output_tokens), sum(cost_micro_cents), now() - interval '7 minutes' FROM usage_rollup_hour WHERE key_id = $1 GROUP BY key_id
       ON CONFLICT (key_id) DO UPDATE SET requests = excluded.requests, input_tokens = excluded.input_tokens, output_tokens = excluded.output_tokens, cost_micro_cents = excluded.cost_micro_cents, last_used_at = excluded.last_used_at`,
      [id],
    );
  }
  await app.dataSource.query(
    `INSERT INTO verdict_minute (key_id, minute, code, count)
     SELECT $1, date_trunc('minute', now()) - make_interval(mins => i * 37), code, 1 + (i * 7) % n
       FROM generate_series(1, 30) i, (VALUES ('VALID', 40), ('RATE_LIMITED', 9), ('BUDGET_EXCEEDED', 4)) v (code, n)`,
    [keys[0]!.id],
  );
}
