import { randomUUID } from 'node:crypto';
import { chown, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Application } from './application.js';
import { isRunning, type ProcessIdentity, thisProcess } from './processes.js';

/** Longer than one start with crash recovery, which a waiting second process has to sit out. */
const LOCK_TIMEOUT_MS = 120_000;
const POLL_MS = 25;
/** How long a lock file may stay without readable content before its writer counts as dead. */
const UNWRITTEN_LOCK_MS = 5_000;

/**
 * Runs `work` while no other caller, in this process or another, runs under the same directory's lock.
 * A holder that was killed frees it without a clean-up.
 *
 * The lock is a rising series of files `lock-1`, `lock-2`, …: the highest one decides, and it is never removed
 * but by the next. A taker creates the successor of a released or orphaned file exclusively and holds the lock
 * if no higher one exists afterwards; so two takers of one orphan, or one who looked long ago, cannot both win.
 *
 * @throws Refusal of the application if the lock is not free within {@link LOCK_TIMEOUT_MS}.
 */
export async function withLock<T>(application: Application, directory: string, work: () => Promise<T>): Promise<T> {
  const path = await acquire(application, directory);
  try {
    return await work();
  } finally {
    await writeFile(path, 'released');
  }
}

async function acquire({ Refusal }: Application, directory: string): Promise<string> {
  const deadline = performance.now() + LOCK_TIMEOUT_MS;
  const content = JSON.stringify(await thisProcess());
  for (;;) {
    const latest = await findLatestLock(directory);
    if (latest === 0 || !(await isHeld(lockPath(directory, latest)))) {
      if (await take(directory, latest + 1, content)) return lockPath(directory, latest + 1);
    } else if (performance.now() > deadline) {
      throw new Refusal(
        `Another process has been starting or stopping PostgreSQL in ${directory} for too long: end that process, or wait and start again.`,
      );
    } else {
      await sleep(POLL_MS);
    }
  }
}

async function take(directory: string, number: number, content: string): Promise<boolean> {
  try {
    await writeFile(lockPath(directory, number), content, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
  await leaveToDirectoryOwner(lockPath(directory, number));
  if ((await findLatestLock(directory)) !== number) {
    await rm(lockPath(directory, number), { force: true });
    return false;
  }
  const lower = (await lockNumbers(directory)).filter((other) => other < number);
  await Promise.all(lower.map((other) => rm(lockPath(directory, other), { force: true })));
  return true;
}

/** What root writes into another user's directory must not lock that user out of it at the next start. */
export async function leaveToDirectoryOwner(path: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = await stat(dirname(path));
  // A later taker may have removed a lock file already; that taker decides then.
  await chown(path, uid, gid).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
}

async function isHeld(path: string): Promise<boolean> {
  try {
    const [content, { mtimeMs }] = await Promise.all([readFile(path, 'utf8'), stat(path)]);
    if (content === 'released') return false;
    const holder = parseIdentity(content);
    return holder === null ? Date.now() - mtimeMs < UNWRITTEN_LOCK_MS : await isRunning(holder);
  } catch (error) {
    // Superseded between the listing and now: look again.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
    throw error;
  }
}

function parseIdentity(content: string): ProcessIdentity | null {
  try {
    const { pid, started } = JSON.parse(content) as Partial<ProcessIdentity>;
    return typeof pid === 'number' && typeof started === 'string' ? { pid, started } : null;
  } catch {
    return null;
  }
}

async function lockNumbers(directory: string): Promise<number[]> {
  return (await readdir(directory)).flatMap((name) => /^lock-(\d+)$/.exec(name)?.[1] ?? []).map(Number);
}

async function findLatestLock(directory: string): Promise<number> {
  return Math.max(0, ...(await lockNumbers(directory)));
}

const lockPath = (directory: string, number: number): string => join(directory, `lock-${number}`);

/** Notes under the lock that this process uses the directory's server. Returns the path that takes the note back. */
export async function addReference(directory: string): Promise<string> {
  const path = join(directory, `user-${randomUUID()}`);
  await writeFile(path, JSON.stringify(await thisProcess()), { mode: 0o600 });
  await leaveToDirectoryOwner(path);
  return path;
}

/** Counts, under the lock, the notes of living processes and removes those of dead ones. */
export async function countReferences(directory: string): Promise<number> {
  const names = (await readdir(directory)).filter((name) => name.startsWith('user-'));
  const living = await Promise.all(
    names.map(async (name) => {
      const identity = parseIdentity(await readFile(join(directory, name), 'utf8'));
      if (identity !== null && (await isRunning(identity))) return true;
      await rm(join(directory, name), { force: true });
      return false;
    }),
  );
  return living.filter(Boolean).length;
}
