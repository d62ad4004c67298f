import { randomUUID } from 'node:crypto';
import { execFile } from 'node:child_process';
import { chown, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { StartRefusal } from '../common/start-refusal.js';

/** A process told apart from a later one with the same pid. `started` is opaque; `unknown` matches every start. */
export interface ProcessIdentity {
  pid: number;
  started: string;
}

const UNKNOWN_START = 'unknown';
const POLL_MS = 25;
/** How long a lock file may stay without readable content before its writer counts as dead. */
const UNWRITTEN_LOCK_MS = 5_000;

/** The identity of a running process, or null if there is none (a zombie counts as none: it holds nothing). */
export async function findProcess(pid: number): Promise<ProcessIdentity | null> {
  if (!signalReaches(pid)) return null;
  if (process.platform === 'linux') return findLinuxProcess(pid);
  if (process.platform === 'win32') return { pid, started: UNKNOWN_START };
  const listed = await promisify(execFile)('ps', ['-o', 'lstart=', '-p', String(pid)]).catch(() => null);
  return { pid, started: listed?.stdout.trim() || UNKNOWN_START };
}

/** Whether the pid is taken, be it by a zombie or by another user's process. */
export function signalReaches(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function findLinuxProcess(pid: number): Promise<ProcessIdentity | null> {
  const line = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  // With hidepid another user's process answers to a signal and still has no entry here.
  if (line === null) return signalReaches(pid) ? { pid, started: UNKNOWN_START } : null;
  // The second field is the command in brackets and may hold blanks and brackets itself (proc_pid_stat(5)).
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return null;
  // The start is counted in ticks since boot, so it identifies nothing across a reboot by itself.
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
  return { pid, started: `${boot.trim()}/${fields[19] ?? ''}` };
}

/** Whether the very process that wrote this identity still runs. */
export async function isRunning(identity: ProcessIdentity): Promise<boolean> {
  const found = await findProcess(identity.pid);
  if (found === null) return false;
  return found.started === identity.started || [found.started, identity.started].includes(UNKNOWN_START);
}

/** What this process is told apart by. */
export async function thisProcess(): Promise<ProcessIdentity> {
  return (await findProcess(process.pid)) ?? { pid: process.pid, started: UNKNOWN_START };
}

/**
 * Runs `work` while no other caller, in this process or another, runs under the same directory's lock.
 * A holder that was killed frees it without a clean-up.
 *
 * The lock is a rising series of files `lock-1`, `lock-2`, …: the highest one decides, and it is never removed
 * but by the next. A taker creates the successor of a released or orphaned file exclusively and holds the lock
 * if no higher one exists afterwards; so two takers of one orphan, or one who looked long ago, cannot both win.
 *
 * @throws Error if the lock is not free within `timeoutMs`.
 */
export async function withLock<T>(directory: string, timeoutMs: number, work: () => Promise<T>): Promise<T> {
  const path = await acquire(directory, timeoutMs);
  try {
    return await work();
  } finally {
    await writeFile(path, 'released');
  }
}

async function acquire(directory: string, timeoutMs: number): Promise<string> {
  const deadline = performance.now() + timeoutMs;
  const content = JSON.stringify(await thisProcess());
  for (;;) {
    const latest = await findLatestLock(directory);
    if (latest === 0 || !(await isHeld(lockPath(directory, latest)))) {
      if (await take(directory, latest + 1, content)) return lockPath(directory, latest + 1);
    } else if (performance.now() > deadline) {
      throw new StartRefusal(
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

/** What root writes into another user's directory must not lock that user out of it at his next start. */
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
