import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { PLAIN_VERSION } from '../config/versioned-secrets.js';
import { ADVISORY_LOCKS } from '../database/advisory-locks.js';
import { LiveConnection } from '../database/live-connection.js';
import { sessionConfigOf } from '../database/session-config.js';
import type { Anchor } from './chain-check.js';
import type { SignedCheckpoint } from './checkpoint.js';
import type { SignedKeyChange } from './key-change.js';
import { KEY_CHANGES } from './key-changes-sql.js';
import type { SignedReadCheckpoint } from './reads/read-checkpoint.js';
import type { Ask } from './stretch.js';

/**
 * One replica keeps the others from writing for no longer, also when it is frozen; in milliseconds. The session is idle
 * while the lines of a checkpoint are written to the file, which may take 3.5 s until it is given up.
 */
export const MAX_HOLD_MS = 8_000;
/** What one statement may take. */
const STATEMENT_MS = 2_000;

/** Where the chain is, and how long ago the last checkpoint was. */
export interface CheckpointState {
  readonly head: Anchor;
  /** The version of AUDIT_KEY that signed the head's entry. */
  readonly auditKeyVersion: string;
  /** Changes of AUDIT_KEY since the last checkpoint. */
  readonly keyChanges: readonly SignedKeyChange[];
  /** Versions of AUDIT_KEY that have signed so far, oldest first. */
  readonly versions: readonly string[];
  readonly rowsSince: number;
  /** null: there has been no checkpoint yet. */
  readonly ageMs: number | null;
  /** The newest checkpoint, as it was signed. */
  readonly last: SignedCheckpoint | null;
  /** The same of the chain of reads. */
  readonly reads: {
    readonly head: Anchor;
    readonly rowsSince: number;
    readonly ageMs: number | null;
    readonly last: SignedReadCheckpoint | null;
  };
}

/** What is signed at one time; null where that chain has not moved. */
export interface NewCheckpoints {
  readonly changes: SignedCheckpoint | null;
  readonly reads: SignedReadCheckpoint | null;
}

interface StateRow {
  seq: string;
  hash: Buffer;
  at: Date;
  version: string;
  key_changes: SignedKeyChange[];
  versions: string[];
  last_seq: string | null;
  last_at: Date | null;
  last_hash: Buffer | null;
  last_signature: string | null;
  read_seq: string;
  read_hash: Buffer;
  read_last_seq: string | null;
  read_last_at: Date | null;
  read_line: SignedReadCheckpoint | null;
}

/** Checkpoints in the database: they tell replicas what was written, and anchor the chain for its verification. */
@Injectable()
export class CheckpointsRepository {
  constructor(private readonly manager: EntityManager) {}

  /** The newest checkpoint, as it was signed; null if there is none. */
  async findNewest(): Promise<SignedCheckpoint | null> {
    const [row] = await this.manager.query<{ seq: string; hash: Buffer; at: Date; signature: string }[]>(
      `SELECT seq, hash, at, signature FROM audit_checkpoint ORDER BY seq DESC LIMIT 1`,
    );
    return row ? signedCheckpoint(row) : null;
  }

  /** The newest checkpoint of reads, as it was signed; null if there is none. */
  async findNewestOfReads(): Promise<SignedReadCheckpoint | null> {
    const [row] = await this.manager.query<{ line: SignedReadCheckpoint }[]>(
      `SELECT line FROM audit_read_checkpoint ORDER BY seq DESC LIMIT 1`,
    );
    return row?.line ?? null;
  }

  async findState(): Promise<CheckpointState> {
    const [row] = await this.manager.query<StateRow[]>(STATE, [PLAIN_VERSION]);
    return stateOf(row!);
  }

