import { setTimeout as sleep } from 'node:timers/promises';
import { patiently, ProofCluster } from '../harness/cluster.js';
import type { Experiment, Floor } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import type { ProofAnswer } from '../harness/http-client.js';
import type { Random } from '../harness/random.js';
import { type Attempt, Draw, type Route } from '../rights/attempt.js';
import { differences } from '../rights/difference.js';
import { KEY_ROUTES } from '../rights/key-routes.js';
import { GRANTS } from '../rights/permission-sets.js';
import { USER_ROUTES } from '../rights/user-routes.js';
import { type Actor, World, type WorldKey, type WorldPolicy } from '../rights/world.js';

const ROUNDS = { ci: 1000, full: 10_000 } as const;
/** Of every route, so many attempts must succeed, and so many must be refused. */
const FLOOR = { ci: 4, full: 40 } as const;
/** Rounds between two comparisons of the whole model with the database. */
const COMPARED_EVERY = 200;
/** Attempts that are drawn to find one that the rules allow, or refuse, as a coin says. */
const MAX_DRAWN = 20;
const MAX_VIOLATIONS = 20;
const GIVEN_PASSWORD = 'the password that an actor is given';
const PASSWORD = 'the password of an actor';

const ROUTES: Readonly<Record<string, Route>> = { ...KEY_ROUTES, ...USER_ROUTES };

/** Members that no route takes, or not in this form. */
const FORGED = [
  { maxExpiresAt: '2099-01-01T00:00:00Z' },
  { deactivatedBy: null },
  { isSeeded: true },
  { ownerId: { id: 'me' } },
  { roles: { 0: 'admin' } },
] as const;

/** A PUT of a key takes what a GET has shown: such a member is without effect, which the comparison sees. */
function isIgnored({ method, path }: Pick<Attempt, 'method' | 'path'>, forged: object): boolean {
  if (method !== 'PUT' || !path.startsWith('/api-keys/')) return false;
  if ('ownerId' in forged) return !path.startsWith('/api-keys/by-alias/');
  return 'maxExpiresAt' in forged || 'deactivatedBy' in forged;
}

const BOUNDED: WorldPolicy = { maxRateLimitPerMinute: 20, reservedTagPrefixes: ['plan:'] };
const USERS_AND_ROLES = ['platform:users:*', 'platform:roles:*'];

/** What the people hold who make attempts, beside grants that are drawn. It never changes. */
const PEOPLE: readonly { readonly grants: readonly string[]; readonly policy?: WorldPolicy; readonly extra: number }[] =
  [
    { grants: ['*'], extra: 0 },
    { grants: USERS_AND_ROLES, extra: 6 },
    { grants: [...USERS_AND_ROLES, 'platform:api-keys:*'], extra: 6 },
    { grants: ['platform:api-keys:create'], policy: BOUNDED, extra: 2 },
    { grants: [], extra: 0 },
    { grants: ['platform:api-keys:create', 'platform:api-keys:assign'], extra: 6 },
    { grants: ['platform:api-keys:update'], extra: 3 },
    {
      grants: [...USERS_AND_ROLES, 'platform:api-keys:create', 'platform:api-keys:assign', 'platform:api-keys:delete'],
      policy: BOUNDED,
      extra: 6,
    },
  ];
/** Keys that make attempts: of which of the people, with whose role. */
const KEYS = [
  [0, 2],
  [0, 7],
  [1, 1],
  [5, 5],
  [6, 6],
] as const;

/**
 * Random attempts over every route that changes keys, users and roles, by people and by keys, judged by an oracle that
 * knows rights, ownership and key policies and shares no code with the product. Now and then a body has a member that
 * no route takes. From time to time the whole database is compared with the model.
 */
export const g09: Experiment = {
  id: 'G09',
  guarantee: 'nobody grants more than they hold, nor acts for an owner, nor leaves their key policy',
  inCi: true,
  fault: { what: 'owning keys counts for nothing when a user is changed', patch: 'forgets-owners.mjs' },
  run: async ({ size, random, log, fault }) => {
    const cluster = await ProofCluster.start(1, { KEY_VALIDITY_DAYS: '15' }, fault);
    try {
      const trial = await Trial.prepare(cluster, random);
      for (let round = 0; round < ROUNDS[size] && trial.violations.length < MAX_VIOLATIONS; round += 1) {
        await trial.attempt(round);
        if (round % COMPARED_EVERY === COMPARED_EVERY - 1) await trial.compare();
      }
      await trial.compare();
      log(`${trial.allowed} allowed, ${trial.refused} refused, ${trial.forged} with a forged member`);
      return {
        violations: trial.violations,
        floors: [
          floor('attempts with a forged member refused', trial.forged, FLOOR[size]),
          ...trial.floors(FLOOR[size]),
        ],
        figures: {
          routes: Object.keys(ROUTES).length,
          allowed: trial.allowed,
          refused: trial.refused,
          forged: trial.forged,
        },
      };
    } finally {
      await cluster.stop();
    }
  },
};

