import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { PLAIN_VERSION } from '../config/versioned-secrets.js';
import { ADVISORY_LOCKS } from '../database/advisory-locks.js';
import type { Anchor } from './chain-check.js';
import type { SignedCheckpoint } from './checkpoint.js';
import type { SignedKeyChange } from './key-change.js';
import { KEY_CHANGES } from './key-changes-sql.js';

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

  findState(): Promise<CheckpointState> {
    return findState(this.manager);
  }

  /**
   * Lets this replica write a checkpoint while no other does: `write` gets the state under the lock and gives the
   * checkpoint, or null if none is due after all. It is stored only when `write` has come back.
   */
  async exclusively(write: (state: CheckpointState) => Promise<SignedCheckpoint | null>): Promise<void> {
    await this.manager.transaction(async (tx) => {
      const [lock] = await tx.query<{ taken: boolean }[]>('SELECT pg_try_advisory_xact_lock($1) AS taken', [ADVISORY_LOCKS.checkpoint]);
      if (!lock?.taken) return;
      const checkpoint = await write(await findState(tx));
      if (checkpoint === null) return;
      const { seq, hash, at, signature } = checkpoint;
      await tx.query(`INSERT INTO audit_checkpoint (seq, hash, at, signature) VALUES ($1, decode($2, 'hex'), $3, $4)`, [seq, hash, at, signature]);
    });
  }
}

async function findState(runner: EntityManager): Promise<CheckpointState> {
  const [row] = await runner.query<StateRow[]>(
    `SELECT h.seq, h.audit_hash AS hash, clock_timestamp() AS at, l.seq AS last_seq, l.at AS last_at,
            coalesce(h.audit_key_version, $1) AS version, (${KEY_CHANGES} WHERE c.seq > coalesce(l.seq, 0)) AS key_changes
       FROM change_head h LEFT JOIN LATERAL (SELECT seq, at FROM audit_checkpoint ORDER BY seq DESC LIMIT 1) l ON true`,
    [PLAIN_VERSION],
  );
  const { seq, hash, at, version, key_changes, last_seq, last_at } = row!;
  return {
    head: { seq, hash, at: at.toISOString() },
    auditKeyVersion: version,
    keyChanges: key_changes,
    rowsSince: Number(BigInt(seq) - BigInt(last_seq ?? 0)),
    ageMs: last_at === null ? null : at.getTime() - last_at.getTime(),
  };
}