  /**
   * Lets this replica write a checkpoint while no other does: `write` gets the state under the lock and gives the
   * checkpoints that are due; it reads over the same session. They are stored only when `write` has come back.
   *
   * The lock is that of a session of its own, in no transaction: a write that hangs keeps no row, and no connection of
   * the pool. PostgreSQL ends the session when it is idle for long, so that a replica that is frozen stops no other.
   */
  async exclusively(write: (state: CheckpointState, ask: Ask) => Promise<NewCheckpoints>): Promise<void> {
    const session = new LiveConnection(sessionConfigOf(this.manager.dataSource, 'checkpoint', 'single'), {
      onOpen: (client) => client.query(`SET idle_session_timeout = '${MAX_HOLD_MS}ms'`),
    });
    try {
      const lock = { text: 'SELECT pg_try_advisory_lock($1) AS taken', values: [ADVISORY_LOCKS.checkpoint] };
      const [answer] = await session.query<{ taken: boolean }>(lock, STATEMENT_MS);
      if (!answer?.taken) return;
      const [row] = await session.query<StateRow>({ text: STATE, values: [PLAIN_VERSION] }, STATEMENT_MS);
      const { changes, reads } = await write(stateOf(row!), (text, values) =>
        session.query({ text, values }, STATEMENT_MS),
      );
      if (changes !== null) {
        const { seq, hash, at, signature } = changes;
        const text = `INSERT INTO audit_checkpoint (seq, hash, at, signature) VALUES ($1, decode($2, 'hex'), $3, $4)`;
        await session.query({ text, values: [seq, hash, at, signature] }, STATEMENT_MS);
      }
      if (reads === null) return;
      const text = `INSERT INTO audit_read_checkpoint (seq, at, line) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`;
      await session.query({ text, values: [reads.seq, reads.at, JSON.stringify(reads)] }, STATEMENT_MS);
    } finally {
      await session.close();
    }
  }
}

/** With the version of AUDIT_KEY that a plain value has. */
const STATE = `
  SELECT h.seq, h.audit_hash AS hash, clock_timestamp() AS at, l.seq AS last_seq, l.at AS last_at, l.hash AS last_hash, l.signature AS last_signature,
         coalesce(h.audit_key_version, $1) AS version, (${KEY_CHANGES} WHERE c.seq > coalesce(l.seq, 0)) AS key_changes,
         (SELECT coalesce(array_agg(c.from_version ORDER BY c.seq), '{}') FROM audit_key_change c) || coalesce(h.audit_key_version, $1) AS versions,
         r.seq AS read_seq, r.audit_hash AS read_hash, m.seq AS read_last_seq, m.at AS read_last_at, m.line AS read_line
    FROM change_head h LEFT JOIN LATERAL (SELECT seq, at, hash, signature FROM audit_checkpoint ORDER BY seq DESC LIMIT 1) l ON true
         CROSS JOIN audit_read_head r LEFT JOIN LATERAL (SELECT seq, at, line FROM audit_read_checkpoint ORDER BY seq DESC LIMIT 1) m ON true`;

function signedCheckpoint({
  seq,
  hash,
  at,
  signature,
}: {
  seq: string;
  hash: Buffer;
  at: Date;
  signature: string;
}): SignedCheckpoint {
  return { type: 'latchkey-audit-checkpoint/1', seq, hash: hash.toString('hex'), at: at.toISOString(), signature };
}

function stateOf({
  seq,
  hash,
  at,
  version,
  versions,
  key_changes,
  last_seq,
  last_at,
  last_hash,
  last_signature,
  ...reads
}: StateRow): CheckpointState {
  const since = (head: string, last: string | null) => Number(BigInt(head) - BigInt(last ?? 0));
  const age = (last: Date | null) => (last === null ? null : at.getTime() - last.getTime());
  return {
    head: { seq, hash, at: at.toISOString() },
    auditKeyVersion: version,
    keyChanges: key_changes,
    versions,
    last:
      last_seq === null
        ? null
        : signedCheckpoint({ seq: last_seq, hash: last_hash!, at: last_at!, signature: last_signature! }),
    rowsSince: since(seq, last_seq),
    ageMs: age(last_at),
    reads: {
      head: { seq: reads.read_seq, hash: reads.read_hash, at: at.toISOString() },
      rowsSince: since(reads.read_seq, reads.read_last_seq),
      ageMs: age(reads.read_last_at),
      last: reads.read_line,
    },
  };
}
