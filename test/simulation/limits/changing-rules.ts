import { World } from '../world.js';
import type { FaultTally, Replica } from '../world.js';
import { EACH, OWNERS, PROJECTS, SUBJECTS } from './boundaries.js';
import type { LimitBooks } from './limit-books.js';
import { copyOf } from './limit-rows.js';
import type { LimitRow, Rules } from './limit-rows.js';
import type { LimitStoreModel } from './limit-store-model.js';

/** What a run has done: a run in which nothing happens proves nothing. */
export interface LimitTally extends FaultTally {
  admitted: number;
  /** Calls that drew from at least three accounts. */
  shared: number;
  /** Calls that were refused because they named no subject, and those that drew from an account of one. */
  subjectRequired: number;
  ofSubject: number;
  budgetExceeded: number;
  /** Calls that a limit of requests refused, those that it counted, and those that were undone. */
  rateLimited: number;
  counted: number;
  undone: number;
  unavailable: number;
  settled: number;
  released: number;
  closed: number;
  /** Accounts of which a run has used more than one period. */
  periodsPassed: number;
  amounts: number;
  overrides: number;
  moves: number;
  settledAfterMove: number;
  created: number;
  deleted: number;
  swept: number;
  settledAfterSweep: number;
}

/** Amounts of limits and overrides, by unit. */
const AMOUNTS = {
  cents: [0, 300, 2_000, 20_000, 20_000, 1_000_000],
  tokens: [0, 300, 4_000, 4_000, 1_000_000],
  requests: [0, 10, 60, 60, 400, 100_000],
} as const;

/** The rules of a run, and how they change. */
export abstract class ChangingRules extends World {
  abstract override readonly tally: LimitTally;
  protected abstract override readonly replicas: Replica[];
  protected abstract readonly store: LimitStoreModel;
  protected abstract readonly books: LimitBooks;
  protected abstract readonly zone: string;
  /** What each replica knows of keys and limits. */
  protected readonly records = new Map<Replica, Rules>();
  protected readonly moved = new Set<string>();
  private limits = 0;

  protected createLimit(): void {
    const { random } = this;
    const kind = random.pick(['key', 'owner', 'project', 'installation'] as const);
    const ids = { key: [...this.store.keys.keys()], owner: OWNERS, project: PROJECTS, installation: [''] };
    const unit = random.pick(['cents', 'cents', 'tokens', 'requests'] as const);
    const each = random.pick(EACH[kind]);
    const per = random.pick(['day', 'day', 'week', 'month', 'total'] as const);
    const limit: LimitRow = {
      id: `limit-${++this.limits}`,
      unit,
      target: { kind, id: random.pick(ids[kind]) },
      each,
      per: each === 'subject' && per === 'total' ? 'day' : per,
      timeZone: random.chance(0.7) ? this.zone : 'UTC',
      amount: BigInt(random.pick(AMOUNTS[unit])),
      models: random.chance(0.4) ? ['gpt'] : [],
      mode: random.chance(0.25) ? 'observe' : 'enforce',
      overrides: new Map(),
      isDeleted: false,
    };
    this.log(
      () =>
        `create ${limit.id} (${unit}) of ${kind} ${limit.target.id} each ${limit.each}: ${limit.amount} ${limit.per}`,
    );
    this.store.limits.set(limit.id, limit);
    this.tally.created++;
    this.written(limit);
  }

  // ---- changes of the rules

  protected change(): void {
    const dice = this.random.next();
    const live = [...this.store.limits.values()].filter(({ isDeleted }) => !isDeleted);
    if (dice < 0.25 || live.length === 0) return this.moveKey();
    const limit = this.random.pick(live);
    if (dice < 0.55) return this.changeAmount(limit);
    if (dice < 0.75) return this.override(limit);
    if (dice < 0.85) return this.createLimit();
    if (dice < 0.93) return this.changeBudget();
    this.tally.deleted++;
    this.log(() => `delete ${limit.id}`);
    limit.isDeleted = true;
    this.written(limit);
  }

  private changeAmount(limit: LimitRow): void {
    this.tally.amounts++;
    limit.amount = BigInt(this.random.pick(AMOUNTS[limit.unit]));
    this.log(() => `change ${limit.id} to ${limit.amount}`);
    this.written(limit);
  }

  private override(limit: LimitRow): void {
    const { random } = this;
    if (limit.each === null) return;
    const members = { key: [...this.store.keys.keys()], owner: OWNERS, subject: SUBJECTS };
    const member = random.pick(members[limit.each]);
    const untilMs = random.chance(0.7) ? this.clockMs() + random.between(500, 20_000) : null;
    const amount = BigInt(random.pick(AMOUNTS[limit.unit]));
    this.tally.overrides++;
    this.log(() => `override ${limit.id} of ${member}: ${amount} for ${(untilMs ?? Infinity) - this.clockMs()} ms`);
    if (random.chance(0.15)) limit.overrides.delete(member);
    else limit.overrides.set(member, { amount, untilMs });
    this.written(limit);
  }

  private moveKey(): void {
    const { random } = this;
    const key = random.pick([...this.store.keys.values()]);
    const before = SUBJECTS.flatMap((subject) => this.store.accountsFor(this.store, key.id, null, subject));
    if (random.chance(0.5)) key.ownerId = random.pick(OWNERS);
    else key.projectId = random.pick([...PROJECTS, null]);
    this.log(() => `move ${key.id} to ${key.ownerId}, ${key.projectId}`);
    this.tally.moves++;
    this.moved.add(key.id);
    this.evict([key.id, ...before]);
  }

  private changeBudget(): void {
    const { random } = this;
    const key = random.pick([...this.store.keys.values()]);
    if (key.budget === null && this.isGood) return;
    key.budget = !this.isGood && random.chance(0.2) ? null : BigInt(random.pick([100, 1_000, 30_000, 500_000]));
    this.log(() => `budget of ${key.id}: ${key.budget}`);
    this.checked(() => this.store.changedBudget(key.id));
    this.books.compare();
    this.evict([key.id]);
  }

  private written(limit: LimitRow): void {
    this.checked(() => this.store.changed(limit));
    const accounts = [...this.store.accounts.values()].map(({ accountId }) => accountId);
    this.evict(accounts.filter((id) => id === limit.id || id.startsWith(`${limit.id}/`)));
  }

  /** What the change feed does: replicas read the rules again and drop what they hold of these accounts. */
  private evict(accountIds: readonly string[]): void {
    for (const replica of this.replicas ?? [])
      this.at(
        this.random.between(1, 900),
        replica.guard(() => {
          this.records.set(replica, copyOf(this.store));
          for (const id of accountIds) {
            replica.leaseManager.dropKey(id);
            replica.leaseManager.dropLimit(id);
          }
        }),
      );
  }
}
