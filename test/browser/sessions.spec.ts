import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser } from 'playwright-core';
import type { TestApp, TestUser } from '../support/app.js';
import { launchChromium } from './chromium.js';
import { ConsoleSession, startConsole } from './console-session.js';

const browser: Browser | null = await launchChromium();
const inBrowser = browser === null ? describe.skip : describe;

/** One person with two browsers, and an admin who can end both. */
inBrowser('sessions', () => {
  let app: TestApp;
  let ada: TestUser;
  let here: ConsoleSession;
  let there: ConsoleSession;

  const rows = () => here.page.getByRole('region', { name: 'Sessions' }).locator('tbody tr');
  const signedIn = async (session: ConsoleSession) => {
    await session.goto('/account');
    const account = session.page.getByRole('heading', { name: 'Your account' });
    const signIn = session.page.getByRole('button', { name: 'Sign in' });
    await account.or(signIn).first().waitFor();
    return account.isVisible();
  };

  beforeAll(async () => {
    app = await startConsole();
    ada = await app.addUser(['creator']);
    here = await ConsoleSession.open(browser!, app);
    there = await ConsoleSession.open(browser!, app);
    for (const session of [here, there]) await session.signIn(ada.email, ada.password);
  });

  afterAll(async () => {
    for (const session of [here, there]) await session.context.close();
    await browser!.close();
    await app.stop();
  });

  it('are listed with device and address, and each but this one can be ended', async () => {
    await here.goto('/account');
    await rows().nth(2).waitFor();
    expect(await rows().filter({ hasText: 'this one' }).getByRole('button', { name: /^End/ }).count()).toBe(0);
    expect(
      await rows()
        .filter({ hasText: /Chrome \d+ on Linux/ })
        .count(),
    ).toBe(2);
    // The third is the one with which the test made the user; its client is no browser.
    await rows()
      .filter({ hasNotText: 'Chrome' })
      .getByRole('button', { name: /^End the session of/ })
      .click();
    await here.page.getByText('The session has ended.').waitFor();
    await rows().nth(2).waitFor({ state: 'detached' });
    expect((await app.get('/auth/me', { token: ada.token })).status).toBe(401);
    expect(await signedIn(there)).toBe(true);
  });

  it('ask before all others end, without a finding', async () => {
    await here.goto('/account');
    await here.page.getByRole('button', { name: 'End all others' }).click();
    await here.page.getByText('This one stays').waitFor();
    expect(await here.inspect('opened-end-other-sessions')).toEqual([]);
    await here.page.getByRole('dialog').getByRole('button', { name: 'End all others' }).click();
    await here.page.getByText('One session has ended.').waitFor();
    expect(await signedIn(there)).toBe(false);
    expect(await signedIn(here)).toBe(true);
  });

  it('all end with “Sign out everywhere”, this one included', async () => {
    await there.signIn(ada.email, ada.password);
    await here.goto('/account');
    await here.page.getByRole('button', { name: 'Sign out everywhere' }).click();
    await here.page.getByRole('dialog').getByRole('button', { name: 'Sign out everywhere' }).click();
    await here.page.getByRole('button', { name: 'Sign in' }).waitFor();
    expect(await signedIn(there)).toBe(false);
  });

  it('of another end on the page of the person', async () => {
    await there.signIn(ada.email, ada.password);
    await here.signIn();
    await here.goto(`/people/${ada.id}`);
    await here.page.getByRole('button', { name: 'Sign out everywhere' }).click();
    await here.page.getByText('Keys go on working').waitFor();
    await here.page.getByRole('dialog').getByRole('button', { name: 'Sign out everywhere' }).click();
    await here.page.getByText('One session has ended.').waitFor();
    expect(await signedIn(there)).toBe(false);
  });

  it('are not kept open by a page that nobody touches', async () => {
    await here.page.clock.install();
    await here.goto('/account');
    await here.page.mouse.move(200, 200);
    const headers = async () => (await here.page.waitForRequest(/\/auth\/me$/)).headers()['x-latchkey-background'];
    const [atOnce] = await Promise.all([headers(), here.page.reload()]);
    await here.page.getByRole('heading', { name: 'Your account' }).waitFor();
    const [later] = await Promise.all([headers(), here.page.clock.fastForward('02:00')]);
    expect([atOnce, later]).toEqual([undefined, '1']);
    await here.page.clock.resume();
  });

  it('meet no error of the page itself', () => {
    expect([...here.errors, ...there.errors]).toEqual([]);
  });
});
