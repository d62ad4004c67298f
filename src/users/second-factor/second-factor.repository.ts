import { Injectable } from '@nestjs/common';
import { EntityManager } from 'typeorm';
import type { FactorName, SealedSecret } from './factor-secret.js';
import { STEP_SECONDS } from './totp.js';

/** Codes that may be tried on one factor within a step, over all replicas. */
export const TRIES_PER_STEP = 5;

/** An enrolment that is not confirmed within this time has to be begun anew. */
const CONFIRM_MINUTES = 15;

/** Rows that a pass of the re-sealing takes at a time. */
const RESEALED_AT_A_TIME = 100;

/** A factor for one try of a code. */
export interface Attempt extends SealedSecret {
  /** Which enrolment this is: another one has another secret. */
  readonly id: string;
  /** The step that is running, by the clock of the database. */
  readonly nowStep: number;
  /** The newest step whose code was used. */
  readonly lastStep: number;
}

/** What is known of a user's second factor. */
export interface FactorState {
  readonly confirmedAt: Date;
  readonly recoveryCodesLeft: number;
}

const NOW_STEP = `floor(extract(epoch FROM clock_timestamp()) / ${STEP_SECONDS})::bigint`;
const IS_OF_LATE = `created_at > now() - interval '${CONFIRM_MINUTES} minutes'`;
const SEALED = 'sealed_secret AS "sealedSecret", pepper_version AS "pepperVersion"';

/** Rows of second factors and their recovery codes. */
@Injectable()
export class SecondFactorRepository {
  constructor(private readonly manager: EntityManager) {}

  /** The same repository inside a transaction. */
  in(tx: EntityManager): SecondFactorRepository {
    return new SecondFactorRepository(tx);
  }

  /** The confirmed factor of a user, or null. */
  async findState(userId: string): Promise<FactorState | null> {
    const [row] = await this.manager.query<FactorState[]>(
      `SELECT confirmed_at AS "confirmedAt", (SELECT count(*)::int FROM recovery_code r WHERE r.user_id = f.user_id) AS "recoveryCodesLeft"
         FROM second_factor f WHERE user_id = $1 AND confirmed_at IS NOT NULL`,
      [userId],
    );
    return row ?? null;
  }

  /** Whether a user has a confirmed factor. */
  async isSetUp(userId: string): Promise<boolean> {
    return (
      (
        await this.manager.query<unknown[]>(
          'SELECT 1 FROM second_factor WHERE user_id = $1 AND confirmed_at IS NOT NULL',
          [userId],
        )
      ).length > 0
    );
  }

  /** Whether a user is a person who signs in with a password, and has no confirmed factor. */
  async isMissing(userId: string): Promise<boolean> {
    const rows = await this.manager.query<unknown[]>(
      `SELECT 1 FROM users u WHERE id = $1 AND kind = 'person' AND oidc_issuer IS NULL
          AND NOT EXISTS (SELECT FROM second_factor f WHERE f.user_id = u.id AND confirmed_at IS NOT NULL)`,
      [userId],
    );
    return rows.length > 0;
  }

  /**
   * Takes one of the tries of the running step, in the factor that works or in the one that waits for its confirmation;
   * null when they are used up, or there is no such factor. Tries at the same time wait for each other.
   */
  async takeTry(userId: string, which: 'confirmed' | 'pending'): Promise<Attempt | null> {
    const [rows] = await this.manager.query<
      [(Omit<Attempt, 'nowStep' | 'lastStep'> & { nowStep: string; lastStep: string })[], number]
    >(
      `UPDATE second_factor f SET tried_step = n.step, tries = CASE WHEN f.tried_step = n.step THEN f.tries + 1 ELSE 1 END
         FROM (SELECT ${NOW_STEP} AS step) AS n
        WHERE user_id = $1 AND ${which === 'confirmed' ? 'confirmed_at IS NOT NULL' : `confirmed_at IS NULL AND ${IS_OF_LATE}`}
          AND (f.tried_step <> n.step OR f.tries < ${TRIES_PER_STEP})
      RETURNING f.id, ${SEALED}, n.step AS "nowStep", f.last_step AS "lastStep"`,
      [userId],
    );
    const [row] = rows;
    return row === undefined ? null : { ...row, nowStep: Number(row.nowStep), lastStep: Number(row.lastStep) };
  }

