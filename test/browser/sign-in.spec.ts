import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser } from 'playwright-core';
import type { TestApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { launchChromium } from './chromium.js';
import { ConsoleSession, startConsole } from './console-session.js';

const browser: Browser | null = await launchChromium();
const inBrowser = browser === null ? describe.skip : describe;

const EMAIL = 'ada@example.com';
const FIRST = 'chosen by another person';
const OWN = 'nine small boats at sea';

inBrowser('a person whom an administrator has added', () => {
  let app: TestApp;
  let session: ConsoleSession;
  let id: string;
  let admin: string;

  beforeAll(async () => {
    app = await startConsole();
    admin = await app.adminToken();
    id = (
      await app.post('/users', {
        token: admin,
        body: { name: 'Ada Lovelace', email: EMAIL, password: FIRST, roles: ['creator'] },
      })
    ).body.id;
    session = await ConsoleSession.open(browser!, app);
  });
  afterAll(async () => {
    await session.context.close();
    await browser!.close();
    await app.stop();
  });

  const main = () => session.page.getByRole('navigation', { name: 'Main' });
  const signIn = async (password: string) => {
    await session.goto('/sign-in');
    await session.page.getByLabel('E-mail').fill(EMAIL);
    await session.page.getByLabel('Password', { exact: true }).fill(password);
    await session.page.getByRole('button', { name: 'Sign in' }).click();
  };
  const choose = async (current: string, password: string) => {
    await session.page.getByLabel('Current password').fill(current);
    await session.page.getByLabel(/^New password( \*)?$/).fill(password);
    await session.page.getByLabel('New password again').fill(password);
    await session.page.getByRole('button', { name: 'Change password' }).click();
  };

  it('chooses a password before anything else, whatever page is asked for', async () => {
    await signIn(FIRST);
    await session.page.getByText('Another person chose the password').waitFor();
    await session.goto('/my-keys');
    await session.page.getByText('Another person chose the password').waitFor();
    expect(await main().count()).toBe(0);
    expect(await session.inspect('choose-password')).toEqual([]);
    await choose(FIRST, 'password1234');
    await session.page.getByText('is too easy to guess: it is a common password').waitFor();
    await choose(FIRST, OWN);
    await main().waitFor();
    await session.page.getByRole('heading', { name: 'My keys' }).waitFor();
  });

  it('is told of failed sign-ins and of what others did, until that is acknowledged', async () => {
    for (let attempt = 0; attempt < 3; attempt += 1)
      await app.post('/auth/login', { body: { email: EMAIL, password: 'not the password' } });
    await app.put(`/users/${id}/roles`, { token: admin, body: { roles: ['creator', 'auditor'] } });
    // Failures are written a moment after their answers, and the page reads them once.
    await eventually(async () => {
      const [row] = await app.dataSource.query('SELECT failures::int FROM sign_in_failure WHERE user_id = $1', [id]);
      expect(row).toEqual({ failures: 3 });
    });
    await session.goto('/my-keys');
    const notices = session.page.getByRole('status').filter({ hasText: 'What happened to your account' });
    await notices.getByText('3 sign-ins to your account failed, the last one from 127.0.0.1.').waitFor();
    await notices.getByText('Administrator changed your roles: gave you auditor.').waitFor();
    expect(await session.inspect('notices')).toEqual([]);
    await notices.getByRole('button', { name: 'I have read this' }).click();
    await notices.waitFor({ state: 'detached' });
    await session.goto('/account');
    await session.page.getByRole('heading', { name: 'Your account' }).waitFor();
    expect(await notices.count()).toBe(0);
    expect(session.errors).toEqual([]);
  });
});
