import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { appendFile, cp, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** This checkout. */
export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
/** The last commit of the first release. */
export const FIRST_RELEASE = '88cb0f3';
/** Where the server of a build begins: today, and in the first release. */
const ENTRY_POINTS = ['dist/src/server/main.js', 'dist/src/main.js'];
const BUILD_TIMEOUT_MS = 180_000;

const run = promisify(execFile);

/** A server of another build than this checkout's, in a folder of its own. */
export interface OtherBuild {
  /** Arguments for Node. */
  readonly program: readonly string[];
  remove(): Promise<void>;
}

/** Whether git has it here: a shallow clone lacks what is older. */
export async function hasCommit(commit: string): Promise<boolean> {
  return run('git', ['-C', ROOT, 'cat-file', '-e', `${commit}^{commit}`]).then(
    () => true,
    () => false,
  );
}

/** The server of an older commit, built with the packages that are installed here; null where git does not have it. */
export async function buildOfCommit(commit: string): Promise<OtherBuild | null> {
  if (!(await hasCommit(commit))) return null;
  return inFolder(async (folder) => {
    const archive = join(folder, 'sources.tar');
    await run('git', [
      '-C',
      ROOT,
      'archive',
      '--output',
      archive,
      commit,
      'src',
      'scripts',
      'ormconfig.ts',
      'tsconfig.json',
      'tsconfig.build.json',
      'nest-cli.json',
      'package.json',
      'package-lock.json',
    ]);
    await run('tar', ['-xf', archive, '-C', folder]);
    await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    await run(process.execPath, ['scripts/build.mjs', 'server'], { cwd: folder, timeout: BUILD_TIMEOUT_MS });
  });
}

/** This checkout's server with a line more in one file that it reads of its sources. */
export async function buildWithEdited(file: string): Promise<OtherBuild> {
  return inFolder(async (folder) => {
    await Promise.all([
      cp(join(ROOT, 'dist'), join(folder, 'dist'), { recursive: true }),
      cp(join(ROOT, 'package.json'), join(folder, 'package.json')),
    ]);
    await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    await appendFile(join(folder, 'dist', file), '\n-- edited\n');
  });
}

async function inFolder(fill: (folder: string) => Promise<void>): Promise<OtherBuild> {
  const folder = await mkdtemp(join(tmpdir(), 'latchkey-build-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    await fill(folder);
  } catch (error) {
    await remove();
    throw error;
  }
  // The first release has it at another place.
  const program = ENTRY_POINTS.map((path) => join(folder, path)).find(existsSync);
  if (program === undefined) throw new Error(`No server was built in ${folder}.`);
  return { program: [program], remove };
}
