import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import type { TestApp, TestUser } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { verdictOn } from '../support/made-keys.js';
import { launchChromium } from './chromium.js';
import { ConsoleSession, startConsole } from './console-session.js';

const browser: Browser | null = await launchChromium();
const inBrowser = browser === null ? describe.skip : describe;

const SECRET = /lk_live_[0-9A-Za-z]{63}/;

/** A key for a colleague: one window of an admin who makes it, and one of the colleague who draws its secret. */
inBrowser('a key for a colleague', () => {
  let app: TestApp;
  let admin: ConsoleSession;
  let colleague: ConsoleSession;
  let owner: TestUser;
  let token: string;
  /** Everything that the server has answered to the admin's window. */
  const answered: string[] = [];

  beforeAll(async () => {
    app = await startConsole();
    token = await app.adminToken();
    owner = await app.addUser(['user']);
    admin = await ConsoleSession.open(browser!, app);
    colleague = await ConsoleSession.open(browser!, app);
    admin.page.on('response', (response) => {
      if (response.url().includes('/api/'))
        void response.text().then(
          (text) => answered.push(text),
          () => undefined,
        );
    });
    await admin.signIn();
    await colleague.signIn(owner.email, owner.password);
  });
  afterAll(async () => {
    await admin.context.close();
    await colleague.context.close();
    await browser!.close();
    await app.stop();
  });

  const pending = async (name: string): Promise<string> => {
    const body = { name, ownerId: owner.id, handOver: true };
    return (await app.post('/api-keys', { token, body })).body.apiKey.id as string;
  };
  const dialogOf = (page: Page) => page.getByRole('dialog');
  const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });

  it('is made without a secret, and says who draws it until when', async () => {
    const { page } = admin;
    await admin.goto('/keys/new');
    await page.getByLabel('Name').fill('For a colleague');
    const picker = page.getByRole('combobox', { name: 'Owner' });
    await picker.fill(owner.email);
    await page.getByRole('option', { name: owner.email }).click();
    expect(await page.getByRole('radio', { name: 'The owner draws it' }).isChecked()).toBe(true);
    expect(await admin.inspect('hand-over-form')).toEqual([]);
    await button(page, 'Create key').click();
    await page.getByRole('heading', { level: 1, name: 'For a colleague' }).waitFor();
    await page.getByText(`Waits to be drawn by User ${owner.email}`).waitFor();
    await page.getByText('pending', { exact: true }).waitFor();
    expect(await page.getByTestId('secret').count()).toBe(0);
    await button(page, 'Copy the link').click();
    let link = '';
    await eventually(async () => {
      link = await page.evaluate(() => navigator.clipboard.readText());
      expect(link).toBe(page.url().replace(/\?.*/, ''));
    });
    expect(await admin.inspect('hand-over-waits')).toEqual([]);
  }, 120_000);

  it('is found by its owner in My keys, who draws the secret once', async () => {
    const { page } = colleague;
    await colleague.goto('/my-keys');
    await page.getByText('A secret waits to be drawn by you.').waitFor();
    expect(await colleague.inspect('hand-over-my-keys')).toEqual([]);
    await page.getByRole('link', { name: 'Show its key' }).click();
    await page.getByText('secret to draw', { exact: true }).waitFor();
    await page.getByRole('link', { name: 'For a colleague' }).click();
    await page.getByText('A secret waits for you').waitFor();
    expect(await colleague.inspect('hand-over-to-draw')).toEqual([]);
    await button(page, 'Draw the secret').click();
    await dialogOf(page).getByRole('button', { name: 'Draw the secret' }).click();
    const secret = (await page.getByTestId('secret').textContent())!;
    expect(secret).toMatch(SECRET);
    for (const [language, line] of [
      ['curl', 'authorization: Bearer $API_KEY'],
      ['TypeScript', 'process.env.API_KEY'],
      ['Python', "os.environ['API_KEY']"],
    ] as const) {
      await page.getByText(language, { exact: true }).click();
      await page.getByLabel('Call a service with it', { exact: true }).getByText(line).waitFor();
    }
    expect(await colleague.inspect('hand-over-secret')).toEqual([]);
    const asked: string[] = [];
    page.once('dialog', (question) => {
      asked.push(question.message());
      void question.dismiss();
    });
    await page.evaluate(() => history.back());
    await eventually(() => expect(asked).toEqual(['The secret is shown this once. Leave without it?']));
    await page.getByLabel('I have stored the secret in a safe place').check();
    await button(page, 'Done').click();
    await page.getByTestId('secret').waitFor({ state: 'detached' });
    await page.getByText('active', { exact: true }).waitFor();
    expect(await verdictOn(app, secret)).toBe('VALID');
    expect(answered.length).toBeGreaterThan(5);
    expect(answered.filter((text) => SECRET.test(text))).toEqual([]);
  }, 180_000);

  it('can be taken back by its maker, and offered again', async () => {
    const id = await pending('Taken back');
    const { page } = admin;
    await admin.goto(`/keys/${id}`);
    await button(page, 'Take back the offer').click();
    await dialogOf(page).getByRole('button', { name: 'Take back the offer' }).click();
    await page.getByText('This key has no secret').waitFor();
    await colleague.goto(`/keys/${id}`);
    await colleague.page.getByText('Ask an administrator to offer it again.').waitFor();
    expect(await button(colleague.page, 'Draw the secret').count()).toBe(0);
    await button(page, 'Offer it again').click();
    await dialogOf(page).getByRole('button', { name: 'Offer the secret' }).click();
    await page.getByText(/^Waits to be drawn by/).waitFor();
    await colleague.goto(`/keys/${id}`);
    await button(colleague.page, 'Draw the secret').waitFor();
  });

  it('meets no error of the page itself', () => {
    expect([...admin.errors, ...colleague.errors]).toEqual([]);
  });
});
