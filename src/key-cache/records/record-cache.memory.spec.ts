import { hash, randomBytes, randomUUID } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from '@jest/globals';
import { limitsOf } from '../../quotas/key-limits.js';
import { NO_LIMITS } from '../../quotas/limits/limit-facts.js';
import type { KeyFacts, SecretFacts } from './key-record.js';
import { RECORD_CACHE_DEFAULTS, RecordCache } from './record-cache.js';

const KEYS = 20_000;
const LOAD = 250;
const USUAL_KEYS = 100_000;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** What the reader gives to many keys alike. */
const SHARED = {
  ownerId: randomUUID(),
  projectId: randomUUID(),
  scopes: ['chat', 'embeddings'],
  roles: [],
  tags: ['team-a'],
  metadata: { service: 'search' },
  allowedIps: [],
  allowedModels: ['gpt-4o*', 'claude-*'],
  allowedChatbots: [],
};
const LIMITS = {
  rateLimitPerMinute: 10_000,
  rateLimitPerHour: 100_000,
  rateLimitPerDay: 1_000_000,
  budgetLimitMicroCents: 1_000_000_000_000n,
  budgetType: 'monthly',
  defaultReserveTokens: 4_000,
} as const;

describe('RecordCache in memory', () => {
  it('weighs what it says it weighs, and finds room for 100 000 keys of usual size', () => {
    const before = heldBytes();
    const cache = new RecordCache({ ...RECORD_CACHE_DEFAULTS, maxBytes: Number.MAX_SAFE_INTEGER });
    cache.restart('epoch', 0n);
    for (let from = 0; from < KEYS; from += LOAD) load(cache, from);
    const { keys, proven, bytes } = cache.stats();
    const grown = heldBytes() - before;
    expect([keys, proven]).toEqual([KEYS, KEYS]);
    expect(bytes).toBeGreaterThan(0.8 * grown);
    expect(bytes).toBeLessThan(1.25 * grown);
    expect((bytes / keys) * USUAL_KEYS).toBeLessThan(0.85 * RECORD_CACHE_DEFAULTS.maxBytes);
  });
});

function heldBytes(): number {
  collectGarbage();
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Texts come from a parser, as they do from the driver: each is a string of its own. */
function load(cache: RecordCache, from: number): void {
  const texts = JSON.parse(JSON.stringify(Array.from({ length: LOAD }, (_, index) => drawn(from + index)))) as Drawn[];
  const secrets = texts.map(({ id, kid, mac }): SecretFacts => ({
    kid,
    keyId: id,
    kind: 'own',
    mac: Buffer.from(mac, 'hex'),
    pepperVersion: '1',
    binding: null,
    createdAtMs: 1_764_374_400_000 + from,
    revokedAtMs: null,
    expiresAtMs: null,
    lastUsedAtMs: null,
  }));
  const keys = texts.map(({ id, name }): KeyFacts => ({
    id,
    environment: 'live',
    verifiesEnvironment: 'any',
    name,
    isActive: true,
    revokedAtMs: null,
    expiresAtMs: null,
    ...SHARED,
    ...LIMITS,
    projectId: null,
    limits: limitsOf({ id, ...LIMITS }),
    limitsOfKey: NO_LIMITS,
  }));
  const owners = [{ id: SHARED.ownerId, isActive: true, roles: [], limits: NO_LIMITS }];
  const rows = { seq: 1n, epoch: 'epoch', secrets, keys, owners, roles: [], projects: [], installation: NO_LIMITS };
  cache.put(cache.beginLoad(0), rows, []);
  for (const { kid } of secrets) cache.remember(cache.findByKid(kid, 1)!, hash('sha256', kid, 'binary'));
}

type Drawn = ReturnType<typeof drawn>;

function drawn(index: number) {
  return {
    id: randomUUID(),
    kid: randomBytes(10).toString('base64url'),
    name: `gateway of team ${index}`,
    mac: randomBytes(32).toString('hex'),
  };
}