class Trial {
  readonly violations: string[] = [];
  forged = 0;
  private readonly counts = new Map(Object.keys(ROUTES).map((name) => [name, { allowed: 0, refused: 0 }]));

  private constructor(
    private readonly cluster: ProofCluster,
    private readonly random: Random,
    private readonly world: World,
    private readonly draw: Draw,
    private readonly actors: readonly Actor[],
  ) {}

  static async prepare(cluster: ProofCluster, random: Random): Promise<Trial> {
    const world = new World();
    const actors: Actor[] = [];
    const isTarget = (id: string) => !actors.some(({ userId }) => userId === id);
    const users = () => [...world.users.values()];
    const draw = new Draw(
      world,
      random,
      () => [...world.roles.keys()].filter((name) => !name.startsWith('actor-')),
      () => users().filter(({ id }) => isTarget(id)),
      users,
      () => users().filter(({ kind }) => kind === 'person'),
    );
    const trial = new Trial(cluster, random, world, draw, actors);
    for (const [index, { grants, policy, extra }] of PEOPLE.entries()) {
      await trial.addRole(`actor-${index}`, [...new Set([...grants, ...draw.some(GRANTS, extra)])], policy ?? null);
    }
    for (const index of PEOPLE.keys()) actors.push(await trial.addActor(index));
    for (const [person, role] of KEYS) actors.push(await trial.addKeyActor(actors[person]!, `actor-${role}`));
    await trial.replenish();
    return trial;
  }

  get allowed(): number {
    return [...this.counts.values()].reduce((sum, { allowed }) => sum + allowed, 0);
  }

  get refused(): number {
    return [...this.counts.values()].reduce((sum, { refused }) => sum + refused, 0);
  }

  /** Of each route, attempts of both kinds. */
  floors(atLeast: number): Floor[] {
    return [...this.counts].flatMap(([name, { allowed, refused }]) => [
      floor(`${name} allowed`, allowed, atLeast),
      floor(`${name} refused`, refused, atLeast),
    ]);
  }

  async attempt(round: number): Promise<void> {
    await this.replenish();
    const names = Object.keys(ROUTES);
    const name = names[round % names.length]!;
    const { attempt, actor } = this.choose(name);
    const forged = attempt.body !== undefined && this.draw.chance(0.08) ? this.random.pick(FORGED) : null;
    const body = forged === null ? attempt.body : { ...attempt.body, ...forged };
    const isForged = forged !== null && !isIgnored(attempt, forged);
    const answer = await this.send(attempt.method, attempt.path, actor.credentials, body);
    const wasDone = answer.status < 300 && (attempt.wasDone?.(answer) ?? true);
    if (isForged) {
      this.forged += 1;
      if (answer.status < 300)
        this.violations.push(
          `round ${round}, ${name} by ${actor.label}: a forged member was taken: ${JSON.stringify(body)}`,
        );
      return;
    }
    if (attempt.rights !== 'either' && attempt.rights !== wasDone) {
      const told = wasDone
        ? 'was allowed, and must not be'
        : `was refused, and must not be (${answer.status} ${JSON.stringify(answer.body).slice(0, 300)})`;
      this.violations.push(
        `round ${round}, ${name} by ${actor.label} ${told}: ${attempt.method} ${attempt.path} ${JSON.stringify(body)}`,
      );
    }
    const count = this.counts.get(name)!;
    if (wasDone) {
      count.allowed += 1;
      attempt.after?.(answer);
    } else {
      count.refused += 1;
    }
  }

  async compare(): Promise<void> {
    this.violations.push(...(await differences(this.cluster.database, this.world)).slice(0, MAX_VIOLATIONS));
  }

  /** An attempt that the rules allow, or one that they refuse: both are to be seen of every route. */
  private choose(name: string): { attempt: Attempt; actor: Actor } {
    const wanted = this.draw.chance(0.5);
    for (let drawn = 1; ; drawn += 1) {
      const actor = this.random.pick(this.actors);
      const attempt = ROUTES[name]!(this.draw, actor);
      if (attempt.rights === wanted || drawn === MAX_DRAWN) return { attempt, actor };
    }
  }

