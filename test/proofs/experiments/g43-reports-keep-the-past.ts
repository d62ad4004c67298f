import { untilSummedUp } from '../../support/summed-up.js';
import { bookDifferences } from '../harness/books.js';
import { patiently, ProofCluster } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor } from '../harness/floors.js';
import type { Random } from '../harness/random.js';

const ROUNDS = { ci: 3, full: 12 } as const;
const CHANGES = { ci: 24, full: 300 } as const;
const KEYS = 6;
const OWNERS = 3;
const PROJECTS = 2;
const REPORTERS = 6;
const DAYS_APART = 7;
const DAY_MS = 86_400_000;
const GROUPS = ['day', 'owner', 'project', 'tag', 'model', 'key', 'callTag', 'endpoint'] as const;
const MAX_VIOLATIONS = 20;

/** Moves what was booked and changed since yesterday into the past, so that it becomes a period that is closed. */
const MOVES: readonly string[] = [
  ...[
    'usage_event.received_at',
    'usage_id.received_at',
    'key_version.since',
    'user_version.since',
    'project_version.since',
  ],
  ...['usage_rollup_hour.hour', 'usage_rollup_moved.hour'],
].map((name) => {
  const [table, column] = name.split('.');
  return `UPDATE ${table} SET ${column} = ${column} - $1 * interval '1 day' WHERE ${column} > now() - interval '1 day'`;
});

const REWRITES = `
  CREATE FUNCTION rewrite_versions() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
  BEGIN
    UPDATE key_version SET owner_id = NEW.owner_id, name = NEW.name, tags = NEW.tags, project_id = NEW.project_id WHERE key_id = NEW.id;
    RETURN NEW;
  END $$;
  CREATE TRIGGER rewrite_versions AFTER UPDATE ON api_key FOR EACH ROW EXECUTE FUNCTION rewrite_versions()`;

/** A key under load, and what of its usage certainly was of which owner. */
interface LoadedKey {
  readonly id: string;
  owner: string;
  /** Grows when a change begins and when it ends: odd while one is under way. */
  changes: number;
}

/** A closed period, and its reports as they were read first. */
interface Closed {
  readonly query: string;
  readonly reports: string;
}

/** Keys change owner, project, tags and name, owners and projects are renamed, while two replicas book their usage. */
export const g43: Experiment = {
  id: 'G43',
  guarantee: 'reports about the past never change, and each owner has what a key spent while it was theirs',
  inCi: true,
  fault: { what: 'a change of a key rewrites its versions', sql: REWRITES },
  run: async ({ size, random, log, fault }) => {
    const cluster = await ProofCluster.start(2, { MAX_ACTIVE_KEYS: '10000' }, fault);
    try {
      const load = new Load(cluster, random);
      await load.prepare();
      const violations: string[] = [];
      const closed: Closed[] = [];
      for (let round = 0; round < ROUNDS[size]; round += 1) {
        violations.push(...(await load.round(CHANGES[size])));
        closed.push(await load.close((ROUNDS[size] - round) * DAYS_APART));
        for (const { query, reports } of closed) {
          const now = await load.reports(query);
          if (now !== reports) violations.push(`round ${round}: ${query} was ${reports}, and is ${now}`);
        }
        if (violations.length > MAX_VIOLATIONS) break;
      }
      violations.push(...(await bookDifferences(cluster)));
      const { events, moved, deleted } = load;
      log(`${events} events, ${moved} changes, ${deleted} keys deleted, ${closed.length} closed periods`);
      return {
        violations: violations.slice(0, MAX_VIOLATIONS).map((text) => text.slice(0, 2_000)),
        floors: [
          floor('events booked', events, 20 * ROUNDS[size]),
          floor('changes of keys and owners', moved, CHANGES[size]),
          floor('keys deleted', deleted, 1),
          floor('closed periods read again', closed.length, Math.min(2, ROUNDS[size])),
          floor('hours shared by versions', await load.sharedHours(), 1),
        ],
        figures: { events, changes: moved, deleted, closed: closed.length },
      };
    } finally {
      await cluster.stop();
    }
  },
};

