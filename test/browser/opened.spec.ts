import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import type { TestApp } from '../support/app.js';
import { launchChromium } from './chromium.js';
import { type ConsoleInUse, leaveWithoutAsking, startConsoleInUse } from './console-in-use.js';
import { ConsoleSession } from './console-session.js';
import type { SampleData } from './sample-data.js';

const browser: Browser | null = await launchChromium();
const inBrowser = browser === null ? describe.skip : describe;

/** What opens on the screens, and what others than an admin see: the same looks as in screens.spec.ts. */
inBrowser('the console, opened', () => {
  let app: TestApp;
  let inUse: ConsoleInUse;
  let session: ConsoleSession;
  let data: SampleData;

  beforeAll(async () => {
    inUse = await startConsoleInUse(browser!);
    ({ app, session, data } = inUse);
    leaveWithoutAsking(session);
    await session.signIn();
  });
  afterAll(() => inUse.stop());

  /** What opens on the screens: menus, dialogs, rows, steps, and what a form says. */
  const opened: [string, () => string, (page: Page) => Promise<unknown>][] = [
    [
      'opened-key-menu',
      () => `/keys/${data.keyId}`,
      (page) => page.getByRole('button', { name: 'Actions', exact: true }).click(),
    ],
    [
      'opened-explain',
      () => `/keys/${data.keyId}?tab=explain`,
      async (page) => {
        await page.getByLabel('Caller’s address').fill('10.1.2.3');
        await page.getByRole('textbox', { name: 'Model' }).fill('claude-sonnet');
        await page.getByRole('button', { name: 'Test the call' }).click();
        await page.getByText('The call would be refused').waitFor();
      },
    ],
    [
      'opened-revoke',
      () => `/keys/${data.keyId}`,
      async (page) => {
        await page.getByRole('button', { name: 'Actions', exact: true }).click();
        await page.getByRole('menuitem', { name: 'Revoke' }).click();
        await page.getByLabel('Reason').waitFor();
      },
    ],
    [
      'opened-form-errors',
      () => '/keys/new',
      async (page) => {
        await page.getByLabel('Alias').fill('not an alias');
        await page.getByRole('switch', { name: 'Limit what this key may spend' }).check();
        await page.getByLabel('In any minute').fill('20000');
        await page.getByRole('button', { name: 'Create key' }).click();
        await page.getByText('a name is needed').waitFor();
      },
    ],
    [
      'opened-bulk',
      () => '/keys',
      async (page) => {
        await page.getByLabel('Select all keys on this page').check();
        await page
          .getByRole('region', { name: 'Selected keys' })
          .getByRole('button', { name: 'Activate', exact: true })
          .click();
        await page.getByRole('button', { name: 'See what would change' }).click();
        await page.getByText('would change').waitFor();
      },
    ],
    [
      'opened-raise-budgets',
      () => '/hygiene',
      async (page) => {
        // The same key is in other lists of the page, which may be there before this one.
        await page.getByRole('region', { name: 'Near their budget' }).getByLabel('Select Billing assistant').check();
        await page.getByRole('button', { name: 'Raise budgets' }).click();
      },
    ],
    ['opened-new-person', () => '/people', (page) => page.getByRole('button', { name: 'New person' }).click()],
    [
      'opened-off-board',
      () => `/people/${data.personId}`,
      async (page) => {
        await page.getByRole('button', { name: 'Off-board' }).click();
        await page.getByLabel('Transfer them all').check();
      },
    ],
    [
      'opened-audit-event',
      () => '/audit?action=api-keys%3Aupdate',
      (page) =>
        page
          .getByRole('button', { name: /Details of event/ })
          .first()
          .click(),
    ],
    [
      'opened-alias-known',
      () => '/keys/by-alias',
      async (page) => {
        await page.getByLabel('Alias').fill('billing');
        await page.getByText('This key will be renewed').waitFor();
      },
    ],
    [
      'opened-import',
      () => '/keys/import',
      async (page) => {
        await page
          .getByRole('textbox', { name: 'Keys', exact: true })
          .fill(
            [
              'key,prefix,name',
              'sk-old-0123456789abcdef,sk-old-0,Legacy one',
              'sk-old-fedcba9876543210,sk-old-f,Legacy two',
              ',sk-old-x,No hash',
            ].join('\n'),
          );
        await page.getByText('Import 2 keys').waitFor();
      },
    ],
    [
      'opened-connect',
      () => '/connect',
      async (page) => {
        await page.getByLabel(/Myself/).check();
        await page.getByRole('button', { name: 'Next' }).click();
        await page.getByRole('button', { name: 'Create the key' }).click();
        await page.getByRole('button', { name: 'Verify', exact: true }).click();
        await page.getByText('It works: the key may be used').waitFor();
      },
    ],
    [
      'opened-secret',
      () => `/keys/${data.keyId}`,
      async (page) => {
        await page.getByRole('button', { name: 'Actions', exact: true }).click();
        await page.getByRole('menuitem', { name: 'Regenerate the secret' }).click();
        await page.getByRole('button', { name: 'Regenerate secret', exact: true }).click();
        await page.getByTestId('secret').waitFor();
      },
    ],
  ];

  it.each(opened)('shows %s without a finding', async (name, path, open) => {
    await session.goto(path());
    await session.page.getByRole('heading', { level: 1 }).waitFor();
    await open(session.page);
    expect(await session.inspect(name)).toEqual([]);
    expect(session.errors).toEqual([]);
  });

  it('opens its navigation on a narrow screen', async () => {
    await session.goto('/account');
    await session.page.setViewportSize({ width: 390, height: 860 });
    await session.page.getByRole('button', { name: 'Navigation' }).click();
    await session.page.getByRole('link', { name: 'Hygiene' }).waitFor();
    await session.settle();
    await session.picture('opened-navigation-narrow');
    expect(await session.violations()).toEqual([]);
    await session.page.getByRole('link', { name: 'Hygiene' }).click();
    await session.page.getByRole('heading', { name: 'Hygiene' }).waitFor();
    await session.page.setViewportSize({ width: 1280, height: 860 });
  });

  it('shows a person without rights their own keys, and says what a page takes', async () => {
    const { email, password } = await app.addUser(['trial-plan']);
    const other = await ConsoleSession.open(browser!, app);
    await other.signIn(email, password);
    await other.page.getByRole('heading', { name: 'My keys' }).waitFor();
    const found = await other.inspect('own-my-keys');
    for (const [name, path] of [
      ['own-new-key', '/keys/new'],
      ['own-no-permission', '/audit'],
      ['own-account', '/account'],
    ] as const) {
      await other.goto(path);
      await other.page.getByRole('heading', { level: 1 }).waitFor();
      found.push(...(await other.inspect(name)));
    }
    expect(found).toEqual([]);
    await other.context.close();
  }, 120_000);
});
