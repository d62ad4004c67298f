import cluster from 'node:cluster';
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
 * drains all of them.
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
cluster.setupPrimary({ exec: fileURLToPath(new URL('./main.js', import.meta.url)), args: positionals });
for (let index = 0; index < count; index += 1) fork();

process.on('SIGTERM', stop);
process.on('SIGINT', stop);

function fork(): void {
  const started = performance.now();
  const worker = cluster.fork();
  worker.once('exit', (code, signal) => {
    if (stopping) return;
    process.stderr.write(`Worker ${worker.process.pid ?? '?'} ended (${signal ?? `exit ${code}`}); starting another.\n`);
    const pause = performance.now() - started < RESTART_PAUSE_MS ? RESTART_PAUSE_MS : 0;
    setTimeout(() => stopping || fork(), pause);
  });
}

function stop(): void {
  if (stopping) return;
  stopping = true;
  const workers = Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined);
  for (const worker of workers) worker.process.kill('SIGTERM');
  const ended = workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve)));
  setTimeout(() => process.exit(1), MAX_SHUTDOWN_MS).unref();
  void Promise.all(ended).then(() => process.exit(0));
}
