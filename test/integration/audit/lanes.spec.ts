import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { type Caller, Principal } from '../../../src/access/caller.js';
import { Changes } from '../../../src/audit/changes.js';
import { uuidv7 } from '../../../src/common/uuid.js';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';

/** More than one party may have, and more than all may have, under way in the ordinary lane. */
const OF_ONE = 6;
const PARTIES = 4;

describe('Changes under way', () => {
  let app: TestApp;
  let changes: Changes;

  beforeAll(async () => {
    app = await TestApp.start();
    changes = app.app.get(Changes);
  });
  afterAll(() => app.stop());

  const callerOf = (id: string, action: string): Caller => ({
    principal: new Principal('user', id, id, id, [], []),
    ip: null,
    requestId: null,
    action,
  });

  it('are few of one party, and never keep what takes access away from being made', async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const parties = Array.from({ length: PARTIES }, () => uuidv7());
    // By number: one that loses its connection while it is held runs again.
    const begun = new Map<string, string>();
    const all = parties.flatMap((party) =>
      Array.from({ length: OF_ONE }, (_, n) =>
        changes.transaction(callerOf(party, 'api-keys:create'), async () => {
          begun.set(`${party} ${n}`, party);
          await held;
        }),
      ),
    );
    const countOf = (party: string) => [...begun.values()].filter((one) => one === party).length;
    try {
      await eventually(() => expect(begun.size).toBe(8));
      expect(Math.max(...parties.map(countOf))).toBe(4);
      const { seq } = await changes.commit(callerOf(parties[0]!, 'api-keys:revoke'), async ({ record }) =>
        record({ resourceType: 'test', resourceId: null }),
      );
      expect(seq).not.toBeNull();
      expect(begun.size).toBe(8);
    } finally {
      release();
      await Promise.allSettled(all);
    }
    expect(parties.map(countOf)).toEqual(parties.map(() => OF_ONE));
  });
});
