import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { LatchkeyClient } from '@latchkey/client';
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestApp } from '../support/app.js';
import { eventually } from '../support/eventually.js';
import { freePort } from '../support/free-port.js';
import { examplesIn, ROOT, run, start } from './examples.js';

const TSC = join(ROOT, 'clients/typescript/node_modules/typescript/bin/tsc');
const COMPILER_OPTIONS = {
  target: 'ES2022',
  module: 'nodenext',
  strict: true,
  skipLibCheck: false,
  types: [],
  outDir: 'compiled',
};
const NODE = process.execPath;

/** What a service says whose compiler makes CommonJS. */
const COMMON_JS = `
import { LatchkeyClient, type Verdict } from '@latchkey/client';
import { LatchkeyModule } from '@latchkey/client/nest';
const latchkey = new LatchkeyClient({ baseUrl: 'http://127.0.0.1:1', key: 'k', attempts: 1 });
void latchkey.verify({ key: 'x' }).then((verdict: Verdict) => console.log(verdict.code, typeof LatchkeyModule.forRoot));
`;

/** Reports, and ends before anything can be sent. */
const ENDS_EARLY = `
import { LatchkeyClient } from '@latchkey/client';
const latchkey = new LatchkeyClient({ baseUrl: process.env.LATCHKEY_URL, key: process.env.LATCHKEY_KEY });
void latchkey.reportUsage({ id: 'unsent', apiKeyId: process.argv[2], costCents: 0.25 });
process.exit(0);
`;

/** What a user's TypeScript project would say first. */
const CONSUMER = `
import { LatchkeyClient, type Verdict } from '@latchkey/client';
const latchkey = new LatchkeyClient({ baseUrl: 'http://127.0.0.1:1', key: 'k', attempts: 1 });
const verdict: Verdict = await latchkey.verify({ key: 'x', model: 'gpt' });
// @ts-expect-error a question without a key is none
void (() => latchkey.verify({ model: 'gpt' }));
const code: string = verdict.code;
console.log(code);
await latchkey.close();
`;

