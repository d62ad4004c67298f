import { describe, expect, it } from '@jest/globals';
import type { SecretFacts } from './key-record.js';
import { NO_LIMITS } from '../../quotas/limits/limit-facts.js';
import { rowsOf } from '../../../test/support/key-records.js';
import { RecordCache } from './record-cache.js';

const AGE_MS = 300_000;

function cacheOf(options: { maxBytes?: number; maxUnknown?: number } = {}): RecordCache {
  const cache = new RecordCache({ maxBytes: 1_000_000, maxAgeMs: AGE_MS, maxUnknown: 100, ...options });
  cache.restart('epoch', 0n);
  return cache;
}

/** A cache with one key in it, loaded at 0. */
function filled(id = 'key', key: Parameters<typeof rowsOf>[1] = {}): RecordCache {
  const cache = cacheOf();
  expect(cache.put(cache.beginLoad(0), rowsOf(id, key), [])).toBe('put');
  return cache;
}

describe('RecordCache', () => {
  it('joins key, secret and owner, and the grants of the key within its owner’s', () => {
    const cache = filled();
    const record = cache.findByKid('kid-key', 1)!;
    expect(record).toMatchObject({ key: { id: 'key' }, secret: { kid: 'kid-key' }, owner: { id: 'owner' } });
    expect(cache.findGrants(record, 1)).toEqual(['platform:api-keys:read']);
    expect(cache.findByKid('kid-key', 2)).toBe(record);
  });

  it('keeps a record for five minutes from before its load, however often it is read', () => {
    const cache = filled();
    for (let nowMs = 0; nowMs < AGE_MS; nowMs += 1_000) expect(cache.findByKid('kid-key', nowMs)).not.toBeNull();
    expect(cache.findByKid('kid-key', AGE_MS)).toBeNull();
    expect(cache.stats()).toMatchObject({ keys: 0, secrets: 0 });
  });

  it('evicts one key by a change of the key, and keeps the others', () => {
    const cache = filled('one');
    cache.put(cache.beginLoad(0), rowsOf('two'), []);
    cache.apply([{ seq: 2n, touches: 'key', id: 'one' }]);
    expect(cache.findByKid('kid-one', 1)).toBeNull();
    expect(cache.findByKid('kid-two', 1)).not.toBeNull();
  });

  it('keeps what was loaded after the change and before it was applied', () => {
    const cache = filled('key', { seq: 7n });
    cache.apply([{ seq: 7n, touches: 'key', id: 'key' }]);
    expect(cache.findByKid('kid-key', 1)).not.toBeNull();
    cache.apply([{ seq: 8n, touches: 'key', id: 'key' }]);
    expect(cache.findByKid('kid-key', 1)).toBeNull();
  });

  it('needs the owner again after the owner has changed, and the roles after one of theirs', () => {
    const cache = filled();
    const record = cache.findByKid('kid-key', 1)!;
    cache.apply([{ seq: 2n, touches: 'role', id: 'key-role' }]);
    expect(cache.findByKid('kid-key', 1)).toBe(record);
    expect(cache.findGrants(record, 1)).toBeNull();
    cache.apply([{ seq: 3n, touches: 'owner', id: 'owner' }]);
    expect(cache.findByKid('kid-key', 1)).toBeNull();
  });

  it('needs the project again after a change of it, and none of a key that is in no project', () => {
    const cache = filled('key', { projectId: 'project' });
    cache.put(cache.beginLoad(0), rowsOf('lone'), []);
    const record = cache.findByKid('kid-key', 1)!;
    expect(record.project).toEqual({ id: 'project', isActive: true, limits: NO_LIMITS });
    expect(cache.findByKid('kid-key', 2)).toBe(record);
    cache.apply([{ seq: 2n, touches: 'project', id: 'other' }]);
    expect(cache.findByKid('kid-key', 2)).toBe(record);
    cache.apply([{ seq: 3n, touches: 'project', id: 'project' }]);
    expect(cache.findByKid('kid-key', 2)).toBeNull();
    expect(cache.findByKid('kid-lone', 2)?.project).toBeNull();
    const disabled = {
      ...rowsOf('key', { projectId: 'project', seq: 3n }),
      projects: [{ id: 'project', isActive: false, limits: NO_LIMITS }],
    };
    expect(cache.put(cache.beginLoad(2), disabled, [])).toBe('put');
    expect(cache.findByKid('kid-key', 3)?.project?.isActive).toBe(false);
  });

  it('evicts all keys by a change that does not say which', () => {
    const cache = filled();
    cache.apply([{ seq: 2n, touches: 'key', id: null }]);
    expect(cache.stats().keys).toBe(0);
  });

  it('remembers what has proven itself for as long as its record', () => {
    const cache = filled();
    cache.remember(cache.findByKid('kid-key', 1)!, 'digest');
    expect(cache.findProven('digest', 1)?.key.id).toBe('key');
    cache.apply([{ seq: 2n, touches: 'key', id: 'key' }]);
    expect(cache.findProven('digest', 1)).toBeNull();
    expect(cache.stats().proven).toBe(0);
  });

  it('does not take a proof for a record that has been replaced in the meantime', () => {
    const cache = filled();
    const old = cache.findByKid('kid-key', 1)!;
    cache.put(cache.beginLoad(1), rowsOf('key', { seq: 2n }), []);
    cache.remember(old, 'digest');
    expect(cache.findProven('digest', 1)).toBeNull();
  });

  it('keeps both secrets of an overlap at once', () => {
    const cache = filled('key', { kids: ['old', 'new'] });
    cache.remember(cache.findByKid('old', 1)!, 'digest of old');
    cache.remember(cache.findByKid('new', 1)!, 'digest of new');
    expect([
      cache.findProven('digest of old', 1)?.secret.kid,
      cache.findProven('digest of new', 1)?.secret.kid,
    ]).toEqual(['old', 'new']);
  });

  it('refuses a load that does not contain the last change applied, and one from another history', () => {
    const cache = cacheOf();
    const ticket = cache.beginLoad(0);
    cache.apply([{ seq: 5n, touches: 'role', id: 'any' }]);
    expect(cache.put(ticket, rowsOf('key', { seq: 4n }), [])).toBe('behind');
    expect(cache.put(ticket, rowsOf('key', { seq: 5n }), [])).toBe('put');
    expect(cache.put(ticket, { ...rowsOf('key', { seq: 9n }), epoch: 'other' }, [])).toBe('other-epoch');
    cache.restart('epoch', 5n);
    expect(cache.put(ticket, rowsOf('key', { seq: 9n }), [])).toBe('other-epoch');
    expect(cache.stats().keys).toBe(0);
  });

  it('remembers names that nobody has, whatever key changes, until one is imported', () => {
    const cache = cacheOf();
    cache.put(cache.beginLoad(0), { ...rowsOf('key'), secrets: [], keys: [] }, ['stranger']);
    expect(cache.isUnknown('stranger', 1)).toBe(true);
    cache.apply([{ seq: 2n, touches: 'key', id: 'created' }]);
    expect(cache.isUnknown('stranger', 1)).toBe(true);
    const imported = { touches: 'key', id: 'imported', importedMacs: [Buffer.alloc(32, 1)] } as const;
    cache.apply([{ seq: 3n, ...imported }]);
    expect(cache.isUnknown('stranger', 1)).toBe(false);
    cache.put(cache.beginLoad(0), { ...rowsOf('key', { seq: 3n }), secrets: [], keys: [] }, ['stranger']);
    cache.apply([{ seq: 4n, ...imported }]);
    expect(cache.isUnknown('stranger', 1)).toBe(true);
    cache.apply([{ seq: 5n, touches: 'key', id: null }]);
    expect(cache.isUnknown('stranger', 1)).toBe(false);
  });

  it('stays within its caps, and drops what is not read first', () => {
    const cache = cacheOf({ maxBytes: 100_000, maxUnknown: 50 });
    cache.put(cache.beginLoad(0), rowsOf('read'), []);
    for (let index = 0; index < 2_000; index += 1) {
      cache.findByKid('kid-read', 1);
      cache.put(cache.beginLoad(0), rowsOf(`key-${index}`), [`stranger-${index}`]);
    }
    const { bytes, keys, unknown, secrets } = cache.stats();
    expect(bytes).toBeLessThanOrEqual(100_000 + 50 * 160);
    expect(keys).toBeGreaterThan(20);
    expect(secrets).toBe(keys);
    expect(unknown).toBe(50);
    expect(cache.findByKid('kid-read', 1)).not.toBeNull();
    expect(cache.findByKid('kid-key-1999', 1)).not.toBeNull();
    expect(cache.findByKid('kid-key-0', 1)).toBeNull();
  });

  it('asks once for a record that is read in the last part of its age, and for none that is not read', () => {
    const cache = filled();
    cache.put(cache.beginLoad(0), rowsOf('quiet'), []);
    cache.findByKid('kid-key', 0.5 * AGE_MS);
    expect(cache.takeAging(10)).toEqual([]);
    cache.findByKid('kid-key', 0.7 * AGE_MS);
    cache.findByKid('kid-key', 0.8 * AGE_MS);
    expect(cache.takeAging(10).map(({ kid }) => kid)).toEqual(['kid-key']);
    expect(cache.takeAging(10)).toEqual([]);
    expect(cache.findByKid('kid-key', AGE_MS)).toBeNull();
  });

  it('remembers what has proven a secret when its record is read anew, unless the secret is another one', () => {
    const cache = filled();
    cache.remember(cache.findByKid('kid-key', 1)!, 'digest');
    const again = rowsOf('key');
    cache.put(cache.beginLoad(10), again, []);
    expect(cache.findProven('digest', AGE_MS + 5)?.key).toBe(again.keys[0]);
    const [secret] = again.secrets;
    const others: Partial<SecretFacts>[] = [
      { mac: Buffer.alloc(32, 1) },
      { pepperVersion: '2' },
      { binding: Buffer.alloc(32, 2) },
      { kind: 'imported' },
    ];
    for (const other of others) {
      cache.put(cache.beginLoad(10), { ...again, secrets: [{ ...secret!, ...other }] }, []);
      expect(cache.findProven('digest', 11)).toBeNull();
      cache.put(cache.beginLoad(10), again, []);
      cache.remember(cache.findByKid('kid-key', 11)!, 'digest');
    }
    expect(cache.findProven('digest', 11)).not.toBeNull();
  });
});
