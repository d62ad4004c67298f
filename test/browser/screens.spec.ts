import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser } from 'playwright-core';
import type { TestApp } from '../support/app.js';
import { launchChromium } from './chromium.js';
import { ConsoleSession, startConsole } from './console-session.js';

const XSS = '<img src=x onerror="window.hacked=1">';

/** Every screen with something on it: no serious finding of axe, nothing wider than the window, and a picture of each. */
const browser: Browser | null = await launchChromium();
const inBrowser = browser === null ? describe.skip : describe;

inBrowser('the screens of the console', () => {
  let app: TestApp;
  let session: ConsoleSession;
  let keyId: string;
  let serviceId: string;

  beforeAll(async () => {
    app = await startConsole();
    ({ keyId, serviceId } = await fill(app));
    session = await ConsoleSession.open(browser!, app);
  }, 60_000);

  afterAll(async () => {
    await session.context.close();
    await browser!.close();
    await app.stop();
  });

  it('has an accessible sign-in', async () => {
    await session.goto('/sign-in');
    expect(await session.inspect('sign-in')).toEqual([]);
  }, 60_000);

  const screens: [string, () => string][] = [
    ['overview', () => ''],
    ['keys', () => '/keys'],
    ['keys-filtered-empty', () => '/keys?search=nothing-like-this'],
    ['my-keys', () => '/my-keys'],
    ['new-key', () => '/keys/new'],
    ['key-usage', () => `/keys/${keyId}`],
    ['key-settings', () => `/keys/${keyId}?tab=settings`],
    ['key-secrets', () => `/keys/${keyId}?tab=secrets`],
    ['key-explain', () => `/keys/${keyId}?tab=explain`],
    ['key-history', () => `/keys/${keyId}?tab=history`],
    ['key-edit', () => `/keys/${keyId}/edit`],
    ['key-missing', () => '/keys/019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e00'],
    ['people', () => '/people?kind=person'],
    ['service-accounts', () => '/people?kind=service'],
    ['person', () => `/people/${serviceId}`],
    ['roles', () => '/roles'],
    ['role', () => '/roles/trial-plan'],
    ['role-new', () => '/roles/new'],
    ['audit', () => '/audit'],
    ['hygiene', () => '/hygiene'],
    ['spend', () => '/spend?groupBy=model'],
    ['connect', () => '/connect'],
    ['account', () => '/account'],
  ];

  it.each(screens)('shows %s without a serious finding', async (name, path) => {
    if (!session.page.url().includes('/console') || session.page.url().includes('sign-in')) await session.signIn();
    await session.goto(path());
    await session.page.getByRole('heading', { level: 1 }).or(session.page.getByRole('alert')).first().waitFor();
    expect(await session.inspect(name)).toEqual([]);
    expect(session.errors).toEqual([]);
  }, 90_000);

  it('shows the matrix of roles without a serious finding', async () => {
    await session.goto('/roles');
    await session.page.getByRole('tab', { name: 'Who may do what' }).click();
    expect(await session.inspect('roles-matrix')).toEqual([]);
  }, 60_000);

  it('shows a name that is HTML as text', async () => {
    await session.goto('/keys?search=onerror');
    await session.page.getByRole('link', { name: XSS }).waitFor();
    expect(await session.page.evaluate(() => 'hacked' in window)).toBe(false);
  });
});

/** People, roles, keys of every state, usage and refusals. */
async function fill(app: TestApp): Promise<{ keyId: string; serviceId: string }> {
  const token = await app.adminToken();
  const made = async (path: string, body: object) => {
    const answer = await app.post(path, { token, body });
    if (answer.status >= 300) throw new Error(`${path}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  await made('/roles', { name: 'trial-plan', description: 'Runs the trial plan', permissions: ['platform:api-keys:create'], keyPolicy: { models: ['gpt-4o-mini'], maxRateLimitPerMinute: 60, maxBudgetLimitCents: 500, maxValidityDays: 30 } });
  await made('/users', { name: 'Ada Lovelace', email: 'ada@example.com', roles: ['creator'] });
  await made('/users', { name: 'Grace Hopper', email: 'grace@example.com', roles: ['auditor', 'trial-plan'] });
  const service = await made('/users', { name: 'Chat gateway', kind: 'service', roles: ['gateway'], managerIds: [] });
  const gateway = await made('/api-keys', { name: 'Chat gateway', ownerId: service.id, roles: ['gateway'] });
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
    expiresAt: new Date(Date.now() + 6 * 86_400_000).toISOString().replace(/\.\d+Z/, 'Z'),
  });
  await app.post(`/api-keys/${apiKey.id}/regenerate`, { token, body: { overlapSeconds: 86_400 } });
  await app.patch(`/api-keys/${apiKey.id}`, { token, body: { rateLimitPerMinute: 50, tags: ['team:billing'] } });
  await made('/api-keys', { name: XSS, tags: ['team:red'] });
  const old = await made('/api-keys', { name: 'Old importer' });
  await app.post(`/api-keys/${old.apiKey.id}/revoke`, { token, body: { reason: 'Found in a public repository' } });
  const off = await made('/api-keys', { name: 'Nightly report', environment: 'test' });
  await app.post(`/api-keys/${off.apiKey.id}/deactivate`, { token });
  const models = ['gpt-4o-mini', 'gpt-4o', 'gpt-4o-audio'];
  const hour = 3_600_000;
  const events = Array.from({ length: 60 }, (_, index) => ({
    id: `event-${index}`,
    apiKeyId: apiKey.id,
    requests: 1 + (index % 5),
    inputTokens: 400 + index * 13,
    outputTokens: 120 + index * 7,
    costCents: 3 + (index % 9) * 1.25,
    model: models[index % 3],
    occurredAt: new Date(Date.now() - (index % 20) * hour * (index % 2 === 0 ? 1 : 20)).toISOString().replace(/\.\d+Z/, 'Z'),
  }));
  const reported = await app.post('/usage', { apiKey: gateway.secretKey, body: { events } });
  if (reported.status !== 200) throw new Error(`usage: ${JSON.stringify(reported.body)}`);
  for (const body of [{ ip: '203.0.113.7', model: 'gpt-4o' }, { ip: '10.1.2.3', model: 'claude' }, { ip: '10.1.2.3', model: 'gpt-4o' }]) {
    await app.post('/verify', { apiKey: gateway.secretKey, body: { key: secretKey, ...body } });
  }
  return { keyId: apiKey.id, serviceId: service.id };
}