class Load {
  events = 0;
  moved = 0;
  deleted = 0;
  private readonly owners: string[] = [];
  private readonly projects: string[] = [];
  private keys: LoadedKey[] = [];
  /** By owner, in cents of this round: what is theirs for certain, and what may be, having met a change. */
  private certain = new Map<string, number>();
  private possible = new Map<string, number>();
  private names = 0;

  constructor(
    private readonly cluster: ProofCluster,
    private readonly random: Random,
  ) {}

  async prepare(): Promise<void> {
    // Versions are never changed; here the whole past is moved back in time.
    for (const table of ['key_version', 'user_version', 'project_version'])
      for (const name of ['append_only', ...(table === 'user_version' ? ['erase_only'] : [])])
        await this.cluster.database.query(`ALTER TABLE ${table} DISABLE TRIGGER ${table}_${name}`);
    for (let index = 0; index < OWNERS; index += 1) {
      const body = await this.change('POST', '/users', { name: `Owner ${index}`, kind: 'service' });
      this.owners.push(body.id as string);
    }
    for (let index = 0; index < PROJECTS; index += 1)
      this.projects.push((await this.change('POST', '/projects', { name: `Project ${index}` })).id as string);
  }

  /** Reports beside changes; gives what the report by owner has wrong. */
  async round(changes: number): Promise<string[]> {
    [this.certain, this.possible] = [new Map(), new Map()];
    while (this.keys.length < KEYS) this.keys.push(await this.newKey());
    // Read before the keys are used: nothing of an hour before counts for this round.
    const before = await this.spentByOwner();
    let isOver = false;
    const reporting = Array.from({ length: REPORTERS }, async (_, reporter) => {
      while (!isOver) await this.report(reporter);
    });
    try {
      for (let index = 0; index < changes; index += 1) await this.changeOne();
    } finally {
      isOver = true;
      await Promise.all(reporting);
    }
    const after = await this.spentByOwner();
    return this.owners.flatMap((owner) => {
      const spent = (after.get(owner) ?? 0) - (before.get(owner) ?? 0);
      const least = this.certain.get(owner) ?? 0;
      const most = least + (this.possible.get(owner) ?? 0);
      return spent >= least && spent <= most
        ? []
        : [`${owner} has ${spent} cents, and should have ${least} to ${most}`];
    });
  }

  /** Moves the round by so many days, and reads its reports for the first time. */
  async close(days: number): Promise<Closed> {
    // What is pending keeps the hour it was booked in: summed up first, it is moved with the rest.
    await untilSummedUp(this.cluster.database);
    for (const sql of MOVES) await this.cluster.database.query(sql, [days]);
    const day = (offset: number) =>
      new Date(Date.now() - (days + offset) * DAY_MS).toISOString().slice(0, 'YYYY-MM-DD'.length);
    const query = `from=${day(2)}&to=${day(-2)}`;
    const reports = await this.reports(query);
    // What comes next must have something to forge: names, owners and tags of keys that were used then.
    for (const key of this.keys) await this.change('PATCH', `/api-keys/${key.id}`, { name: this.newName(), tags: [] });
    const [gone] = this.keys.splice(0, 1);
    await this.change('POST', `/api-keys/${gone!.id}/revoke`, {});
    await this.cluster.database.query('DELETE FROM api_key WHERE id = $1', [gone!.id]);
    this.deleted += 1;
    return { query, reports };
  }

