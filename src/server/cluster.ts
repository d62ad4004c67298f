import cluster, { type Worker } from 'node:cluster';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createLog, type Log } from '../common/log.js';
import { StartRefusal } from '../common/start-refusal.js';
import { ConfigError, loadConfig } from '../config/config.js';
import { hearEndRequests } from './end-requests.js';

/** A worker that dies sooner than this after its start is started again only after as long. */
const RESTART_PAUSE_MS = 2000;

/** Workers drain within 10 s; what is left after this is ended. */
const MAX_SHUTDOWN_MS = 12_000;

/**
 * Several replicas on one machine behind one port: one process a worker, each a whole replica with its own cache and
 * leases on the same database. `--workers N`, by default one a processor. A worker that dies is replaced; SIGTERM
 * drains all of them; SIGUSR2 replaces them one after the other, while the port stays open. Where the first workers
 * cannot start, the primary ends with code 1, as a single process would.
 */
class Primary {
  private stopping = false;
  private rolling = false;
  private hasListened = false;
  /** Workers whose end is meant: they are not replaced. */
  private readonly leaving = new WeakSet<Worker>();

  constructor(
    private readonly log: Log,
    args: string[],
  ) {
    cluster.setupPrimary({ exec: fileURLToPath(new URL('./main.js', import.meta.url)), args });
  }

  start(count: number): void {
    this.log.info({ workers: count }, 'starting');
    hearEndRequests({ onRequest: (reason) => this.stop(0, reason), onImpatience: () => this.cut() });
    for (let index = 0; index < count; index += 1) this.fork();
    // Windows has no such signal.
    if (process.platform !== 'win32') process.on('SIGUSR2', () => void this.roll());
  }

  private fork(): Worker {
    const started = performance.now();
    const worker = cluster.fork();
    worker.once('message', () => (this.hasListened = true));
    worker.once('exit', (code, signal) => {
      if (this.stopping || this.leaving.has(worker)) return;
      const ended = { worker: worker.process.pid, ended: signal ?? code };
      if (!this.hasListened) {
        this.log.fatal(ended, 'no worker could start: what it says above is the reason');
        this.stop(1, 'a worker could not start');
        return;
      }
      this.log.error(ended, 'a worker ended unasked; another one is started');
      const pause = performance.now() - started < RESTART_PAUSE_MS ? RESTART_PAUSE_MS : 0;
      setTimeout(() => this.stopping || this.fork(), pause);
    });
    return worker;
  }

  /** A worker leaves only once its successor listens; if that one cannot start, the rest stays as it is. */
  private async roll(): Promise<void> {
    if (this.rolling || this.stopping) return;
    this.rolling = true;
    this.log.info('workers are replaced one after the other');
    for (const old of workers()) {
      // It has died since, and been replaced.
      if (old.isDead()) continue;
      const next = this.fork();
      this.leaving.add(next);
      if (!(await listens(next))) {
        this.log.error('a new worker did not start: the old ones stay');
        break;
      }
      this.leaving.delete(next);
      this.leaving.add(old);
      const ended = exitOf(old);
      old.process.kill('SIGTERM');
      await ended;
    }
    this.rolling = false;
    this.log.info({ workers: workers().length }, 'workers run');
  }

  private stop(code: number, reason: string): void {
    if (this.stopping) return;
    this.stopping = true;
    this.log.info({ reason, workers: workers().length }, 'draining');
    const beganMs = performance.now();
    const ended = workers().map(exitOf);
    for (const worker of workers()) worker.process.kill('SIGTERM');
    setTimeout(() => this.cut(), MAX_SHUTDOWN_MS).unref();
    void Promise.all(ended).then(() => {
      this.log.info({ code, afterMs: Math.round(performance.now() - beganMs) }, 'ended');
      process.exit(code);
    });
  }

  /** Ends what has not ended by itself. */
  private cut(): void {
    this.log.error({ code: 1, workers: workers().length }, 'ended: workers that still ran were killed');
    for (const worker of workers()) worker.process.kill('SIGKILL');
    process.exit(1);
  }
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

function readArguments(): { count: number; others: string[] } {
  const { values, positionals } = parseArgs({
    options: { workers: { type: 'string', default: String(availableParallelism()) } },
    allowPositionals: true,
    strict: true,
  });
  const count = Number(values.workers);
  if (Number.isInteger(count) && count >= 1 && count <= 128) return { count, others: positionals };
  throw new ConfigError('--workers must be a whole number from 1 to 128');
}

try {
  const { count, others } = readArguments();
  // Wrong settings are told once, not by every worker.
  new Primary(createLog(loadConfig().logLevel).child({ context: 'Cluster' }), others).start(count);
} catch (error) {
  process.stderr.write(
    `Latchkey cannot start:\n${error instanceof StartRefusal ? error.message : (error as Error).message}\n`,
  );
  process.exit(1);
}
