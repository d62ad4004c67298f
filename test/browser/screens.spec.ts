import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import type { Browser } from 'playwright-core';
import { launchChromium } from './chromium.js';
import { type ConsoleInUse, leaveWithoutAsking, startConsoleInUse } from './console-in-use.js';
import type { ConsoleSession } from './console-session.js';
import type { SampleData } from './sample-data.js';

/**
 * Every screen with something on it: no serious finding of axe, nothing wider than the window, and a picture of each.
 */
const browser: Browser | null = await launchChromium();
const inBrowser = browser === null ? describe.skip : describe;

inBrowser('the screens of the console', () => {
  let inUse: ConsoleInUse;
  let session: ConsoleSession;
  let data: SampleData;

  beforeAll(async () => {
    inUse = await startConsoleInUse(browser!);
    ({ session, data } = inUse);
    leaveWithoutAsking(session);
  });
  afterAll(() => inUse.stop());

  it('has an accessible sign-in', async () => {
    await session.goto('/sign-in');
    expect(await session.inspect('sign-in')).toEqual([]);
  });

  const screens: [string, () => string][] = [
    ['overview', () => ''],
    ['keys', () => '/keys'],
    ['keys-filtered-empty', () => '/keys?search=nothing-like-this'],
    ['my-keys', () => '/my-keys'],
    ['new-key', () => '/keys/new'],
    ['key-usage', () => `/keys/${data.keyId}`],
    ['key-settings', () => `/keys/${data.keyId}?tab=settings`],
    ['key-secrets', () => `/keys/${data.keyId}?tab=secrets`],
    ['key-refused', () => `/keys/${data.keyId}?tab=refused`],
    ['key-explain', () => `/keys/${data.keyId}?tab=explain`],
    ['key-history', () => `/keys/${data.keyId}?tab=history`],
    ['key-limits', () => `/keys/${data.projectKeyId}?tab=limits`],
    ['key-no-limits', () => `/keys/${data.keyId}?tab=limits`],
    ['key-edit', () => `/keys/${data.keyId}/edit`],
    ['key-missing', () => '/keys/019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e00'],
    ['people', () => '/people?kind=person'],
    ['service-accounts', () => '/people?kind=service'],
    ['person', () => `/people/${data.personId}`],
    ['service-account', () => `/people/${data.serviceId}`],
    ['projects', () => '/projects'],
    ['project-keys', () => `/projects/${data.projectId}`],
    ['project-members', () => `/projects/${data.projectId}?tab=members`],
    ['project-spend', () => `/projects/${data.projectId}?tab=spend`],
    ['project-limits', () => `/projects/${data.projectId}?tab=limits`],
    ['project-settings', () => `/projects/${data.projectId}?tab=settings`],
    ['project-history', () => `/projects/${data.projectId}?tab=history`],
    ['limits', () => '/limits'],
    ['limits-filtered-empty', () => '/limits?usedAbove=100'],
    ['limit-new', () => `/limits/new?target=project:${data.projectId}`],
    ['limit-shared', () => `/limits/${data.sharedLimitId}`],
    ['limit-each', () => `/limits/${data.eachLimitId}`],
    ['roles', () => '/roles'],
    ['role', () => '/roles/trial-plan'],
    ['role-new', () => '/roles/new'],
    ['audit', () => '/audit'],
    ['hygiene', () => '/hygiene'],
    ['spend', () => '/spend?groupBy=model'],
    ['spend-by-day', () => '/spend?groupBy=day'],
    ['connect', () => '/connect'],
    ['import', () => '/keys/import'],
    ['by-alias', () => '/keys/by-alias'],
    ['found-key', () => '/found-key'],
    ['account', () => '/account'],
    ['unknown', () => '/nowhere/at/all'],
  ];
  /** Looked at by tests of their own. */
  const ALONE = ['/sign-in', '/revoke'];

  it('are all that the router knows', async () => {
    const router = await readFile(new URL('../../console/src/router.tsx', `file://${import.meta.dirname}/`), 'utf8');
    const routes = [...router.matchAll(/^\s+path: '([^']+)'|createRoute\(\{.*path: '([^']+)'/gm)].map(
      ([, own, short]) => (own ?? short)!,
    );
    expect(routes.length).toBeGreaterThan(20);
    const looked = [...ALONE, ...screens.map(([, path]) => path().split('?')[0] || '/')];
    const patterns = routes.map((route) => [route, new RegExp(`^${route.replace(/\/?\$\w*/g, '/[^?]+')}$`)] as const);
    expect(patterns.filter(([, like]) => !looked.some((path) => like.test(path))).map(([route]) => route)).toEqual([]);
  });

  it.each(screens)('shows %s without a finding', async (name, path) => {
    if (!session.page.url().includes('/console') || session.page.url().includes('sign-in')) await session.signIn();
    await session.goto(path());
    await session.page.getByRole('heading', { level: 1 }).or(session.page.getByRole('alert')).first().waitFor();
    expect(await session.inspect(name)).toEqual([]);
    expect(session.errors).toEqual([]);
  });

  it('has an accessible page for the finder of a key', async () => {
    await session.goto('/revoke');
    await session.page.getByRole('heading', { name: 'Revoke a found key' }).waitFor();
    expect(await session.inspect('revoke')).toEqual([]);
  });

  it('shows the matrix of roles without a finding', async () => {
    await session.goto('/roles');
    await session.page.getByRole('tab', { name: 'Who may do what' }).click();
    expect(await session.inspect('roles-matrix')).toEqual([]);
  });
});
