import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { issueKey, issueServiceKey } from '../../support/management.js';
import { createTestDirectory } from '../../support/postgres.js';

describe('DENYLIST_FILE', () => {
  let app: TestApp;
  let admin: string;
  let service: string;
  let file: string;

  beforeAll(async () => {
    file = join(await createTestDirectory(), 'denylist');
    app = await TestApp.start({ DENYLIST_FILE: file });
    admin = await app.adminToken();
    service = (await issueServiceKey(app, admin)).secret;
  });
  afterAll(() => app.stop());

  const codeOf = async (key: string) =>
    (await app.post('/verify', { apiKey: service, body: { key } })).body.code as string;

  /** As operators should: whole or not at all. */
  async function write(text: string): Promise<void> {
    await writeFile(`${file}.new`, text);
    await rename(`${file}.new`, file);
  }

  it('ends keys by kid and by id within moments, and frees them again', async () => {
    const [byKid, byId] = [await issueKey(app, admin), await issueKey(app, admin)];
    expect([await codeOf(byKid.secret), await codeOf(byId.secret)]).toEqual(['VALID', 'VALID']);
    await write(`${byKid.secret.slice(8, 22)}\n${byId.id} # stolen\n`);
    await eventually(async () =>
      expect([await codeOf(byKid.secret), await codeOf(byId.secret)]).toEqual(['REVOKED', 'REVOKED']),
    );
    await rm(file);
    await eventually(async () =>
      expect([await codeOf(byKid.secret), await codeOf(byId.secret)]).toEqual(['VALID', 'VALID']),
    );
  });

  it('ends a service’s own key as a credential', async () => {
    const own = await issueServiceKey(app, admin);
    await write(own.id);
    await eventually(async () =>
      expect((await app.post('/verify', { apiKey: own.secret, body: { key: 'x' } })).status).toBe(401),
    );
    await write('');
  });
});
