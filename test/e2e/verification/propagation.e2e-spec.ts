import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ChangePropagation } from '../../../src/audit/change-propagation.js';
import { FeedPoller } from '../../../src/key-cache/feed/feed-poller.service.js';
import { FeedService } from '../../../src/key-cache/feed/feed.service.js';
import { TestApp } from '../../support/app.js';
import { eventually } from '../../support/eventually.js';
import { Management, issueKey, issueServiceKey } from '../../support/management.js';

/**
 * Of the order of the guarantee, in milliseconds: G05 measures its bounds. A busy machine stands still for a second.
 */
const BOUND_MS = 5_000;

describe('how changes reach three replicas', () => {
  let replicas: TestApp[];
  let admin: string;
  let service: string;
  let management: Management;

  beforeAll(async () => {
    const first = await TestApp.start({ MAX_ACTIVE_KEYS: '10000' });
    const overrides = { MAX_ACTIVE_KEYS: '10000' };
    replicas = [first, await TestApp.start(overrides, first.database), await TestApp.start(overrides, first.database)];
    admin = await first.adminToken();
    service = (await issueServiceKey(first, admin)).secret;
    management = new Management(first);
  });
  afterAll(async () => {
    for (const replica of replicas.toReversed()) await replica.stop();
  });

  const codes = async (key: string, body: Record<string, unknown> = {}, apiKey = service) =>
    Promise.all(
      replicas.map(
        async (replica) => (await replica.post('/verify', { apiKey, body: { key, ...body } })).body.code as string,
      ),
    );

  /** A key that all replicas have in memory. */
  async function knownKey(fields: Record<string, unknown> = {}, ask: Record<string, unknown> = {}) {
    const key = await issueKey(replicas[0]!, admin, fields);
    expect(await codes(key.secret, ask)).toEqual(['VALID', 'VALID', 'VALID']);
    return key;
  }

  it.each([
    ['REVOKED', (id: string) => management.revoke(id)],
    ['DISABLED', (id: string) => management.deactivate(id)],
    ['EXPIRED', (id: string) => management.expire(id)],
    ['INSUFFICIENT_SCOPE', (id: string) => management.narrow(id)],
  ])('%s is said everywhere', async (code, change) => {
    const times: number[] = [];
    for (let time = 0; time < 10; time += 1) {
      const key = await knownKey({ scopes: ['a'] }, { scopes: ['a'] });
      await change(key.id);
      times.push(
        await eventually(async () => expect(await codes(key.secret, { scopes: ['a'] })).toEqual([code, code, code])),
      );
    }
    expect(Math.max(...times)).toBeLessThan(BOUND_MS);
  });

  it('keys of a deactivated owner end everywhere', async () => {
    const owner = await replicas[0]!.addUser(['user']);
    const key = await knownKey({ ownerId: owner.id });
    await management.disableOwner(owner.id);
    await eventually(
      async () => expect(await codes(key.secret)).toEqual(['OWNER_INACTIVE', 'OWNER_INACTIVE', 'OWNER_INACTIVE']),
      BOUND_MS,
    );
  });

  it('a disabled project ends its keys everywhere', async () => {
    const { body: project } = await replicas[0]!.post('/projects', { token: admin, body: { name: 'Everywhere' } });
    const key = await knownKey({ projectId: project.id });
    await management.disableProject(project.id);
    await eventually(
      async () => expect(await codes(key.secret)).toEqual(['PROJECT_INACTIVE', 'PROJECT_INACTIVE', 'PROJECT_INACTIVE']),
      BOUND_MS,
    );
  });

  it('a role that loses its permissions ends what its keys may do, and evicts no key', async () => {
    await replicas[0]!.addRole('asker', ['platform:api-keys:verify']);
    const asker = await issueKey(replicas[0]!, admin, { roles: ['asker'] });
    const statuses = () =>
      Promise.all(
        replicas.map(
          async (replica) => (await replica.post('/verify', { apiKey: asker.secret, body: { key: service } })).status,
        ),
      );
    expect(await statuses()).toEqual([200, 200, 200]);
    await management.emptyRole('asker');
    await eventually(async () => expect(await statuses()).toEqual([403, 403, 403]), BOUND_MS);
    expect(await codes(asker.secret)).toEqual(['VALID', 'VALID', 'VALID']);
  });

  it('a change is waited for until no replica can answer by the state before it', async () => {
    const propagation = replicas[1]!.app.get(ChangePropagation, { strict: false });
    for (let time = 0; time < 20; time += 1) {
      const key = await knownKey();
      await propagation.waitUntilApplied(await management.revoke(key.id));
      expect(await codes(key.secret)).toEqual(['REVOKED', 'REVOKED', 'REVOKED']);
    }
  });

  it('waiting for no change in particular waits for all there are', async () => {
    const key = await knownKey();
    await management.revoke(key.id);
    await replicas[2]!.app.get(ChangePropagation, { strict: false }).waitUntilApplied(null);
    expect(await codes(key.secret)).toEqual(['REVOKED', 'REVOKED', 'REVOKED']);
  });

  it('rows that change nothing evict nothing', async () => {
    const feed = replicas[0]!.app.get(FeedService, { strict: false });
    const key = await knownKey();
    const seq = BigInt(await management.noteRead());
    await eventually(() => expect(feed.appliedSeq >= seq).toBe(true));
    expect(await codes(key.secret)).toEqual(['VALID', 'VALID', 'VALID']);
  });

  it('without any notice the polls bring them', async () => {
    const sessions = await replicas[0]!.dataSource.query(
      `SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'latchkey-feed'`,
    );
    expect(sessions).toEqual([{ count: 3 }]);
    for (const replica of replicas) await silenceNotices(replica);
    const times: number[] = [];
    for (let time = 0; time < 4; time += 1) {
      const key = await knownKey();
      await management.revoke(key.id);
      times.push(
        await eventually(async () => expect(await codes(key.secret)).toEqual(['REVOKED', 'REVOKED', 'REVOKED'])),
      );
    }
    expect(Math.max(...times)).toBeLessThan(BOUND_MS);
    // Notices would have brought them sooner: they are really gone.
    expect(Math.max(...times)).toBeGreaterThan(100);
  });

  it('another epoch drops what was remembered', async () => {
    const key = await knownKey();
    // What a restored backup does: the row is as it once was, the trail shorter, the epoch another.
    await replicas[0]!.dataSource.query('UPDATE api_key SET is_active = false, deactivated_at = now() WHERE id = $1', [
      key.id,
    ]);
    expect(await codes(key.secret)).toEqual(['VALID', 'VALID', 'VALID']);
    await replicas[0]!.dataSource.query('UPDATE change_head SET epoch = gen_random_uuid()');
    await eventually(
      async () => expect(await codes(key.secret)).toEqual(['DISABLED', 'DISABLED', 'DISABLED']),
      BOUND_MS,
    );
  });
});

/** What the feed's poller keeps to itself: the session that polls. */
interface PollingSession {
  connection: { connection: { query(statement: { text: string }, timeoutMs: number): Promise<unknown> } };
}

/** Ends the feed's subscription in the very session that polls. */
async function silenceNotices(replica: TestApp): Promise<void> {
  const poller: unknown = replica.app.get(FeedPoller, { strict: false });
  await (poller as PollingSession).connection.connection.query({ text: 'UNLISTEN *' }, 15_000);
}