  /** There is always something to try it on. */
  private async replenish(): Promise<void> {
    while (this.draw.targetRoles().length < 8) {
      const policy = this.random.pick([
        null,
        null,
        {},
        BOUNDED,
        { maxRateLimitPerMinute: 5 },
        { reservedTagPrefixes: ['plan:'] },
      ]);
      await this.addRole(`role-${this.draw.name()}`, this.draw.someGrants(3), policy);
    }
    while (this.draw.targetUsers().filter(({ kind }) => kind === 'person').length < 4) await this.addUser('person');
    while (this.draw.targetUsers().filter(({ kind }) => kind === 'service').length < 4) await this.addUser('service');
    while ([...this.world.keys.values()].filter(({ isRevoked }) => !isRevoked).length < 16) await this.addKey();
  }

  private async addRole(name: string, permissions: readonly string[], keyPolicy: WorldPolicy | null): Promise<void> {
    await this.asAdmin('/roles', { name, permissions, keyPolicy });
    this.world.roles.set(name, { name, permissions, keyPolicy, isActive: true });
  }

  private async addUser(kind: 'person' | 'service', roles = this.draw.roles()): Promise<string> {
    const managerIds = kind === 'service' ? this.draw.some(this.draw.persons(), 2).map(({ id }) => id) : [];
    const email = kind === 'person' ? { email: `${this.draw.name()}@g09.test`, password: PASSWORD } : {};
    const { id } = (await this.asAdmin('/users', { name: kind, kind, roles, managerIds, ...email })) as { id: string };
    this.world.users.set(id, { id, kind, roles, managerIds, isActive: true });
    return id;
  }

  private async addActor(index: number): Promise<Actor> {
    const roles = [`actor-${index}`];
    const email = `actor-${index}@g09.test`;
    const { id } = (await this.asAdmin('/users', { name: email, email, password: GIVEN_PASSWORD, roles })) as {
      id: string;
    };
    this.world.users.set(id, { id, kind: 'person', roles, managerIds: [], isActive: true });
    const { accessToken } = (await this.asAdmin('/auth/login', { email, password: GIVEN_PASSWORD })) as {
      accessToken: string;
    };
    const own = { password: PASSWORD, currentPassword: GIVEN_PASSWORD };
    const chosen = await this.send('PUT', `/users/${id}/password`, { token: accessToken }, own);
    if (chosen.status >= 300)
      throw new Error(`choosing a password answered ${chosen.status}: ${JSON.stringify(chosen.body)}`);
    return { label: `person ${index}`, kind: 'person', userId: id, keyRoles: [], credentials: { token: accessToken } };
  }

  private async addKeyActor({ userId, label }: Actor, role: string): Promise<Actor> {
    const { secretKey } = (await this.asAdmin('/api-keys', { ownerId: userId, roles: [role] })) as {
      secretKey: string;
    };
    return {
      label: `a key of ${label} with ${role}`,
      kind: 'key',
      userId,
      keyRoles: [role],
      credentials: { apiKey: secretKey },
    };
  }

  private async addKey(): Promise<void> {
    const [ownerId, roles, alias, rateLimitPerMinute, tags] = [
      this.draw.owner().id,
      this.draw.roles(),
      this.draw.name(),
      this.random.pick([null, 5, 50]),
      this.draw.tags(),
    ];
    const { apiKey } = (await this.asAdmin('/api-keys', { ownerId, roles, alias, rateLimitPerMinute, tags })) as {
      apiKey: { id: string };
    };
    const key: WorldKey = {
      id: apiKey.id,
      alias,
      ownerId,
      roles,
      rateLimitPerMinute,
      tags,
      isActive: true,
      deactivatedBy: null,
      expiresAt: null,
      maxExpiresAt: null,
      isRevoked: false,
    };
    this.world.keys.set(key.id, key);
  }

  private async asAdmin(path: string, body: object): Promise<unknown> {
    const answer = await this.send('POST', path, { token: this.cluster.adminToken }, body);
    if (answer.status >= 300) throw new Error(`POST ${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  /** Waits as long as a 429 says: how fast a caller may ask is another matter. */
  private async send(
    method: string,
    path: string,
    credentials: Actor['credentials'],
    body?: object,
  ): Promise<ProofAnswer> {
    for (;;) {
      const ask = () =>
        this.cluster.replica(0).client.request(method, `/api/v1${path}`, {
          ...credentials,
          ...(body === undefined ? {} : { body }),
          timeoutMs: 30_000,
        });
      const answer = await patiently(ask);
      if (answer.status !== 429 || (answer.body as { code?: string }).code === 'API_KEY_LIMIT_REACHED') return answer;
      await sleep(1000 * Math.max(1, Number(answer.headers['retry-after'] ?? 1)));
    }
  }
}
