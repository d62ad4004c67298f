import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

/** A process told apart from a later one with the same pid. `started` is opaque; `unknown` matches every start. */
export interface ProcessIdentity {
  pid: number;
  started: string;
}

const UNKNOWN_START = 'unknown';

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
