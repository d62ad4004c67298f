import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { cp, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT, run } from './examples.js';

/** What a clone has that the client is built from. */
const SOURCES = ['package.json', 'package-lock.json', 'scripts', 'docs/openapi.json', 'clients/typescript'];
const CLIENT = 'clients/typescript';

describe('npm pack, right after npm ci', () => {
  let clone: string;

  beforeAll(async () => {
    clone = await mkdtemp(join(tmpdir(), 'latchkey-clone-'));
    const isMade = /[\\/](node_modules|dist|\.build|schema\.ts)$/;
    for (const path of SOURCES)
      await cp(join(ROOT, path), join(clone, path), { recursive: true, filter: (file) => !isMade.test(file) });
    await symlink(join(ROOT, 'node_modules'), join(clone, 'node_modules'));
    const own = join(ROOT, CLIENT, 'node_modules');
    await symlink(own, join(clone, CLIENT, 'node_modules'));
    await mkdir(join(clone, 'packed'));
  });
  afterAll(() => rm(clone, { recursive: true, force: true }));

  it('builds the client first', async () => {
    expect(await readdir(join(clone, CLIENT))).not.toContain('dist');
    const packed = await run('npm', ['pack', '--json', '--silent', '--pack-destination', join(clone, 'packed')], {
      cwd: join(clone, CLIENT),
    });
    const [{ files }] = JSON.parse(packed.slice(packed.indexOf('[\n'))) as [{ files: { path: string }[] }];
    const paths = files.map(({ path }) => path);
    expect(paths).toEqual(
      expect.arrayContaining([
        'dist/latchkey.js',
        'dist/latchkey.d.ts',
        'dist/nest.js',
        'dist/fastify.js',
        'dist/express.js',
        'README.md',
      ]),
    );
    expect(await readdir(join(clone, 'packed'))).toHaveLength(1);
  }, 120_000);
});
