import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import type { TestApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { withinOneHour } from '../support/hours.js';
import { launchChromium } from './chromium.js';
import { type ConsoleInUse, startConsoleInUse } from './console-in-use.js';
import type { ConsoleSession } from './console-session.js';
import type { SampleData } from './sample-data.js';

const browser: Browser | null = await launchChromium();
const inBrowser = browser === null ? describe.skip : describe;

const DAY_MS = 86_400_000;

/** What an admin reads of usage and money, and what is done about it in the same place. */
inBrowser('the reports of the console', () => {
  let app: TestApp;
  let inUse: ConsoleInUse;
  let session: ConsoleSession;
  let page: Page;
  let token: string;
  let data: SampleData;

  beforeAll(async () => {
    inUse = await startConsoleInUse(browser!, { MAX_ACTIVE_KEYS: '100' });
    ({ app, session, data } = inUse);
    page = session.page;
    token = await app.adminToken();
    await session.signIn();
  });
  afterAll(() => inUse.stop());

  const dialog = () => page.getByRole('dialog');
  const table = () => page.getByRole('region', { name: 'The chart as a table' });
  const choose = async (label: string, option: string) => {
    await page.getByRole('combobox', { name: label }).or(page.getByLabel(label)).first().click();
    await page.getByRole('option', { name: option }).click();
  };
  const count = (text: string) => Number(text.replaceAll(',', ''));

  describe('a chart', () => {
    it('stands beside the period before, in a table of the same numbers', async () => {
      await withinOneHour(app);
      await session.goto(`/keys/${data.keyId}`);
      await choose('Range', 'Last 7 days, by hour');
      await page.getByRole('switch', { name: 'Compare' }).check();
      await page.getByRole('button', { name: 'Show as a table' }).click();
      await table().getByRole('columnheader', { name: 'the period before' }).waitFor();
      await session.settle();
      const rows = await table().locator('tbody tr').allInnerTexts();
      expect(rows).toHaveLength(7 * 24);
      const columns = rows.map((row) => row.split('\t').slice(1).map(count));
      const sumOf = (column: number) => columns.reduce((sum, row) => sum + row[column]!, 0);
      const end = (Math.floor(Date.now() / 3_600_000) + 1) * 3_600_000;
      const at = (ms: number) => new Date(ms).toISOString().replace('.000Z', 'Z');
      const requests = async (from: number, to: number) => {
        const query = `interval=hour&from=${at(from)}&to=${at(to)}`;
        const { body } = await app.get(`/api-keys/${data.keyId}/usage/series?${query}`, { token });
        return body.series[0].points.reduce((sum: number, point: { requests: number }) => sum + point.requests, 0);
      };
      expect(sumOf(0)).toBe(await requests(end - 7 * DAY_MS, end));
      expect(sumOf(1)).toBe(await requests(end - 14 * DAY_MS, end - 7 * DAY_MS));
      expect(sumOf(1)).toBeGreaterThan(0);
    });

    it('marks the step that is not over, and says that late reports count when they came', async () => {
      await session.goto(`/keys/${data.keyId}`);
      await page.getByText('The last hour is not over yet.').waitFor();
      await page.getByText('Usage counts at the time its report arrived.').waitFor();
      await page.getByRole('button', { name: 'Show as a table' }).click();
      await table()
        .getByText(/, so far$/)
        .waitFor();
      expect(
        await table()
          .getByText(/, so far$/)
          .count(),
      ).toBe(1);
      await session.goto('/spend?groupBy=day');
      await page.getByText('Usage counts at the time its report arrived. The last day is not over yet.').waitFor();
    });

    it('has a line where the budget is', async () => {
      await session.goto(`/keys/${data.keyId}`);
      await choose('Range', 'Last 30 days');
      await page.getByText('Cost', { exact: true }).click();
      await page.getByText(/^budget: \$0\.1\d a day$/).waitFor();
    });
  });

  describe('the overview', () => {
    it('compares the month with the last one to the same day, by the numbers of the API', async () => {
      // A month ago a tenth of what there is now was spent, in the first hour of the month.
      await app.dataSource.query(
        `INSERT INTO usage_rollup_hour (key_id, hour, model, requests, input_tokens, output_tokens, cost_micro_cents)
         SELECT $1, date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '1 month', 'gpt-4o', 100, 0, 0, 1000000000
         ON CONFLICT DO NOTHING`,
        [data.keyId],
      );
      const { body } = await app.get('/usage/summary?period=month&compare=previous', { token });
      const [now, before] = [body.totals.costCents, body.previous.totals.costCents] as [number, number];
      const percent = Math.round((100 * (now - before)) / before);
      const said = percent === 0 ? 'as much as' : `${Math.abs(percent)} % ${percent > 0 ? 'more' : 'less'} than`;
      await session.goto('');
      const month = page.getByRole('region', { name: 'This month' });
      await month.getByText(`${said} by this time last month`).waitFor();
    });
  });

  describe('hygiene', () => {
    it('takes a number of days of one’s own', async () => {
      await app.dataSource.query(
        `UPDATE api_key SET created_at = now() - interval '60 days' WHERE name = 'Site search'`,
      );
      await app.dataSource.query(
        `UPDATE key_totals SET last_used_at = now() - interval '40 days' WHERE key_id = (SELECT id FROM api_key WHERE name = 'Site search')`,
      );
      await session.goto('/hygiene');
      await page.getByText('Every key older than 90 days has been used since.').waitFor();
      await page.getByRole('textbox', { name: 'Unused for' }).fill('30');
      const unused = page.getByRole('region', { name: 'Unused for 30 days' });
      await unused.getByRole('link', { name: 'Site search' }).waitFor();
      await page.getByRole('textbox', { name: 'Unused for' }).fill('45');
      await page.getByText('Every key older than 45 days has been used since.').waitFor();
    });

    it('raises the budgets of several at once, and tries the rest again', async () => {
      const made = async (name: string) => {
        const body = { name, budgetLimitCents: 1_000, budgetType: 'monthly', tags: ['bulk-raise'] };
        return (await app.post('/api-keys', { token, body })).body.apiKey.id as string;
      };
      const ids = [await made('Raise one'), await made('Raise two')];
      const budgets = () =>
        Promise.all(ids.map(async (id) => (await app.get(`/api-keys/${id}`, { token })).body.budgetLimitCents));
      await session.goto('/keys?tag=%5B%22bulk-raise%22%5D');
      await page.getByLabel('Select all keys on this page').check();
      await page.getByRole('button', { name: 'Raise budgets' }).click();
      await page.route(`**/api/v1/api-keys/${ids[0]}`, (route) => route.abort('connectionrefused'));
      await dialog().getByRole('button', { name: 'Raise budgets', exact: true }).click();
      await dialog().getByText('1 of 2 done.').waitFor();
      expect(await budgets()).toEqual([1_000, 1_500]);
      await page.unroute(`**/api/v1/api-keys/${ids[0]}`);
      await dialog().getByRole('button', { name: 'Try the rest again' }).click();
      await dialog().getByText('2 of 2 done.').waitFor();
      await eventually(async () => expect(await budgets()).toEqual([1_500, 1_500]));
      await dialog().getByRole('button', { name: 'Close' }).last().click();
    });
  });

  it('meets no error of the page itself', () => {
    expect(session.errors).toEqual([]);
  });
});
