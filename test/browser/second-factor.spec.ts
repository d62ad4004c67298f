import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import type { Browser, Page } from 'playwright-core';
import { ADMIN, type TestApp, type TestUser } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { afterAWhile, codeOf, wrongCode } from '../support/second-factor.js';
import { launchChromium } from './chromium.js';
import { ConsoleSession, startConsole } from './console-session.js';

const browser: Browser | null = await launchChromium();
const inBrowser = browser === null ? describe.skip : describe;

/** From the password over the QR code to the recovery codes; gives both. */
async function setUp(
  page: Page,
  app: TestApp,
  password: string,
  look: (name: string) => Promise<void>,
): Promise<{ secret: string; codes: string[] }> {
  await page.getByLabel('Your password again').fill(password);
  await page.getByRole('button', { name: 'Continue' }).click();
  await page
    .getByTitle('QR code for your authenticator app')
    .or(page.getByRole('img', { name: 'QR code for your authenticator app' }))
    .first()
    .waitFor({ state: 'attached' });
  const secret = (await page.getByTestId('factor-secret').textContent()) ?? '';
  await look('qr-code');
  await page.getByLabel('Code', { exact: true }).fill(await wrongCode(app, secret));
  await page.getByRole('button', { name: 'Confirm' }).click();
  await page.getByText('is not a current code of this secret').waitFor();
  await page.getByLabel('Code', { exact: true }).fill(await codeOf(app, secret));
  await page.getByRole('button', { name: 'Confirm' }).click();
  const shown = page.getByLabel('Recovery codes', { exact: true });
  await shown.waitFor();
  await look('recovery-codes');
  return { secret, codes: ((await shown.textContent()) ?? '').split('\n') };
}

