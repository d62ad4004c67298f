import { setTimeout as sleep } from 'node:timers/promises';
import { insertLimit } from '../../support/limits.js';
import { limitSubjectId } from '../../../src/quotas/limits/account-id.js';
import type { LimitRow } from '../../../src/quotas/limits/limit-row.js';
import { bookDifferences } from '../harness/books.js';
import { patiently, ProofCluster } from '../harness/cluster.js';
import type { Experiment } from '../harness/experiment.js';
import { floor, floorsOfKinds } from '../harness/floors.js';
import type { ProofAnswer } from '../harness/http-client.js';
import type { Random } from '../harness/random.js';
import { type Admitted, mostWithin } from '../harness/sliding-window.js';

const SIZES = { ci: { loadMs: 12_000, kills: 2 }, full: { loadMs: 600_000, kills: 60 } } as const;
const CLIENTS = 24;
const KEYS = 6;
const CENT = 1_000_000n;
const MICRO_CENTS = 1_000_000;
const MODELS = [undefined, 'gpt-4', 'claude'];
const TARGETS = ['key', 'owner', 'project', 'installation'] as const;
const COUNTED = ['cents', 'tokens', 'requests', 'requests by minute', 'cents of each subject'] as const;
/** End users. The first makes every fifth call, and so uses up what each may spend. */
const SUBJECTS = Array.from({ length: 40 }, (_, index) => `user-${index}`);
/** The end user of calls that spend nothing. */
const OTHER_SUBJECT = 'other';
/** Calls of one owner's two keys in any minute. */
const PACE = 100;
/** Requests of a key that all replicas use up at the end. Nothing is lost then: nearly all must be reached. */
const REACHED = 300;
const LEAST_REACHED = 0.95;
/** What one replica has in hand is back a second after its last use. */
const REFUSED_FOR_MS = 2_000;
/** As far as the longest hold of a call that nobody settles; reports come long before. */
const MOST_TTL_SECONDS = 90;

const LOSES_CHARGES = `
  CREATE FUNCTION lose_charges() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    IF random() < 0.05 THEN NEW.spent_micro_cents := OLD.spent_micro_cents; END IF;
    RETURN NEW;
  END $$;
  CREATE TRIGGER lose_charges BEFORE UPDATE ON budget_account FOR EACH ROW
    WHEN (NEW.limit_id IS NOT NULL AND NEW.spent_micro_cents > OLD.spent_micro_cents) EXECUTE FUNCTION lose_charges()`;

/**
 * Clients reserve on one replica and settle on another, with keys of several owners and projects that all share limits,
 * while keys move and replicas are killed. No call costs or takes more than it reserved, and every report comes in
 * time: not a micro-cent, a token or a request may lie beyond any limit. What is charged to limits of the installation
 * is compared with what the clients have had acknowledged, and what one counts with the calls that passed. Each call
 * names its end user, or is refused; two keys of one owner share a limit by minute, and clients know when they called.
 */
