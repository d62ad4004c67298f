import { jest } from '@jest/globals';
import pg from 'pg';
import { OWN } from './statements.js';

type Query = (this: object, ...args: unknown[]) => unknown;

/** What one change cost, in round trips to PostgreSQL. */
export interface RoundTrips {
  /** Texts of the statements that travelled together, in order. */
  readonly trips: readonly (readonly string[])[];
  readonly count: number;
  /** Trips begun while rows of users or keys were locked, COMMIT's included. */
  readonly whileRowsAreLocked: number;
  /** Trips begun while the head row was locked. */
  readonly whileHeadIsLocked: number;
}

/**
 * Groups the statements that this process sends to PostgreSQL into round trips: what is sent while nothing is under way
 * begins another. What the process sends by itself is left out.
 */
export class RoundTripRecorder {
  private readonly trips: string[][] = [];
  private underWay = 0;
  private readonly spy: { mockRestore(): void };

  constructor() {
    // oxlint-disable-next-line typescript/unbound-method -- called with the client it is called on
    const original = pg.Client.prototype.query as Query;
    const note = (text: string, answer: unknown): void => {
      if (OWN.test(text) && !/^BEGIN|^COMMIT/.test(text)) return;
      if (this.underWay === 0) this.trips.push([]);
      this.trips.at(-1)!.push(text);
      this.underWay += 1;
      void Promise.resolve(answer)
        .catch(() => undefined)
        .then(() => (this.underWay -= 1));
    };
    this.spy = jest.spyOn(pg.Client.prototype, 'query').mockImplementation(function (this: object, ...args: unknown[]) {
      const [query] = args as [string | { text: string }];
      const answer = original.apply(this, args);
      note(typeof query === 'string' ? query : query.text, answer);
      return answer;
    });
  }

  /** What `act` took. Nothing else may be asked of this process meanwhile. */
  async of(act: () => Promise<unknown>): Promise<RoundTrips> {
    this.trips.length = 0;
    await act();
    const trips = this.trips.map((texts) => [...texts]);
    const commit = trips.findLastIndex((texts) => texts.includes('COMMIT'));
    const from = (pattern: RegExp): number => {
      const first = trips.findIndex((texts) => texts.some((text) => pattern.test(text)));
      return first === -1 ? 0 : commit - first;
    };
    return {
      trips,
      count: trips.length,
      whileRowsAreLocked: from(/FROM (users|"?api_key"?).* FOR (NO KEY UPDATE|UPDATE|SHARE)|^UPDATE users/s),
      whileHeadIsLocked: from(/FROM change_head FOR UPDATE/),
    };
  }

  stop(): void {
    this.spy.mockRestore();
  }
}
