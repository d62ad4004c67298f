import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser } from 'playwright-core';
import type { TestApp, TestUser } from '../support/app.js';
import { launchChromium } from './chromium.js';
import { ConsoleSession, startConsole } from './console-session.js';

const browser: Browser | null = await launchChromium();
const inBrowser = browser === null ? describe.skip : describe;

inBrowser('a project', () => {
  let app: TestApp;
  let admin: ConsoleSession;
  let ada: TestUser;
  let token: string;

  const projectNamed = async (name: string) =>
    (await app.get('/projects?size=100', { token })).body.data.find((one: { name: string }) => one.name === name);

  beforeAll(async () => {
    app = await startConsole();
    token = await app.adminToken();
    ada = await app.addUser(['creator']);
    admin = await ConsoleSession.open(browser!, app);
    await admin.signIn();
  });
  afterAll(async () => {
    expect(admin.errors).toEqual([]);
    await admin.context.close();
    await browser!.close();
    await app.stop();
  });

  it('is made, gets a member and a key, and is stopped as a whole', async () => {
    const { page } = admin;
    const dialog = () => page.getByRole('dialog');
    await admin.goto('/projects');
    await page.getByRole('button', { name: 'New project' }).click();
    await dialog().getByLabel('Name').fill('Search');
    await dialog().getByLabel('Alias').fill('search');
    await dialog().getByRole('button', { name: 'Create project' }).click();
    await page.getByText('No members yet').waitFor();
    await page.getByRole('button', { name: 'Add a member' }).click();
    const person = dialog().getByRole('combobox', { name: 'Person' }).or(dialog().getByLabel('Person')).first();
    await person.click();
    await person.fill(ada.email);
    await page
      .getByRole('option', { name: new RegExp(ada.email) })
      .first()
      .click();
    await dialog().getByRole('button', { name: 'Add member', exact: true }).click();
    await page.getByRole('cell', { name: `User ${ada.email}` }).waitFor();
    await page.getByRole('tab', { name: 'Keys' }).click();
    await page.getByRole('link', { name: 'New key' }).click();
    await page.getByLabel('Name', { exact: true }).or(page.getByLabel(/^Name/)).first().fill('Crawler');
    await page.getByRole('button', { name: 'Create key' }).click();
    await dialog().waitFor();
    const project = await projectNamed('Search');
    expect(project).toMatchObject({ alias: 'search', keyCount: 1, memberCount: 1 });
    await admin.goto(`/projects/${project.id}`);
    await page.getByRole('button', { name: 'Deactivate' }).click();
    await dialog().getByRole('button', { name: 'Deactivate' }).click();
    await page.getByText('Inactive: all keys of the project are refused.').waitFor();
    expect((await projectNamed('Search')).isActive).toBe(false);
  }, 120_000);

  it('is what its members find under My projects, with the keys of others and what they cost', async () => {
    const project = await projectNamed('Search');
    const session = await ConsoleSession.open(browser!, app);
    try {
      await session.signIn(ada.email, ada.password);
      const { page } = session;
      await page.getByRole('link', { name: 'My projects' }).click();
      await page.getByRole('link', { name: 'Search' }).click();
      await page.getByRole('link', { name: 'Crawler' }).waitFor();
      expect(await page.getByRole('button', { name: 'Deactivate' }).count()).toBe(0);
      await page.getByRole('tab', { name: 'Spend' }).click();
      await page.getByRole('heading', { name: 'Keys this month' }).waitFor();
      await page.getByRole('tab', { name: 'Keys' }).click();
      await page.getByRole('link', { name: 'Crawler' }).click();
      // Until its page is there, the tabs are those of the project.
      await page.getByRole('heading', { name: 'Crawler' }).waitFor();
      await page.getByRole('tab', { name: 'Settings' }).click();
      await page.getByRole('link', { name: 'Search', exact: true }).waitFor();
      expect(await page.getByRole('button', { name: 'Edit', exact: true }).count()).toBe(0);
      await session.goto(`/projects/${project.id}?tab=members`);
      await page.getByRole('button', { name: 'Leave' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Leave' }).click();
      await page.getByText('You are a member of no project').waitFor();
      expect(session.errors).toEqual([]);
    } finally {
      await session.context.close();
    }
  }, 120_000);
});
