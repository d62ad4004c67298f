import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser, Page, Request } from 'playwright-core';
import type { TestApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { launchChromium } from './chromium.js';
import { ConsoleSession, startConsole } from './console-session.js';

/** What the sign-in may load, compressed. */
const MAX_SIGN_IN_BYTES = 300_000;

const fileOf = (url: string) => new URL(url).pathname.split('/').at(-1)!;

const browser: Browser | null = await launchChromium();
const inBrowser = browser === null ? describe.skip : describe;

/** One admin's day, in order: each step stands on the one before. */
inBrowser('an admin in the console', () => {
  let app: TestApp;
  let admin: ConsoleSession;
  let page: Page;
  let gateway: string;
  let secret: string;
  let keyUrl: string;

  const verify = async (body: object) =>
    (await app.post('/verify', { apiKey: gateway, body })).body as { valid: boolean; code: string };

  beforeAll(async () => {
    app = await startConsole();
    const token = await app.adminToken();
    gateway = (await app.post('/api-keys', { token, body: { name: 'Gateway', roles: ['gateway'] } })).body.secretKey;
    admin = await ConsoleSession.open(browser!, app);
    page = admin.page;
  });

  afterAll(async () => {
    await admin.context.close();
    await browser!.close();
    await app.stop();
  });

  it('loads at most 300 kB of compressed scripts and styles for the sign-in', async () => {
    const bytes = new Map<string, number>();
    page.on('requestfinished', (request) => {
      if (!['script', 'stylesheet'].includes(request.resourceType())) return;
      void request.sizes().then(({ responseBodySize }) => bytes.set(fileOf(request.url()), responseBodySize));
    });
    const total = () => [...bytes.values()].reduce((sum, one) => sum + one, 0);
    await admin.goto('/sign-in');
    await page.getByLabel('E-mail').waitFor();
    await page.waitForLoadState('networkidle');
    await eventually(() => expect(total()).toBeGreaterThan(50_000));
    process.stderr.write(`the sign-in loads ${total()} of ${MAX_SIGN_IN_BYTES} bytes in ${bytes.size} files\n`);
    expect(total()).toBeLessThanOrEqual(MAX_SIGN_IN_BYTES);
    expect([...bytes.keys()].filter((file) => file.includes('chart'))).toEqual([]);
  });

  it('allows no inline scripts', async () => {
    const policy = (await fetch(`${app.config.publicUrl}/console`)).headers.get('content-security-policy') ?? '';
    expect(policy).toMatch(/script-src 'self';/);
  });

  it('says that a password is wrong, and lets in with the right one', async () => {
    await page.getByLabel('E-mail').fill('admin@latchkey.test');
    await page.getByLabel('Password', { exact: true }).fill('not the password');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('E-mail or password is wrong.').waitFor();
    await admin.signIn();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
  });

  it('loads charts where there is one to draw', async () => {
    const charts = async (path: string, title: string) => {
      const files: string[] = [];
      const note = (request: Request) => files.push(fileOf(request.url()));
      page.on('request', note);
      await admin.goto(path);
      await page.getByRole('heading', { level: 1, name: title }).waitFor();
      await admin.settle();
      page.off('request', note);
      return files.filter((file) => /chart.*\.js$/.test(file));
    };
    for (const [path, title] of [
      ['/keys', 'Keys'],
      ['/audit', 'Audit'],
      ['/spend?groupBy=owner', 'Spend'],
    ] as const)
      expect([path, await charts(path, title)]).toEqual([path, []]);
    expect(await charts('', 'Overview')).toHaveLength(1);
  });

  it('creates a key with every field, says it in words, and shows the secret once', async () => {
    await admin.goto('/keys/new');
    await page.getByLabel('Name', { exact: false }).first().fill('Journey key');
    await page.getByLabel('Alias').fill('journey');
    await page.getByLabel('Description').fill('Made in a browser');
    const add = async (label: string, ...values: string[]) => {
      for (const value of values) {
        await page
          .getByRole('textbox', { name: label, exact: true })
          .or(page.getByRole('combobox', { name: label, exact: true }))
          .first()
          .fill(value);
        await page.keyboard.press('Enter');
      }
      await page.keyboard.press('Escape');
    };
    await add('Tags', 'team:journey');
    await add('Scopes', 'chat:write');
    await add('Addresses', '10.0.0.1/8');
    await page.getByText('has host bits; 10.0.0.0/8?').waitFor();
    await page
      .getByRole('textbox', { name: 'Addresses' })
      .or(page.getByRole('combobox', { name: 'Addresses' }))
      .first()
      .press('Backspace');
    await add('Addresses', '10.0.0.0/8');
    await add('Models', 'gpt-4o*', 'Claude 3.5 Sonnet');
    await add('Chatbots', 'support-bot');
    const limits = { 'In any minute': 60, 'In any hour': 600, 'In any day': 6000, 'Tokens held unasked': 4000 };
    for (const [label, value] of Object.entries(limits)) await page.getByLabel(label).fill(`${value}`);
    await page.getByRole('switch', { name: 'Limit what this key may spend' }).check();
    await page.getByLabel('Amount in USD').fill('5');
    await page.getByRole('button', { name: 'in 90 days' }).click();
    await page.getByLabel('A renewal lasts').fill('30');
    await page.getByRole('button', { name: 'Add an entry' }).click();
    await page.getByLabel('Name of entry 1').fill('tenant');
    await page.getByLabel('Value of entry 1').fill('acme');
    const words = await page.getByTestId('summary').textContent();
    expect(words).toContain(
      'May call gpt-4o* or Claude 3.5 Sonnet with support-bot from 10.0.0.0/8, 60 per minute and 600 per hour and 6,000 per day, $5.00 per month.',
    );
    await page.getByRole('button', { name: 'Create key' }).dblclick();
    secret = (await page.getByTestId('secret').textContent()) ?? '';
    expect(secret).toMatch(/^lk_live_/);
    await page.getByRole('button', { name: 'Copy the secret' }).click();
    await eventually(async () => expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(secret));
    expect(await page.getByRole('button', { name: 'Done' }).isDisabled()).toBe(true);
    await page.getByLabel('I have stored the secret in a safe place').check();
    await page.getByRole('button', { name: 'Done' }).click();
    await page.getByRole('heading', { name: 'Journey key' }).waitFor();
    keyUrl = page.url();
    const token = await app.adminToken();
    const { data } = (await app.get('/api-keys?search=journey', { token })).body;
    expect(data).toHaveLength(1);
    expect(data[0]).toMatchObject({
      alias: 'journey',
      description: 'Made in a browser',
      scopes: ['chat:write'],
      tags: ['team:journey'],
      allowedIps: ['10.0.0.0/8'],
      allowedModels: ['gpt-4o*', 'Claude 3.5 Sonnet'],
      allowedChatbots: ['support-bot'],
      rateLimitPerMinute: 60,
      rateLimitPerHour: 600,
      rateLimitPerDay: 6000,
      defaultReserveTokens: 4000,
      budgetLimitCents: 500,
      budgetType: 'monthly',
      validityDays: 30,
      metadata: { tenant: 'acme' },
    });
  });

  it('made a key that verifies, and keeps its secret out of URL, page and storage', async () => {
    expect(
      await verify({
        key: secret,
        ip: '10.1.2.3',
        model: 'gpt-4o-mini',
        chatbot: 'support-bot',
        scopes: ['chat:write'],
      }),
    ).toMatchObject({ valid: true });
    expect(page.url()).not.toContain(secret);
    const kept = await page.evaluate(
      () =>
        JSON.stringify({ ...localStorage }) +
        JSON.stringify({ ...sessionStorage }) +
        document.cookie +
        document.documentElement.innerHTML +
        JSON.stringify(history.state),
    );
    expect(kept).not.toContain(secret);
  });

  it('sees usage arrive', async () => {
    const id = new URL(keyUrl).pathname.split('/').at(-1);
    const answer = await app.post('/usage', {
      apiKey: gateway,
      body: {
        events: [
          { id: 'one', apiKeyId: id, requests: 7, inputTokens: 100, outputTokens: 11, costCents: 125, model: 'gpt-4o' },
        ],
      },
    });
    expect(answer.status).toBe(200);
    await page.getByRole('button', { name: 'Refresh' }).click();
    await page.getByText('7 requests · 111 tokens').first().waitFor();
    await page.getByText('$1.25').first().waitFor();
    await page.getByText('$3.75').first().waitFor();
  });

  it('explains why a call is refused, by the check that refuses it', async () => {
    await page.getByRole('tab', { name: 'Test a call' }).click();
    await page.getByLabel('Caller’s address').fill('10.1.2.3');
    await page.getByRole('textbox', { name: 'Model' }).fill('claude');
    await page.getByRole('button', { name: 'Test the call' }).click();
    await page.getByText('The call would be refused: model not allowed').waitFor();
    await page.getByRole('textbox', { name: 'Model' }).fill('gpt-4o');
    await page.getByLabel('Chatbot').fill('support-bot');
    await page.getByRole('button', { name: 'Test the call' }).click();
    await page.getByText('The call would be allowed').waitFor();
    // Amounts and times as everywhere else in the console.
    await page.getByText(/\$3\.75 of \$5\.00 is left \(monthly\); the call reserves \$0\.00\./).waitFor();
    await page.getByText(/The key ends at \d+ \w+ 20\d\d, \d\d:\d\d (CET|CEST|GMT\+[12])\./).waitFor();
    const checks = await page.getByRole('table', { name: 'Checks in their order' }).innerText();
    expect(checks).not.toMatch(/\bcents?\b|\d{4}-\d\d-\d\dT/);
  });

  it('rotates the secret with an overlap in which both work', async () => {
    await page.getByRole('button', { name: 'Actions', exact: true }).click();
    await page.getByRole('menuitem', { name: 'Regenerate the secret' }).click();
    await page.getByRole('button', { name: 'Regenerate secret', exact: true }).click();
    const next = (await page.getByTestId('secret').textContent()) ?? '';
    expect(next).not.toBe(secret);
    await page.getByLabel('I have stored the secret in a safe place').check();
    await page.getByRole('button', { name: 'Done' }).click();
    const call = { ip: '10.1.2.3', model: 'gpt-4o', chatbot: 'support-bot' };
    expect(await verify({ key: secret, ...call })).toMatchObject({ valid: true });
    expect(await verify({ key: next, ...call })).toMatchObject({ valid: true });
    await page.getByRole('tab', { name: 'Secrets' }).click();
    await page.getByRole('button', { name: 'End now' }).waitFor();
    expect(await page.getByRole('region', { name: 'Secrets' }).getByRole('row').count()).toBe(3);
  });

  it('edits a key, and finds the change field by field in its history', async () => {
    await page.getByRole('link', { name: 'Edit' }).click();
    await page.getByLabel('In any minute').fill('42');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('42 per minute').waitFor();
    await page.getByRole('tab', { name: 'History' }).click();
    const row = page.getByRole('row').filter({ hasText: 'Change key' }).first();
    await row.getByRole('button').click();
    const diff = page.getByRole('table', { name: 'What changed' });
    expect(await diff.getByRole('row').filter({ hasText: 'rateLimitPerMinute' }).textContent()).toBe(
      'rateLimitPerMinute6042',
    );
  });

  it('shows what the server refuses beside the field', async () => {
    await admin.goto('/keys/new');
    await page.getByLabel('Name', { exact: false }).first().fill('Second of this alias');
    await page.getByLabel('Alias').fill('journey');
    await page.getByRole('button', { name: 'Create key' }).click();
    await page.getByText('Another key of this owner has this alias.').waitFor();
  });

  it('revokes many keys at once, after saying how many it will be', async () => {
    const token = await app.adminToken();
    for (const name of ['Bulk one', 'Bulk two', 'Bulk three'])
      await app.post('/api-keys', { token, body: { name, tags: ['bulk'] } });
    page.once('dialog', (dialog) => void dialog.accept());
    await admin.goto('/keys?search=Bulk');
    await page.getByLabel('Select all keys on this page').check();
    await page.getByRole('button', { name: 'Revoke' }).click();
    await page.getByLabel('Reason').fill('Journey ends');
    await page.getByRole('button', { name: 'See what would change' }).click();
    await page.getByText('3 of 3 would change').waitFor();
    await page.getByRole('button', { name: 'Revoke 3 keys' }).click();
    await eventually(async () =>
      expect((await app.get('/api-keys?search=Bulk&status=revoked', { token })).body.meta.total).toBe(3),
    );
    await page.getByText('revoked').first().waitFor();
  });

  it('finds the chain of the trail unaltered', async () => {
    await admin.goto('/audit');
    await page.getByRole('button', { name: 'Verify the chain' }).click();
    await page.getByText(/Unaltered: \d+ entries and \d+ reads checked/).waitFor();
  });

  it('changes a role, and with it what another user sees; deactivating them ends their session', async () => {
    const user = await app.addUser(['creator']);
    const other = await ConsoleSession.open(browser!, app);
    await other.signIn(user.email, user.password);
    await other.page.getByRole('heading', { name: 'My keys' }).waitFor();
    expect(await other.page.getByRole('link', { name: 'Audit' }).count()).toBe(0);
    // As a new installation reserves them: saving something else keeps them.
    await app.dataSource.query(
      `UPDATE role SET key_policy = '{"reservedTagPrefixes": ["plan:"]}' WHERE name = 'creator'`,
    );
    await admin.goto('/roles/creator');
    await page.getByText('plan:', { exact: true }).waitFor();
    await page.getByLabel('platform:audit:read').check();
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('heading', { name: 'Roles' }).waitFor();
    expect((await app.dataSource.query(`SELECT key_policy FROM role WHERE name = 'creator'`))[0].key_policy).toEqual({
      reservedTagPrefixes: ['plan:'],
    });
    await other.page.reload();
    await other.page.getByRole('link', { name: 'Audit' }).waitFor();
    await admin.goto(`/people/${user.id}`);
    await page.getByRole('button', { name: 'Deactivate' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Deactivate' }).click();
    await page.getByText('Inactive: cannot sign in').waitFor();
    await other.page.getByRole('link', { name: 'Audit' }).click();
    await other.page.getByText('Your session has ended.').waitFor();
    await other.context.close();
  });

  it('meets no error of the page itself', () => {
    expect(admin.errors).toEqual([]);
  });
});
