import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import type { TestApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { launchChromium } from './chromium.js';
import { type ConsoleInUse, leaveWithoutAsking, startConsoleInUse } from './console-in-use.js';
import type { ConsoleSession } from './console-session.js';

const browser: Browser | null = await launchChromium();
const inBrowser = browser === null ? describe.skip : describe;

/** "Why was this call refused?" on the page of a key. */
inBrowser('the refused calls of a key', () => {
  let app: TestApp;
  let inUse: ConsoleInUse;
  let session: ConsoleSession;
  let page: Page;
  let token: string;
  let key: { id: string; secret: string };

  beforeAll(async () => {
    inUse = await startConsoleInUse(browser!);
    ({ app, session } = inUse);
    page = session.page;
    leaveWithoutAsking(session);
    token = await app.adminToken();
    const body = { name: 'Watched', allowedIps: ['10.0.0.0/8'], allowedModels: ['gpt-*'], scopes: ['chat:write'] };
    const made = await app.post('/api-keys', { token, body });
    key = { id: made.body.apiKey.id, secret: made.body.secretKey };
    await session.signIn();
  });
  afterAll(() => inUse.stop());

  const verify = (question: object) => app.post('/verify', { token, body: { key: key.secret, ...question } });
  /** Until so many are kept: they are written a second later. */
  const kept = async (count: number) => {
    for (;;) {
      const { body } = await app.get(`/api-keys/${key.id}/refusals`, { token });
      if (body.meta.kept >= count && body.meta.counted >= count) return;
      await page.waitForTimeout(100);
    }
  };
  const rows = () => page.getByRole('region', { name: 'Refused calls' }).locator('tbody tr');

  it('show what was asked, and test one of them again with all that it asked', async () => {
    await verify({ ip: '203.0.113.7', model: 'gpt-4o', scopes: ['chat:write'], cost: 3, reserveCents: 250 });
    await verify({ ip: '10.0.0.1', model: 'o3', environment: 'live', chatbot: 'helper' });
    await kept(2);
    await session.goto(`/keys/${key.id}`);
    await page.getByRole('tab', { name: 'Refused calls' }).click();
    await rows().nth(1).waitFor();
    expect(await rows().nth(0).innerText()).toMatch(/Model not allowed[\s\S]*10\.0\.0\.1[\s\S]*o3/);
    expect(await rows().nth(1).innerText()).toMatch(/Address not allowed[\s\S]*203\.0\.113\.7[\s\S]*gpt-4o/);

    await rows()
      .nth(1)
      .getByRole('button', { name: /Test the call of/ })
      .click();
    await page.getByText('Filled in from the call that was refused').waitFor();
    const value = (label: string) => page.getByLabel(label, { exact: true }).inputValue();
    expect(await Promise.all(['Caller’s address', 'Model', 'Requests', 'Cost to reserve in USD'].map(value))).toEqual([
      ...['203.0.113.7', 'gpt-4o', '3', '2.5'],
    ]);
    await page.getByRole('button', { name: 'Test the call', exact: true }).click();
    await page.getByText('The call would be refused: address not allowed').waitFor();
    expect(await session.inspect('refused-call-tested')).toEqual([]);

    // A form that is opened by itself is empty.
    await page.getByRole('tab', { name: 'Refused calls' }).click();
    await page.getByRole('tab', { name: 'Test a call' }).click();
    expect(await value('Model')).toBe('');
  });

  it('come by themselves while they are followed, and stay while they are not', async () => {
    await session.goto(`/keys/${key.id}?tab=refused`);
    await rows().first().waitFor();
    const before = await rows().count();
    await verify({ ip: '198.51.100.1', model: 'gpt-4o' });
    await kept(before + 1);
    expect(await rows().count()).toBe(before);
    await page.getByRole('switch', { name: 'Live' }).click();
    await rows().filter({ hasText: '198.51.100.1' }).waitFor();
    await page.getByRole('switch', { name: 'Live' }).click();
    await session.settle();
    await verify({ ip: '198.51.100.2', model: 'gpt-4o' });
    await kept(before + 2);
    // Longer than a list that follows waits between two looks.
    await page.waitForTimeout(6_000);
    expect(await rows().filter({ hasText: '198.51.100.2' }).count()).toBe(0);
  });

  it('are narrowed to a reason, and say how many are missing', async () => {
    const items = Array.from({ length: 60 }, () => ({ key: key.secret, ip: '10.0.0.1', model: 'o3' }));
    await app.post('/verify/batch', { token, body: { items } });
    await kept(20);
    await page.getByRole('button', { name: 'Refresh' }).click();
    await page.getByText(/refused calls in the last 48 hours, of which/).waitFor();
    await page.getByRole('combobox', { name: 'Reason' }).click();
    await page.getByRole('option', { name: 'Address not allowed' }).click();
    // The rows of before stand there until those of the reason are asked for.
    await eventually(async () => {
      const texts = await rows().allInnerTexts();
      expect(texts.length).toBeGreaterThan(0);
      expect(texts.every((text) => text.includes('Address not allowed'))).toBe(true);
    });
  });

  it('are looked at without a finding, at every width', async () => {
    await session.goto(`/keys/${key.id}?tab=refused`);
    await rows().first().waitFor();
    expect(await session.inspect('refused-calls')).toEqual([]);
    expect(session.errors).toEqual([]);
  });
});
