import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import type { TestApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { makeKey } from '../support/made-keys.js';
import { launchChromium } from './chromium.js';
import { ConsoleSession, startConsole } from './console-session.js';

const browser: Browser | null = await launchChromium();
const inBrowser = browser === null ? describe.skip : describe;

/** A new installation, and what people of different rights are offered in it. */
inBrowser('the first hour after an installation', () => {
  let app: TestApp;
  let session: ConsoleSession;
  let page: Page;
  let token: string;

  beforeAll(async () => {
    app = await startConsole();
    token = await app.adminToken();
    session = await ConsoleSession.open(browser!, app);
    page = session.page;
    await session.signIn();
  });
  afterAll(async () => {
    await session.context.close();
    await browser!.close();
    await app.stop();
  });

  const focused = () =>
    page.evaluate(() => {
      const element = document.activeElement as HTMLElement | null;
      const label = (element as HTMLInputElement | null)?.labels?.[0]?.innerText;
      return (element?.getAttribute('aria-label') ?? label ?? element?.innerText ?? '').replace(/[\s*]+$/, '').trim();
    });
  /** Presses Tab until what is called so has the focus. */
  const tabTo = async (name: string, most = 80) => {
    for (let press = 0; press < most; press += 1) {
      if ((await focused()) === name) return;
      await page.keyboard.press('Tab');
    }
    throw new Error(`Tab does not reach “${name}”; it is at “${await focused()}”.`);
  };

  it('names the first steps until a key has been used', async () => {
    const steps = page.getByRole('region', { name: 'First steps' });
    await steps.waitFor();
    for (const name of ['Add the people', 'Connect a service', 'Create a key', 'import', 'API reference'])
      await steps.getByRole('link', { name }).waitFor();
    expect(await session.inspect('first-steps')).toEqual([]);
    const gateway = await makeKey(app, token, { name: 'Gateway', roles: ['gateway'] });
    await app.applied();
    await app.post('/verify', { apiKey: gateway.secret, body: { key: gateway.secret } });
    await app.dataSource.query(`UPDATE key_totals SET last_used_at = now() WHERE key_id = $1`, [gateway.id]);
    await session.goto('');
    await page.getByText('Spend this month').waitFor();
    await session.settle();
    expect(await steps.count()).toBe(0);
  });

  it('has the colours of the system until others are chosen', async () => {
    const shown = (scheme: string) => page.locator(`html[data-mantine-color-scheme="${scheme}"]`).waitFor();
    for (const scheme of ['dark', 'light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme: scheme });
      await shown(scheme);
    }
    await page.getByRole('button', { name: 'Colours' }).click();
    await page.getByRole('menuitem', { name: 'Light' }).click();
    await shown('light');
    await page.reload();
    await shown('light');
    await page.getByRole('button', { name: 'Colours' }).click();
    await page.getByRole('menuitem', { name: 'As the system' }).click();
    await shown('dark');
    await page.emulateMedia({ colorScheme: 'light' });
    await shown('light');
  });

  it('creates a key, copies its secret and revokes it by keyboard alone', async () => {
    await session.goto('/keys');
    await page.getByRole('heading', { name: 'Keys' }).waitFor();
    await session.settle();
    await tabTo('New key');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'New key' }).waitFor();
    await page.waitForFunction(() => document.activeElement?.tagName === 'INPUT');
    expect(await focused()).toBe('Name');
    await page.keyboard.type('By keyboard');
    await page.keyboard.press('Enter');
    await page.getByTestId('secret').waitFor();
    await tabTo('Copy the secret');
    await page.keyboard.press('Enter');
    const secret = await page.getByTestId('secret').textContent();
    await eventually(async () => expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(secret));
    await tabTo('I have stored the secret in a safe place');
    await page.keyboard.press('Space');
    await tabTo('Done');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'By keyboard' }).waitFor();
    await tabTo('Actions');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.activeElement?.closest('[role="menu"]'));
    // From the last item the menu goes on at the first: two steps up from there is the revocation.
    for (let press = 0; press < 12 && (await focused()) !== 'Revoke'; press += 1) await page.keyboard.press('ArrowUp');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.activeElement?.closest('[role="dialog"]'));
    await tabTo('Reason');
    await page.keyboard.type('Only a test');
    await tabTo('Revoke key');
    await page.keyboard.press('Enter');
    await page.getByText(/^Revoked on .*: Only a test$/).waitFor();
    const { body } = await app.get('/api-keys?search=keyboard', { token });
    expect(body.data[0]).toMatchObject({ status: 'revoked', revokedReason: 'Only a test' });
  });

  it('offers a manager who reads all keys what a manager may do, and a reader nothing that is refused', async () => {
    await app.addRole('reads-keys', ['platform:api-keys:read']);
    const manager = await app.addUser(['reads-keys']);
    const service = await app.addUser([], { kind: 'service', managerIds: [manager.id] });
    const managed = await makeKey(app, token, { name: 'Managed', ownerId: service.id });
    const foreign = await makeKey(app, token, { name: 'Of another' });
    const reader = await ConsoleSession.open(browser!, app);
    await reader.signIn(manager.email, manager.password);
    await reader.goto(`/keys/${managed.id}`);
    await reader.page.getByRole('link', { name: 'Edit' }).waitFor();
    await reader.page.getByRole('button', { name: 'Actions', exact: true }).click();
    expect(await reader.page.getByRole('menuitem').allInnerTexts()).toEqual([
      'Regenerate the secret',
      'Renew',
      'Deactivate',
      'Revoke',
    ]);
    await reader.goto(`/keys/${foreign.id}`);
    await reader.page.getByRole('heading', { name: 'Of another' }).waitFor();
    expect(await reader.page.getByRole('button', { name: 'Actions', exact: true }).count()).toBe(0);
    expect(await reader.page.getByRole('link', { name: 'Edit' }).count()).toBe(0);
    await reader.goto('/keys');
    await reader.page.getByLabel('Select Of another').check();
    await reader.page.getByText('1 selected').waitFor();
    const bar = reader.page.getByRole('region', { name: 'Selected keys' });
    expect(await bar.getByRole('button').allInnerTexts()).toEqual(['Clear the selection']);
    await reader.goto('/keys?search=another');
    await reader.page.getByRole('link', { name: 'Of another' }).waitFor();
    expect(await reader.page.getByLabel('Select Of another').count()).toBe(0);
    expect(reader.errors).toEqual([]);
    await reader.context.close();
  });

  it('meets no error of the page itself', () => {
    expect(session.errors).toEqual([]);
  });
});
