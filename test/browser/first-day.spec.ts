import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser, Dialog, Locator, Page } from 'playwright-core';
import type { TestApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { launchChromium } from './chromium.js';
import { type ConsoleInUse, startConsoleInUse } from './console-in-use.js';
import { ConsoleSession } from './console-session.js';
import type { SampleData } from './sample-data.js';

const browser: Browser | null = await launchChromium();
const inBrowser = browser === null ? describe.skip : describe;

const STORED = 'I have stored the secret in a safe place';

/** What an admin meets on the first day: ways out, dialogs, pasted secrets, slow servers, sessions that end. */
inBrowser('the first day of an admin', () => {
  let app: TestApp;
  let inUse: ConsoleInUse;
  let session: ConsoleSession;
  let page: Page;
  let token: string;
  let data: SampleData;

  beforeAll(async () => {
    inUse = await startConsoleInUse(browser!, { MAX_ACTIVE_KEYS: '1000' });
    ({ app, session, data } = inUse);
    page = session.page;
    token = await app.adminToken();
    await session.signIn();
  });
  afterAll(() => inUse.stop());

  const made = async (body: object) => {
    const answer = await app.post('/api-keys', { token, body });
    expect(answer.status).toBe(201);
    return answer.body as { apiKey: { id: string; keyPrefix: string; name: string }; secretKey: string };
  };
  const statusOf = async (id: string) => (await app.get(`/api-keys/${id}`, { token })).body.status as string;
  const dialog = () => page.getByRole('dialog');
  const said = (text: string | RegExp) => page.getByText(text).first().waitFor();
  const heading = (name: string | RegExp) => page.getByRole('heading', { level: 1, name }).waitFor();
  /** Follows the questions of the page before it is left, and refuses each. */
  const refusing = async (work: () => Promise<unknown>) => {
    const asked: string[] = [];
    const refuse = (question: Dialog) => {
      asked.push(question.message());
      void question.dismiss();
    };
    page.on('dialog', refuse);
    await work();
    await eventually(() => expect(asked.length).toBeGreaterThan(0));
    page.off('dialog', refuse);
    return asked;
  };
  /** The session ends as an administrator ends it; the page learns of it with its next request. */
  const endSession = () => session.context.clearCookies();
  const signInAgain = async () => {
    await dialog().getByText('Your session has ended').waitFor();
    await dialog().getByLabel('Password', { exact: true }).fill(`a "password" for test's $HOME \\ sake`);
    await dialog().getByRole('button', { name: 'Sign in', exact: true }).click();
    await dialog().getByText('Your session has ended').waitFor({ state: 'hidden' });
  };

  describe('with a secret that is shown once', () => {
    const shown: [string, () => Promise<unknown>][] = [
      [
        'a new key',
        async () => {
          await session.goto('/keys');
          await page.getByRole('link', { name: 'New key' }).click();
          await session.settle();
          await page.getByLabel('Name').fill('Back key');
          await page.getByRole('button', { name: 'Create key' }).click();
        },
      ],
      [
        'a new secret',
        async () => {
          await session.goto('/keys');
          await page.getByRole('link', { name: 'Support bot' }).click();
          await page.getByRole('button', { name: 'Actions', exact: true }).click();
          await page.getByRole('menuitem', { name: 'Regenerate the secret' }).click();
          await dialog().getByRole('button', { name: 'Regenerate secret', exact: true }).click();
        },
      ],
      [
        'a key by its alias',
        async () => {
          await session.goto('/keys');
          await page.getByRole('button', { name: 'Other ways to a key' }).click();
          await page.getByRole('menuitem', { name: 'Create or renew by alias' }).click();
          await session.settle();
          await page.getByLabel('Alias').fill('back-alias');
          await page.getByLabel('Name').fill('Back alias');
          await page.getByRole('button', { name: 'Create or renew' }).click();
        },
      ],
    ];

    it.each(shown)('asks before Back loses the secret of %s, and lets go once it is stored', async (_what, show) => {
      await show();
      await page.getByTestId('secret').waitFor();
      expect(await refusing(() => page.evaluate(() => history.back()))).toEqual([
        'The secret is shown this once. Leave without it?',
      ]);
      await page.getByTestId('secret').waitFor();
      await page.getByLabel(STORED).check();
      await page.getByRole('button', { name: 'Done' }).click();
      await page.getByTestId('secret').waitFor({ state: 'detached' });
    });

    it('asks before Back and before another page while a connected service’s secret is not stored', async () => {
      await session.goto('/keys');
      await page.getByRole('link', { name: 'Connect a service' }).click();
      await page.getByLabel(/Myself/).check();
      await page.getByRole('button', { name: 'Next' }).click();
      await page.getByRole('button', { name: 'Create the key' }).click();
      await page.getByLabel(STORED).waitFor();
      await refusing(() => page.evaluate(() => history.back()));
      await refusing(() => page.getByRole('link', { name: 'Hygiene' }).click());
      await page.getByLabel(STORED).check();
      await page.getByRole('link', { name: 'Hygiene' }).click();
      await heading('Hygiene');
    });

    it('keeps the secret when the session ends, behind a new sign-in', async () => {
      await page.clock.install();
      await session.goto('/keys/new');
      await page.getByLabel('Name').fill('Outlives the session');
      await page.getByRole('button', { name: 'Create key' }).click();
      const secret = await page.getByTestId('secret').textContent();
      await endSession();
      // An open page asks twice a minute who is signed in.
      await page.clock.fastForward('01:00');
      await signInAgain();
      expect(await page.getByTestId('secret').textContent()).toBe(secret);
      await page.getByLabel(STORED).check();
      await page.getByRole('button', { name: 'Done' }).click();
      await heading('Outlives the session');
      await page.clock.resume();
    });

    it('keeps a form when the session ends in it, and goes on after a new sign-in', async () => {
      await session.goto('/keys/new');
      await page.getByLabel('Name').fill('Filled in before');
      await page.getByLabel('Description').fill('Kept');
      await endSession();
      await page.getByRole('button', { name: 'Create key' }).click();
      await signInAgain();
      expect(await page.getByLabel('Name').inputValue()).toBe('Filled in before');
      await page.getByRole('button', { name: 'Create key' }).click();
      await page.getByLabel(STORED).check();
      await page.getByRole('button', { name: 'Done' }).click();
      await said('Kept');
    });
  });

  describe('with a secret that was found', () => {
    const forms: [string, (secret: string) => string][] = [
      ['alone', (secret) => secret],
      ['a header', (secret) => `Authorization: Bearer ${secret}`],
      ['a header in capitals', (secret) => `X-API-KEY: ${secret}`],
      ['quotes', (secret) => `"${secret}"`],
      ['a variable', (secret) => `LATCHKEY_KEY=${secret}`],
      ['an exported variable', (secret) => `export LATCHKEY_KEY='${secret}'`],
      ['JSON', (secret) => `{"key": "${secret}"}`],
      ['a URL', (secret) => `https://api.example.com/v1?key=${secret}&x=1`],
      ['an encoded URL', (secret) => encodeURIComponent(`/v1?key=${secret.replaceAll('_', '%5F')}`)],
      ['a command', (secret) => `curl -H 'x-api-key: ${secret}' https://api.example.com`],
      ['a history of a shell', (secret) => `: 1764450000:0;http :3000 x-api-key:${secret}`],
      ['a line of a log', (secret) => `2026-11-29 WARN 401 key=${secret}; retrying`],
      ['YAML', (secret) => `env:\n  - name: KEY\n    value: ${secret}`],
      ['a line that a mail broke', (secret) => `${secret.slice(0, 50)}=\n${secret.slice(50)}`],
      ['credentials in base64', (secret) => `Authorization: Basic ${Buffer.from(`me:${secret}`).toString('base64')}`],
      ['zero-width characters', (secret) => [...secret].join('\u200b')],
      [
        'full-width letters',
        (secret) => secret.replace(/[!-~]/g, (one) => String.fromCharCode(one.charCodeAt(0) + 0xfee0)),
      ],
    ];

    it('leads to its revocation in at most four interactions, in every pasted form', async () => {
      const finder = await ConsoleSession.open(browser!, app);
      for (const [form, paste] of forms) {
        const { apiKey, secretKey } = await made({ name: `Leaked in ${form}` });
        await finder.goto('/sign-in');
        const steps = [
          () => finder.page.getByRole('link', { name: 'Revoke it' }).click(),
          () => finder.page.getByLabel('The key, or the text that contains it').fill(paste(secretKey)),
          () => finder.page.getByRole('button', { name: 'Revoke the key' }).click(),
        ];
        expect(steps.length).toBeLessThanOrEqual(4);
        for (const step of steps) await step();
        await finder.page.getByText('If this was the secret of a key here, it has ended').waitFor();
        expect([form, await statusOf(apiKey.id)]).toEqual([form, 'revoked']);
      }
      await finder.page.getByLabel('The key, or the text that contains it').fill('nothing of ours');
      await finder.page.getByText('There is no key in this.').waitFor();
      expect(await finder.page.getByRole('button', { name: 'Revoke the key' }).isDisabled()).toBe(true);
      expect(finder.errors).toEqual([]);
      await finder.context.close();
    });

    it('leads to the revocation of each of two that were pasted together', async () => {
      const both = [await made({ name: 'First of two' }), await made({ name: 'Second of two' })];
      await session.goto('/found-key');
      const text = both.map(({ secretKey }, index) => `KEY_${index}=${secretKey}`).join('\n');
      await page.getByLabel('The key, or the text that contains it').fill(text);
      await page.getByText('2 keys found:').waitFor();
      await page.getByRole('button', { name: 'Revoke all 2' }).click();
      await page.getByRole('status').filter({ hasText: 'Done' }).waitFor();
      for (const { apiKey } of both) expect(await statusOf(apiKey.id)).toBe('revoked');
    });

    it('shows signed-in admins which key it was', async () => {
      const { secretKey } = await made({ name: 'Named leak' });
      await session.goto('/found-key');
      await page.getByLabel('The key, or the text that contains it').fill(`Bearer ${secretKey}`);
      await page.getByRole('link', { name: 'Named leak' }).waitFor();
      await page.getByRole('button', { name: 'Revoke the key' }).click();
      await page.getByRole('status').filter({ hasText: 'Done' }).getByText('revoked').waitFor();
    });

    it('is cut to its public start when it is searched for, and nothing else of it leaves the page', async () => {
      const { apiKey, secretKey } = await made({ name: 'Searched leak' });
      const sent: string[] = [];
      page.on('request', (request) => sent.push(`${request.url()} ${request.postData() ?? ''}`));
      await session.goto('/keys');
      const field = page.getByLabel('Search in name, description, alias and key prefix');
      for (const pasted of [
        `KEY="${secretKey}"`,
        secretKey.slice(0, 30),
        secretKey.slice(0, -1),
        `${apiKey.keyPrefix}…`,
      ]) {
        await field.fill('');
        await page.waitForURL((url) => !url.search.includes('search='));
        await field.fill(pasted);
        await page.waitForURL((url) => url.searchParams.get('search') === apiKey.keyPrefix);
        await page.getByRole('link', { name: 'Searched leak' }).waitFor();
        expect(await field.inputValue()).toBe(apiKey.keyPrefix);
      }
      const behind = secretKey.slice(apiKey.keyPrefix.length, apiKey.keyPrefix.length + 6);
      expect(sent.some((request) => request.includes(apiKey.keyPrefix))).toBe(true);
      expect(sent.filter((request) => request.includes(behind))).toEqual([]);
      await page.getByRole('button', { name: 'Revoke Searched leak' }).click();
      await dialog().getByRole('button', { name: 'Revoke key', exact: true }).click();
      await eventually(async () => expect(await statusOf(apiKey.id)).toBe('revoked'));
    });
  });

  describe('by keyboard', () => {
    /** Opens a dialog from the element that the keyboard is at, and closes it with Escape. */
    const returnsTo = async (opener: Locator, open: () => Promise<unknown>) => {
      await opener.waitFor();
      await opener.focus();
      await open();
      await dialog().waitFor();
      await page.waitForFunction(() => document.activeElement?.closest('[role="dialog"]'));
      await page.keyboard.press('Escape');
      await dialog().waitFor({ state: 'hidden' });
      await eventually(async () =>
        expect(await page.evaluate(() => document.activeElement?.outerHTML.slice(0, 120))).toBe(
          await opener.evaluate((element) => element.outerHTML.slice(0, 120)),
        ),
      );
    };
    const pressed = (opener: Locator) => returnsTo(opener, () => page.keyboard.press('Enter'));
    const button = (name: string | RegExp) => page.getByRole('button', { name, exact: true }).first();

    // From everywhere else: dialogs.spec.ts.
    it('gets the focus back from every dialog of a key and of its row', async () => {
      const { apiKey } = await made({ name: 'Dialogs' });
      const acts = [
        'Regenerate the secret',
        'Renew',
        'Deactivate',
        'Transfer to another owner',
        'Revoke',
        'Delete permanently',
      ];
      for (const [path, opener] of [
        [`/keys/${apiKey.id}`, 'Actions'],
        ['/keys?search=Dialogs', 'Actions on Dialogs'],
      ] as const) {
        await session.goto(path);
        for (const act of acts)
          await returnsTo(button(opener), async () => {
            await page.keyboard.press('Enter');
            await page.getByRole('menuitem', { name: act }).press('Enter');
          });
      }
      await session.goto(`/keys/${apiKey.id}?tab=secrets`);
      await pressed(button('Regenerate the secret'));
    });

    it('hears of a new page, and is at its heading', async () => {
      await session.goto('/keys');
      await heading('Keys');
      for (const [link, title] of [
        ['Roles', 'Roles'],
        ['Hygiene', 'Hygiene'],
      ] as const) {
        await page.getByRole('link', { name: link, exact: true }).press('Enter');
        await heading(title);
        await eventually(async () => {
          expect(await page.evaluate(() => document.activeElement?.tagName)).toBe('H1');
          expect(await page.locator('#announcer').textContent()).toBe(title);
        });
      }
    });

    it('is taken to what was refused, also without a network', async () => {
      await session.goto('/keys/new');
      await page.getByLabel('Name').fill('No network');
      await page.route('**/api/v1/api-keys', (route) => route.abort('connectionrefused'));
      await page.getByRole('button', { name: 'Create key' }).click();
      const alert = page.getByRole('alert');
      await alert.waitFor();
      await eventually(async () => {
        const box = (await alert.boundingBox())!;
        expect(box.y).toBeGreaterThan(0);
        expect(box.y + box.height).toBeLessThan(860);
        expect(await alert.evaluate((element) => element === document.activeElement)).toBe(true);
      });
      await page.unroute('**/api/v1/api-keys');
      page.once('dialog', (question) => void question.accept());
      await session.goto('/keys');
    });
  });

  describe('in dialogs', () => {
    it('sees which key is at stake: name, prefix, owner, last use and calls of today', async () => {
      await session.goto('/keys?search=billing');
      for (const act of ['Revoke', 'Deactivate', 'Renew', 'Regenerate the secret', 'Transfer to another owner']) {
        await page.getByRole('button', { name: 'Actions on Billing assistant' }).click();
        await page.getByRole('menuitem', { name: act, exact: true }).click();
        const stake = dialog().getByRole('group', { name: 'The key' });
        await stake.getByText(/^lk_live_/).waitFor();
        await eventually(async () =>
          expect(await stake.textContent()).toMatch(
            /^KeyBilling assistantPrefixlk_live_\w+OwnerAdministratorLast used.*agoCalls today\d+$/,
          ),
        );
        await page.keyboard.press('Escape');
        await dialog().waitFor({ state: 'hidden' });
      }
    });

    it('sees the keys of a bulk change, and how many of them are in use', async () => {
      await session.goto('/keys?search=support');
      await page.getByLabel('Select all keys on this page').check();
      await page.getByRole('button', { name: 'Revoke', exact: true }).click();
      await dialog().getByText('1 key is in use: calls came within the last 7 days.').waitFor();
      const keys = dialog().getByRole('region', { name: 'Keys of this change' });
      await keys.getByText('Support bot').waitFor();
      await keys.getByRole('cell', { name: 'Grace Hopper' }).waitFor();
    });
  });

  describe('in lists', () => {
    it('waits with a sign for the rows of a new filter, and cannot act on the old ones', async () => {
      // More keys than a page shows by itself were made before.
      await session.goto('/keys?size=100');
      await page.getByLabel('Select Support bot').check();
      await page.getByText('1 selected').waitFor();
      let answer = () => undefined as void;
      const held = new Promise<void>((resolve) => (answer = resolve));
      await page.route('**/api/v1/api-keys?**', async (route) => {
        await held;
        await route.continue();
      });
      await page.getByLabel('Search in name, description, alias and key prefix').fill('Site');
      await page.locator('[aria-busy="true"][inert]').waitFor();
      expect(await page.getByText('1 selected').count()).toBe(0);
      answer();
      await page.getByRole('link', { name: 'Site search' }).waitFor();
      await page.locator('[aria-busy="true"]').waitFor({ state: 'detached' });
      expect(await page.getByLabel('Select Site search').isChecked()).toBe(false);
      await page.unroute('**/api/v1/api-keys?**');
    });

    it('finds a tag beyond the twenty largest, and undoes a filter with Back', async () => {
      for (let from = 0; from < 30; from += 10)
        await made({ name: `Tagged ${from}`, tags: Array.from({ length: 10 }, (_, index) => `many-${from + index}`) });
      const rare = await made({ name: 'Rarely tagged', tags: ['zz-rare'] });
      // More keys than a page shows by itself were made before.
      await session.goto('/keys?size=100');
      await page.getByRole('link', { name: 'Support bot' }).waitFor();
      const tags = page.getByRole('combobox', { name: 'Tags, all of them' }).or(page.getByLabel('Tags, all of them'));
      await tags.first().click();
      // The list is open and has its first answer: what is typed now is searched for.
      await page.getByRole('option').first().waitFor();
      await tags.first().fill('zz-ra');
      await page.getByRole('option', { name: 'zz-rare (1)' }).click();
      await page.waitForURL(/zz-rare/);
      await page.getByRole('link', { name: rare.apiKey.name }).waitFor();
      await page.evaluate(() => history.back());
      await page.getByRole('link', { name: 'Support bot' }).waitFor();
      expect(new URL(page.url()).pathname).toBe('/console/keys');
      expect(page.url()).not.toContain('zz-rare');
    });

    it('shows the spend of the budget’s period with a bar, and money in one form', async () => {
      await session.goto('/keys?search=billing');
      const row = page.getByRole('row').filter({ hasText: 'Billing assistant' });
      await row
        .getByText(/^\$\d+\.\d{2} of \$5\.00$/)
        .last()
        .waitFor();
      await row
        .getByText(/^\d+ % this month$/)
        .last()
        .waitFor();
      await session.goto(`/keys/${data.keyId}?tab=settings`);
      await said('$5.00 per month');
      expect(await page.getByText(/cents/).count()).toBe(0);
    });

    it.each([1440, 1024, 390])('keeps the actions of a row in sight at %i px', async (width) => {
      await page.setViewportSize({ width, height: 860 });
      await session.goto('/keys');
      const box = (await page
        .getByRole('button', { name: /^Actions on/ })
        .first()
        .boundingBox())!;
      expect(box.x + box.width).toBeLessThanOrEqual(width);
      await page.setViewportSize({ width: 1280, height: 860 });
    });

    it('says what an address asks for that there is not, with a way out', async () => {
      await session.goto('/nowhere/at/all');
      await said('There is no such page');
      await page.getByRole('navigation', { name: 'Main' }).waitFor();
      await page.getByRole('link', { name: 'To the first page' }).click();
      await heading('Overview');
      await session.goto('/keys?page=9999&sort=bogus&size=100');
      await page.getByRole('link', { name: 'Support bot' }).waitFor();
      await session.goto('/keys?page=99&size=100');
      await page.getByRole('button', { name: 'Go to the first page' }).click();
      await page.getByRole('link', { name: 'Support bot' }).waitFor();
    });

    it('does not say a time at which nothing was loaded, and one message where the server is away', async () => {
      const isDown = { status: 500, contentType: 'application/json', body: '{"detail":"Down for a test."}' };
      await page.route('**/api/v1/usage/**', (route) => route.fulfill(isDown));
      await session.goto('');
      await said('not loaded');
      expect(await page.getByText(/as of/).count()).toBe(0);
      await page.unroute('**/api/v1/usage/**');
      await page.route('**/api/v1/auth/me', (route) => route.fulfill(isDown));
      await session.goto('/keys');
      await said('Down for a test.');
      await page.unroute('**/api/v1/auth/me');
      await page.getByRole('button', { name: 'Try again' }).click();
      await heading('Keys');
      session.errors.length = 0;
    });
  });

  describe('on a phone', () => {
    it('sees owner and budget in the list, and the whole form', async () => {
      await page.setViewportSize({ width: 390, height: 860 });
      await session.goto('/keys?search=billing');
      const row = page.getByRole('row').filter({ hasText: 'Billing assistant' });
      await row.getByText('Administrator').first().waitFor();
      await row
        .getByText(/of \$5\.00$/)
        .first()
        .waitFor();
      await session.goto('/keys/new');
      const bar = page.getByTestId('summary').locator('xpath=ancestor::*[contains(@class, "form-bar")]');
      expect(await bar.evaluate((element) => getComputedStyle(element).position)).toBe('static');
      await page.setViewportSize({ width: 1280, height: 860 });
    });
  });

  describe('in charts', () => {
    it('reads the same numbers in a table, with today marked as unfinished', async () => {
      await session.goto(`/keys/${data.keyId}`);
      await page.getByRole('combobox', { name: 'Range' }).or(page.getByLabel('Range')).first().click();
      await page.getByRole('option', { name: 'Last 30 days' }).click();
      await page.getByLabel('By model').check();
      await said('Usage counts at the time its report arrived.');
      await said('The last day is not over yet.');
      await page.getByRole('button', { name: 'Show as a table' }).click();
      const table = page.getByRole('region', { name: 'The chart as a table' });
      const today = new Date().toISOString().slice(0, 10);
      await table.getByText(`${today} (UTC), so far`).waitFor();
      await table.getByRole('columnheader', { name: 'Total' }).waitFor();
      expect(await table.getByRole('row').count()).toBe(31);
    });

    it('names a day of UTC the same in Auckland', async () => {
      const away = await ConsoleSession.open(browser!, app, { timezoneId: 'Pacific/Auckland' });
      await away.signIn();
      await away.goto('');
      const ticks = away.page.locator('.recharts-wrapper text').filter({ hasText: /^\d{1,2} [A-Z]/ });
      await ticks.first().waitFor();
      const shown = await ticks.allTextContents();
      const first = new Date(Date.now() - 29 * 86_400_000);
      const label = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' });
      const days = Array.from({ length: 31 }, (_, index) =>
        label.format(new Date(first.getTime() + (index - 1) * 86_400_000)),
      );
      expect(shown.length).toBeGreaterThan(3);
      expect(days.slice(0, 3)).toContain(shown[0]);
      await away.context.close();
    });
  });

  describe('in the audit trail', () => {
    it('reads names, seconds and what changed, without reads, and asks once for all names', async () => {
      await app.patch(`/api-keys/${data.keyId}`, { token, body: { rateLimitPerMinute: 41 } });
      const asked: string[] = [];
      page.on('request', (request) => asked.push(decodeURIComponent(new URL(request.url()).pathname)));
      await session.goto('/audit');
      const row = page.getByRole('row').filter({ hasText: 'Change key' }).first();
      await row.getByText('rateLimitPerMinute: from 50 to 41').waitFor();
      await row.getByRole('link', { name: 'key Billing assistant' }).first().waitFor();
      await row.getByRole('link', { name: 'Administrator' }).first().waitFor();
      expect(await row.getByRole('cell').nth(1).textContent()).toMatch(/\d{2}:\d{2}:\d{2}/);
      expect(await page.getByRole('cell', { name: /^View/ }).filter({ hasNotText: 'refused' }).count()).toBe(0);
      await session.settle();
      expect(asked.filter((path) => /\/(users|api-keys)\/[0-9a-f-]{36}$/.test(path))).toEqual([]);
      await page.getByLabel('Show reads').check();
      await page.getByRole('cell', { name: /^View/ }).first().waitFor();
      expect(page.url()).toContain('reads=true');
    });

    it('reads limits and projects by name, with one request for each, and a deleted one by the name its event carries', async () => {
      const made = async (path: string, body: object) => {
        const answer = await app.post(path, { token, body });
        expect([answer.status, answer.body.detail]).toEqual([201, undefined]);
        return answer.body.id as string;
      };
      const projectId = await made('/projects', { name: 'Translation' });
      const limit = {
        name: 'Translation, daily',
        amountCents: 500,
        per: 'day',
        target: { kind: 'project', id: projectId },
      };
      await made('/limits', limit);
      const gone = await made('/limits', { ...limit, name: 'Translation, weekly', per: 'week' });
      await app.delete(`/limits/${gone}`, { token });
      const asked: string[] = [];
      page.on('request', (request) => asked.push(new URL(request.url()).pathname));
      await session.goto('/audit?resourceType=limit');
      const deleted = page.getByRole('row').filter({ hasText: 'Delete limit' }).first();
      expect(
        await deleted.getByRole('link', { name: 'limit Translation, weekly' }).first().getAttribute('href'),
      ).toContain(`/limits/${gone}`);
      await page.getByRole('link', { name: 'limit Translation, daily' }).first().waitFor();
      await deleted.getByRole('button', { name: /^Details of event/ }).click();
      await page.getByText(/^All keys in project Translation together may spend at most \$5\.00/).waitFor();
      await session.settle();
      expect(asked.filter((path) => /\/(limits|projects)\/[0-9a-f-]{36}$/.test(path))).toEqual([]);
      expect(asked.filter((path) => path.endsWith('/api/v1/limits')).length).toBe(1);
      await session.goto('/audit?resourceType=project');
      await page.getByRole('link', { name: 'project Translation' }).first().waitFor();
      // What a change says of people is their names as well.
      await page.getByText('from none to Grace Hopper').first().waitFor();
      expect(await session.inspect('audit-names')).toEqual([]);
    });

    it('finds a sign-in by the name of the person', async () => {
      await session.goto('/audit?action=auth%3Alogin');
      const row = page.getByRole('row').filter({ hasText: 'Sign in' }).first();
      await row.getByRole('link', { name: 'Administrator' }).first().waitFor();
      expect(await page.getByText('a stranger').count()).toBe(0);
    });
  });

  describe('with many at once', () => {
    it('gives a role to several people, and finds them at the role', async () => {
      await session.goto('/people');
      await page.getByLabel('Select Ada Lovelace').check();
      await page.getByLabel('Select Grace Hopper').check();
      await page.getByRole('button', { name: 'Give roles' }).click();
      await dialog().getByRole('combobox', { name: 'Roles' }).or(dialog().getByLabel('Roles')).first().fill('auditor');
      await page.getByRole('option', { name: 'auditor' }).click();
      await page.keyboard.press('Escape');
      await dialog().getByRole('button', { name: 'Give roles' }).click();
      await dialog().getByText('2 of 2 done.').waitFor();
      await dialog().getByRole('button', { name: 'Close' }).last().click();
      await session.goto('/roles/auditor');
      const holders = page.getByRole('region', { name: 'Users with this role' });
      for (const name of ['Ada Lovelace', 'Grace Hopper']) await holders.getByRole('link', { name }).waitFor();
    });

    it('gives keys to several heirs, and stops a spender from its row', async () => {
      const owner = await app.addUser();
      for (const name of ['Heirloom one', 'Heirloom two']) await made({ name, ownerId: owner.id });
      await session.goto(`/people/${owner.id}`);
      for (const [key, heir] of [
        ['Heirloom one', 'Ada'],
        ['Heirloom two', 'Grace'],
      ] as const) {
        await page.getByLabel(`Select ${key}`).check();
        await page.getByRole('button', { name: 'Transfer', exact: true }).click();
        await dialog()
          .getByRole('combobox', { name: 'New owner' })
          .or(dialog().getByLabel('New owner'))
          .first()
          .fill(heir);
        await page
          .getByRole('option', { name: new RegExp(heir) })
          .first()
          .click();
        await dialog().getByRole('button', { name: 'Transfer' }).click();
        await dialog().getByText('1 of 1 done.').waitFor();
        await dialog().getByRole('button', { name: 'Close' }).last().click();
        await page.getByLabel(`Select ${key}`).waitFor({ state: 'detached' });
      }
      await said('Owns no keys');
      await session.goto('/spend?groupBy=key');
      await page.getByRole('button', { name: 'Actions on Site search' }).click();
      await page.getByRole('menuitem', { name: 'Deactivate' }).click();
      await dialog().getByRole('button', { name: 'Deactivate' }).click();
      await said('The key is refused from now on.');
    });
  });

  it('finds the API reference, and colours as the system has them', async () => {
    await session.goto('/account');
    expect(await page.getByRole('link', { name: 'API reference' }).getAttribute('href')).toBe('/docs');
    for (const [choice, scheme] of [
      ['Dark', 'dark'],
      ['As the system', 'light'],
    ] as const) {
      await page.getByRole('button', { name: 'Colours' }).click();
      await page.getByRole('menuitem', { name: choice }).click();
      await page.locator(`html[data-mantine-color-scheme="${scheme}"]`).waitFor();
    }
  });

  it('meets no error of the page itself', () => {
    expect(session.errors).toEqual([]);
  });
});