describe('The package', () => {
  let app: TestApp;
  let project: string;
  /** What the tarball has. */
  let files: string[];
  let examples: Map<string, string>;
  let env: Record<string, string>;
  let secret: string;
  let keyId: string;
  let admin: LatchkeyClient;

  beforeAll(async () => {
    project = await mkdtemp(join(tmpdir(), 'latchkey-client-'));
    [app, examples] = await Promise.all([TestApp.start(), examplesIn('clients/typescript/README.md')]);
    const token = await app.adminToken();
    admin = new LatchkeyClient({ baseUrl: app.baseUrl, key: token });
    const service = await admin.keys.create({ name: 'A service', roles: ['gateway'] });
    const key = await admin.keys.create({ name: 'Ada', scopes: ['chat:write'], budgetLimitCents: 500 });
    [secret, keyId] = [key.secretKey, key.apiKey.id];
    env = { LATCHKEY_URL: app.baseUrl, LATCHKEY_KEY: service.secretKey, LATCHKEY_ADMIN_TOKEN: token };
    const packed = await run('npm', ['pack', '--json', '--silent', '--pack-destination', project], {
      cwd: join(ROOT, 'clients/typescript'),
    });
    files = (JSON.parse(packed.slice(packed.indexOf('[\n'))) as [{ files: { path: string }[] }])[0].files.map(
      ({ path }) => path,
    );
    await writeFile(
      join(project, 'package.json'),
      JSON.stringify({ name: 'a-users-project', private: true, type: 'module' }),
    );
    await run('npm', ['install', '--offline', '--no-audit', '--no-fund', '--silent', './latchkey-client-0.1.0.tgz'], {
      cwd: project,
    });
    for (const [name, code] of examples) await writeFile(join(project, name), code);
  }, 120_000);
  afterAll(async () => {
    await app.stop();
    await rm(project, { recursive: true, force: true });
  });

  const compile = (config: object) =>
    writeFile(join(project, 'tsconfig.json'), JSON.stringify(config)).then(() => run(NODE, [TSC], { cwd: project }));

  it('brings what it says and nothing else', async () => {
    expect(files).toEqual(
      expect.arrayContaining([
        'dist/latchkey.js',
        'dist/latchkey.d.ts',
        'dist/nest.js',
        'dist/fastify.js',
        'dist/express.js',
      ]),
    );
    const others = files.filter((path) => !/^dist\/[\w/-]+(\.d\.ts|\.js)$/.test(path));
    expect(others.sort()).toEqual(['README.md', 'dist/cjs/package.json', 'package.json']);
    const installed = await readdir(join(project, 'node_modules'));
    expect(installed.filter((name) => !name.startsWith('.'))).toEqual(['@latchkey']);
  });

  it('works from JavaScript in an empty project, as its README says', async () => {
    expect(await run(NODE, ['quickstart.mjs', secret], { cwd: project, env })).toBe('Welcome, Ada.\n');
    expect(await run(NODE, ['quickstart.mjs', 'made-up'], { cwd: project, env })).toBe('No: MALFORMED\n');
    expect(await run(NODE, ['reserve.mjs', secret], { cwd: project, env })).toBe('Forty-two.\n');
    expect((await admin.keys.usage(keyId)).budget).toMatchObject({ spentCents: 0.8, heldCents: 0 });
    expect(await run(NODE, ['quickstart.cjs', secret], { cwd: project, env })).toBe('Welcome, Ada.\n');
    const managed = (await run(NODE, ['manage.mjs'], { cwd: project, env })).split('\n');
    expect(managed).toEqual([
      expect.stringMatching(/^Billing: \d+ characters, shown once$/),
      'revoked',
      'admin, auditor, creator, gateway, user',
      '',
    ]);
  });

  it('says a refusal in a sentence that is true with a time and without one', async () => {
    const reserve = async (fields: { rateLimitPerMinute?: number; allowedModels?: string[] }) => {
      const key = await admin.keys.create({
        name: 'Refused',
        scopes: ['chat:write'],
        budgetLimitCents: 500,
        ...fields,
      });
      const ask = () => run(NODE, ['reserve.mjs', key.secretKey], { cwd: project, env });
      return [await ask(), await ask()][1]!;
    };
    expect(await reserve({ allowedModels: ['o3'] })).toBe('No: The model is not in the key’s list.\n');
    expect(await reserve({ rateLimitPerMinute: 1 })).toMatch(/^No: \S.*\. Ask again in \d+ s\.\n$/);
  });

  it('prints usage that was not sent when the process ends, so that it can be reported again', async () => {
    await writeFile(join(project, 'ends.mjs'), ENDS_EARLY);
    const printed = await run(NODE, ['ends.mjs', keyId], { cwd: project, env });
    expect(printed).toMatch(/^Latchkey: the process ends with 1 usage events that were not sent\./);
    const event = JSON.parse(printed.split('\n')[1]!) as { id: string };
    expect(event).toEqual({ id: 'unsent', apiKeyId: keyId, costCents: 0.25 });
    const service = new LatchkeyClient({ baseUrl: app.baseUrl, key: env['LATCHKEY_KEY']! });
    expect(await service.reportUsage(event)).toMatchObject({ outcome: 'accepted' });
    await service.close();
  });

  it('works from TypeScript in an empty project', async () => {
    await writeFile(join(project, 'consumer.ts'), CONSUMER);
    await compile({ compilerOptions: COMPILER_OPTIONS, files: ['consumer.ts'] });
    expect(await run(NODE, ['compiled/consumer.js'], { cwd: project })).toBe('UNAVAILABLE\n');
  });

  it.each([
    ['node10', { module: 'commonjs', moduleResolution: 'node10' }],
    ['node16', { module: 'node16', moduleResolution: 'node16' }],
  ])(
    'works from TypeScript that is compiled to CommonJS, resolved as %s',
    async (name, format) => {
      const cjs = join(project, `commonjs-${name}`);
      await mkdir(join(cjs, 'node_modules'), { recursive: true });
      // A copy, so that its frameworks are those beside it.
      await cp(join(project, 'node_modules/@latchkey'), join(cjs, 'node_modules/@latchkey'), { recursive: true });
      for (const framework of ['@nestjs', 'reflect-metadata', 'rxjs', '@types', 'undici-types'])
        await symlink(join(ROOT, 'node_modules', framework), join(cjs, 'node_modules', framework));
      await writeFile(join(cjs, 'package.json'), JSON.stringify({ private: true, type: 'commonjs' }));
      await writeFile(join(cjs, 'consumer.ts'), COMMON_JS);
      const compilerOptions = {
        ...COMPILER_OPTIONS,
        ...format,
        types: ['node'],
        skipLibCheck: true,
      };
      await writeFile(join(cjs, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['consumer.ts'] }));
      await run(NODE, [TSC], { cwd: cjs });
      const args = ['--no-warnings', 'compiled/consumer.js'];
      expect(await run(NODE, args, { cwd: cjs })).toBe('UNAVAILABLE function\n');
    },
    120_000,
  );

  describe('beside its frameworks', () => {
    const services = ['express-service', 'fastify-service', 'nest-service'];

    beforeAll(async () => {
      for (const name of ['express', 'fastify', '@nestjs', '@types', 'reflect-metadata', 'rxjs'])
        await symlink(join(ROOT, 'node_modules', name), join(project, 'node_modules', name));
      const decorators = { experimentalDecorators: true, emitDecoratorMetadata: true };
      await compile({
        // As in a new Nest project: what the frameworks' own declarations lack is not ours to find.
        compilerOptions: { ...COMPILER_OPTIONS, ...decorators, types: ['node'], skipLibCheck: true },
        files: services.map((name) => `${name}.ts`),
      });
    }, 120_000);

    it.each(services)('runs %s as printed', async (name) => {
      const port = await freePort();
      const service = start(NODE, [`compiled/${name}.js`], { cwd: project, env: { ...env, PORT: String(port) } });
      const ask = (authorization: string) =>
        fetch(`http://127.0.0.1:${port}/chat`, {
          method: 'POST',
          headers: { authorization, 'content-type': 'application/json' },
          body: '{"model":"gpt-4o"}',
        });
      try {
        const before = (await admin.keys.usage(keyId)).totalRequests;
        await eventually(async () => expect((await ask('')).status).toBe(401), 60_000).catch((error: Error) => {
          throw new Error(`${error.message}\n${service.output()}`);
        });
        const answer = await ask(`Bearer ${secret}`);
        expect([answer.status, await answer.json()]).toEqual([200, { answer: 'Hello, Ada.' }]);
        service.child.kill('SIGTERM');
        await service.ended;
        // Sent by the shutdown: nothing waited for it before.
        expect((await admin.keys.usage(keyId)).totalRequests).toBe(before + 1);
        expect(service.output()).toBe('');
      } finally {
        service.child.kill('SIGKILL');
      }
    });
  });
});
