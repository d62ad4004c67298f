import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { examine } from '../../../src/health/doctor.js';
import { LostChanges } from '../../../src/replicas/failover/lost-changes.service.js';
import { FEED_COLUMNS, feedRowOf, type StoredFeedRow } from '../../../src/key-cache/feed/feed-rows.js';
import { Clock } from '../../../src/common/clock.js';
import { Conditions } from '../../../src/common/conditions.js';
import { Metrics } from '../../../src/common/metrics.js';
import { Quotas } from '../../../src/quotas/quotas.service.js';
import type { Poll } from '../../../src/key-cache/feed/change-feed.js';
import { OwnHistory } from '../../../src/replicas/failover/own-history.js';
import { Heartbeats } from '../../../src/replicas/heartbeats.service.js';
import { FailoverService } from '../../../src/replicas/failover/failover.service.js';
import { HistoryRepository } from '../../../src/replicas/failover/history.repository.js';
import type { Endings, FeedRow } from '../../../src/key-cache/records/change.js';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { setUpFactor } from '../../support/second-factor.js';

const REVOKED: Endings = { isRevoked: true, isActive: null, endedKids: [] };
const OFF: Endings = { isRevoked: false, isActive: false, endedKids: [] };

/** A change that the database has no row of: a failover has lost it. */
function lost(seq: number, action: string, type: string, id: string, endings: Endings): FeedRow {
  const row = { resourceType: type, resourceId: id, outcome: 'success', hasChanges: true };
  return { ...row, seq: BigInt(seq), id: randomUUID(), atMs: Date.now(), action, endings };
}

/** Hurries: a second of the machine is five minutes. */
class FastClock extends Clock {
  override monotonicMs(): number {
    return performance.now() * 300;
  }
}

/** The first poll of a server that does not tell where it had ended to follow the old one. */
function pollOf(timeline: string, rows: FeedRow[]): Poll {
  const place = { epoch: 'epoch', timeline, headSeq: 1n, flushedLsn: 1n, replayedLsn: null };
  return { ...place, rows, isSynchronous: false, fullBudgets: [], databaseNowMs: Date.now() };
}

function now() {
  return { sentAtMs: performance.now(), answeredAtMs: performance.now() };
}

const BEFORE = { seq: 1n, epoch: 'epoch', timeline: '00000001', flushedLsn: 1n };

