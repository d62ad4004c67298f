import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import type { KnownCaller } from '../../access/caller.js';
import { Clock } from '../../common/clock.js';
import { Config } from '../../config/config.js';
import { creationLimitReached } from '../api-key.errors.js';

const DAY_MS = 86_400_000;

/** One more of today, by the database's clock. */
const COUNT = `
  INSERT INTO creation_count AS c (user_id, day, count) VALUES ($1, (clock_timestamp() AT TIME ZONE 'UTC')::date, 1)
  ON CONFLICT (user_id) DO UPDATE SET count = CASE WHEN c.day = excluded.day THEN c.count + 1 ELSE 1 END, day = excluded.day
  RETURNING count`;

/**
 * Bounds how many keys and new secrets a user makes in a day (UTC), with all keys of theirs that call, over all
 * replicas. Each leaves rows for ever. Callers that administer keys of others are not bounded.
 */
@Injectable()
export class DailyCreations {
  constructor(
    private readonly config: Config,
    private readonly clock: Clock,
  ) {}

  /**
   * Counts one, inside the change that makes it: what is not made is not counted.
   *
   * @throws DomainError 429 CREATION_LIMIT_REACHED with the time until the next day
   */
  async count(tx: EntityManager, { principal }: KnownCaller): Promise<void> {
    if (principal.may('platform:api-keys:update') || principal.may('platform:api-keys:assign')) return;
    const [row] = await tx.query<{ count: number }[]>(COUNT, [principal.ownerId]);
    const limit = this.config.creationsPerDay;
    if (row!.count > limit) throw creationLimitReached(limit, (DAY_MS - (this.clock.now().getTime() % DAY_MS)) / 1000);
  }
}
