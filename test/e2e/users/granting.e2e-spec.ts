import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { type Answer, TestApp, type TestUser } from '../../support/app.js';

const PAIRS = 400;
const SEED = 20261121;

/** Grants that roles are made of; every one matches a registered permission. */
const GRANTS = [
  '*', 'platform:*', 'platform:*:read', 'platform:*:*', '*:api-keys:*', 'platform:api-keys:*', 'platform:api-keys:create', 'platform:api-keys:read',
  'platform:usage:*', 'platform:usage:report', 'platform:users:*', 'platform:users:update', 'platform:users:read', 'platform:roles:read', 'platform:audit:*', 'platform:audit:export', '*:*:create',
];

/** Every permission that can be told apart by these grants, unknown words included: an oracle that knows no grammar. */
const WORDS = ['platform', 'api-keys', 'usage', 'users', 'roles', 'audit', 'create', 'read', 'update', 'export', 'report', 'new-word'];
const UNIVERSE = [...[1, 2, 3].flatMap((length) => combinations(length)), ...combinations(3).map((permission) => `${permission}:new-word`)];

function combinations(length: number): string[] {
  return length === 1 ? WORDS : combinations(length - 1).flatMap((rest) => WORDS.map((word) => `${rest}:${word}`));
}

const matched = new Map(
  GRANTS.map((grant) => {
    const segments = grant.split(':');
    const source = segments.map((segment, index) => (segment !== '*' ? segment : index === segments.length - 1 ? '.+' : '[^:]+')).join(':');
    const shape = new RegExp(`^${source}$`);
    return [grant, new Set(UNIVERSE.flatMap((permission, index) => (shape.test(permission) ? [index] : [])))];
  }),
);

const matchedBy = (grants: readonly string[]) => new Set(grants.flatMap((grant) => [...(matched.get(grant) ?? [])]));