  /** Whether an enrolment waits for its confirmation. */
  async isPending(userId: string): Promise<boolean> {
    return (
      (
        await this.manager.query<unknown[]>(
          `SELECT 1 FROM second_factor WHERE user_id = $1 AND confirmed_at IS NULL AND ${IS_OF_LATE}`,
          [userId],
        )
      ).length > 0
    );
  }

  /** Begins an enrolment, in place of one that was not confirmed; false when a factor works already. */
  async begin({ userId, id }: FactorName, { sealedSecret, pepperVersion }: SealedSecret): Promise<boolean> {
    const rows = await this.manager.query<unknown[]>(
      `INSERT INTO second_factor AS f (user_id, id, sealed_secret, pepper_version) VALUES ($1, $2, $3, $4)
       ON CONFLICT (user_id) DO UPDATE SET id = $2, sealed_secret = $3, pepper_version = $4, created_at = now()
        WHERE f.confirmed_at IS NULL RETURNING 1`,
      [userId, id, sealedSecret, pepperVersion],
    );
    return rows.length > 0;
  }

  /**
   * Makes the enrolment `id` work; its code of `step` is used by that. false when it was replaced or confirmed
   * meanwhile.
   */
  async confirm(userId: string, id: string, step: number): Promise<boolean> {
    const [rows] = await this.manager.query<[unknown[], number]>(
      `UPDATE second_factor SET confirmed_at = now(), last_step = $3 WHERE user_id = $1 AND id = $2 AND confirmed_at IS NULL RETURNING 1`,
      [userId, id, step],
    );
    return rows.length > 0;
  }

  /** Uses the code of a step: false when it, or a newer one, was used before. */
  async useStep(userId: string, id: string, step: number): Promise<boolean> {
    const [rows] = await this.manager.query<[unknown[], number]>(
      `UPDATE second_factor SET last_step = $3 WHERE user_id = $1 AND id = $2 AND confirmed_at IS NOT NULL AND last_step < $3 RETURNING 1`,
      [userId, id, step],
    );
    return rows.length > 0;
  }

  /** Uses a recovery code: false when there is none (any more). */
  async useRecoveryCode(userId: string, codeHash: Buffer): Promise<boolean> {
    const [rows] = await this.manager.query<[unknown[], number]>(
      'DELETE FROM recovery_code WHERE user_id = $1 AND code_hash = $2 RETURNING 1',
      [userId, codeHash],
    );
    return rows.length > 0;
  }

  /** Whether a recovery code would work. */
  async hasRecoveryCode(userId: string, codeHash: Buffer): Promise<boolean> {
    return (
      (
        await this.manager.query<unknown[]>('SELECT 1 FROM recovery_code WHERE user_id = $1 AND code_hash = $2', [
          userId,
          codeHash,
        ])
      ).length > 0
    );
  }

  /** Removes all recovery codes of a user; false when there were none. */
  async removeRecoveryCodes(userId: string): Promise<boolean> {
    const [, count] = await this.manager.query<[unknown[], number]>('DELETE FROM recovery_code WHERE user_id = $1', [
      userId,
    ]);
    return count > 0;
  }

  /** Puts new recovery codes in the place of all that were. */
  async replaceRecoveryCodes(userId: string, hashes: readonly Buffer[]): Promise<void> {
    await this.removeRecoveryCodes(userId);
    await this.manager.query('INSERT INTO recovery_code (user_id, code_hash) SELECT $1, unnest($2::bytea[])', [
      userId,
      hashes,
    ]);
  }

