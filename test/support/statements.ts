import { jest } from '@jest/globals';
import pg from 'pg';
import { OWN } from './own-statements.js';

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
