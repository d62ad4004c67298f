import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('../', import.meta.url));

/** What there is to build, in order; @see build-stale.mjs for the fields. */
export const BUILDS = [
  {
    name: 'server',
    folder: root,
    inputs: [
      'packages',
      'src',
      'ormconfig.ts',
      'tsconfig.json',
      'tsconfig.build.json',
      'nest-cli.json',
      'package-lock.json',
      'scripts/builds.mjs',
    ],
    output: 'dist',
    // What the server reads of its own sources: functions of the database, checksums of migrations, the expected
    // schema.
    copied: [
      'src/database/functions',
      'src/database/migrations',
      'src/database/schema/expected.txt',
      'src/database/schema/release-1.txt',
    ],
    async command(workshop, output) {
      const project = join(workshop, 'tsconfig.json');
      const extended = join(root, 'tsconfig.build.json');
      // The output moves after the build, so the paths in its source maps must not be relative to where it was built.
      const compilerOptions = { outDir: output, sourceRoot: root };
      await writeFile(project, JSON.stringify({ extends: extended, compilerOptions }));
      return ['node_modules/@nestjs/cli/bin/nest.js', 'build', '--path', relative(root, project)];
    },
    // For the first line of the log and `latchkey_build_info`.
    record: async (output) => writeFile(join(output, 'build.json'), JSON.stringify({ commit: await commitOf(root) })),
  },
  {
    name: 'console',
    folder: join(root, 'console'),
    inputs: [
      'src',
      'index.html',
      'vite.config.ts',
      'tsconfig.json',
      'package.json',
      'scripts',
      '../docs/openapi.json',
      // What it shares with the server: pure rules, so that both say the same.
      '../packages/contract/src',
      '../src/access',
      '../src/common/model-pattern.ts',
      '../package-lock.json',
    ],
    // Made by the build itself.
    ignored: ['src/api/schema.ts'],
    output: 'dist',
    command: async (_workshop, output) => ['scripts/build.mjs', output],
  },
  {
    name: 'client',
    folder: join(root, 'clients/typescript'),
    inputs: [
      'src',
      'scripts',
      'tsconfig.json',
      'tsconfig.build.json',
      'package.json',
      '../../docs/openapi.json',
      '../../package-lock.json',
    ],
    // Made by the build itself.
    ignored: ['src/schema.ts'],
    output: 'dist',
    command: async (_workshop, output) => ['scripts/build.mjs', output],
  },
];

/** The checked-out commit, with `-dirty` where sources differ from it; null without git or outside of a clone. */
async function commitOf(folder) {
  const git = async (...args) => (await promisify(execFile)('git', ['-C', folder, ...args])).stdout.trim();
  try {
    const commit = await git('rev-parse', '--short=12', 'HEAD');
    return (await git('status', '--porcelain', '--', 'packages', 'src', 'ormconfig.ts')) === ''
      ? commit
      : `${commit}-dirty`;
  } catch {
    return null;
  }
}
