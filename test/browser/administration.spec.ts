import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { Browser, Page } from 'playwright-core';
import type { TestApp } from '../support/app.js';
import { launchChromium } from './chromium.js';
import { ConsoleSession, startConsole } from './console-session.js';

const run = promisify(execFile);
const PASSWORD = 'correct horse battery';
const OF_ADA = 'nine small boats at sea';

const browser: Browser | null = await launchChromium();
const inBrowser = browser === null ? describe.skip : describe;

/** People, roles, and what becomes of their keys; then the ways to a key beside the form. In order, as one would. */
inBrowser('an admin of people and their keys', () => {
  let app: TestApp;
  let admin: ConsoleSession;
  let page: Page;
  let token: string;
  let gateway: string;

  const dialog = () => page.getByRole('dialog');
  const said = (text: string | RegExp) => page.getByText(text).first().waitFor();
  const made = async (body: object) =>
    (await app.post('/api-keys', { token, body })).body as { apiKey: { id: string }; secretKey: string };
  const keyOf = async (id: string) =>
    (await app.get(`/api-keys/${id}`, { token })).body as {
      ownerId: string;
      status: string;
      expiresAt: string | null;
      budgetLimitCents: number;
      roles: string[];
      name: string;
    };
  const userNamed = async (name: string) =>
    (await app.get(`/users?search=${encodeURIComponent(name)}`, { token })).body.data[0] as
      { id: string; managerIds: string[]; roles: string[]; maxActiveKeys: number } | undefined;
  const verify = async (key: string) =>
    ((await app.post('/verify', { apiKey: gateway, body: { key } })).body as { code: string }).code;
  const pick = async (label: string, text: string, option: string | RegExp) => {
    const field = page
      .getByRole('combobox', { name: label, exact: true })
      .or(page.getByRole('textbox', { name: label, exact: true }))
      .first();
    // A dialog that is still opening takes the focus once more, which would close the list again: a click waits for it.
    await field.click();
    await field.fill(text);
    await page.getByRole('option', { name: option }).first().click();
  };
  const saved = async (click: () => Promise<void>) => {
    const [download] = await Promise.all([page.waitForEvent('download'), click()]);
    return readFile(await download.path(), 'utf8');
  };

  beforeAll(async () => {
    app = await startConsole();
    token = await app.adminToken();
    gateway = (await made({ name: 'Gateway', roles: ['gateway'] })).secretKey;
    admin = await ConsoleSession.open(browser!, app);
    page = admin.page;
    await admin.signIn();
  });

  afterAll(async () => {
    await admin.context.close();
    await browser!.close();
    await app.stop();
  });

  it('makes a role whose policy bounds keys and fills them in, and says beside the field what is wrong', async () => {
    await admin.goto('/roles/new');
    await page.getByLabel('Name').fill('trial-plan');
    await page.getByLabel('platform:api-keys:create').check();
    await page.getByLabel('Bound the keys of people').check();
    await page.getByRole('switch', { name: 'Only these models' }).check();
    const bounds = { 'At most in a minute': 60, 'Highest budget in USD': 5, 'Most tokens held unasked': 8000 };
    for (const [label, value] of Object.entries(bounds)) await page.getByLabel(label).fill(`${value}`);
    await page.getByLabel('Longest validity').fill('30');
    await page.getByRole('switch', { name: 'Fill in new keys' }).check();
    await page.getByRole('switch', { name: 'Fill in scopes' }).check();
    await page
      .getByRole('textbox', { name: 'Scopes a new key gets' })
      .or(page.getByRole('combobox', { name: 'Scopes a new key gets' }))
      .first()
      .fill('chat:write');
    await page.keyboard.press('Enter');
    await page.getByLabel('Limit in a minute').fill('20');
    await page.getByRole('button', { name: 'Add role' }).click();
    await said('must not be empty, because then no key could lie inside');
    await page.getByLabel('Models keys may call').first().fill('gpt-4o-mini');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Add role' }).click();
    await page.getByRole('heading', { name: 'Roles' }).waitFor();
    expect((await app.get('/roles/trial-plan', { token })).body.keyPolicy).toEqual({
      models: ['gpt-4o-mini'],
      maxRateLimitPerMinute: 60,
      maxBudgetLimitCents: 500,
      budgetType: 'monthly',
      ...{ maxDefaultReserveTokens: 8000, maxValidityDays: 30 },
      defaults: { scopes: ['chat:write'], rateLimitPerMinute: 20 },
    });
    await page.getByRole('tab', { name: 'Who may do what' }).click();
    await page.getByRole('cell', { name: 'trial-plan: yes' }).or(page.getByTitle('trial-plan: yes')).first().waitFor();
  });

  it('adds a person and a service account with a manager; a second user of an address is refused at the field', async () => {
    await admin.goto('/people');
    await page.getByRole('button', { name: 'New person' }).click();
    await dialog().getByLabel('Name').fill('Ada Lovelace');
    await dialog().getByLabel('E-mail').fill('admin@latchkey.test');
    await dialog().getByLabel('First password').fill(PASSWORD);
    await pick('Roles', 'trial', 'trial-plan');
    await dialog().getByLabel('Cap on active keys').fill('2');
    await dialog().getByRole('button', { name: 'Add' }).click();
    await said('Another user has this e-mail address.');
    await dialog().getByLabel('E-mail').fill('ada@example.com');
    await dialog().getByRole('button', { name: 'Add' }).dblclick();
    await page.getByRole('heading', { name: 'Ada Lovelace' }).waitFor();
    await admin.goto('/people?kind=service');
    await page.getByRole('button', { name: 'New service account' }).click();
    await dialog().getByLabel('Name').fill('Nightly jobs');
    await pick('Managers', 'Ada', /Ada Lovelace/);
    await page.keyboard.press('Escape');
    await dialog().getByRole('button', { name: 'Add' }).click();
    await page.getByRole('heading', { name: 'Nightly jobs' }).waitFor();
    await page.getByRole('link', { name: 'Ada Lovelace' }).waitFor();
    const ada = await userNamed('Ada Lovelace');
    expect(ada).toMatchObject({ roles: ['trial-plan'], maxActiveKeys: 2 });
    expect((await userNamed('Nightly jobs'))!.managerIds).toContain(ada!.id);
  });

  it('lets the new person make keys inside the policy alone, up to the cap, and only narrow them', async () => {
    const ada = await ConsoleSession.open(browser!, app);
    const adas = ada.page;
    const first = (await app.post('/auth/login', { body: { email: 'ada@example.com', password: PASSWORD } })).body;
    await app.put(`/users/${first.user.id}/password`, {
      token: first.accessToken,
      body: { password: OF_ADA, currentPassword: PASSWORD },
    });
    await ada.signIn('ada@example.com', OF_ADA);
    await adas.getByRole('heading', { name: 'My keys' }).waitFor();
    expect(await adas.getByRole('navigation', { name: 'Main' }).getByRole('link').allTextContents()).toEqual([
      'My keys',
      'Connect a service',
      'Revoke a found key',
    ]);
    await ada.goto('/keys/new');
    await adas.getByText('at most 60 per minute').first().waitFor();
    expect(await adas.getByLabel('In any minute').inputValue()).toBe('20 requests');
    await adas.getByLabel('Name').fill('Of Ada');
    await adas.getByLabel('Amount in USD').fill('6');
    await adas.getByRole('button', { name: 'Create key' }).click();
    await adas.getByText('must be at most $5.00').waitFor();
    await adas.getByLabel('Amount in USD').fill('5');
    await adas.getByRole('button', { name: 'Create key' }).click();
    await adas.getByLabel('I have stored the secret in a safe place').check();
    await adas.getByRole('button', { name: 'Done' }).click();
    await adas.getByRole('link', { name: 'Edit' }).click();
    await adas.getByLabel('In any minute').fill('40');
    await adas.getByRole('button', { name: 'Save' }).click();
    await adas.getByText('can only be narrowed without the permission platform:api-keys:update').waitFor();
    await app.post('/api-keys', { token: await app.tokenOf('ada@example.com', OF_ADA), body: { name: 'Second' } });
    adas.on('dialog', (question) => void question.accept());
    await ada.goto('/keys/new');
    await adas.getByLabel('Name').fill('Third');
    await adas.getByRole('button', { name: 'Create key' }).click();
    await adas.getByText('The owner may have 2 active keys and has them.').waitFor();
    for (const path of ['/keys', '/people', '/roles', '/audit', '/hygiene', '/spend', '/keys/import']) {
      await ada.goto(path);
      await adas.getByText('Your roles do not include this page').waitFor();
    }
    expect(ada.errors).toEqual([]);
    await ada.context.close();
  });

  it('sets password and roles of that person', async () => {
    await admin.goto(`/people/${(await userNamed('Ada Lovelace'))!.id}`);
    await page.getByRole('button', { name: 'Set password' }).click();
    await dialog().getByLabel('New password').fill(`${PASSWORD} two`);
    await dialog().getByRole('button', { name: 'Set password' }).click();
    await said('Password set; all sessions have ended.');
    await page.getByRole('button', { name: 'Roles', exact: true }).click();
    await pick('Roles', 'audit', 'auditor');
    await page.keyboard.press('Escape');
    await dialog().getByRole('button', { name: 'Set roles' }).click();
    await said('Roles set. They apply from the next request.');
    expect((await app.post('/auth/login', { body: { email: 'ada@example.com', password: OF_ADA } })).status).toBe(401);
    expect((await userNamed('Ada Lovelace'))!.roles.sort()).toEqual(['auditor', 'trial-plan']);
  });

  it('transfers a key, renews it, deactivates and activates it from its row, ends it, and deletes it', async () => {
    const { apiKey, secretKey } = await made({ name: 'Wanderer' });
    const act = async (name: string) => {
      await page.getByRole('button', { name: 'Actions on Wanderer' }).click();
      await page.getByRole('menuitem', { name }).click();
    };
    await admin.goto('/keys?search=Wanderer');
    await act('Transfer to another owner');
    await pick('New owner', 'Nightly', /Nightly jobs/);
    await dialog().getByRole('button', { name: 'Transfer' }).click();
    await page.getByRole('cell', { name: 'Nightly jobs' }).waitFor();
    await act('Renew');
    await dialog().getByLabel('Or until').fill('2020-01-01T10:00');
    await dialog().getByRole('button', { name: 'Renew' }).click();
    await dialog().getByText('must lie in the future').waitFor();
    await dialog().getByLabel('Or until').fill('');
    await dialog().getByRole('button', { name: 'Renew' }).click();
    await page.getByRole('cell', { name: 'in 15 days' }).waitFor();
    await act('Deactivate');
    await dialog().getByRole('button', { name: 'Deactivate' }).click();
    await page.getByRole('cell', { name: 'inactive' }).waitFor();
    await app.applied();
    expect(await verify(secretKey)).toBe('DISABLED');
    await act('Activate');
    await dialog().getByRole('button', { name: 'Activate' }).click();
    await page.getByRole('cell', { name: 'active', exact: true }).waitFor();
    await act('Revoke');
    await dialog().getByLabel('Reason').fill('Walk is over');
    await dialog().getByRole('button', { name: 'Revoke' }).click();
    await page.getByRole('cell', { name: 'revoked' }).waitFor();
    expect(await keyOf(apiKey.id)).toMatchObject({ status: 'revoked', ownerId: (await userNamed('Nightly jobs'))!.id });
    await act('Delete permanently');
    expect(await dialog().getByRole('button', { name: 'Delete permanently' }).isDisabled()).toBe(true);
    await dialog().getByLabel(/Type/).fill('Wanderer');
    await dialog().getByRole('button', { name: 'Delete permanently' }).click();
    await said('The key has been deleted.');
    expect((await app.get(`/api-keys/${apiKey.id}`, { token })).status).toBe(404);
  });

  it('off-boards a person after saying what becomes of the keys', async () => {
    const ada = (await userNamed('Ada Lovelace'))!;
    const service = (await userNamed('Nightly jobs'))!;
    await admin.goto(`/people/${ada.id}`);
    await page.getByRole('button', { name: 'Off-board' }).click();
    await dialog().getByText('2 keys are not revoked. What should happen to them?').waitFor();
    await dialog().getByLabel(/Type/).fill('Ada Lovelace');
    expect(await dialog().getByRole('button', { name: 'Off-board' }).isDisabled()).toBe(true);
    await dialog().getByLabel('Transfer them all').check();
    await pick('New owner', 'Nightly', /Nightly jobs/);
    await dialog().getByRole('button', { name: 'Off-board' }).click();
    await said('Ada Lovelace has left.');
    expect((await app.get(`/api-keys?ownerId=${service.id}`, { token })).body.meta.total).toBe(2);
    await admin.goto(`/people/${service.id}`);
    await page.getByRole('button', { name: 'Off-board' }).click();
    await dialog().getByLabel('Revoke them all').check();
    await dialog().getByLabel(/Type/).fill('Nightly jobs');
    await dialog().getByRole('button', { name: 'Off-board' }).click();
    await said('Nightly jobs has left.');
    expect((await app.get('/api-keys?search=Of%20Ada', { token })).body.data[0].status).toBe('revoked');
  });

  it('imports keys of another system, hashed in the browser, and finds them again as duplicates', async () => {
    const foreign = `sk-old-${randomBytes(16).toString('hex')}`;
    const sent: string[] = [];
    page.on('request', (request) => sent.push(`${request.url()} ${request.postData() ?? ''}`));
    await admin.goto('/keys');
    await page.getByRole('button', { name: 'Other ways to a key' }).click();
    await page.getByRole('menuitem', { name: 'Import keys' }).click();
    const csv = `key,prefix,name,scopes,tags,verifiesEnvironment\n${foreign},sk-old-1,"Legacy, main",chat:write invoices:read,old,test\n,sk-old-2,No hash,,,\n`;
    await page.getByRole('textbox', { name: 'Keys', exact: true }).fill(csv);
    await said('Line 3: needs key, or its sha256.');
    await page.getByRole('button', { name: 'Import 1 key' }).click();
    await said('1 created, 0 imported before, 0 refused.');
    await page.getByRole('link', { name: 'Legacy, main' }).click();
    await page.getByRole('heading', { name: 'Legacy, main' }).waitFor();
    await app.applied();
    expect(await verify(foreign)).toBe('VALID');
    expect(sent.join('\n')).toContain(createHash('sha256').update(foreign).digest('hex'));
    expect(sent.join('\n')).not.toContain(foreign);
    await admin.goto('/keys/import');
    await page.getByRole('textbox', { name: 'Keys', exact: true }).fill(
      JSON.stringify([
        { sha256: createHash('sha256').update(foreign).digest('hex'), prefix: 'sk-old-1' },
        { sha256: 'f'.repeat(64), prefix: 'lk_live_x' },
      ]),
    );
    await page.getByRole('button', { name: 'Import 2 keys' }).click();
    await said('0 created, 1 imported before, 1 refused.');
    await said('prefix must not start with lk_');
  });

  it('creates a key by its alias, and renews it without showing the secret again', async () => {
    const put = async (name: string, button: string) => {
      await admin.goto('/keys/by-alias');
      await page.getByLabel('Alias').fill('pipeline');
      await page.getByText(button === 'Renew' ? 'This key will be renewed' : 'No key has the alias pipeline').waitFor();
      await page.getByLabel('Name').fill(name);
      await page.getByRole('button', { name: button }).click();
    };
    await put('First run', 'Create or renew');
    expect(await page.getByTestId('secret').textContent()).toMatch(/^lk_live_/);
    await page.getByLabel('I have stored the secret in a safe place').check();
    await page.getByRole('button', { name: 'Done' }).click();
    await page.getByRole('heading', { name: 'First run' }).waitFor();
    await put('Second run', 'Renew');
    await page.getByRole('heading', { name: 'Second run' }).waitFor();
    await said(/Renewed until .*; the secret is as it was\./);
    expect(await page.getByTestId('secret').count()).toBe(0);
  });

  it('lets the finder of a key revoke it without an account, with one answer for everything', async () => {
    const { apiKey, secretKey } = await made({ name: 'Leaked' });
    const finder = await ConsoleSession.open(browser!, app);
    await finder.goto('/sign-in');
    await finder.page.getByRole('link', { name: 'Revoke it' }).click();
    for (const key of ['sk-nothing-of-ours-1', secretKey]) {
      await finder.page.getByLabel('The key, or the text that contains it').fill(key);
      await finder.page.getByRole('button', { name: 'Revoke the key' }).click();
      await finder.page.getByText('If this was the secret of a key here, it has ended').waitFor();
    }
    expect(finder.page.url()).not.toContain(secretKey);
    expect((await keyOf(apiKey.id)).status).toBe('revoked');
    expect(finder.errors).toEqual([]);
    await finder.context.close();
  });

  it('renews what expires soon, ends what has no end, and raises what is nearly spent, from hygiene', async () => {
    const soon = new Date(Date.now() + 3 * 86_400_000).toISOString().replace(/\.\d+Z/, 'Z');
    const ending = await made({ name: 'Ending', expiresAt: soon, validityDays: 60 });
    const spent = await made({
      name: 'Nearly spent',
      budgetLimitCents: 100,
      expiresAt: new Date(Date.now() + 90 * 86_400_000).toISOString().replace(/\.\d+Z/, 'Z'),
    });
    await app.post('/usage', {
      apiKey: gateway,
      body: { events: [{ id: 'most', apiKeyId: spent.apiKey.id, costCents: 90, model: 'gpt-4o' }] },
    });
    await admin.goto('/hygiene');
    const section = (name: string) => page.getByRole('region', { name, exact: true });
    await section('Expiring within 14 days').getByLabel('Select Ending').check();
    await page.getByRole('button', { name: 'Renew', exact: true }).click();
    await page.getByRole('button', { name: 'See what would change' }).click();
    await said('1 of 1 would change');
    await page.getByRole('button', { name: 'Renew 1 key' }).click();
    await section('Expiring within 14 days').getByText('No key expires within 14 days.').waitFor();
    expect(Math.round((Date.parse((await keyOf(ending.apiKey.id)).expiresAt!) - Date.now()) / 86_400_000)).toBe(60);
    await section('Near their budget').getByLabel('Select Nearly spent').check();
    await page.getByRole('button', { name: 'Raise budgets' }).click();
    await dialog().getByRole('button', { name: 'Raise' }).dblclick();
    await dialog().getByText('1 of 1 done.').waitFor();
    await dialog().getByRole('button', { name: 'Close' }).last().click();
    await section('Near their budget').getByText('No key is near its budget.').waitFor();
    expect((await keyOf(spent.apiKey.id)).budgetLimitCents).toBe(150);
    await section('Without an expiry').getByLabel('Select Gateway').check();
    await page.getByRole('button', { name: 'Tag', exact: true }).click();
    await page.getByLabel('Add tags').first().fill('reviewed:2026');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'See what would change' }).click();
    await page.getByRole('button', { name: 'Tag 1 key' }).click();
    await said('Tag: 1 key done.');
  });

  it('groups spend by day, owner, tag, model and key, and takes it home as CSV', async () => {
    await admin.goto('/spend');
    for (const [group, text] of [
      ['Owner', 'Administrator'],
      ['Tag', 'no tag'],
      ['Model', 'gpt-4o'],
      ['Key', 'Nearly spent'],
      ['Day', 'All'],
    ] as const) {
      await page.getByRole('radiogroup', { name: 'Group by' }).getByText(group, { exact: true }).click();
      await page.getByRole('columnheader', { name: group }).waitFor();
      await page.getByRole('region', { name: 'Spend' }).getByText(text).first().waitFor();
      if (group !== 'Owner') expect(page.url()).toContain(`groupBy=${group.toLowerCase()}`);
    }
    await page.getByRole('radiogroup', { name: 'Group by' }).getByText('Model', { exact: true }).click();
    expect(await saved(() => page.getByRole('link', { name: 'Export CSV' }).click())).toMatch(/gpt-4o/);
    await page.getByLabel('From').fill('2026-02-02');
    await page.getByLabel('Before').fill('2026-02-01');
    await said('must be before to');
  });

  it('takes home the keys of a filter as CSV, and the trail as NDJSON', async () => {
    await admin.goto('/keys?search=Nearly');
    const csv = await saved(() => page.getByRole('link', { name: 'Export CSV' }).click());
    expect(csv).toContain('Nearly spent');
    expect(csv).not.toContain('Legacy');
    await admin.goto('/audit');
    await page.getByLabel('Action').first().fill('Delete user');
    await page.getByRole('option', { name: 'Delete user' }).click();
    await page.getByRole('cell', { name: 'Delete user' }).first().waitFor();
    expect(page.url()).toContain('users%3Adelete');
    const lines = (await saved(() => page.getByRole('link', { name: 'Export NDJSON' }).click()))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { action: string });
    expect(new Set(lines.map(({ action }) => action))).toEqual(new Set(['users:delete']));
    await page.getByRole('button', { name: 'Clear the filters' }).click();
    await page
      .getByRole('cell', { name: /^Import key/ })
      .first()
      .waitFor();
    expect(await page.getByRole('cell', { name: /^View/ }).filter({ hasNotText: 'refused' }).count()).toBe(0);
  });

  it('connects a service: the calls it prints work as they stand', async () => {
    await admin.goto('/connect');
    await page.getByRole('button', { name: 'New service account' }).click();
    await dialog().getByLabel('Name').fill('Edge');
    await pick('Roles', 'gate', 'gateway');
    await page.keyboard.press('Escape');
    await dialog().getByRole('button', { name: 'Add' }).click();
    await page.getByRole('button', { name: 'Next' }).click();
    await page.getByLabel('Addresses the service calls from').fill('127.0.0.1/8');
    await said('has host bits; 127.0.0.0/8?');
    await page.getByLabel('Addresses the service calls from').fill('127.0.0.0/8');
    await page.getByRole('button', { name: 'Create the key' }).click();
    const printed = (await page.getByLabel('Verify a key', { exact: true }).textContent()) ?? '';
    const { stdout } = await run('bash', ['-c', printed]);
    expect(JSON.parse(stdout)).toMatchObject({ valid: true, code: 'VALID' });
    await page.getByRole('button', { name: 'Verify', exact: true }).click();
    await said('It works: the key may be used');
    await page.getByLabel('A key a caller might present').fill('nonsense');
    await page.getByRole('button', { name: 'Verify', exact: true }).click();
    await said('It works, and the answer is no: not a key');
    page.once('dialog', (question) => void question.accept());
    await page.getByLabel('I have stored the secret in a safe place').check();
    await page.getByRole('link', { name: 'See the key of the service' }).click();
    await page.getByRole('heading', { name: 'Edge gateway' }).waitFor();
  });

  it('meets no error of the page itself', () => {
    expect(admin.errors).toEqual([]);
  });
});