export const g39: Experiment = {
  id: 'G39',
  guarantee:
    'limits that keys share hold: 0 µ¢, tokens or requests over, each account is the sum of the events that name it',
  inCi: true,
  fault: { what: 'one charge of a limit in twenty is lost', sql: LOSES_CHARGES },
  run: async ({ size, random, log, fault }) => {
    const { loadMs, kills } = SIZES[size];
    const cluster = await ProofCluster.start(3, { MAX_ACTIVE_KEYS: '10000' }, fault);
    try {
      const load = new Load(cluster, random);
      await load.prepare();
      const until = performance.now() + loadMs;
      const clients = Array.from({ length: CLIENTS }, () => load.spend(until));
      const moving = load.move(until);
      let killed = 0;
      while (killed < kills) {
        await sleep(loadMs / (kills + 1));
        const replica = random.pick(cluster.replicas);
        await replica.end('SIGKILL');
        await replica.start();
        killed += 1;
      }
      await Promise.all([...clients, moving]);
      const reached = await load.reach();
      const violations = [...load.violations, ...(await load.compare()), ...(await bookDifferences(cluster))];
      const { admitted, long, refused, refusedBy, acknowledged, tokens, moves, undecided, paced, nameless } = load;
      log(
        `${admitted} admitted, ${undecided} undecided, ${moves} moves, ${killed} kills, ${acknowledged} µ¢ and ${tokens} tokens acknowledged, ${reached} of ${REACHED} requests reached`,
      );
      return {
        violations: violations.slice(0, 20),
        floors: [
          floor('calls admitted', admitted, CLIENTS),
          floor('calls with leases of their own', long, 1),
          floor('micro-cents acknowledged', acknowledged, MICRO_CENTS),
          floor('tokens acknowledged', tokens, 1_000),
          floor('requests of a limit that were reached', reached, REACHED * LEAST_REACHED),
          floor('calls of a limit by minute that passed', paced.length, PACE / 2),
          floor('calls without a subject that were refused', nameless, 1),
          floor('moves of keys', moves, 2),
          floor('replicas killed', killed, kills),
          ...floorsOfKinds('calls refused by a limit of', TARGETS, refused, 1),
          ...floorsOfKinds('calls refused by a limit that counts', COUNTED, refusedBy, 1),
        ],
        figures: {
          ...{ admitted, undecided, moves, killed, acknowledged, tokens, reached, nameless, paced: paced.length },
          ...Object.fromEntries(refused),
        },
      };
    } finally {
      await cluster.stop();
    }
  },
};

class Load {
  admitted = 0;
  long = 0;
  undecided = 0;
  moves = 0;
  acknowledged = 0;
  tokens = 0;
  /** Refused because they named no subject. */
  nameless = 0;
  readonly paced: Admitted[] = [];
  readonly refusedBy = new Map<(typeof COUNTED)[number], number>();
  readonly refused = new Map<(typeof TARGETS)[number], number>();
  readonly violations: string[] = [];
  private readonly byKey = new Map<string, number>();
  private readonly bySubject = new Map<string, number>();
  private readonly limits: LimitRow[] = [];
  private keys: { id: string; secret: string }[] = [];
  private owners: string[] = [];
  private projects: string[] = [];
  private callerSecret = '';
  private last = { id: '', secret: '' };
  private pacedKeys: { id: string; secret: string }[] = [];
  private events = 0;

  constructor(
    private readonly cluster: ProofCluster,
    private readonly random: Random,
  ) {}

