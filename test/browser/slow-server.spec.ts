import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser, Page, Route } from 'playwright-core';
import { ADMIN, type TestApp } from '../support/app.js';
import { launchChromium } from './chromium.js';
import { type ConsoleInUse, leaveWithoutAsking, startConsoleInUse } from './console-in-use.js';
import type { ConsoleSession } from './console-session.js';
import type { SampleData } from './sample-data.js';

const browser: Browser | null = await launchChromium();
const inBrowser = browser === null ? describe.skip : describe;

/** What is asked for whatever the page is. */
const SESSION = /\/api\/v1\/auth\//;

/** Servers that are slow or gone, and sessions that end, on each page and in each form. */
inBrowser('a console whose server does not answer', () => {
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
    leaveWithoutAsking(session);
    await session.signIn();
  });
  afterAll(() => inUse.stop());

  const dialog = () => page.getByRole('dialog');
  const keyNamed = async (name: string) =>
    (await app.get(`/api-keys?search=${encodeURIComponent(name)}`, { token })).body.data as { id: string }[];
  /** Until it is ended, requests of the page are dealt with by `handle`. */
  const during = async (handle: (route: Route) => unknown, work: () => Promise<unknown>) => {
    const takeOver = (route: Route) => (SESSION.test(route.request().url()) ? route.continue() : handle(route));
    await page.route('**/api/v1/**', takeOver);
    await work();
    await page.unroute('**/api/v1/**', takeOver);
  };

  describe('that is slow', () => {
    const pages: [string, () => string, RegExp][] = [
      ['the overview', () => '', /Spend this month/],
      ['keys', () => '/keys', /Support bot/],
      ['usage', () => `/keys/${data.keyId}`, /Rate windows/],
      ['refused calls', () => `/keys/${data.keyId}?tab=refused`, /refused calls in the last/],
      ['the history of a key', () => `/keys/${data.keyId}?tab=history`, /Regenerate secret of key/],
      ['hygiene', () => '/hygiene', /Near their budget/],
      ['spend', () => '/spend?groupBy=owner', /Grace Hopper/],
      ['people', () => '/people', /Ada Lovelace/],
      ['a person', () => `/people/${data.personId}`, /grace@example.com/],
      ['roles', () => '/roles', /trial-plan/],
      ['the audit trail', () => '/audit', /Create key/],
    ];

    it('keeps what is typed into a choice of roles before their names are there', async () => {
      let answer = () => undefined as void;
      const late = new Promise<void>((resolve) => (answer = resolve));
      const handle = async (route: Route) => {
        if (new URL(route.request().url()).pathname.endsWith('/roles')) await late;
        await route.continue();
      };
      await during(handle, async () => {
        await session.goto(`/people/${data.personId}`);
        await page.getByRole('button', { name: 'Roles', exact: true }).click();
        const field = dialog()
          .getByRole('combobox', { name: 'Roles' })
          .or(dialog().getByRole('textbox', { name: 'Roles' }));
        await field.first().click();
        await field.first().fill('creat');
        await page.getByText('The roles are being read.').waitFor();
        answer();
        await page.getByRole('option', { name: 'creator' }).waitFor();
      });
      await page.keyboard.press('Escape');
    });

    it.each(pages)(
      'says so, gives up after a time, and goes on when it is asked to: %s',
      async (_name, path, content) => {
        await page.clock.install();
        await during(
          () => undefined,
          async () => {
            await session.goto(path());
            await page.getByRole('status', { name: 'Loading' }).first().waitFor();
            await page.clock.fastForward(9_000);
            await page.getByText('Still waiting for the server.').waitFor();
            await page.clock.fastForward(31_000);
            await page.getByText('The server has not answered for 30 seconds.').first().waitFor();
          },
        );
        await page.getByRole('button', { name: 'Try again' }).first().click();
        await page.getByText(content).first().waitFor();
        await page.clock.resume();
        expect(session.errors).toEqual([]);
      },
    );

    it('says once on the overview what all of its panels would say', async () => {
      await during(
        (route) => route.fulfill({ status: 500, contentType: 'application/json', body: '{"detail":"Down."}' }),
        async () => {
          await session.goto('');
          await page.getByRole('alert').first().waitFor();
          await session.settle();
          expect(await page.getByRole('alert').count()).toBe(1);
        },
      );
      await page.getByRole('button', { name: 'Try again' }).click();
      await page.getByText('Spend this month').waitFor();
    });
  });

  describe('because there is no network', () => {
    it('says so at the act, which does not happen later by itself', async () => {
      await session.goto('/keys/new');
      await page.getByLabel('Name').fill('Made offline');
      await session.context.setOffline(true);
      await page.getByRole('button', { name: 'Create key' }).click();
      await page.getByRole('alert').getByText('The server does not answer.').waitFor();
      await session.context.setOffline(false);
      await session.goto('/keys');
      await page.getByRole('link', { name: 'Support bot' }).waitFor();
      expect(await keyNamed('Made offline')).toEqual([]);
    });

    it('says so on a page, and keeps what was read', async () => {
      await session.goto('/audit');
      await page.getByText('Create key').first().waitFor();
      await session.context.setOffline(true);
      await page.getByRole('link', { name: 'Roles', exact: true }).click();
      await page.getByText('The server does not answer.').first().waitFor();
      await session.context.setOffline(false);
      await page.getByRole('button', { name: 'Try again' }).first().click();
      await page.getByRole('link', { name: 'trial-plan' }).waitFor();
    });
  });

  describe('because the session has ended', () => {
    interface Form {
      readonly path: () => Promise<string> | string;
      readonly fill: () => Promise<unknown>;
      readonly act: string;
      readonly said: RegExp | string;
    }
    const menu = async (item: string) => {
      await page.getByRole('button', { name: 'Actions', exact: true }).click();
      await page.getByRole('menuitem', { name: item, exact: true }).click();
    };
    const budgeted = async (name: string, body: object = {}) =>
      (await app.post('/api-keys', { token, body: { name, budgetLimitCents: 500, budgetType: 'monthly', ...body } }))
        .body.apiKey.id as string;
    const forms: Record<string, Form> = {
      'a raise of a budget': {
        path: async () => `/keys/${await budgeted('To be raised')}`,
        fill: async () => {
          await menu('Raise the budget for a while');
          await dialog()
            .getByLabel(/^More, in/)
            .fill('20');
          await dialog()
            .getByLabel('Until')
            .fill(new Date(Date.now() + 172_800_000).toISOString().slice(0, 16));
          await dialog().getByLabel('Reason').fill('Black Friday');
        },
        act: 'Raise the budget',
        said: /^Raised until/,
      },
      'an offer of a secret': {
        path: async () => `/keys/${await budgeted('To be offered', { ownerId: data.personId })}`,
        fill: () => menu('Let the owner draw a secret'),
        act: 'Offer the secret',
        said: /can draw the secret for 24 hours/,
      },
      'an erasure': {
        path: async () => {
          const body = { email: 'leaver@example.test', name: 'Leaver', kind: 'person', roles: [] };
          return `/people/${(await app.post('/users', { token, body })).body.id as string}`;
        },
        fill: async () => {
          await page.getByRole('button', { name: 'Off-board' }).click();
          await dialog().getByLabel('Erase the personal data').check();
          await dialog().getByLabel(/Type/).fill('leaver@example.test');
        },
        act: 'Off-board and erase',
        said: 'The person is erased.',
      },
      'a new person': {
        path: () => '/people',
        fill: async () => {
          await page.getByRole('button', { name: 'New person' }).click();
          await dialog().getByLabel('Name').fill('Typed before');
          await dialog().getByLabel('E-mail').fill('typed@example.test');
        },
        act: 'Add person',
        said: 'Typed before has been added.',
      },
      'a revocation': {
        path: async () => `/keys/${await budgeted('To be revoked')}`,
        fill: async () => {
          await menu('Revoke');
          await dialog().getByLabel('Reason').fill('Leaked');
        },
        act: 'Revoke key',
        said: /every replica refuses it/,
      },
      'a call to be tested': {
        path: () => `/keys/${data.keyId}?tab=explain`,
        fill: () => page.getByLabel('Caller’s address').fill('203.0.113.9'),
        act: 'Test the call',
        said: /The call would be refused: address not allowed/,
      },
      'a new role': {
        path: () => '/roles/new',
        fill: () => page.getByLabel('Name').fill('typed-before'),
        act: 'Add role',
        said: 'Role added.',
      },
    };

    it.each(Object.entries(forms))(
      'keeps the form, and does what was asked after a new sign-in: %s',
      async (_name, { path, fill, act, said }) => {
        await session.goto(await path());
        await page.getByRole('heading', { level: 1 }).waitFor();
        await session.settle();
        await fill();
        await session.context.clearCookies();
        const button = page.getByRole('button', { name: act, exact: true });
        await button.last().click();
        const again = page.getByRole('dialog', { name: 'Your session has ended' });
        await again.getByLabel('Password', { exact: true }).fill(ADMIN.password);
        await again.getByRole('button', { name: 'Sign in', exact: true }).click();
        await again.waitFor({ state: 'hidden' });
        await button.last().click();
        await page.getByText(said).first().waitFor();
        expect(session.errors).toEqual([]);
      },
    );
  });

  it('keeps the rows of the trail where older ones cannot be read', async () => {
    for (let index = 0; index < 60; index += 1)
      await app.patch(`/api-keys/${data.keyId}`, { token, body: { description: `change ${index}` } });
    await session.goto('/audit');
    const rows = page.getByRole('region', { name: 'Audit events' }).locator('tbody tr');
    await rows.first().waitFor();
    const read = await rows.count();
    await during(
      (route) => route.fulfill({ status: 500, contentType: 'application/json', body: '{"detail":"Down."}' }),
      async () => {
        await page.getByRole('button', { name: 'Older events' }).click();
        await page.getByRole('alert').getByText('Down.').waitFor();
        expect(await rows.count()).toBe(read);
      },
    );
    await page.getByRole('button', { name: 'Try again' }).click();
    await rows.nth(read).waitFor();
  });
});