  /** The sealed secret of a factor that works, locked until commit; null if there is none. */
  async findSealed(userId: string): Promise<(SealedSecret & Pick<FactorName, 'id'>) | null> {
    const [row] = await this.manager.query<(SealedSecret & Pick<FactorName, 'id'>)[]>(
      `SELECT id, ${SEALED} FROM second_factor WHERE user_id = $1 AND confirmed_at IS NOT NULL FOR UPDATE`,
      [userId],
    );
    return row ?? null;
  }

  /** Removes a factor and its recovery codes, confirmed or not; false when no confirmed one was there. */
  async remove(userId: string): Promise<boolean> {
    const [rows] = await this.manager.query<[{ confirmed_at: Date | null }[], number]>(
      'DELETE FROM second_factor WHERE user_id = $1 RETURNING confirmed_at',
      [userId],
    );
    return rows.some(({ confirmed_at }) => confirmed_at !== null);
  }

  /** Some factors behind the user `after` that another pepper than `version` seals, in order of user. */
  findSealedByOthers(version: string, after: string): Promise<(SealedSecret & FactorName)[]> {
    return this.manager.query(
      `SELECT user_id AS "userId", id, ${SEALED} FROM second_factor WHERE pepper_version <> $1 AND user_id > $2 ORDER BY user_id LIMIT ${RESEALED_AT_A_TIME}`,
      [version, after],
    );
  }

  /** Writes a secret under another pepper, unless the row has changed since `before` was read. */
  async reseal(userId: string, before: Buffer, { sealedSecret, pepperVersion }: SealedSecret): Promise<void> {
    await this.manager.query(
      'UPDATE second_factor SET sealed_secret = $3, pepper_version = $4 WHERE user_id = $1 AND sealed_secret = $2',
      [userId, before, sealedSecret, pepperVersion],
    );
  }

  /**
   * Users of whom the last entry of the trail says something else than the table: of whether there is a factor, or
   * which.
   */
  findUntold(): Promise<{ userId: string; isSetUp: boolean }[]> {
    return this.manager.query(
      `WITH told AS (
         SELECT DISTINCT ON (resource_id) resource_id, action = 'second-factors:activate' AS is_set_up, details ->> 'factorId' AS factor_id
           FROM audit_event
          WHERE action IN ('second-factors:activate', 'second-factors:delete') AND outcome = 'success' AND resource_type = 'user'
          ORDER BY resource_id, seq DESC)
       SELECT u.id AS "userId", f.confirmed_at IS NOT NULL AS "isSetUp"
         FROM users u LEFT JOIN second_factor f ON f.user_id = u.id LEFT JOIN told t ON t.resource_id = u.id::text
        WHERE u.deleted_at IS NULL
          AND (coalesce(t.is_set_up, false) <> (f.confirmed_at IS NOT NULL)
               OR (f.confirmed_at IS NOT NULL AND t.factor_id IS DISTINCT FROM f.id::text))
        ORDER BY u.id`,
    );
  }

  /** People who sign in with a password and have no factor that works, with what their active roles grant. */
  findPeopleWithout(): Promise<{ email: string; grants: string[] }[]> {
    return this.manager.query(
      `SELECT u.email, coalesce(array_agg(p) FILTER (WHERE p IS NOT NULL), '{}') AS grants
         FROM users u LEFT JOIN user_role ur ON ur.user_id = u.id LEFT JOIN role r ON r.name = ur.role_name AND r.is_active
              LEFT JOIN LATERAL unnest(r.permissions) AS p ON true
        WHERE u.kind = 'person' AND u.password_hash IS NOT NULL AND u.is_active AND u.deleted_at IS NULL
          AND NOT EXISTS (SELECT FROM second_factor f WHERE f.user_id = u.id AND f.confirmed_at IS NOT NULL)
        GROUP BY u.id ORDER BY u.email`,
    );
  }
}