/** mulberry32: the same pairs each time; change the seed to look elsewhere. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe('nobody hands out, or gets at, what he does not hold', () => {
  let app: TestApp;
  const random = randomFrom(SEED);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const some = <T>(list: readonly T[], max: number): T[] => [...new Set(Array.from({ length: Math.floor(random() * (max + 1)) }, () => pick(list)))];

  const roles = new Map<string, string[]>();
  const actors: { user: TestUser; grants: string[] }[] = [];
  const targets: { id: string; kind: 'person' | 'service'; roles: string[] }[] = [];
  const DOORS = ['platform:users:*', 'platform:roles:*'];

  beforeAll(async () => {
    app = await TestApp.start();
    for (let index = 0; index < 24; index += 1) {
      const name = `random-${index}`;
      roles.set(name, some(GRANTS, 3));
      await app.addRole(name, roles.get(name)!);
      if (index % 6 === 5) await app.dataSource.query('UPDATE role SET is_active = false WHERE name = $1', [name]);
    }
    // Doors stand open to every actor; what he holds beside them never changes, so the oracle needs no clock.
    for (let index = 0; index < 10; index += 1) {
      const grants = [...DOORS, ...some(GRANTS.slice(index < 2 ? 0 : 2), 4)];
      await app.addRole(`actor-${index}`, grants);
      actors.push({ user: await app.addUser([`actor-${index}`]), grants });
    }
    DOORS.forEach((grant) => matched.has(grant) || matched.set(grant, new Set(UNIVERSE.flatMap((one, index) => (new RegExp(`^${grant.replace('*', '.+')}$`).test(one) ? [index] : [])))));
    for (let index = 0; index < 20; index += 1) await addTarget();
  });
  afterAll(() => app.stop());

  const addTarget = async () => {
    const kind = random() < 0.3 ? 'service' : 'person';
    const target = { id: randomUUID(), kind, roles: some([...roles.keys()], 2) } as const;
    await app.dataSource.query(`INSERT INTO users (id, email, name, kind) VALUES ($1, $2, 'Target', $3)`, [target.id, `${target.id}@latchkey.test`, kind]);
    for (const role of target.roles) await app.dataSource.query('INSERT INTO user_role VALUES ($1, $2)', [target.id, role]);
    targets.push({ ...target, roles: [...target.roles] });
  };
  const grantsOf = (names: readonly string[]) => names.flatMap((name) => roles.get(name) ?? []);

  /** One door: what it asks the server for, everything the caller must hold, and what is so if it was let through. */
  type Attempt = { needs: string[]; send: () => Promise<Answer>; after?: () => void | Promise<void> };
  const doors: Record<string, (token: string) => Attempt> = {
    'PUT roles': (token) => {
      const [target, wanted] = [pick(targets), some([...roles.keys()], 2)];
      return {
        needs: grantsOf([...target.roles, ...wanted]),
        send: () => app.put(`/users/${target.id}/roles`, { token, body: { roles: wanted } }),
        after: () => void (target.roles = wanted),
      };
    },
    'PUT password': (token) => {
      const target = pick(targets.filter(({ kind }) => kind === 'person'));
      return { needs: grantsOf(target.roles), send: () => app.put(`/users/${target.id}/password`, { token, body: { password: 'a password that is long' } }) };
    },
    'PATCH isActive': (token) => {
      const target = pick(targets);
      return { needs: grantsOf(target.roles), send: () => app.patch(`/users/${target.id}`, { token, body: { isActive: random() < 0.5 } }) };
    },
    'PATCH managerIds': (token) => {
      const target = pick(targets.filter(({ kind }) => kind === 'service'));
      return { needs: grantsOf(target.roles), send: () => app.patch(`/users/${target.id}`, { token, body: { managerIds: [pick(actors).user.id] } }) };
    },
    'POST user': (token) => {
      const wanted = some([...roles.keys()], 2);
      return { needs: grantsOf(wanted), send: () => app.post('/users', { token, body: { name: 'New', email: `${randomUUID()}@latchkey.test`, roles: wanted } }) };
    },
    'DELETE user': (token) => {
      const target = pick(targets.slice(10));
      return {
        needs: grantsOf(target.roles),
        send: () => app.delete(`/users/${target.id}`, { token }),
        after: async () => {
          targets.splice(targets.indexOf(target), 1);
          await addTarget();
        },
      };
    },
    'POST role': (token) => {
      const permissions = some(GRANTS, 3);
      return { needs: permissions, send: () => app.post('/roles', { token, body: { name: `made-${randomUUID().slice(0, 8)}`, permissions } }) };
    },
    'PATCH role': (token) => {
      const [name, permissions] = [pick([...roles.keys()]), some(GRANTS, 3)];
      return {
        needs: [...roles.get(name)!, ...permissions],
        send: () => app.patch(`/roles/${name}`, { token, body: { permissions } }),
        after: () => void roles.set(name, permissions),
      };
    },
    'PATCH role isActive': (token) => {
      const name = pick([...roles.keys()]);
      return { needs: roles.get(name)!, send: () => app.patch(`/roles/${name}`, { token, body: { isActive: random() < 0.7 } }) };
    },
  };

  it(`in ${PAIRS} random pairs of caller and door, by an oracle of its own`, async () => {
    const outcomes = { allowed: 0, refused: 0 };
    for (let round = 0; round < PAIRS; round += 1) {
      const actor = pick(actors);
      const door = pick(Object.keys(doors));
      const { needs, send, after } = doors[door]!(actor.user.token);
      const held = matchedBy(actor.grants);
      const mayDoIt = [...matchedBy(needs)].every((permission) => held.has(permission));
      const answer = await send();
      const expected = mayDoIt ? 'allowed' : 'refused 403 CANNOT_GRANT';
      const actual = answer.status < 300 ? 'allowed' : `refused ${answer.status} ${answer.body.code}`;
      expect({ round, door, held: actor.grants, needs, outcome: actual }).toEqual({ round, door, held: actor.grants, needs, outcome: expected });
      outcomes[mayDoIt ? 'allowed' : 'refused'] += 1;
      if (mayDoIt) await after?.();
    }
    // A test that refuses everything, or nothing, would prove nothing.
    expect(Math.min(outcomes.allowed, outcomes.refused)).toBeGreaterThan(PAIRS / 10);
  }, 120_000);
});
