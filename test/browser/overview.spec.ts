import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import type { TestApp } from '../support/app.js';
import { launchChromium } from './chromium.js';
import { type ConsoleInUse, startConsoleInUse } from './console-in-use.js';
import type { ConsoleSession } from './console-session.js';

const browser: Browser | null = await launchChromium();
const inBrowser = browser === null ? describe.skip : describe;

/** What an admin sees of the money first. */
inBrowser('the overview', () => {
  let app: TestApp;
  let inUse: ConsoleInUse;
  let session: ConsoleSession;
  let page: Page;
  let token: string;

  beforeAll(async () => {
    inUse = await startConsoleInUse(browser!);
    ({ app, session } = inUse);
    page = session.page;
    token = await app.adminToken();
    // A total budget that a week like the last one uses up: 1 of 200 dollars is left.
    await app.dataSource.query(`UPDATE api_key SET created_at = now() - interval '60 days'`);
    await app.dataSource.query(
      `UPDATE budget_account SET spent_micro_cents = limit_micro_cents - 100000000
        WHERE period = 'total' AND key_id = (SELECT id FROM api_key WHERE name = 'Site search')`,
    );
    await session.signIn();
  });
  afterAll(() => inUse.stop());

  it('has the month so far beside the last month to the same day', async () => {
    await session.goto('');
    const month = page.getByRole('region', { name: 'This month' });
    await month.waitFor();
    await session.settle();
    const { body } = await app.get('/usage/summary?period=month&compare=previous', { token });
    const dollars = (cents: number) =>
      `$${(cents / 100).toLocaleString('en-GB', { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
    const text = await month.innerText();
    expect(text).toContain(dollars(body.totals.costCents));
    expect(text).toMatch(/by this time last month/);
    expect(text).toMatch(/At this rate by/);
  });

  it('says when a budget ends at this rate, and leads to its key', async () => {
    const { body } = await app.get('/usage/budget-forecasts', { token });
    const forecast = body.data.find(({ name }: { name: string }) => name === 'Site search');
    const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' });
    const row = page.getByRole('row').filter({ hasText: `at this rate on ${day.format(new Date(forecast.usedUpAt))}` });
    await row.getByRole('link', { name: 'Site search' }).click();
    await page.getByText(/At this rate it is used up on/).waitFor();
  });

  it('is looked at without a finding, at every width', async () => {
    await session.goto('');
    await page.getByText('Budgets that end early').waitFor();
    expect(await session.inspect('overview-month')).toEqual([]);
    expect(session.errors).toEqual([]);
  });
});
