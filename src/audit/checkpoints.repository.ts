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

/**
 * One replica keeps the others from writing for no longer, also when it is frozen; in milliseconds. The session is idle
 * while a change of key and then a checkpoint are written to the file, each of which may take 3.5 s until it is given up.
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
  readonly rowsSince: number;
  /** null: there has been no checkpoint yet. */
  readonly ageMs: number | null;
}

interface StateRow {
  seq: string;
  hash: Buffer;
  at: Date;
  version: string;
  key_changes: SignedKeyChange[];
  last_seq: string | null;
  last_at: Date | null;
}

/** Checkpoints in the database: they tell replicas what was written, and anchor the chain for whoever checks it. */
@Injectable()
export class CheckpointsRepository {
  constructor(private readonly manager: EntityManager) {}

  /** The newest checkpoint, as it was signed; null if there is none. */
  async findNewest(): Promise<SignedCheckpoint | null> {
    const [row] = await this.manager.query<{ seq: string; hash: Buffer; at: Date; signature: string }[]>(
      `SELECT seq, hash, at, signature FROM audit_checkpoint ORDER BY seq DESC LIMIT 1`,
    );
    if (!row) return null;
    const { seq, hash, at, signature } = row;
    return { type: 'latchkey-audit-checkpoint/1', seq, hash: hash.toString('hex'), at: at.toISOString(), signature };
  }

  async findState(): Promise<CheckpointState> {
    const [row] = await this.manager.query<StateRow[]>(STATE, [PLAIN_VERSION]);
    return stateOf(row!);
  }

  /**
   * Lets this replica write a checkpoint while no other does: `write` gets the state under the lock and gives the
   * checkpoint, or null if none is due after all. It is stored only when `write` has come back.
   *
   * The lock is that of a session of its own, in no transaction: a write that hangs keeps no row, and no connection of the
   * pool. PostgreSQL ends the session when it is idle for long, so that a replica that is frozen stops no other.
   */
  async exclusively(write: (state: CheckpointState) => Promise<SignedCheckpoint | null>): Promise<void> {
    const session = new LiveConnection(sessionConfigOf(this.manager.dataSource, 'checkpoint', 'data-plane'), {
      onOpen: (client) => client.query(`SET idle_session_timeout = '${MAX_HOLD_MS}ms'`),
    });
    try {
      const lock = { text: 'SELECT pg_try_advisory_lock($1) AS taken', values: [ADVISORY_LOCKS.checkpoint] };
      const [answer] = await session.query<{ taken: boolean }>(lock, STATEMENT_MS);
      if (!answer?.taken) return;
      const [row] = await session.query<StateRow>({ text: STATE, values: [PLAIN_VERSION] }, STATEMENT_MS);
      const checkpoint = await write(stateOf(row!));
      if (checkpoint === null) return;
      const { seq, hash, at, signature } = checkpoint;
      const text = `INSERT INTO audit_checkpoint (seq, hash, at, signature) VALUES ($1, decode($2, 'hex'), $3, $4)`;
      await session.query({ text, values: [seq, hash, at, signature] }, STATEMENT_MS);
    } finally {
      await session.close();
    }
  }
}

/** With the version of AUDIT_KEY that a plain value has. */
const STATE = `
  SELECT h.seq, h.audit_hash AS hash, clock_timestamp() AS at, l.seq AS last_seq, l.at AS last_at,
         coalesce(h.audit_key_version, $1) AS version, (${KEY_CHANGES} WHERE c.seq > coalesce(l.seq, 0)) AS key_changes
    FROM change_head h LEFT JOIN LATERAL (SELECT seq, at FROM audit_checkpoint ORDER BY seq DESC LIMIT 1) l ON true`;

function stateOf({ seq, hash, at, version, key_changes, last_seq, last_at }: StateRow): CheckpointState {
  return {
    head: { seq, hash, at: at.toISOString() },
    auditKeyVersion: version,
    keyChanges: key_changes,
    rowsSince: Number(BigInt(seq) - BigInt(last_seq ?? 0)),
    ageMs: last_at === null ? null : at.getTime() - last_at.getTime(),
  };
}