  async prepare(): Promise<void> {
    const create = (draft: Parameters<typeof insertLimit>[1]) =>
      insertLimit((sql, values) => this.cluster.database.query(sql, values), draft).then((row) =>
        this.limits.push(row),
      );
    // Before any key is known to a replica. Each is small enough to be used up by some key or other.
    await create({ name: 'all, watched', amount: 0n, mode: 'observe', per: 'day', timeZone: 'Asia/Kathmandu' });
    await create({ name: 'owners, watched', amount: 0n, mode: 'observe', each: 'owner' });
    await create({ name: 'each key', amount: 40n * CENT, each: 'key' });
    await create({ name: 'claude', amount: 12n * CENT, models: ['claude*'], per: 'week', timeZone: 'Europe/Berlin' });
    await create({ name: 'all', amount: 150n * CENT, per: 'month', timeZone: 'America/Havana' });
    await create({ name: 'tokens, watched', unit: 'tokens', amount: 0n, mode: 'observe', per: 'month' });
    await create({ name: 'requests, watched', unit: 'requests', amount: 0n, mode: 'observe' });
    await create({ name: 'each subject', amount: 3n * CENT, each: 'subject', per: 'month' });
    await create({ name: 'tokens of owners', unit: 'tokens', amount: 60_000n, each: 'owner', per: 'week' });
    for (let index = 0; index < 2; index += 1) {
      this.owners.push((await this.change('/users', { name: `Owner ${index}`, kind: 'service' })).id as string);
      this.projects.push((await this.change('/projects', { name: `Project ${index}` })).id as string);
    }
    const [owner = null] = this.owners;
    const [project = null] = this.projects;
    await create({ name: 'owner', targetKind: 'owner', targetId: owner, amount: 20n * CENT });
    await create({ name: 'project', targetKind: 'project', targetId: project, amount: 18n * CENT, per: 'day' });
    const ofProject = { targetKind: 'project' as const, targetId: this.projects[1]! };
    await create({ ...ofProject, name: 'requests of a project', unit: 'requests', amount: 40n, per: 'day' });
    this.callerSecret = (await this.cluster.createKey({ roles: ['gateway'] })).secret;
    for (let index = 0; index < KEYS; index += 1)
      this.keys.push(
        await this.cluster.createKey({ ownerId: this.owners[index % 2], projectId: this.projects[(index >> 1) % 2] }),
      );
    const [first] = this.keys;
    const ofFirst = { targetKind: 'key' as const, targetId: first!.id };
    await create({ ...ofFirst, name: 'key', amount: 5n * CENT });
    // Used up by two or three calls, however few there are: a slow machine does not use up those of owners.
    await create({ ...ofFirst, name: 'tokens of the key', unit: 'tokens', amount: 600n, per: 'day' });
    const last = await this.cluster.createKey({ ownerId: this.owners[0] });
    this.last = last;
    const ofLast = { targetKind: 'key' as const, targetId: last.id };
    await create({ ...ofLast, name: 'reached', unit: 'requests', amount: BigInt(REACHED), per: 'day' });
    const { id: pacedOwner } = await this.change('/users', { name: 'Paced', kind: 'service' });
    const ofPaced = { targetKind: 'owner' as const, targetId: pacedOwner as string };
    await create({ ...ofPaced, name: 'paced', unit: 'requests', amount: BigInt(PACE), per: 'minute' });
    for (let index = 0; index < 2; index += 1)
      this.pacedKeys.push(await this.cluster.createKey({ ownerId: pacedOwner as string }));
  }

  /** Uses a limit of requests up from all replicas, until it has refused for a while. Gives what calls came to. */
  async reach(): Promise<number> {
    let [reached, refusedSince] = [0, Infinity];
    const use = async (): Promise<void> => {
      while (performance.now() < refusedSince + REFUSED_FOR_MS) {
        const answer = await this.ask('/verify', { key: this.last.secret, subject: OTHER_SUBJECT });
        if (answer?.status !== 200) this.undecided += 1;
        else if (answer.body.valid === true) {
          reached += 1;
          this.admitted += 1;
          refusedSince = Infinity;
        } else {
          if (answer.body.code !== 'RATE_LIMITED') this.violations.push(`refused: ${JSON.stringify(answer.body)}`);
          refusedSince = Math.min(refusedSince, performance.now());
          await sleep(50);
        }
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, use));
    if (reached > REACHED) this.violations.push(`${reached} calls passed a limit of ${REACHED} requests`);
    return reached;
  }

  /** Reserves, and settles or releases, until the time is over. */
  async spend(untilMs: number): Promise<void> {
    while (performance.now() < untilMs) await (this.random.next() < 0.15 ? this.pace() : this.once());
  }

  /** Keys get other owners and projects. */
  async move(untilMs: number): Promise<void> {
    while (performance.now() < untilMs) {
      const { id } = this.random.pick(this.keys.slice(1));
      const to =
        this.random.next() < 0.5
          ? { ownerId: this.random.pick(this.owners) }
          : { projectId: this.random.pick([...this.projects, null]) };
      const { status } = await this.patiently(`/api-keys/${id}/transfer`, to);
      if (status === 200) this.moves += 1;
      await sleep(300);
    }
  }

