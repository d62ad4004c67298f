import { spawn, spawnSync } from 'node:child_process';
import { readFile, readdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const hasTaskset = spawnSync('taskset', ['--version']).status === 0;

/** Runs a command on one processor where the system can pin; null: wherever. */
export function spawnOn(cpu, command, args, options = {}) {
  const [file, list] =
    hasTaskset && cpu !== null ? ['taskset', ['-c', String(cpu), command, ...args]] : [command, args];
  return spawn(file, list, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
}

/** A port that was free a moment ago. */
export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Waits until `url` answers 200, or the child ends. */
export async function untilReady(child, url) {
  const output = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      output.push(chunk.toString());
      if (output.length > 100) output.shift();
    });
  }
  for (let attempt = 0; attempt < 600; attempt += 1) {
    if (child.exitCode !== null) throw new Error(`the server ended:\n${output.join('')}`);
    const answer = await fetch(url).catch(() => null);
    if (answer?.status === 200) return;
    await sleep(50);
  }
  throw new Error(`the server did not get ready:\n${output.join('')}`);
}

export async function end(child) {
  if (child.exitCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await Promise.race([ended, sleep(12_000).then(() => child.kill('SIGKILL'))]);
}

/** Runs one load in a process of its own and gives its figures; @see load/load.mjs */
export async function load(cpu, options) {
  const child = spawnOn(cpu, process.execPath, [new URL('load/load.mjs', import.meta.url).pathname], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.end(JSON.stringify(options));
  let text = '';
  child.stdout.on('data', (chunk) => (text += chunk));
  await new Promise((resolve) => child.once('close', resolve));
  return JSON.parse(text);
}

/** Of `utime` and `stime` in `/proc/<pid>/stat`. */
const TICKS_PER_SECOND = 100;

/** As `load`, and the user and system time that the process `pid` spent meanwhile, in microseconds a request. */
export async function loadOf(pid, cpu, options) {
  const before = await ticksOf(pid);
  const run = await load(cpu, options);
  const seconds = ((await ticksOf(pid)) - before) / TICKS_PER_SECOND;
  return { ...run, microsecondsEach: (seconds / run.requests) * 1e6 };
}

/**
 * Processor time so far, in microseconds, of a PostgreSQL and all its sessions, those that have ended among them.
 *
 * @param pid of its first process
 */
export async function processorTimeOfPostgres(pid) {
  let ticks = 0;
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const fields = await statOf(name).catch(() => null);
    // The first process also has the time of its children that have ended.
    if (fields !== null && Number(name) === pid) ticks += sumOf(fields, 11, 15);
    else if (fields !== null && Number(fields[1]) === pid) ticks += sumOf(fields, 11, 13);
  }
  return (ticks / TICKS_PER_SECOND) * 1e6;
}

const sumOf = (fields, from, to) => fields.slice(from, to).reduce((sum, field) => sum + Number(field), 0);

async function ticksOf(pid) {
  return sumOf(await statOf(pid), 11, 13);
}

/** What `/proc/<pid>/stat` says behind the name. */
async function statOf(pid) {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** Processor time of `pid` while `work` runs, in microseconds. */
export async function processorTimeOf(pid, work) {
  const before = await ticksOf(pid);
  await work();
  return (((await ticksOf(pid)) - before) / TICKS_PER_SECOND) * 1e6;
}

/** Processor time that the children of `pid` have spent until now, also those that have ended, in microseconds. */
export async function processorTimeOfChildren(pid) {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  const fields = await statOf(pid);
  let ticks = Number(fields[13]) + Number(fields[14]);
  for (const child of children.split(' ').filter(Boolean)) ticks += await ticksOf(child).catch(() => 0);
  return (ticks / TICKS_PER_SECOND) * 1e6;
}

/** Resident memory of a process in MB, as the kernel counts it. */
export async function residentMb(pid) {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const kb = /VmRSS:\s+(\d+) kB/.exec(status)?.[1];
  return kb === undefined ? null : Math.round(Number(kb) / 1024);
}
