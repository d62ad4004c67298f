import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import type { TestApp } from '../support/app.js';
import { launchChromium } from './chromium.js';
import { ConsoleSession, startConsole } from './console-session.js';

const browser: Browser | null = await launchChromium();
const inBrowser = browser === null ? describe.skip : describe;

inBrowser('an admin', () => {
  let app: TestApp;
  let admin: ConsoleSession;
  let page: Page;
  let token: string;

  const dialog = () => page.getByRole('dialog');
  const said = (text: string | RegExp) => page.getByText(text).first().waitFor();

  beforeAll(async () => {
    app = await startConsole();
    admin = await ConsoleSession.open(browser!, app);
    await admin.signIn();
    page = admin.page;
    token = await app.adminToken();
  });
  afterAll(async () => {
    expect(admin.errors).toEqual([]);
    await admin.context.close();
    await browser!.close();
    await app.stop();
  });

  it('raises a budget for a while, sees until when, and takes the raise back', async () => {
    const body = { name: 'Campaign', budgetLimitCents: 1_000, budgetType: 'monthly' };
    const { apiKey } = (await app.post('/api-keys', { token, body })).body as { apiKey: { id: string } };
    const raiseOf = async () => (await app.get(`/api-keys/${apiKey.id}`, { token })).body.budgetRaise as object | null;
    await admin.goto(`/keys/${apiKey.id}`);
    await page.getByRole('button', { name: 'Actions', exact: true }).click();
    await page.getByRole('menuitem', { name: 'Raise the budget for a while' }).click();
    await dialog()
      .getByLabel(/^More, in/)
      .fill('20');
    const until = new Date(Date.now() + 2 * 86_400_000).toISOString().slice(0, 16);
    await dialog().getByLabel('Until').fill(until);
    await dialog().getByLabel('Reason').fill('Black Friday');
    await dialog().getByRole('button', { name: 'Raise' }).click();
    await said(/Raised until/);
    await said(/The limit is raised by .*20\.00/);
    expect(await raiseOf()).toMatchObject({ cents: 2_000, reason: 'Black Friday' });
    await page.setViewportSize({ width: 1440, height: 860 });
    await admin.goto('/keys');
    await page
      .getByText(/raised until/)
      .last()
      .waitFor();
    // No column of the list lies below the one that sticks to the edge.
    const list = page.getByRole('region', { name: 'Keys' });
    expect(await list.evaluate((one) => one.scrollWidth - one.clientWidth)).toBeLessThanOrEqual(1);
    await admin.goto(`/keys/${apiKey.id}`);
    await page.getByRole('button', { name: 'Actions', exact: true }).click();
    await page.getByRole('menuitem', { name: 'Take back the raise' }).click();
    await dialog().getByRole('button', { name: 'Take back' }).click();
    await said('The raise is taken back.');
    expect(await raiseOf()).toBeNull();
  });

  it('erases a person by typing their address, and reads of nobody in the trail', async () => {
    const email = 'leaver@example.test';
    const body = { email, name: 'Leaver Longname', kind: 'person', password: 'nine small boats at sea', roles: [] };
    const { id } = (await app.post('/users', { token, body })).body as { id: string };
    await admin.goto(`/people/${id}`);
    await page.getByRole('button', { name: 'Off-board' }).click();
    await dialog().getByLabel('Erase the personal data').check();
    await dialog().getByLabel(/Type/).fill('Leaver Longname');
    expect(await dialog().getByRole('button', { name: 'Off-board and erase' }).isDisabled()).toBe(true);
    await dialog().getByLabel(/Type/).fill(email);
    await dialog().getByRole('button', { name: 'Off-board and erase' }).click();
    await said('The person is erased.');
    expect((await app.get(`/users/${id}`, { token })).status).toBe(404);
    await admin.goto(`/audit?resourceType=user&resourceId=${id}`);
    await said('Erase user');
    expect(await page.getByText('Leaver Longname').count()).toBe(0);
  });
});