  /** What the accounts of limits have, beside their rules and what the clients know. */
  async compare(): Promise<string[]> {
    const rows = await this.cluster.database.query<AccountRow>(
      `SELECT l.name, a.member_id AS member, a.period, l.amount, l.mode, a.overdraft_micro_cents AS overdraft,
              a.spent_micro_cents + CASE l.unit WHEN 'requests' THEN a.leased_micro_cents ELSE 0 END AS spent
         FROM budget_account a JOIN quota_limit l ON l.id = a.limit_id`,
    );
    const over = rows
      .filter(
        ({ mode, spent, amount, overdraft }) =>
          mode === 'enforce' && (BigInt(spent) > BigInt(amount) || overdraft !== '0'),
      )
      .map((row) => `over: ${JSON.stringify(row)}`);
    const sumOf = (name: string, member?: string): number =>
      rows
        .filter((row) => row.name === name && (member === undefined || row.member === member))
        .reduce((sum, { spent }) => sum + Number(spent), 0);
    const known = ['all, watched', 'owners, watched', 'each key', 'each subject', 'all'].map((name) => ({
      ...{ what: name, is: sumOf(name), shouldBe: this.acknowledged },
    }));
    const ofKeys = this.keys.map(({ id }) => ({
      ...{ what: `key ${id}`, is: sumOf('each key', id), shouldBe: this.byKey.get(id) ?? 0 },
    }));
    const ofSubjects = SUBJECTS.map((subject) => ({
      ...{
        what: subject,
        is: sumOf('each subject', limitSubjectId(subject)),
        shouldBe: this.bySubject.get(subject) ?? 0,
      },
    }));
    const most = mostWithin(this.paced, 60_000);
    const ofTokens = { what: 'tokens, watched', is: sumOf('tokens, watched'), shouldBe: this.tokens };
    const counted = sumOf('requests, watched');
    return [
      ...over,
      ...[...known, ...ofKeys, ...ofSubjects, ofTokens]
        .filter(({ is, shouldBe }) => is !== shouldBe)
        .map(({ what, is, shouldBe }) => `${what}: ${is} are charged, ${shouldBe} were acknowledged`),
      ...(most > PACE ? [`${most} calls passed within a minute, where ${PACE} may`] : []),
      // What a killed replica had in hand counts as used, and so does a call whose answer was lost.
      ...(counted < this.admitted ? [`${counted} requests were counted, ${this.admitted} calls passed`] : []),
    ];
  }

  /** A call that spends nothing, of a key whose owner has a limit by minute. */
  private async pace(): Promise<void> {
    const start = performance.now();
    const question = { key: this.random.pick(this.pacedKeys).secret, subject: OTHER_SUBJECT };
    const answer = await this.ask('/verify', question);
    if (answer?.status === 200 && answer.body.valid === true) {
      this.admitted += 1;
      this.paced.push({ start, end: performance.now() });
    } else if (answer?.status === 200) await this.noteRefusal(answer, OTHER_SUBJECT);
    else this.undecided += 1;
    await sleep(25);
  }

  private async once(): Promise<void> {
    const key = this.random.pick(this.keys);
    const subject = this.subjectOfCall();
    const cost = 1 + this.random.integer(MICRO_CENTS);
    const reserve = Math.floor(cost * (1 + this.random.next() * 3));
    const isLong = this.random.next() < 0.4;
    const [input, output] = [this.random.integer(200), this.random.integer(200)];
    const reserveTokens = input + output + this.random.integer(400);
    const answer = await this.ask('/verify', {
      key: key.secret,
      ...{ model: this.random.pick(MODELS), subject },
      reserveCents: reserve / MICRO_CENTS,
      reserveTokens,
      reservationTtlSeconds: isLong ? MOST_TTL_SECONDS : 60,
    });
    if (answer?.status !== 200) {
      this.undecided += 1;
      return void (await sleep(25));
    }
    if (answer.body.valid !== true) return this.noteRefusal(answer, subject);
    if (subject === undefined) this.violations.push('a call without a subject passed');
    this.admitted += 1;
    if (isLong) this.long += 1;
    await sleep(this.random.integer(60));
    const reservationId = answer.body.reservation.id as string;
    if (this.random.next() < 0.1) return void (await this.deliver('/reservations/release', { reservationId }));
    // A report that names no tokens counts as what was reserved.
    const named = this.random.next() < 0.8 ? { inputTokens: input, outputTokens: output } : null;
    const event = { id: `e${(this.events += 1)}`, reservationId, costCents: cost / MICRO_CENTS, ...named };
    const { status, body } = await this.deliver('/usage', { events: [event] });
    const result = body.results?.[0] as { outcome: string; late?: boolean } | undefined;
    const isBooked = status === 200 && (result?.outcome === 'accepted' || result?.outcome === 'duplicate');
    if (!isBooked || result.late === true)
      this.violations.push(`a report in time answered ${status}: ${JSON.stringify(body)}`);
    this.acknowledged += cost;
    this.tokens += named === null ? reserveTokens : input + output;
    this.byKey.set(key.id, (this.byKey.get(key.id) ?? 0) + cost);
    this.bySubject.set(subject ?? '', (this.bySubject.get(subject ?? '') ?? 0) + cost);
  }

