import { jest } from '@jest/globals';
import pg from 'pg';

/**
 * What a replica sends by itself, whatever it is asked: its polls, signs of life, last uses, counts and
 * housekeeping. The frame of a transaction says nothing: what is inside it does. The lock of the head asks for older
 * replicas in passing.
 */
export const OWN =
  /pg_walfile_name|(?<!\(SELECT FROM )\breplica\b|^SELECT EXISTS \(SELECT FROM replica|set_config\('synchronous_commit'|^LISTEN|\bverdict_minute\b|quota_close_expired|\breservation_end\b|\baudit_checkpoint\b|\baudit_read(_head|_checkpoint)?\b|'audit:cut'|pg_try_advisory_(xact_)?lock|^SET idle_session_timeout|^SELECT set_config\('TimeZone'|^START TRANSACTION$|^BEGIN; |^COMMIT$|usage_event_prepare|usage_roll_up|refused_calls_|pg_is_in_recovery|quota_future_leases|\busage_id\b|\bsecret_fingerprint\b|\bpg_locks\b|"comparedId"|password_binding|^DELETE FROM idempotency WHERE ctid|^SELECT unit, is_sliding|^SELECT EXISTS \(SELECT FROM api_key WHERE hand_over_until|^SELECT 1 FROM audit_event WHERE action = \$1|FROM audit_event WHERE seq >= \$1 AND seq <= \$2 ORDER BY seq LIMIT/;

/** Counts the statements that this process sends to PostgreSQL because of what it is asked. */
export class StatementCounter {
  private readonly spy = jest.spyOn(pg.Client.prototype, 'query');

  /** Texts of the statements since the last call. */
  take(): string[] {
    const texts = this.spy.mock.calls.map(([query]) =>
      typeof query === 'string' ? query : (query as unknown as { text: string }).text,
    );
    this.spy.mockClear();
    return texts.filter((text) => !OWN.test(text));
  }

  stop(): void {
    this.spy.mockRestore();
  }
}
