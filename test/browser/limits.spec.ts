import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import type { Browser, Locator, Page } from 'playwright-core';
import type { TestApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { charge, makeLimit, spend, storeLimit } from '../support/made-limits.js';
import { launchChromium } from './chromium.js';
import { leaveWithoutAsking } from './console-in-use.js';
import { ConsoleSession, startConsole } from './console-session.js';

const browser: Browser | null = await launchChromium();
const inBrowser = browser === null ? describe.skip : describe;

/** Interactions that a team's budget may take. */
const MOST_INTERACTIONS = 14;

inBrowser('an admin', () => {
  let app: TestApp;
  let admin: ConsoleSession;
  let page: Page;
  let token: string;
  let projectId: string;
  let keyId: string;
  let ownerId: string;

  const dialog = () => page.getByRole('dialog');
  const said = (text: string | RegExp) => page.getByText(text).first().waitFor();
  const made = async (path: string, body: object) => {
    const answer = await app.post(path, { token, body });
    if (answer.status >= 300) throw new Error(`${path}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  };

  const choose = async (label: string, option: string) => {
    const field = page.getByRole('combobox', { name: label, exact: true }).or(page.getByLabel(label, { exact: true }));
    await field.first().click();
    await page.getByRole('option', { name: option, exact: true }).click();
  };

  /** Clicks and fills, with their number. */
  const counted = () => {
    let interactions = 0;
    return {
      taken: () => interactions,
      click: async (target: Locator) => {
        interactions += 1;
        await target.click();
      },
      type: async (target: Locator | string | RegExp, text: string) => {
        interactions += 1;
        await (typeof target === 'object' && 'fill' in target ? target : page.getByLabel(target)).fill(text);
      },
    };
  };

  beforeAll(async () => {
    app = await startConsole();
    token = await app.adminToken();
    projectId = (await made('/projects', { name: 'Search' })).id;
    ownerId = (await made('/users', { name: 'Ada Lovelace', email: 'ada@example.com', roles: ['creator'] })).id;
    keyId = (await made('/api-keys', { name: 'Search web', projectId, ownerId })).apiKey.id;
    await made('/api-keys', { name: 'Search app', projectId });
    admin = await ConsoleSession.open(browser!, app);
    leaveWithoutAsking(admin);
    await admin.signIn();
    page = admin.page;
  });
  afterAll(async () => {
    expect(admin.errors).toEqual([]);
    await admin.context.close();
    await browser!.close();
    await app.stop();
  });

  it(`gives a team a monthly budget in at most ${MOST_INTERACTIONS} interactions, and sees what it says first`, async () => {
    const { click, type, taken } = counted();
    await click(page.getByRole('link', { name: 'Limits' }));
    await click(page.getByRole('link', { name: 'New limit' }));
    await type('Name', 'Search, monthly');
    await click(page.getByRole('combobox', { name: 'Project' }).or(page.getByRole('textbox', { name: 'Project' })));
    await click(page.getByRole('option', { name: 'Search' }));
    await type(/^At most, in/, '500');
    await click(page.getByRole('button', { name: 'Continue' }));
    await dialog()
      .getByText('All keys in project Search together may spend at most $500.00 per month (UTC).')
      .waitFor();
    await dialog()
      .getByText(/It binds 2 keys of 2 owners, with 1 account\./)
      .waitFor();
    expect((await app.get('/limits', { token })).body.meta.total).toBe(0);
    await click(dialog().getByRole('button', { name: 'Add' }));
    await page.getByRole('heading', { name: 'Search, monthly' }).waitFor();
    expect(taken()).toBeLessThanOrEqual(MOST_INTERACTIONS);
    expect((await app.get('/limits', { token })).body.data).toMatchObject([
      { name: 'Search, monthly', amountCents: 50_000, per: 'month', target: { kind: 'project', id: projectId } },
    ]);
  });

  it(`makes a team with a monthly budget from nothing in at most ${MOST_INTERACTIONS} interactions, and the budget holds`, async () => {
    const { click, type, taken } = counted();
    const person = await app.addUser(['creator']);
    await admin.goto('');
    await click(page.getByRole('link', { name: 'Projects' }));
    await click(page.getByRole('button', { name: 'New project' }));
    await type(dialog().getByLabel('Name'), 'Checkout');
    await click(dialog().getByRole('button', { name: 'Create project' }));
    await click(page.getByRole('button', { name: 'Add a member' }));
    await type(
      dialog().getByRole('combobox', { name: 'Person' }).or(dialog().getByLabel('Person')).first(),
      person.email,
    );
    await click(page.getByRole('option', { name: new RegExp(person.email) }).first());
    await click(dialog().getByRole('button', { name: 'Add member', exact: true }));
    await page.getByRole('cell', { name: `User ${person.email}` }).waitFor();
    await click(page.getByRole('tab', { name: 'Limits' }));
    await click(page.getByRole('link', { name: 'New limit' }));
    await type('Name', 'Checkout, monthly');
    await type(/^At most, in/, '5');
    await click(page.getByRole('button', { name: 'Continue' }));
    await click(dialog().getByRole('button', { name: 'Add' }));
    const sentence = 'All keys in project Checkout together may spend at most $5.00 per month (UTC).';
    await said(sentence);
    expect(taken()).toBeLessThanOrEqual(MOST_INTERACTIONS);

    // The member makes keys in the project, and one of them spends what both may.
    const { data } = (await app.get('/projects?size=100', { token })).body;
    const checkout = data.find(({ name }: { name: string }) => name === 'Checkout').id as string;
    const keyNamed = async (name: string) => {
      const answer = await app.post('/api-keys', { token: person.token, body: { name, projectId: checkout } });
      expect(answer.status).toBe(201);
      return { id: answer.body.apiKey.id as string, secret: answer.body.secretKey as string };
    };
    const [cart, payment] = [await keyNamed('Cart'), await keyNamed('Payment')];
    const verify = async () => (await app.post('/verify', { token, body: { key: payment.secret } })).body;
    expect(await verify()).toMatchObject({ valid: true });
    const events = [{ id: 'cart-1', apiKeyId: cart.id, requests: 1, costCents: 510 }];
    expect((await app.post('/usage', { token, body: { events } })).status).toBe(200);
    await eventually(async () => expect(await verify()).toMatchObject({ valid: false, code: 'BUDGET_EXCEEDED' }));

    // The console says by which limit, on the page of a key that has spent nothing itself.
    await admin.goto(`/keys/${payment.id}?tab=explain`);
    await page.getByRole('button', { name: 'Test the call' }).click();
    await said('The call would be refused: budget exceeded');
    // Local time with its zone: the context of the test is in Berlin.
    await said(
      /The limit “Checkout, monthly” of the project of the key does not cover the call\. It starts anew at 1 \w+ 20\d\d, 0[12]:00 (CET|CEST|GMT\+[12])\./,
    );
    await said(sentence);
    await page.getByRole('tab', { name: 'Limits' }).click();
    await page.getByRole('region', { name: 'Checkout, monthly' }).getByText('$5.10').waitFor();
    await admin.picture('key-refused-by-limit');
  }, 120_000);

  it('bounds calls and tokens by the same form, in their own numbers', async () => {
    const calls = `/limits/new?target=project:${(await made('/projects', { name: 'Counted' })).id}`;
    await admin.goto(calls);
    await page.getByLabel('Name').fill('Twenty a day');
    await choose('What is bounded', 'Calls');
    await page.getByLabel('At most, calls').fill('20');
    await choose('In', 'a day');
    await page.getByText('Each key', { exact: true }).click();
    await page.getByRole('button', { name: 'Continue' }).click();
    await dialog().getByText('Each key in project Counted may make at most 20 calls per day (UTC).').waitFor();
    await dialog().getByRole('button', { name: 'Add' }).click();
    await page.getByRole('heading', { name: 'Twenty a day' }).waitFor();

    await admin.goto(calls);
    await page.getByLabel('Name').fill('A million tokens');
    await choose('What is bounded', 'Tokens');
    await page.getByLabel('At most, tokens').fill('1000000');
    await page.getByText('1,000,000 tokens').waitFor();
    await page.getByRole('button', { name: 'Continue' }).click();
    await dialog()
      .getByText('All keys in project Counted together may use at most 1,000,000 tokens per month (UTC).')
      .waitFor();
    await dialog().getByRole('button', { name: 'Add' }).click();
    await page.getByRole('heading', { name: 'A million tokens' }).waitFor();
    const id = new URL(page.url()).pathname.split('/').at(-1)!;
    expect((await app.get(`/limits/${id}`, { token })).body).toMatchObject({ unit: 'tokens', amount: 1_000_000 });
    await page.getByRole('button', { name: 'Edit' }).click();
    expect(await dialog().getByLabel('At most, tokens').inputValue()).toBe('1,000,000');
    await dialog().getByLabel('At most, tokens').fill('2000000');
    await dialog().getByRole('button', { name: 'Continue' }).click();
    await dialog()
      .getByText(/may use at most 2,000,000 tokens/)
      .waitFor();
    await dialog().getByRole('button', { name: 'Change limit' }).click();
    await said('A million tokens has been changed.');
  }, 120_000);

  it('bounds the calls of each subject in any minute by the same form, which offers what subjects may have', async () => {
    await admin.goto(`/limits/new?target=project:${(await made('/projects', { name: 'Paced' })).id}`);
    await page.getByLabel('Name').fill('Pace');
    await choose('What is bounded', 'Calls');
    await page.getByLabel('At most, calls').fill('60');
    await choose('In', 'in total');
    await page.getByText('Each subject', { exact: true }).click();
    expect(await page.getByLabel('In', { exact: true }).first().inputValue()).toBe('a day');
    await page.getByLabel('In', { exact: true }).first().click();
    await page.getByRole('option', { name: 'any minute' }).waitFor();
    expect(await page.getByRole('option', { name: 'in total' }).count()).toBe(0);
    await page.getByRole('option', { name: 'any minute' }).click();
    await page.getByLabel('Time zone').waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Continue' }).click();
    await dialog().getByText('Each subject in project Paced may make at most 60 calls per minute.').waitFor();
    await dialog().getByRole('button', { name: 'Add' }).click();
    await page.getByRole('heading', { name: 'Pace' }).waitFor();
  });

  it('bounds tokens in any minute, tests a call that reserves some, and sees what is left, at every width', async () => {
    const paced = (await made('/projects', { name: 'Drafts' })).id as string;
    const writer = await made('/api-keys', { name: 'Writer', projectId: paced });
    await admin.goto(`/limits/new?target=project:${paced}`);
    await page.getByLabel('Name').fill('Drafts, pace');
    await choose('What is bounded', 'Tokens');
    await page.getByLabel('At most, tokens').fill('100000');
    await page.getByLabel('In', { exact: true }).first().click();
    await page.getByRole('option', { name: 'any minute' }).waitFor();
    expect(await page.getByRole('option', { name: 'any hour' }).count()).toBe(0);
    await page.getByRole('option', { name: 'any minute' }).click();
    await page.getByLabel('Time zone').waitFor({ state: 'detached' });
    expect(await admin.inspect('new-limit-of-tokens-by-minute')).toEqual([]);
    await page.getByRole('button', { name: 'Continue' }).click();
    await dialog()
      .getByText('All keys in project Drafts together may use at most 100,000 tokens per minute.')
      .waitFor();
    await dialog().getByRole('button', { name: 'Add' }).click();
    await page.getByRole('heading', { name: 'Drafts, pace' }).waitFor();

    const body = { key: writer.secretKey, reserveTokens: 90_000 };
    await eventually(async () => expect((await app.post('/verify', { token, body })).body.valid).toBe(true));
    await admin.goto(`/keys/${writer.apiKey.id}?tab=explain`);
    await page.getByLabel('Tokens to reserve').fill('20000');
    await page.getByRole('button', { name: 'Test the call' }).click();
    await said('The call would be refused: over a rate limit');
    await said(
      /The limit of tokens “Drafts, pace” of the project of the key does not cover the call\. All of it is free at /,
    );
    expect(await admin.inspect('key-tested-with-tokens')).toEqual([]);
    await page.getByRole('tab', { name: 'Limits' }).click();
    const region = page.getByRole('region', { name: 'Drafts, pace' });
    await region.getByText('tokens used or reserved').waitFor();
    await region.getByText('90,000').waitFor();
    await region.getByText(/Any minute counts\. What is used now counts no more in /).waitFor();
    expect(await admin.inspect('key-limits-of-tokens-by-minute')).toEqual([]);
  }, 120_000);

  it('sees what is used of tokens, calls and calls in flight in their numbers, at every width', async () => {
    const inProject = (await made('/projects', { name: 'Measured' })).id as string;
    const key = (await made('/api-keys', { name: 'Measured web', projectId: inProject })).apiKey.id as string;
    const tokens = await storeLimit(app, { unit: 'tokens', amount: 1_000_000, projectId: inProject });
    await charge(app, tokens, { used: 250_000, held: 1000 });
    const slots = await storeLimit(app, { unit: 'slots', amount: 5, projectId: inProject });
    await charge(app, slots, { held: 3 });
    const requests = await storeLimit(app, {
      unit: 'requests',
      amount: 20,
      per: 'day',
      each: 'key',
      projectId: inProject,
    });
    await charge(app, requests, { used: 20, memberId: key });
    await admin.goto(`/limits/${tokens}`);
    await said('250,000');
    await said('749,000');
    await admin.goto(`/limits/${slots}`);
    await said('in flight');
    await said('A call that ends makes room for another.');
    const screens: [string, string, string | RegExp][] = [
      ['limits-units', '/limits', /3 of 5 calls at once/],
      ['limits-of-slots', '/limits?unit=slots', /3 of 5 calls at once/],
      ['limit-of-requests', `/limits/${requests}`, 'calls used'],
      ['limit-of-slots', `/limits/${slots}`, 'in flight'],
      ['project-limits-units', `/projects/${inProject}?tab=limits`, 'tokens used'],
      ['key-limits-units', `/keys/${key}?tab=limits`, 'calls used'],
    ];
    for (const [name, path, text] of screens) {
      await admin.goto(path);
      await said(text);
      expect(await admin.inspect(name)).toEqual([]);
    }
    expect(await page.getByText(/of 1,000,000 tokens/).count()).toBe(0);
    await admin.goto('/limits?unit=slots');
    await said(/3 of 5 calls at once/);
    expect(await page.getByText(/of 1,000,000 tokens/).count()).toBe(0);
  }, 180_000);

  it('is told by the field what is wrong, and keeps what was typed', async () => {
    await admin.goto(`/limits/new?target=project:${projectId}`);
    await page.getByLabel('Name').fill('The same again');
    await page.getByLabel(/^At most, in/).fill('1');
    await page.getByRole('button', { name: 'Continue' }).click();
    await said('A limit with this target, each, unit, per, timeZone, models and mode exists');
    expect(await page.getByLabel('Name').inputValue()).toBe('The same again');
  });

  it('gives a member an amount of its own and takes it back, changes the limit and deletes it', async () => {
    const limit = await makeLimit(app, token, {
      name: 'Everybody',
      per: 'month',
      amountCents: 5000,
      target: { kind: 'installation' },
      each: 'owner',
    });
    await spend(app, limit.id, 4000, ownerId);
    await admin.goto(`/limits/${limit.id}`);
    await page.getByRole('button', { name: 'Change the amount of Ada Lovelace' }).click();
    await dialog()
      .getByLabel(/^At most, in/)
      .fill('200');
    await dialog().getByLabel('Reason').fill('Load test');
    await dialog().getByRole('button', { name: 'Set the amount' }).click();
    await said(/An amount of its own: .*200\.00 \(Load test\)/);
    await page.getByRole('button', { name: 'Take back the amount of Ada Lovelace' }).click();
    await dialog().getByRole('button', { name: 'Take back' }).click();
    await said('The amount is taken back.');
    await page.getByRole('button', { name: 'Edit' }).click();
    await dialog()
      .getByLabel(/^At most, in/)
      .fill('30');
    await dialog().getByRole('button', { name: 'Continue' }).click();
    await dialog().getByText('1 of these accounts would refuse every call from now on.').waitFor();
    await dialog().getByRole('button', { name: 'Change limit' }).click();
    await said('Everybody has been changed.');
    expect((await app.get(`/limits/${limit.id}`, { token })).body.amountCents).toBe(3000);
    await page.getByRole('button', { name: 'Delete' }).click();
    await dialog().getByRole('button', { name: 'Delete' }).click();
    await said('Everybody has been deleted.');
    expect((await app.get(`/limits/${limit.id}`, { token })).status).toBe(404);
  });

  it('lets an admin of a project lower its limit, as the server says, and a member only look', async () => {
    const inProject = (await made('/projects', { name: 'Led' })).id as string;
    const limit = await makeLimit(app, token, {
      name: 'Led, monthly',
      per: 'month',
      mode: 'observe',
      target: { kind: 'project', id: inProject },
    });
    for (const [role, buttons] of [
      ['member', 0],
      ['admin', 1],
    ] as const) {
      const user = await app.addUser(['user']);
      await app.put(`/projects/${inProject}/members/${user.id}`, { token, body: { role } });
      const session = await ConsoleSession.open(browser!, app);
      try {
        await session.signIn(user.email, user.password);
        await session.goto(`/projects/${inProject}?tab=limits`);
        await session.page.getByText('Led, monthly').waitFor();
        const tighten = session.page.getByRole('button', { name: 'Tighten Led, monthly' });
        expect(await tighten.count()).toBe(buttons);
        if (buttons === 0) continue;
        await tighten.click();
        const asked = session.page.getByRole('dialog');
        const amount = asked.getByLabel(/^At most, in/);
        const act = asked.getByRole('button', { name: 'Tighten' });
        expect(await act.isDisabled()).toBe(true);
        await amount.fill('11');
        await asked.getByText('must be lower than it is').waitFor();
        expect(await act.isDisabled()).toBe(true);
        await amount.fill('4');
        await asked.getByLabel('Refuse calls beyond the amount').check();
        expect(await session.inspect('project-limit-tighten')).toEqual([]);
        await act.click();
        await session.page.getByText('Led, monthly has been tightened.').first().waitFor();
        expect(session.errors).toEqual([]);
      } finally {
        await session.context.close();
      }
    }
    expect((await app.get(`/limits/${limit.id}`, { token })).body).toMatchObject({ amount: 400, mode: 'enforce' });
  }, 120_000);

  it('sees the limits that bind a key and an owner, and every screen without a finding', async () => {
    const each = await makeLimit(app, token, {
      name: 'Each key of Search, expensive models',
      per: 'week',
      timeZone: 'Europe/Berlin',
      amountCents: 20_000,
      target: { kind: 'project', id: projectId },
      each: 'key',
      models: ['gpt-4*', 'claude-opus-*'],
    });
    await spend(app, each.id, 17_050, keyId);
    await makeLimit(app, token, { name: 'On Ada', per: 'day', target: { kind: 'owner', id: ownerId } });
    const screens: [string, string, string | RegExp][] = [
      ['limits', '/limits', 'Each key of Search, expensive models'],
      ['limit-new', '/limits/new', 'Continue'],
      ['limit-accounts', `/limits/${each.id}`, 'Search web'],
      ['key-limits', `/keys/${keyId}?tab=limits`, 'Search, monthly'],
      ['person-limits', `/people/${ownerId}`, 'On Ada'],
    ];
    const exported = async () => {
      const [file] = await Promise.all([
        page.waitForEvent('download'),
        page.getByRole('link', { name: 'Export CSV' }).click(),
      ]);
      return (await readFile(await file.path(), 'utf8')).trim().split('\n');
    };
    await admin.goto(`/limits/${each.id}`);
    expect(await exported()).toEqual([
      expect.stringContaining('memberName'),
      expect.stringMatching(/Search web.*17050/),
    ]);
    // All that the filters leave, on whichever page.
    await admin.goto('/limits?unit=cents&usedAbove=80');
    const [head, ...lines] = await exported();
    expect(head).toContain('sentence');
    expect(lines.some((line) => line.includes(each.name))).toBe(true);
    expect(lines.some((line) => line.includes('On Ada'))).toBe(false);
    for (const [name, path, text] of screens) {
      await admin.goto(path);
      await said(text);
      expect(await admin.inspect(name)).toEqual([]);
    }
  }, 120_000);
});
