import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestApp } from '../support/app.js';
import { issueKey, issueServiceKey } from '../support/management.js';
import { ROOT, run } from './examples.js';

/** Where the client's build has its generator and compiler. */
const MODULES = join(ROOT, 'clients/typescript/node_modules');

/** What a service writes that has the document and a generator, and nothing of ours. */
const SERVICE = `
import createClient from 'openapi-fetch';
import type { components, operations, paths } from './schema.js';

const client = createClient<paths>({
  baseUrl: process.env.LATCHKEY_URL!,
  headers: { authorization: \`Bearer \${process.env.LATCHKEY_KEY}\` },
});

// What has a default need not be given.
const question: components['schemas']['VerifyDto'] = { key: process.argv[2]! };
const { data, error, response } = await client.POST('/api/v1/verify', { body: question });
if (!data) throw new Error(\`\${response.status}: \${error?.code}\`);
const valid: boolean = data.valid;
// A closed set, so that a wrong spelling does not compile.
const isValid: boolean = data.code === 'VALID';
// @ts-expect-error there is no such code
void (data.code === 'ANYTHING');
// @ts-expect-error a question without a key is none
void (() => client.POST('/api/v1/verify', { body: { model: 'gpt-4o' } }));
type Keys = operations['listApiKeys']['responses'][200]['content']['application/json'];
type Verdict = operations['verifyKey']['responses'][200]['content']['application/json'];
void ({} as { keys?: Keys; verdict?: Verdict });

const batch = await client.POST('/api/v1/verify/batch', { body: { items: [question, { key: 'made-up', cost: 2 }] } });
const usage = await client.POST('/api/v1/usage', { body: { events: [{ id: 'call-1', apiKeyId: data.keyId!, costCents: 0.5 }] } });
const codes = batch.data?.results.map(({ code }) => code);
console.log(JSON.stringify([valid, isValid, codes, usage.data?.accepted]));
`;

describe('A client that openapi-typescript generates with its defaults', () => {
  let app: TestApp;
  let project: string;

  beforeAll(async () => {
    app = await TestApp.start();
    project = await mkdtemp(join(tmpdir(), 'latchkey-generated-'));
    await mkdir(join(project, 'node_modules/@types'), { recursive: true });
    for (const name of ['openapi-fetch', 'openapi-typescript-helpers', '@types/node', 'undici-types'])
      await symlink(join(ROOT, 'node_modules', name), join(project, 'node_modules', name));
    await writeFile(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
    await writeFile(join(project, 'service.ts'), SERVICE);
    await writeFile(
      join(project, 'tsconfig.json'),
      JSON.stringify({
        compilerOptions: {
          target: 'ES2022',
          module: 'nodenext',
          strict: true,
          noUncheckedIndexedAccess: true,
          types: ['node'],
          outDir: 'compiled',
        },
        files: ['service.ts'],
      }),
    );
    const cli = join(MODULES, 'openapi-typescript/bin/cli.js');
    await run(process.execPath, [cli, join(ROOT, 'docs/openapi.json'), '--output', 'schema.ts'], { cwd: project });
  }, 120_000);
  afterAll(async () => {
    await app.stop();
    await rm(project, { recursive: true, force: true });
  });

  it('compiles under strict and verifies a key', async () => {
    await run(process.execPath, [join(MODULES, 'typescript/bin/tsc')], { cwd: project });
    const admin = await app.adminToken();
    const service = await issueServiceKey(app, admin);
    const key = await issueKey(app, admin);
    const env = { LATCHKEY_URL: app.baseUrl, LATCHKEY_KEY: service.secret };
    const printed = await run(process.execPath, ['compiled/service.js', key.secret], { cwd: project, env });
    expect(JSON.parse(printed)).toEqual([true, true, ['VALID', 'MALFORMED'], 1]);
  });
});
