import { jest } from '@jest/globals';
import pg from 'pg';

/**
 * What a replica sends by itself, whatever it is asked: its polls, signs of life, last uses, counts and
 * housekeeping. The frame of a transaction says nothing: what is inside it does.
 */
export const OWN =
  /pg_walfile_name|\breplica\b|set_config\('synchronous_commit'|^LISTEN|\bverdict_minute\b|quota_close_expired|\breservation_end\b|\baudit_checkpoint\b|\baudit_read(_head|_checkpoint)?\b|'audit:cut'|pg_try_advisory_(xact_)?lock|^SET idle_session_timeout|^SELECT set_config\('TimeZone'|^START TRANSACTION$|^BEGIN; |^COMMIT$|usage_event_prepare|\busage_id\b|AS is_read_only$/;

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