inBrowser('a second factor', () => {
  let app: TestApp;
  let session: ConsoleSession;
  let page: Page;
  let user: TestUser;
  let secret: string;
  let codes: string[];

  const signIn = async () => {
    await session.goto('/sign-in');
    await page.getByLabel('E-mail').fill(user.email);
    await page.getByLabel('Password', { exact: true }).fill(user.password);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByLabel('Code', { exact: true }).waitFor();
  };
  const enter = async (code: string) => {
    await page.getByLabel('Code', { exact: true }).fill(code);
    await page.getByRole('button', { name: 'Sign in' }).click();
  };
  const signedIn = () => page.getByRole('navigation', { name: 'Main' }).waitFor();
  const signOut = () => page.getByRole('button', { name: 'Sign out', exact: true }).click();
  const look = async (name: string) => expect(await session.inspect(`second-factor-${name}`)).toEqual([]);

  beforeAll(async () => {
    app = await startConsole();
    user = await app.addUser(['creator']);
    session = await ConsoleSession.open(browser!, app);
    page = session.page;
  });
  afterAll(async () => {
    await session.context.close();
    await app.stop();
  });

  it('is set up on the account page by QR code and a first code, and its recovery codes are shown once', async () => {
    await session.signIn(user.email, user.password);
    await session.goto('/account');
    await page.getByRole('button', { name: 'Set up' }).click();
    await page.getByLabel('Your password again').fill('not the password');
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByText('is wrong').waitFor();
    ({ secret, codes } = await setUp(page, app, user.password, look));
    expect(codes).toHaveLength(10);
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Download' }).click(),
    ]);
    expect(await readFile(await download.path(), 'utf8')).toContain(codes.join('\n'));
    await page.getByRole('button', { name: 'Copy: Recovery codes' }).click();
    await eventually(async () =>
      expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(codes.join('\n')),
    );
    expect(await page.getByRole('button', { name: 'Done' }).isDisabled()).toBe(true);
    await page.keyboard.press('Escape');
    await page.getByLabel('I have stored the codes in a safe place').check();
    await page.getByRole('button', { name: 'Done' }).click();
    await page.getByText('10 left').waitFor();
    await look('account');
    const kept = await page.evaluate(() =>
      [
        location.href,
        document.title,
        document.cookie,
        JSON.stringify({ ...localStorage }),
        JSON.stringify({ ...sessionStorage }),
        JSON.stringify(history.state),
        document.body.innerHTML,
      ].join(' '),
    );
    for (const value of [secret, ...codes]) expect(kept).not.toContain(value);
  }, 120_000);

  it('is asked for at the sign-in, after the password', async () => {
    await signOut();
    await signIn();
    await look('sign-in');
    await enter(await wrongCode(app, secret));
    await page.getByRole('alert').getByText('The code is wrong or was used before').waitFor();
    await afterAWhile(app, user.id);
    await enter(await codeOf(app, secret));
    await signedIn();
    await signOut();
    await signIn();
    await enter(codes[0]!.toLowerCase());
    await signedIn();
    await session.goto('/account');
    await page.getByText('9 left').waitFor();
  }, 120_000);

  it('goes back to the password for another account', async () => {
    await signOut();
    await signIn();
    await page.getByRole('button', { name: 'Another account' }).click();
    await page.getByLabel('E-mail').fill(ADMIN.email);
    await page.getByLabel('Password', { exact: true }).fill(ADMIN.password);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await signedIn();
  });

  it('is reset by an admin on the page of its person', async () => {
    await session.goto(`/people/${user.id}`);
    await page.getByText('a password and a second factor').waitFor();
    await page.getByRole('button', { name: 'Reset second factor' }).click();
    await page.getByRole('dialog').getByText('Check that the request comes from that person').waitFor();
    await look('reset');
    await page.getByRole('dialog').getByRole('button', { name: 'Reset' }).click();
    await page.getByText('Second factor removed; all sessions have ended.').waitFor();
    await page.getByRole('button', { name: 'Reset second factor' }).waitFor({ state: 'detached' });
    await signOut();
    await session.signIn(user.email, user.password);
  });

  it('is removed on the account page with the password', async () => {
    await session.goto('/account');
    await page.getByRole('button', { name: 'Set up' }).click();
    await setUp(page, app, user.password, () => Promise.resolve());
    await page.getByLabel('I have stored the codes in a safe place').check();
    await page.getByRole('button', { name: 'Done' }).click();
    await page.getByRole('button', { name: 'New recovery codes' }).click();
    await page.getByLabel('Your password again').fill(user.password);
    await page.getByRole('button', { name: 'Draw new codes' }).click();
    await page.getByLabel('I have stored the codes in a safe place').check();
    await page.getByRole('button', { name: 'Done' }).click();
    await page.getByRole('button', { name: 'Remove', exact: true }).click();
    await page.getByLabel('Your password again').fill(user.password);
    await page.getByRole('button', { name: 'Remove', exact: true }).click();
    await page.getByRole('button', { name: 'Set up' }).waitFor();
    expect((await app.get(`/users/${user.id}`, { token: await app.adminToken() })).body.hasSecondFactor).toBe(false);
    expect(session.errors).toEqual([]);
  });
});

inBrowser('a second factor that MFA_REQUIRED asks for', () => {
  let app: TestApp;
  let session: ConsoleSession;

  beforeAll(async () => {
    app = await startConsole({ MFA_REQUIRED: 'admins' });
    session = await ConsoleSession.open(browser!, app);
  });
  afterAll(async () => {
    await session.context.close();
    await browser!.close();
    await app.stop();
  });

  it('is all that a session shows until it is set up; then the console goes on where one was', async () => {
    const { page } = session;
    await session.goto('/keys');
    await page.getByLabel('E-mail').fill(ADMIN.email);
    await page.getByLabel('Password', { exact: true }).fill(ADMIN.password);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('Set up a second factor').waitFor();
    expect(await page.getByRole('navigation', { name: 'Main' }).count()).toBe(0);
    expect(await session.inspect('second-factor-enrol')).toEqual([]);
    await session.goto('/account');
    await page.getByText('Set up a second factor').waitFor();
    await session.goto('/keys');
    await setUp(page, app, ADMIN.password, async (name) =>
      expect(await session.inspect(`second-factor-enrol-${name}`)).toEqual([]),
    );
    await page.getByLabel('I have stored the codes in a safe place').check();
    await page.getByRole('button', { name: 'Done' }).click();
    await page.getByRole('navigation', { name: 'Main' }).waitFor();
    await page.getByRole('heading', { name: 'Keys' }).waitFor();
    expect(session.errors).toEqual([]);
  }, 120_000);
});
