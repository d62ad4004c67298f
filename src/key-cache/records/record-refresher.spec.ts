import { beforeEach, describe, expect, it } from '@jest/globals';
import { rowsOf, rowsOfAll } from '../../../test/support/key-records.js';
import type { SecretFacts } from './key-record.js';
import type { LoadedRows, Wanted } from './loaded-records.js';
import { RecordCache } from './record-cache.js';
import { RecordLoader } from './record-loader.js';
import { RecordRefresher } from './record-refresher.js';

const AGE_MS = 1_000;
const OLD_MS = 700;

describe('RecordRefresher', () => {
  let cache: RecordCache;
  let loader: RecordLoader;
  let refresher: RecordRefresher;
  let soon: (() => void)[];
  let sent: Wanted[];
  let nowMs: number;

  beforeEach(() => {
    [soon, sent, nowMs] = [[], [], 0];
    cache = new RecordCache({ maxBytes: 10_000_000, maxAgeMs: AGE_MS, maxUnknown: 10 });
    cache.restart('epoch', 0n);
    loader = new RecordLoader(cache, {
      monotonicMs: () => nowMs,
      soon: (run) => soon.push(run),
      fetch: (wanted) => {
        sent.push(wanted);
        return Promise.resolve(loadOf(wanted.kids));
      },
    });
    refresher = new RecordRefresher(cache, loader);
  });

  const read = (kids: readonly string[]) => kids.map((kid) => cache.findByKid(kid, nowMs) !== null);

  it('reads what is in use anew, so that it answers beyond its first age', async () => {
    cache.put(cache.beginLoad(0), loadOf(['used', 'unused']), []);
    nowMs = OLD_MS;
    expect(read(['used'])).toEqual([true]);
    expect(refresher.refresh()).toBe(1);
    await turn(soon);
    expect(sent).toEqual([{ kids: ['used'], macs: [] }]);
    nowMs = AGE_MS;
    expect(read(['used', 'unused'])).toEqual([true, false]);
  });

  it('asks for what was imported by its MAC', async () => {
    cache.put(cache.beginLoad(0), loadOf(['other'], 'imported'), []);
    nowMs = OLD_MS;
    read(['other']);
    expect(refresher.refresh()).toBe(1);
    await turn(soon);
    expect(sent).toEqual([{ kids: [], macs: [Buffer.alloc(32, 'other')] }]);
  });

  it('asks for few at once, as calls wait while they are kept, and for nothing while a caller waits', async () => {
    const kids = Array.from({ length: 150 }, (_, index) => `kid-${index}`);
    cache.put(cache.beginLoad(0), loadOf(kids), []);
    nowMs = OLD_MS;
    read(kids);
    void loader.load({ name: 'cold', kid: 'cold' });
    expect(refresher.refresh()).toBe(0);
    await turn(soon);
    expect(refresher.refresh()).toBe(100);
    expect(refresher.refresh()).toBe(0);
    await turn(soon);
    expect(refresher.refresh()).toBe(50);
  });
});

/** What was asked for is sent, answered and taken. */
async function turn(soon: (() => void)[]): Promise<void> {
  soon.splice(0).forEach((run) => run());
  await new Promise((resolve) => setImmediate(resolve));
}

function loadOf(kids: readonly string[], kind: SecretFacts['kind'] = 'own'): LoadedRows {
  if (kids.length === 0) return rowsOf('none', { kids });
  return rowsOfAll(kids.map((kid) => rowsOf(`key of ${kid}`, { kids: [kid], kind })));
}
