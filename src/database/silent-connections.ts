import type { Pool, PoolClient } from 'pg';
import type { DataSource } from 'typeorm';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import { LiveConnection } from './live-connection.js';
import { cut, socketOf } from './lost-connection.js';
import { sessionConfigOf } from './session-config.js';
import { Periodic } from '../common/periodic.js';

const LOOK_EVERY_MS = 400;
/** A statement that waits for its answer for so long is asked after. */
const SUSPECT_AFTER_MS = 1_500;
/** What asking may take, the opening of a connection included. */
const ASK_MS = 700;

/** The sessions among `$1` that have been idle for a second. @see PostgreSQL, 27.2.3 */
const IDLE = `SELECT pid FROM pg_stat_activity
  WHERE pid = ANY($1::int[]) AND state LIKE 'idle%' AND state_change < clock_timestamp() - interval '1 second'`;

/** What was last heard over a connection. */
interface Heard {
  readonly bytes: number;
  readonly atMs: number;
}

type Session = PoolClient & { readonly processID: number | null; readonly readyForQuery: boolean };

/**
 * Finds connections of the pool that have gone silent: forgotten by a firewall, or left over from a network that was
 * parted and is whole again. Their sockets look open for as long as they like, and each would cost a caller 7 s.
 *
 * A statement that waits says little: it may wait for a lock. So PostgreSQL is asked, over a new connection: where the
 * session is idle while we wait for its answer, the connection is cut. Nothing is asked while everything answers.
 */
export class SilentConnections {
  private readonly heard = new Map<Session, Heard>();
  private readonly inUse = new Set<Session>();
  private readonly looks = new Periodic(LOOK_EVERY_MS, () => this.look()).start();

  constructor(private readonly dataSource: DataSource) {
    const pool = (dataSource.driver as PostgresDriver).master as Pool;
    pool.on('acquire', (client) => {
      this.inUse.add(client as Session);
      this.heard.set(client as Session, heardNow(client as Session));
    });
    pool.on('release', (_error: unknown, client: PoolClient) => this.inUse.delete(client as Session));
    pool.on('remove', (client) => {
      this.heard.delete(client as Session);
      this.inUse.delete(client as Session);
    });
  }

  /** Looks no more. */
  stop(): void {
    void this.looks.stop();
  }

  private async look(): Promise<void> {
    const suspects = this.suspects();
    if (suspects.length === 0) return;
    try {
      const pids = new Set(await this.idleAmong(suspects.map(({ processID }) => processID)));
      const silent = suspects.filter((session) => pids.has(session.processID!) && this.isSuspect(session));
      if (silent.length > 0) this.cutSilent(silent);
    } catch {
      // PostgreSQL cannot be reached at all: new connections are no better than these.
    }
  }

  private suspects(): Session[] {
    for (const [session, { bytes }] of this.heard) {
      if (session.readyForQuery || bytes !== socketOf(session).bytesRead) this.heard.set(session, heardNow(session));
    }
    return [...this.heard.keys()].filter((session) => this.isSuspect(session));
  }

  /** Whether a statement waits for its answer for long, and nothing has come since. */
  private isSuspect(session: Session): boolean {
    const heard = this.heard.get(session);
    if (heard === undefined || session.readyForQuery || heard.bytes !== socketOf(session).bytesRead) return false;
    return performance.now() - heard.atMs >= SUSPECT_AFTER_MS;
  }

  private async idleAmong(pids: readonly (number | null)[]): Promise<number[]> {
    const asking = new LiveConnection(sessionConfigOf(this.dataSource, 'watch', 'single'));
    try {
      return (await asking.query<{ pid: number }>({ text: IDLE, values: [pids] }, ASK_MS)).map(({ pid }) => pid);
    } finally {
      await asking.close();
    }
  }

  /**
   * With those that are silent, the idle ones: they have been heard of no later, and opening another takes
   * milliseconds.
   */
  private cutSilent(silent: readonly Session[]): void {
    const idle = [...this.heard.keys()].filter((session) => !this.inUse.has(session));
    for (const session of [...silent, ...idle]) cut(session);
  }
}

function heardNow(session: Session): Heard {
  return { bytes: socketOf(session).bytesRead, atMs: performance.now() };
}
