import { Injectable, Logger, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { LastUsed, type Use } from './last-used.js';
import { DataPlaneConnections } from '../../key-cache/data-plane-connections.js';
import { Periodic } from '../../common/periodic.js';

const WRITE_EVERY_MS = 1_000;
const MAX_USES = 500;
const TIMEOUT_MS = 1_000;

/**
 * Totals before secrets, each in order of its name. A row that is locked is left out: a report that holds it notes the
 * use itself, and else it is noted again a minute later. What has been written within the minute is not written again.
 */
const WRITE = `
  WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
  uses AS MATERIALIZED (
    SELECT kid, key_id, to_timestamp(at_ms / 1000) AS at FROM quick, unnest($1::text[], $2::uuid[], $3::float8[]) AS use (kid, key_id, at_ms)
  ), keys AS MATERIALIZED (
    SELECT t.key_id, latest.at FROM key_totals t JOIN (SELECT key_id, max(at) AS at FROM uses GROUP BY key_id) latest USING (key_id)
     WHERE t.last_used_at <= latest.at - interval '1 minute'
     ORDER BY t.key_id FOR NO KEY UPDATE OF t SKIP LOCKED
  ), written AS (
    UPDATE key_totals SET last_used_at = keys.at FROM keys WHERE key_totals.key_id = keys.key_id RETURNING 1
  ), secrets AS MATERIALIZED (
    SELECT s.kid, uses.at FROM api_key_secret s JOIN uses ON uses.kid = s.kid
     WHERE s.last_used_at IS NULL OR s.last_used_at <= uses.at - interval '1 minute'
     ORDER BY s.kid FOR NO KEY UPDATE OF s SKIP LOCKED
  )
  UPDATE api_key_secret SET last_used_at = secrets.at FROM secrets
   WHERE api_key_secret.kid = secrets.kid AND (SELECT count(*) FROM written) >= 0`;

/** Writes when keys were last used: one statement a second, off the path of every answer. */
@Injectable()
export class LastUsedWriter implements OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('LastUsed');
  private readonly writes = new Periodic(WRITE_EVERY_MS, () => this.write());

  constructor(
    private readonly lastUsed: LastUsed,
    private readonly connections: DataPlaneConnections,
  ) {}

  onApplicationBootstrap(): void {
    this.writes.start();
  }

  /** What has been noted so far is written, if the database is there. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.writes.stop();
    await this.write();
  }

  onApplicationShutdown(): void {
    void this.writes.stop();
  }

  private async write(): Promise<void> {
    for (let uses = this.lastUsed.take(MAX_USES); uses.length > 0; uses = this.lastUsed.take(MAX_USES)) {
      if (!(await this.writeSome(uses))) return;
    }
  }

  private async writeSome(uses: readonly Use[]): Promise<boolean> {
    const values = [uses.map(({ kid }) => kid), uses.map(({ keyId }) => keyId), uses.map(({ atMs }) => atMs)];
    try {
      await this.connections.writer.query({ name: 'write-last-used', text: WRITE, values }, TIMEOUT_MS);
      return true;
    } catch (error) {
      this.lastUsed.giveBack(uses);
      this.logger.debug?.(`Last uses could not be written yet: ${error instanceof Error ? error.message : 'unknown'}`);
      return false;
    }
  }
}
