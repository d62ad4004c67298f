import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { sessionConfigOf } from '../../../src/database/session-config.js';
import { mayWaitForLimits, QuotaConnections } from '../../../src/quotas/quota-connections.js';
import { PostgresSlotStore } from '../../../src/quotas/slots/postgres-slot-store.js';
import { TestApp } from '../../support/app.js';

describe('the sessions over which a replica asks for leases', () => {
  let app: TestApp;
  let connections: QuotaConnections;

  beforeAll(async () => {
    app = await TestApp.start();
    connections = new QuotaConnections(sessionConfigOf(app.dataSource, 'quotas', 'data-plane'));
    await connections.open();
  });
  afterAll(async () => {
    await connections.close();
    await app.stop();
  });

  it('are chosen for each statement of the stores by whether it may wait for accounts of limits', async () => {
    const directory = fileURLToPath(new URL('../../../src/quotas/', import.meta.url));
    const texts = ['postgres-quota-store.ts', 'slots/postgres-slot-store.ts'].map((file) =>
      readFileSync(directory + file, 'utf8'),
    );
    const NAMES =
      /^ +'([a-z]+(?:-[a-z]+)+)',$|, '([a-z]+-[a-z]+)'\)|\? '([a-z]+(?:-[a-z]+)+)' : '([a-z]+(?:-[a-z]+)+)',$/gm;
    const names = texts.flatMap((text) => [...text.matchAll(NAMES)]);
    const found = names.flatMap(([, ...groups]) => groups.filter((name) => name !== undefined)).sort();
    const alone = ['free-slots', 'renew-reservations', 'return-leases', 'take-slots', 'take-slots-of-subjects'];
    expect(found).toEqual(alone);
    expect(found.filter((name) => !mayWaitForLimits(name))).toEqual([]);
    const added = texts
      .flatMap((text) => [...text.matchAll(/\.add(?:OfLimits)?\('([a-z-]+)'/g)])
      .map(([, part]) => part!);
    const parts = [...new Set(added)].sort();
    expect(parts.filter((part) => !mayWaitForLimits(`acquire-${part}`))).toEqual([
      'look',
      'look-at-limits',
      'take',
      'windows',
    ]);
    const waiting = ['limit-windows', 'take-shared', 'token-windows'];
    expect(parts.filter((part) => mayWaitForLimits(`acquire-${part}`))).toEqual(waiting);
    // What notes subjects may wait for another that notes them.
    expect(mayWaitForLimits('acquire-look-at-limits-of-subjects')).toBe(true);
  });

  // Fewer than the sessions that are open from the start have room for, and as many as are under way at most.
  it.each([1, 2, 6])('never put what a key has of its own behind %i statements that wait for limits', async (count) => {
    const holder = app.dataSource.createQueryRunner();
    await holder.query('SELECT pg_advisory_lock(4711)');
    let ended = 0;
    const names = [...Array.from({ length: count }, () => 'acquire-take-shared'), 'return-leases'];
    const blocked = names.map((name) =>
      connections.query('SELECT pg_advisory_xact_lock_shared(4711)', [], name).then(() => {
        ended += 1;
      }),
    );
    await Promise.all([
      connections.query('SELECT 1 AS one', [], 'acquire-windows'),
      connections.query('SELECT 2 AS two', [], 'acquire-take'),
    ]);
    expect(ended).toBe(0);
    await holder.query('SELECT pg_advisory_unlock(4711)');
    await holder.release();
    await Promise.all(blocked);
    expect(ended).toBe(names.length);
  });

  it('never put what a key has of its own behind a statement about calls in flight', async () => {
    const names: string[] = [];
    const slots = new PostgresSlotStore((_text, _values, name) => {
      names.push(name ?? 'without a name');
      return Promise.reject(new Error('noted'));
    });
    const [id] = ['0194f3d0-0000-7000-8000-000000000001'];
    const account = { id, type: 'total', limit: { id, member: null } } as const;
    await Promise.allSettled([
      slots.take({ replicaId: 'one', calls: [{ needs: [{ account, leaseId: id }], ttlSeconds: 1 }] }),
      slots.free([id]),
      slots.renew([{ keyId: id, reservationId: id, ttlSeconds: 1, leaseIds: [id] }]),
    ]);
    expect(names).toHaveLength(3);
    const holder = app.dataSource.createQueryRunner();
    await holder.query('SELECT pg_advisory_lock(4712)');
    let ended = 0;
    const blocked = [...names, ...names, ...names].map((name) =>
      connections.query('SELECT pg_advisory_xact_lock_shared(4712)', [], name).then(() => (ended += 1)),
    );
    await connections.query('SELECT 1 AS one', [], 'acquire-windows');
    expect(ended).toBe(0);
    await holder.query('SELECT pg_advisory_unlock(4712)');
    await holder.release();
    await Promise.all(blocked);
  });
});
