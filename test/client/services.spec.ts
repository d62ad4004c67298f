import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { LatchkeyClient } from '@latchkey/client';
import { spawnSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { ROOT, run, start } from './examples.js';
import { freePort } from '../support/free-port.js';

const TSC = join(ROOT, 'clients/typescript/node_modules/typescript/bin/tsc');
const hasPython = spawnSync('python3', ['--version']).status === 0;
// Straight to the terminal: Jest leaves out what a file prints all of whose tests are skipped.
if (!hasPython) process.stderr.write('\nPYTHON TEST SKIPPED: there is no python3 to run examples/service-python.\n\n');

describe('A service that was written from docs/api alone', () => {
  let app: TestApp;
  let admin: LatchkeyClient;
  let gatewayKey: string;
  let project: string;

  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), 'latchkey-services-'));
    app = await TestApp.start();
    admin = new LatchkeyClient({ baseUrl: app.baseUrl, key: await app.adminToken() });
    gatewayKey = (await admin.keys.create({ name: 'A service', roles: ['gateway'] })).secretKey;
  });
  afterAll(async () => {
    await app.stop();
    await rm(project, { recursive: true, force: true });
  });

  async function compiled(): Promise<[string, string[]]> {
    await mkdir(join(project, 'node_modules/@latchkey'), { recursive: true });
    await symlink(join(ROOT, 'clients/typescript'), join(project, 'node_modules/@latchkey/client'));
    for (const name of ['@types', 'undici-types'])
      await symlink(join(ROOT, 'node_modules', name), join(project, 'node_modules', name));
    await cp(join(ROOT, 'examples/service-typescript/service.ts'), join(project, 'service.ts'));
    await writeFile(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
    const compilerOptions = { target: 'ES2023', module: 'nodenext', strict: true, types: ['node'] };
    await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['service.ts'] }));
    await run(process.execPath, [TSC], { cwd: project });
    return [process.execPath, [join(project, 'service.js')]];
  }

  it.each([
    ['TypeScript', true, compiled],
    [
      'Python’s standard library',
      hasPython,
      (): Promise<[string, string[]]> =>
        Promise.resolve(['python3', [join(ROOT, 'examples/service-python/service.py')]]),
    ],
  ] as const)('in %s verifies, reserves, settles and reports', async (_, isInstalled, made) => {
    if (!isInstalled) return;
    const [command, args] = await made();
    const { secretKey, apiKey } = await admin.keys.create({ scopes: ['chat', 'search'], budgetLimitCents: 3 });
    const other = await admin.keys.create({ scopes: ['search'] });
    const port = await freePort();
    const env = { LATCHKEY_URL: app.baseUrl, LATCHKEY_KEY: gatewayKey, PORT: String(port) };
    const service = start(command, args, { cwd: project, env });
    const ask = async (method: string, path: string, key: string) => {
      const headers = { authorization: `Bearer ${key}` };
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers });
      return [answer.status, ((await answer.json()) as { code?: string }).code];
    };
    try {
      await eventually(async () => expect((await ask('GET', '/nothing', 'x'))[0]).toBe(404), 30_000);
      expect(await ask('GET', '/search', secretKey)).toEqual([200, undefined]);
      expect(await ask('POST', '/chat', secretKey)).toEqual([200, undefined]);
      expect(await ask('GET', '/search', 'made-up')).toEqual([401, 'MALFORMED']);
      expect(await ask('POST', '/chat', other.secretKey)).toEqual([403, 'INSUFFICIENT_SCOPE']);
      // What was settled is free again: 3 cents hold 2 once more after 0.8 and 0.01, and then no more.
      await eventually(async () =>
        expect((await admin.keys.usage(apiKey.id)).budget).toMatchObject({ spentCents: 0.81, heldCents: 0 }),
      );
      expect(await ask('POST', '/chat', secretKey)).toEqual([200, undefined]);
      await eventually(async () => expect(await ask('POST', '/chat', secretKey)).toEqual([403, 'BUDGET_EXCEEDED']));
      await eventually(async () =>
        expect((await admin.keys.usage(apiKey.id)).budget).toMatchObject({ spentCents: 1.61, heldCents: 0 }),
      );
      expect(service.output()).toBe('');
    } finally {
      service.child.kill('SIGTERM');
      await service.ended;
    }
  });
});
