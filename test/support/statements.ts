import { jest } from '@jest/globals';
import pg from 'pg';

/**
 * What a replica sends by itself, whatever it is asked: its polls, its signs of life, its last uses, and the housekeeping
 * of budgets and trail.
 */
const OWN = /pg_walfile_name|\breplica\b|set_config\('synchronous_commit'|^LISTEN|quota_close_expired|audit_checkpoint|advisory_xact_lock|^(START TRANSACTION|COMMIT|ROLLBACK)$/;

/** Counts the statements that this process sends to PostgreSQL because of what it is asked. */
export class StatementCounter {
  private readonly spy = jest.spyOn(pg.Client.prototype, 'query');

  /** Texts of the statements since the last call. */
  take(): string[] {
    const texts = this.spy.mock.calls.map(([query]) => (typeof query === 'string' ? query : (query as unknown as { text: string }).text));
    this.spy.mockClear();
    return texts.filter((text) => !OWN.test(text));
  }

  stop(): void {
    this.spy.mockRestore();
  }
}
