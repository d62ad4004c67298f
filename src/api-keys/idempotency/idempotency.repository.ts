import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import { inOneTrip } from '../../database/in-one-trip.js';

/** What names an answer: who asked which route about what, under which key of that caller. */
export interface AnswerName {
  readonly principalId: string;
  readonly route: string;
  readonly target: string;
  readonly keyHash: Buffer;
}

/** An answer that is kept. */
export interface KeptAnswer {
  readonly payloadHash: Buffer;
  readonly pepperVersion: string;
  /** The secret that the answer shows, by its public id; null when it shows none. */
  readonly kid: string | null;
  readonly status: number;
  readonly ciphertext: Buffer;
}

interface KeptRow {
  payload_hash: Buffer;
  pepper_version: string;
  kid: string | null;
  status: number;
  ciphertext: Buffer;
}

const EXPIRED = `created_at <= clock_timestamp() - interval '10 minutes'`;
const NAME = 'principal_id = $1 AND route = $2 AND target = $3 AND key_hash = $4';

/** Rows of answers kept for retries: for ten minutes, by the database's clock. */
@Injectable()
export class IdempotencyRepository {
  constructor(private readonly manager: EntityManager) {}

  /** The same repository inside a transaction. */
  in(tx: EntityManager): IdempotencyRepository {
    return new IdempotencyRepository(tx);
  }

  /**
   * Takes the name for this transaction, and tells whether it was free. A twin waits here until the first one has
   * committed or failed; `fill` must follow before the commit.
   */
  async claim(name: AnswerName, payloadHash: Buffer): Promise<boolean> {
    const values = [name.principalId, name.route, name.target, name.keyHash];
    const [, rows] = await inOneTrip(this.manager, [
      { text: `DELETE FROM idempotency WHERE ${NAME} AND ${EXPIRED}`, values },
      {
        text: `INSERT INTO idempotency (principal_id, route, target, key_hash, payload_hash, pepper_version, status, ciphertext, created_at)
               VALUES ($1, $2, $3, $4, $5, '', 0, '', clock_timestamp()) ON CONFLICT DO NOTHING RETURNING 1`,
        values: [...values, payloadHash],
      },
    ]);
    return rows!.length > 0;
  }

  /** Keeps the answer under a name claimed in this transaction. */
  async fill(name: AnswerName, answer: KeptAnswer): Promise<void> {
    await this.manager.query(
      `UPDATE idempotency SET payload_hash = $5, pepper_version = $6, kid = $7, status = $8, ciphertext = $9 WHERE ${NAME}`,
      [
        name.principalId,
        name.route,
        name.target,
        name.keyHash,
        answer.payloadHash,
        answer.pepperVersion,
        answer.kid,
        answer.status,
        answer.ciphertext,
      ],
    );
  }

  /** The answer kept under a name, or null. */
  async find(name: AnswerName): Promise<KeptAnswer | null> {
    const [row] = await this.manager.query<KeptRow[]>(
      `SELECT payload_hash, pepper_version, kid, status, ciphertext FROM idempotency WHERE ${NAME} AND NOT ${EXPIRED}`,
      [name.principalId, name.route, name.target, name.keyHash],
    );
    if (!row) return null;
    return {
      payloadHash: row.payload_hash,
      pepperVersion: row.pepper_version,
      kid: row.kid,
      status: row.status,
      ciphertext: row.ciphertext,
    };
  }

  /** Deletes at most `limit` expired answers, oldest first, passing over those in use; returns how many. */
  async deleteExpired(limit: number): Promise<number> {
    const [, count] = await this.manager.query<[unknown, number]>(
      `DELETE FROM idempotency WHERE ctid = ANY (ARRAY(
         SELECT ctid FROM idempotency WHERE ${EXPIRED} ORDER BY created_at LIMIT $1 FOR UPDATE SKIP LOCKED))`,
      [limit],
    );
    return count;
  }
}