  /** All reports of a period, as text. */
  async reports(query: string): Promise<string> {
    const texts: string[] = [];
    for (const groupBy of GROUPS) {
      const body = await this.summary(`groupBy=${groupBy}&${query}`);
      texts.push(JSON.stringify(body));
    }
    for (const projectId of this.projects)
      for (const groupBy of ['day', 'owner', 'model', 'endpoint'])
        texts.push(JSON.stringify(await this.summary(`groupBy=${groupBy}&projectId=${projectId}&${query}`)));
    return texts.join('\n');
  }

  async sharedHours(): Promise<number> {
    const [row] = await this.cluster.database.query<{ n: number }>('SELECT count(*)::int AS n FROM usage_rollup_moved');
    return row!.n;
  }

  private async report(reporter: number): Promise<void> {
    const key = this.random.pick(this.keys);
    const { owner, changes } = key;
    this.events += 1;
    const event = {
      ...{ id: `e${this.events}`, apiKeyId: key.id, costCents: 1, model: `m${reporter % 2}` },
      ...{ tags: [`t${reporter}`], endpoint: `/e${reporter % 3}` },
    };
    await this.change('POST', '/usage', { events: [event] }, reporter);
    const isCertain = changes === key.changes && changes % 2 === 0;
    if (isCertain) add(this.certain, owner);
    else for (const one of this.owners) add(this.possible, one);
  }

  private async changeOne(): Promise<void> {
    const key = this.random.pick(this.keys);
    key.changes += 1;
    const at = this.random.integer(2);
    switch (this.random.integer(6)) {
      case 0:
      case 1: {
        const ownerId = this.random.pick(this.owners.filter((owner) => owner !== key.owner));
        await this.change('POST', `/api-keys/${key.id}/transfer`, { ownerId }, at);
        key.owner = ownerId;
        break;
      }
      case 2:
        await this.change('PATCH', `/api-keys/${key.id}`, { tags: [`tag-${this.random.integer(3)}`] }, at);
        break;
      case 3:
        await this.change('POST', `/api-keys/${key.id}/transfer`, { projectId: this.random.pick(this.projects) }, at);
        break;
      case 4:
        await this.change('PATCH', `/projects/${this.random.pick(this.projects)}`, { name: this.newName() }, at);
        break;
      default:
        await this.change('PATCH', `/users/${this.random.pick(this.owners)}`, { name: this.newName() }, at);
    }
    key.changes += 1;
    this.moved += 1;
  }

  private async newKey(): Promise<LoadedKey> {
    const owner = this.random.pick(this.owners);
    const { id } = await this.cluster.createKey({
      ownerId: owner,
      name: this.newName(),
      tags: ['tag-0'],
      projectId: this.random.pick(this.projects),
    });
    return { id, owner, changes: 0 };
  }

  private newName(): string {
    this.names += 1;
    return `name ${this.names}`;
  }

  private async spentByOwner(): Promise<Map<string, number>> {
    const { rows } = await this.summary('groupBy=owner');
    return new Map((rows as { group: string; costCents: number }[]).map(({ group, costCents }) => [group, costCents]));
  }

  private async summary(query: string): Promise<Record<string, unknown>> {
    const answer = await patiently(() =>
      this.cluster
        .replica(this.names)
        .client.request('GET', `/api/v1/usage/summary?${query}`, { token: this.cluster.adminToken }),
    );
    if (answer.status !== 200) throw new Error(`a summary answered ${answer.status}: ${JSON.stringify(answer.body)}`);
    return answer.body as Record<string, unknown>;
  }

  private async change(
    method: 'POST' | 'PATCH',
    path: string,
    body: object,
    replica = 0,
  ): Promise<Record<string, unknown>> {
    const { client } = this.cluster.replica(replica);
    const answer = await patiently(() =>
      client.request(method, `/api/v1${path}`, { token: this.cluster.adminToken, body }),
    );
    if (answer.status >= 300) throw new Error(`${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`);
    return answer.body as Record<string, unknown>;
  }
}

function add(cents: Map<string, number>, owner: string): void {
  cents.set(owner, (cents.get(owner) ?? 0) + 1);
}