describe('Changes that a failover has lost', () => {
  let app: TestApp;
  let token: string;
  let seq: number;

  beforeAll(async () => {
    app = await TestApp.start();
    token = await app.adminToken();
  });
  afterAll(() => app.stop());

  const head = async () =>
    Number((await app.dataSource.query<{ seq: string }[]>('SELECT seq FROM change_head'))[0]!.seq);
  const create = async () => (await app.post('/api-keys', { token, body: {} })).body.apiKey.id as string;
  const read = async (id: string) => (await app.get(`/api-keys/${id}`, { token })).body;
  const endAgain = (rows: FeedRow[], history: string) =>
    app.app.get(LostChanges).endAgain({
      history,
      timeline: '00000002',
      judgement: { doubt: 'changes-missing', lost: rows, lostBytes: 0n },
      appliedSeq: rows.at(-1)!.seq,
    });
  const entries = (action: string, id: string | null) =>
    app.dataSource.query<{ details: Record<string, unknown> }[]>(
      'SELECT details FROM audit_event WHERE action = $1 AND resource_id IS NOT DISTINCT FROM $2 ORDER BY seq',
      [action, id],
    );

  it('are ended again once, however many replicas remember them', async () => {
    const [revoked, off] = [await create(), await create()];
    seq = (await head()) + 1;
    const rows = [
      lost(seq, 'api-keys:revoke', 'api-key', revoked, REVOKED),
      lost(seq + 1, 'api-keys:deactivate', 'api-key', off, OFF),
    ];
    const ended = await Promise.all([endAgain(rows, 'one'), endAgain(rows, 'one'), endAgain(rows.slice(1), 'one')]);
    expect(ended.reduce((sum, count) => sum + count, 0)).toBe(2);
    expect((await read(revoked)).revokedAt).not.toBeNull();
    expect((await read(off)).isActive).toBe(false);
    expect(await entries('api-keys:revoke', revoked)).toEqual([
      { details: expect.objectContaining({ lostSeq: String(seq), lostAction: 'api-keys:revoke' }) },
    ]);
    const noted = await entries('system:history-lost', null);
    expect(noted.map(({ details }) => [details.fromSeq, details.toSeq])).toContainEqual([String(seq), String(seq + 1)]);
    expect(noted.length).toBeLessThanOrEqual(2);
  });

  it('leave alone what was switched on again since', async () => {
    const id = await create();
    const sinceSeq = (await head()) + 1;
    const rows = [lost(sinceSeq, 'api-keys:deactivate', 'api-key', id, OFF)];
    expect(await endAgain(rows, 'two')).toBe(1);
    await app.post(`/api-keys/${id}/activate`, { token });
    expect(await endAgain(rows, 'two')).toBe(0);
    expect((await read(id)).isActive).toBe(true);
  });

  it('switch users off, and never the last admin', async () => {
    const user = await app.addUser(['user']);
    const me = (await app.get('/auth/me', { token })).body.user.id as string;
    const sinceSeq = (await head()) + 1;
    const rows = [
      lost(sinceSeq, 'users:delete', 'user', user.id, REVOKED),
      lost(sinceSeq + 1, 'users:update', 'user', me, OFF),
    ];
    expect(await endAgain(rows, 'three')).toBe(1);
    expect((await app.get(`/users/${user.id}`, { token })).body.isActive).toBe(false);
    expect((await app.get('/auth/me', { token })).status).toBe(200);
    // Who is switched on again has no session of before.
    expect((await app.patch(`/users/${user.id}`, { token, body: { isActive: true } })).status).toBe(200);
    expect((await app.get('/auth/me', { token: user.token })).status).toBe(401);
    const [switchedOff] = await entries('users:update', user.id);
    expect(switchedOff).toEqual({ details: expect.objectContaining({ sessions: 1, lostAction: 'users:delete' }) });
  });

  it('end sessions that were signed out again, once, and none that was opened since', async () => {
    const user = await app.addUser(['user']);
    const works = async (session: string) => (await app.get('/auth/me', { token: session })).status === 200;
    const [signedOut] = await app.dataSource.query<{ ms: string }[]>(
      'SELECT extract(epoch FROM clock_timestamp()) * 1000 AS ms',
    );
    const row = lost((await head()) + 1, 'sessions:revoke', 'user', user.id, REVOKED);
    const rows = [{ ...row, atMs: Number(signedOut!.ms), endings: null, hasChanges: false }];
    const later = await app.tokenOf(user.email, user.password);
    expect(await works(user.token)).toBe(true);
    const ended = await Promise.all([endAgain(rows, 'sessions'), endAgain(rows, 'sessions')]);
    expect(ended.reduce((sum, count) => sum + count, 0)).toBe(1);
    expect([await works(user.token), await works(later)]).toEqual([false, true]);
    expect(await entries('sessions:revoke', user.id)).toEqual([
      { details: expect.objectContaining({ sessions: 1, lostAction: 'sessions:revoke' }) },
    ]);
  });

  it('remove a second factor again that was removed, once, and none that was set up since', async () => {
    const user = await app.addUser(['user']);
    await setUpFactor(app, user.token, user.password);
    const hasFactor = async () => (await app.get(`/users/${user.id}`, { token })).body.hasSecondFactor as boolean;
    const row = lost((await head()) + 1, 'second-factors:delete', 'user', user.id, REVOKED);
    const rows = [{ ...row, atMs: 0, endings: null, hasChanges: false }];
    expect(await hasFactor()).toBe(true);
    const ended = await Promise.all([endAgain(rows, 'factors'), endAgain(rows, 'factors')]);
    expect(ended.reduce((sum, count) => sum + count, 0)).toBe(1);
    expect(await hasFactor()).toBe(false);
    expect(await entries('second-factors:delete', user.id)).toEqual([
      { details: expect.objectContaining({ credential: 'second-factor', lostAction: 'second-factors:delete' }) },
    ]);
    await setUpFactor(app, user.token, user.password);
    expect(await endAgain(rows, 'factors')).toBe(0);
    expect(await hasFactor()).toBe(true);
  });

  it('end replaced secrets when their overlaps would have, once', async () => {
    const [long, over] = [await create(), await create()];
    const overlap = { token, body: { overlapSeconds: 3600 } };
    for (const id of [long, over]) expect((await app.post(`/api-keys/${id}/regenerate`, overlap)).status).toBe(200);
    const stored = await app.dataSource.query<StoredFeedRow[]>(
      `SELECT ${FEED_COLUMNS} FROM audit_event e WHERE e.action = 'api-keys:regenerate' AND e.resource_id IN ($1, $2)
        ORDER BY e.seq`,
      [long, over],
    );
    const [first, second] = stored.map(feedRowOf);
    const { kid, at } = first!.endings!.replaced!;
    const past = {
      ...second!.endings!,
      replaced: { ...second!.endings!.replaced!, at: new Date(Date.now() - 60_000) },
    };
    const rows = [first!, { ...second!, endings: past }];
    // As a database that never heard of the replacement.
    await app.dataSource.query('UPDATE api_key_secret SET expires_at = NULL WHERE key_id IN ($1, $2)', [long, over]);
    const ended = await Promise.all([endAgain(rows, 'four'), endAgain(rows, 'four')]);
    expect(ended.reduce((sum, count) => sum + count, 0)).toBe(2);
    const secretOf = async (id: string, one: string) => {
      const { secrets } = (await app.get(`/api-keys/${id}`, { token })).body;
      return (secrets as { kid: string; expiresAt: string | null }[]).find((secret) => secret.kid === one);
    };
    expect((await secretOf(long, kid))?.expiresAt).toBe(at.toISOString());
    expect(await secretOf(over, past.replaced.kid)).toBeUndefined();
  });

  it('are ended again also where yet another history begins while they are looked up', async () => {
    const id = await create();
    const failover = app.app.get(FailoverService);
    const row = lost((await head()) + 1, 'api-keys:revoke', 'api-key', id, REVOKED);
    failover.onFollowed(pollOf('00000001', [row]), now());
    failover.onHistory(pollOf('00000002', []), BEFORE, now());
    failover.onHistory(pollOf('00000003', []), BEFORE, now());
    await eventually(async () => expect((await read(id)).revokedAt).not.toBeNull());
  });

  it('that could not be looked up are left to an operator, who is told since when', async () => {
    const meters = new Metrics();
    const conditions = new Conditions(meters);
    const failover = new FailoverService(
      app.app.get(Heartbeats),
      new OwnHistory(),
      app.app.get(Quotas),
      app.app.get(HistoryRepository),
      app.app.get(LostChanges),
      app.dataSource,
      new FastClock(),
      meters,
      conditions,
    );
    // PostgreSQL refuses the look-up of an id that is none.
    const row = { ...lost(1, 'api-keys:revoke', 'api-key', randomUUID(), REVOKED), id: 'none' };
    const poll = pollOf('00000001', [row]);
    failover.onFollowed(poll, now());
    failover.onHistory(pollOf('00000002', []), BEFORE, now());
    await eventually(() => expect(conditions.check()['history']?.status).toBe('degraded'));
    const since = new Date(poll.databaseNowMs).toISOString();
    expect(conditions.check()['history']?.reason).toContain(`revoke again what was revoked since ${since}`);
  });

  it('are what the doctor reports', async () => {
    const finding = (await examine(app.config, app.dataSource)).find(
      ({ check }) => check === 'failovers have lost no change',
    );
    expect(finding?.differences.join('\n')).toContain(`has lost the changes seq ${seq}–${seq + 1} (2)`);
  });
});
