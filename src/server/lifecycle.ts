import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { buildInfo } from '../common/build-info.js';
import type { Log } from '../common/log.js';
import type { SupervisorEvents } from '../../packages/embedded-postgres/src/supervisor.js';
import type { Database } from '../database/open-database.js';
import { sentenceOf } from '../common/start-refusal.js';
import type { EndReason } from './end-requests.js';
import { endProcess } from './shutdown.js';
import { ReplicasService } from '../replicas/replicas.service.js';

/** Of the shell's for a process that was interrupted. */
const INTERRUPTED = 130;

/**
 * What becomes of a process, one line each: starting, database, ready, draining, ended. The log alone tells which
 * build ran from when to when, where, and why it ended.
 *
 * @see docs/operations.md, "Logs"
 */
export class Lifecycle {
  private readonly log: Log;
  private readonly startedMs = performance.now();
  private drainingMs: number | null = null;
  private isReady = false;

  constructor(log: Log) {
    this.log = log.child({ context: 'Process' });
    // Node prints the stack on standard error and ends the process with code 1 or 7; the log must say so as well.
    process.on('uncaughtExceptionMonitor', (error) => this.log.fatal({ cause: stackOf(error) }, 'crashed'));
  }

  starting(): void {
    this.log.info({ ...buildInfo(), node: process.version }, 'starting');
  }

  /** One sentence of an operator's interest. */
  told(sentence: string): void {
    this.log.info(sentence);
  }

  /** One sentence about what works, and had better be otherwise. */
  warned(sentence: string): void {
    this.log.warn(sentence);
  }

  /** Which PostgreSQL is in use, and as which role. */
  async database({ dataSource, embedded }: Database): Promise<void> {
    const [row] = await dataSource.query<{ postgres: string; login: string; role: string }[]>(
      `SELECT current_setting('server_version') AS postgres, session_user AS login, current_user AS role`,
    );
    this.log.info({ ...row, embedded: embedded !== null }, 'database');
  }

  async ready(app: NestFastifyApplication): Promise<void> {
    this.isReady = true;
    const replicaId = app.get(ReplicasService, { strict: false }).id;
    this.log.info({ replicaId, address: await app.getUrl(), afterMs: since(this.startedMs) }, 'ready');
  }

  /** The process was asked to end. */
  draining(reason: EndReason): void {
    this.drainingMs = performance.now();
    this.log.info({ reason }, this.isReady ? 'draining' : 'ending before it was ready');
  }

  /** The start was refused, or failed. */
  refused(error: unknown): void {
    const cause = sentenceOf(error) ?? stackOf(error);
    this.log.fatal({ cause, code: 1, afterMs: since(this.startedMs) }, 'ended: it cannot start');
  }

  /** The end that was asked for failed part-way. */
  notInOrder(error: unknown): void {
    this.log.error({ cause: stackOf(error) }, 'it did not end in order');
    this.end(1);
  }

  /** What the supervisor of the embedded PostgreSQL has to say; when that is lost, so is this process. */
  embedded(): SupervisorEvents {
    return {
      onError: (sentence) => this.log.error(sentence),
      onInfo: (sentence) => this.log.info(sentence),
      onLost: (sentence) => {
        this.log.fatal(sentence);
        this.end(1);
      },
    };
  }

  /** Something did not end in time. */
  cut(boundMs: number): void {
    this.log.error(`Draining took longer than ${boundMs / 1000} s: what is still open is cut.`);
    this.end(1);
  }

  /** Ctrl-C was pressed twice. */
  impatience(): void {
    this.log.warn('Interrupted twice: what is still open is cut.');
    this.end(INTERRUPTED);
  }

  /** Ends the process. */
  end(code: number): void {
    const afterMs = this.drainingMs === null ? undefined : since(this.drainingMs);
    this.log[code === 0 ? 'info' : 'error'](
      { code, afterMs, upSeconds: Math.round(since(this.startedMs) / 1000) },
      'ended',
    );
    endProcess(code);
  }
}

function stackOf(error: unknown): string {
  return (error as Error).stack ?? String(error);
}

function since(ms: number): number {
  return Math.round(performance.now() - ms);
}
