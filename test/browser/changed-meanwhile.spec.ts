import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import type { TestApp } from '../support/app.js';
import { issueKey } from '../support/management.js';
import { launchChromium } from './chromium.js';
import { leaveWithoutAsking } from './console-in-use.js';
import { ConsoleSession, startConsole } from './console-session.js';

const browser: Browser | null = await launchChromium();
const inBrowser = browser === null ? describe.skip : describe;

/** One person edits in the console while another, faster, changes the same thing by the API. */
inBrowser('a form whose thing was changed meanwhile', () => {
  let app: TestApp;
  let session: ConsoleSession;
  let page: Page;
  let token: string;

  beforeAll(async () => {
    app = await startConsole();
    token = await app.adminToken();
    session = await ConsoleSession.open(browser!, app);
    page = session.page;
    leaveWithoutAsking(session);
    await session.signIn();
  });
  afterAll(async () => {
    expect(session.errors).toEqual([]);
    await session.context.close();
    await browser!.close();
    await app.stop();
  });

  const alert = () => page.getByRole('alert').filter({ hasText: 'Changed meanwhile' });
  const press = (name: string) => page.getByRole('button', { name, exact: true }).last().click();
  const read = async (path: string) => (await app.get(path, { token })).body as Record<string, unknown>;

  it('of a key says who was faster, and saves on top without undoing what that one did', async () => {
    const { id } = await issueKey(app, token, { name: 'Edited twice', tags: ['one'] });
    await session.goto(`/keys/${id}/edit`);
    await page.getByLabel('Name').first().fill('Mine');
    await app.patch(`/api-keys/${id}`, { token, body: { tags: ['theirs'], description: 'theirs' } });
    await press('Save');
    await alert().waitFor();
    expect(await alert().textContent()).toMatch(/Changed meanwhile by \S.+\. Nothing of yours was saved yet/);
    expect(await session.inspect('key-changed-meanwhile')).toEqual([]);
    expect((await read(`/api-keys/${id}`))['name']).toBe('Edited twice');
    await press('Save mine on top');
    await page.getByText('Saved.').first().waitFor();
    expect(await read(`/api-keys/${id}`)).toMatchObject({ name: 'Mine', tags: ['theirs'], description: 'theirs' });
  });

  it('of a key shows what there is now to one who drops their own', async () => {
    const { id } = await issueKey(app, token, { name: 'Dropped' });
    await session.goto(`/keys/${id}/edit`);
    await page.getByLabel('Name').first().fill('Mine');
    await app.patch(`/api-keys/${id}`, { token, body: { name: 'Theirs' } });
    await press('Save');
    await alert().waitFor();
    await press('Drop mine and reload');
    await page.getByRole('heading', { name: 'Edit Theirs' }).waitFor();
    expect((await read(`/api-keys/${id}`))['name']).toBe('Theirs');
  });

  it('of a person and of a role goes on as well', async () => {
    const { id } = await app.addUser([]);
    await session.goto(`/people/${id}`);
    await press('Edit');
    await page.getByRole('dialog').getByLabel('Name').fill('Mine');
    await app.patch(`/users/${id}`, { token, body: { maxActiveKeys: 7 } });
    await press('Save');
    await alert().waitFor();
    await press('Save mine on top');
    await page.getByRole('heading', { name: 'Mine' }).waitFor();
    expect(await read(`/users/${id}`)).toMatchObject({ name: 'Mine', maxActiveKeys: 7 });

    await app.addRole('edited-twice', ['platform:users:read']);
    await session.goto('/roles/edited-twice');
    await page.getByLabel('Description').first().fill('Mine');
    await app.patch('/roles/edited-twice', { token, body: { permissions: ['platform:audit:read'] } });
    await press('Save');
    await alert().waitFor();
    await press('Save mine on top');
    await page.getByText('Saved.').first().waitFor();
    expect(await read('/roles/edited-twice')).toMatchObject({
      description: 'Mine',
      permissions: ['platform:audit:read'],
    });
  });
});
