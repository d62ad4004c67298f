import cluster, { type Worker } from 'node:cluster';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** A worker that dies sooner than this after its start is started again only after as long. */
const RESTART_PAUSE_MS = 2000;

/** Workers drain within 10 s; what is left after this is ended. */
const MAX_SHUTDOWN_MS = 12_000;

/**
 * Several replicas on one machine behind one port: one process a worker, each a whole replica with its own cache and
 * leases on the same database. `--workers N`, by default one a processor. A worker that dies is replaced; SIGTERM
 * drains all of them; SIGUSR2 replaces them one after the other, while the port stays open.
 */
const { values, positionals } = parseArgs({
  options: { workers: { type: 'string', default: String(availableParallelism()) } },
  allowPositionals: true,
  strict: true,
});
const count = Number(values.workers);
if (!Number.isInteger(count) || count < 1 || count > 128) {
  process.stderr.write('--workers must be a whole number from 1 to 128\n');
  process.exit(2);
}

let stopping = false;
let rolling = false;
/** Workers whose end is meant: nobody takes their place. */
const leaving = new WeakSet<Worker>();
cluster.setupPrimary({ exec: fileURLToPath(new URL('./main.js', import.meta.url)), args: positionals });
for (let index = 0; index < count; index += 1) fork();

process.on('SIGTERM', stop);
process.on('SIGINT', stop);
// Not SIGHUP: that comes when a terminal closes. Windows has neither.
if (process.platform !== 'win32') process.on('SIGUSR2', () => void roll());

function fork(): Worker {
  const started = performance.now();
  const worker = cluster.fork();
  worker.once('exit', (code, signal) => {
    if (stopping || leaving.has(worker)) return;
    say(`Worker ${worker.process.pid ?? '?'} ended (${signal ?? `exit ${code}`}); starting another.`);
    const pause = performance.now() - started < RESTART_PAUSE_MS ? RESTART_PAUSE_MS : 0;
    setTimeout(() => stopping || fork(), pause);
  });
  return worker;
}

/** A worker leaves only once its successor listens; if that one cannot start, the rest stays as it is. */
async function roll(): Promise<void> {
  if (rolling || stopping) return;
  rolling = true;
  for (const old of workers()) {
    // It has died since, and been replaced.
    if (old.isDead()) continue;
    const next = fork();
    leaving.add(next);
    if (!(await listens(next))) {
      say('A new worker did not start: the old ones stay.');
      break;
    }
    leaving.delete(next);
    leaving.add(old);
    const ended = exitOf(old);
    old.process.kill('SIGTERM');
    await ended;
  }
  rolling = false;
  say(`${workers().length} workers run.`);
}

/** Whether it came so far; false when it ended before. */
function listens(worker: Worker): Promise<boolean> {
  return new Promise((resolve) => {
    worker.once('message', () => resolve(true));
    worker.once('exit', () => resolve(false));
  });
}

function exitOf(worker: Worker): Promise<void> {
  return worker.isDead() ? Promise.resolve() : new Promise((resolve) => worker.once('exit', () => resolve()));
}

function workers(): Worker[] {
  return Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined);
}

function say(sentence: string): void {
  process.stderr.write(`${sentence}\n`);
}

function stop(): void {
  if (stopping) return;
  stopping = true;
  const ended = workers().map(exitOf);
  for (const worker of workers()) worker.process.kill('SIGTERM');
  setTimeout(() => process.exit(1), MAX_SHUTDOWN_MS).unref();
  void Promise.all(ended).then(() => process.exit(0));
}
