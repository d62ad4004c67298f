import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser } from 'playwright-core';
import type { TestApp } from '../support/app.js';
import { LoginProvider } from '../support/login-provider.js';
import { launchChromium } from './chromium.js';
import { ConsoleSession, startConsole } from './console-session.js';

const browser: Browser | null = await launchChromium();
const inBrowser = browser === null ? describe.skip : describe;

/** The whole way as a person goes it: the button, the provider's own page, and back into the console. */
inBrowser('signing in with the identity provider', () => {
  let provider: LoginProvider;
  let app: TestApp;
  let session: ConsoleSession;

  beforeAll(async () => {
    provider = await LoginProvider.start();
    app = await startConsole(provider.variables);
    session = await ConsoleSession.open(browser!, app);
  });

  afterAll(async () => {
    await session.context.close();
    await browser!.close();
    await app.stop();
    await provider.stop();
  });

  const button = () => session.page.getByRole('link', { name: 'Sign in with Example Corp' });
  const atProvider = (answer: string) => session.page.getByRole('link', { name: answer }).click();

  it('offers it above the password, on an accessible page', async () => {
    await session.goto('/sign-in');
    await button().waitFor();
    await session.page.getByLabel('E-mail').waitFor();
    expect(await session.inspect('sign-in-with-provider')).toEqual([]);
  });

  it('says so when the person did not agree, and goes to the wanted page once they agree', async () => {
    await session.goto('/keys/new?ownerId=');
    await button().click();
    await atProvider('Cancel');
    await session.page.getByRole('alert').getByText('did not confirm the sign-in').waitFor();
    expect(await session.inspect('sign-in-refused')).toEqual([]);
    await button().click();
    await atProvider('Continue as Grace');
    await session.page.getByRole('heading', { name: 'New key' }).waitFor();
    expect(new URL(session.page.url()).pathname).toBe('/console/keys/new');
    await session.page.getByRole('link', { name: 'Grace Hopper' }).waitFor();
  });

  it('leaves nothing of it where a script could read it', async () => {
    expect(
      await session.page.evaluate(() =>
        [document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage)].join(' '),
      ),
    ).not.toMatch(/latchkey_session|latchkey_sign_in|eyJ/);
    expect(session.page.url()).not.toMatch(/code=|state=/);
    expect(
      (await session.context.cookies()).map(({ name, httpOnly, sameSite }) => ({ name, httpOnly, sameSite })),
    ).toEqual([{ name: 'latchkey_session', httpOnly: true, sameSite: 'Strict' }]);
  });

  it('offers no password to a person who has none here', async () => {
    await session.goto('/account');
    await session.page.getByText('the identity provider').waitFor();
    // Its token does not say that the address was verified.
    await session.page.getByText('grace@example.com (not verified)').waitFor();
    expect(await session.page.getByText('Change your password').count()).toBe(0);
  });

  it('ends with a sign-out, like any session', async () => {
    await session.page.getByRole('button', { name: 'Sign out', exact: true }).click();
    await button().waitFor();
    await session.goto('/keys');
    await button().waitFor();
    expect(session.errors).toEqual([]);
  });

  it('says so when the user is inactive here', async () => {
    await app.dataSource.query(`UPDATE users SET is_active = false WHERE oidc_subject = 'subject-1'`);
    await session.goto('/sign-in');
    await button().click();
    await atProvider('Continue as Grace');
    await session.page.getByRole('alert').getByText('may not sign in here').waitFor();
  });
});
