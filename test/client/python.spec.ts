import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { LatchkeyClient } from '@latchkey/client';
import { spawnSync } from 'node:child_process';
import { TestApp } from '../support/app.js';
import { examplesIn, ROOT, run } from './examples.js';

const isInstalled = spawnSync('python3', ['--version']).status === 0;
// Straight to the terminal: Jest leaves out what a file prints all of whose tests are skipped.
if (!isInstalled)
  process.stderr.write(
    '\nPYTHON TEST SKIPPED: there is no python3 here. Install it to try the client that docs/usage.md prints.\n\n',
  );
const withPython = isInstalled ? describe : describe.skip;

withPython('The client in Python, as docs/usage.md prints it', () => {
  let app: TestApp;

  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  it('books what is right, says what is lost, and counts nothing twice', async () => {
    const admin = new LatchkeyClient({ baseUrl: app.baseUrl, key: await app.adminToken() });
    const { secretKey } = await admin.keys.create({ name: 'Service', roles: ['gateway'] });
    const { apiKey } = await admin.keys.create({ name: 'Metered' });
    const program = (await examplesIn('docs/usage.md')).get('report.py')!;
    const env = { LATCHKEY_URL: app.baseUrl, LATCHKEY_KEY: secretKey, METERED_KEY_ID: apiKey.id };
    for (let time = 0; time < 2; time += 1)
      expect(await run('python3', ['-c', program], { cwd: ROOT, env })).toBe('call-2 invalid model\n');
    expect(await admin.keys.usage(apiKey.id)).toMatchObject({ totalRequests: 1, totalCostCents: 0.3 });
  });
});