  /** Undefined: the call names none. */
  private subjectOfCall(): string | undefined {
    const share = this.random.next();
    if (share < 0.05) return undefined;
    return share < 0.25 ? SUBJECTS[0] : this.random.pick(SUBJECTS);
  }

  private async noteRefusal({ body }: ProofAnswer, subject: string | undefined): Promise<void> {
    const limit = this.limits.find(({ id }) => id === body.limit?.id);
    if (subject === undefined && limit?.each === 'subject' && body.code === 'SUBJECT_REQUIRED') {
      this.nameless += 1;
      return void (await sleep(20));
    }
    const code = limit?.unit === 'requests' ? 'RATE_LIMITED' : 'BUDGET_EXCEEDED';
    if (body.code !== code || limit === undefined || limit.mode === 'observe' || limit.unit === 'slots')
      this.violations.push(`a verify was refused: ${JSON.stringify(body)}`);
    else {
      this.refused.set(limit.targetKind, (this.refused.get(limit.targetKind) ?? 0) + 1);
      const counted = countedBy(limit, limit.unit);
      this.refusedBy.set(counted, (this.refusedBy.get(counted) ?? 0) + 1);
    }
    await sleep(20);
  }

  /** Sends it until it is acknowledged: a repeat changes nothing. */
  private async deliver(path: string, body: unknown): Promise<ProofAnswer> {
    for (;;) {
      const answer = await this.ask(path, body);
      if (answer !== null && answer.status !== 503) return answer;
      await sleep(25);
    }
  }

  /** Null: no answer came, because a replica was killed. */
  private async ask(path: string, body: unknown): Promise<ProofAnswer | null> {
    const { client } = this.random.pick(this.cluster.replicas);
    return client.post(path, { apiKey: this.callerSecret, body, timeoutMs: 3_000 }).catch(() => null);
  }

  private patiently(path: string, body: unknown): Promise<ProofAnswer> {
    return patiently(() =>
      this.random
        .pick(this.cluster.replicas)
        .client.post(path, { token: this.cluster.adminToken, body })
        .catch(() => ({ status: 503, body: {}, headers: new Headers() }) as unknown as ProofAnswer),
    );
  }

  private async change(path: string, body: unknown): Promise<Record<string, unknown>> {
    const answer = await this.patiently(path, body);
    if (answer.status !== 201) throw new Error(`${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`);
    return answer.body as Record<string, unknown>;
  }
}

function countedBy({ each, per }: LimitRow, unit: Exclude<LimitRow['unit'], 'slots'>): (typeof COUNTED)[number] {
  if (each === 'subject') return 'cents of each subject';
  return per === 'minute' ? 'requests by minute' : unit;
}

interface AccountRow {
  readonly name: string;
  readonly member: string | null;
  readonly period: string;
  readonly amount: string;
  readonly mode: string;
  readonly spent: string;
  readonly overdraft: string;
}
