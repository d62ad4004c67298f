import type { FeedRow } from '../../src/key-cache/records/change.js';
import {
  ChangeFeed,
  type ChangeFeedOptions,
  type Poll,
  type PollTicket,
} from '../../src/key-cache/feed/change-feed.js';
import type { KeyRecord } from '../../src/key-cache/records/key-record.js';
import type { LookupResult, LoadedRows } from '../../src/key-cache/records/loaded-records.js';
import { RecordCache } from '../../src/key-cache/records/record-cache.js';
import { RecordLoader, recordIn } from '../../src/key-cache/records/record-loader.js';
import { RecordRefresher } from '../../src/key-cache/records/record-refresher.js';
import { SuspendGuard } from '../../src/common/suspend-guard.js';
import { Random } from '../proofs/harness/random.js';
import { KEY, KEY_FACTS, LIMIT_CHANGED, limitNamed, OWNER, PROJECT, ROLE } from './record-cache-rows.js';

/** A rule of the protocol that a run may break on purpose, to show that the checker would notice. */
export type Fault =
  | 'none'
  /** A load is put whatever has been applied since it was sent. */
  | 'no-fill-guard'
  /** What a change touches is evicted, but the mark that refuses old loads moves later. */
  | 'evict-before-mark'
  /** Loads are put after a restart of the feed as if nothing had happened. */
  | 'no-generation'
  /** Freshness counts from a poll's answer instead of from before it was sent. */
  | 'fresh-from-answer'
  /** Freshness advances though the poll did not reach the head. */
  | 'fresh-before-head'
  /** A suspended host is not noticed. */
  | 'no-suspend-guard'
  /** Another epoch or timeline is not noticed. */
  | 'no-epoch';

/** What a run has seen. */
export interface SimulationResult {
  readonly violations: readonly string[];
  /** Answers from memory, answers from a load, and how many of all told of a revoked key. */
  readonly remembered: number;
  readonly loaded: number;
  readonly revoked: number;
  /** Records that were read anew while they still answered. */
  readonly refreshed: number;
}

const KID = 'kid-1';
const MAX_ROWS = 2;
const OPTIONS: ChangeFeedOptions = { freshMs: 3_000, staleMaxMs: 30_000 };

/** The state of the world in PostgreSQL at one instant: every change gives its thing a version never seen before. */
interface State {
  readonly key: number;
  readonly isRevoked: boolean;
  readonly owner: number;
  readonly role: number;
  readonly project: number;
  readonly installation: number;
}

/** What is versioned. */
const PARTS = ['key', 'owner', 'role', 'project', 'installation'] as const;

/** One history: what every sequence number stood for, from the first state that belongs to it. */
interface History {
  readonly epoch: string;
  readonly timeline: string;
  readonly firstSeq: number;
  readonly states: State[];
  readonly rows: FeedRow[];
}

/** What was true in the database, from `atMs` (real time) on. */
interface Moment {
  readonly atMs: number;
  readonly state: State;
}

/** Short, so that records come of age within a run and are read anew beside everything else. */
const MAX_AGE_MS = 2_500;

class FaultyCache extends RecordCache {
  private markBefore = 0n;
  private mark = 0n;

  constructor(private readonly fault: Fault) {
    super({ maxBytes: 1_000_000, maxAgeMs: MAX_AGE_MS, maxUnknown: 10 });
  }

  override apply(changes: Parameters<RecordCache['apply']>[0]): void {
    this.markBefore = this.mark;
    this.mark = changes.at(-1)?.seq ?? this.mark;
    super.apply(changes);
  }

  override restart(epoch: string, seq: bigint): void {
    this.markBefore = this.mark = seq;
    super.restart(epoch, seq);
  }

  override put(...[ticket, rows, missing]: Parameters<RecordCache['put']>): ReturnType<RecordCache['put']> {
    if (this.fault !== 'no-generation') return super.put(ticket, rows, missing);
    const now = this.beginLoad(ticket.sentAtMs);
    return super.put(now, { ...rows, epoch: this.currentEpoch }, missing);
  }

  currentEpoch = '';

  protected override contains(seq: bigint): boolean {
    if (this.fault === 'no-fill-guard') return true;
    if (this.fault === 'evict-before-mark') return seq >= this.markBefore;
    return super.contains(seq);
  }
}

interface Statement {
  rows: LoadedRows | null;
  readonly resolve: (rows: LoadedRows) => void;
  readonly reject: (error: Error) => void;
}

interface PollUnderWay {
  readonly ticket: PollTicket;
  readonly from: bigint | null;
  poll: Poll | null;
}

/**
 * One replica's cache, loader and feed against a database, every step of every exchange scheduled at random: loads read
 * and arrive, changes commit, polls are sent, read and arrive, requests ask, time passes, the host sleeps, the database
 * is restored. Nothing in it knows real time; a seed is a schedule.
 */
export class RecordCacheSimulation {
  private readonly random: Random;
  private readonly cache: FaultyCache;
  private readonly feed: ChangeFeed;
  private readonly loader: RecordLoader;
  private readonly refresher: RecordRefresher;
  private readonly guard = new SuspendGuard(1_000);
  private readonly soon: (() => void)[] = [];
  private readonly statements: Statement[] = [];
  private poll: PollUnderWay | null = null;
  private history: History;
  private readonly histories = new Map<string, History>();
  private readonly moments: Moment[] = [];
  private versions = 1;
  private realMs = 1_000_000;
  private sleptMs = 0;
  private readonly violations: string[] = [];
  private remembered = 0;
  private loaded = 0;
  private revoked = 0;
  private refreshed = 0;

  constructor(
    seed: number,
    private readonly fault: Fault = 'none',
  ) {
    this.random = new Random(seed);
    this.cache = new FaultyCache(fault);
    this.history = this.begin(0, { key: 1, isRevoked: false, owner: 1, role: 1, project: 1, installation: 1 }, '1');
    this.feed = new ChangeFeed(OPTIONS, {
      apply: (changes) => this.cache.apply(changes),
      restart: ({ epoch, headSeq }) => {
        this.cache.currentEpoch = epoch;
        this.cache.restart(epoch, headSeq);
      },
    });
    this.loader = new RecordLoader(this.cache, {
      monotonicMs: () => this.monotonicMs,
      soon: (run) => this.soon.push(run),
      fetch: () => new Promise((resolve, reject) => this.statements.push({ rows: null, resolve, reject })),
    });
    this.refresher = new RecordRefresher(this.cache, this.loader);
  }

  async run(steps: number): Promise<SimulationResult> {
    for (let step = 0; step < steps && this.violations.length === 0; step += 1) {
      this.step();
      // Promises of the loader go on: by then nothing else may have happened, as in a real turn of the event loop.
      await settled();
    }
    const { violations, remembered, loaded, revoked, refreshed } = this;
    return { violations, remembered, loaded, revoked, refreshed };
  }

  private step(): void {
    const dice = this.random.integer(100);
    if (dice < 30) this.ask();
    else if (dice < 38) this.soon.shift()?.();
    else if (dice < 50) this.advanceStatement();
    else if (dice < 70) this.advancePoll();
    else if (dice < 78) this.commit();
    else if (dice < 83) this.refreshed += this.refresher.refresh();
    else if (dice < 96) this.pass(this.random.pick([1, 10, 200, 700, 1500]));
    else if (dice < 98) this.sleep(this.random.pick([5_000, 60_000]));
    else this.restore();
  }

  private get monotonicMs(): number {
    return this.realMs - this.sleptMs;
  }

  private pass(ms: number): void {
    this.realMs += ms;
  }

  /** The host sleeps: real time goes on, its monotonic clock does not. */
  private sleep(ms: number): void {
    this.realMs += ms;
    this.sleptMs += ms;
  }

  private tick(): number {
    if (this.guard.hasParted(this.realMs, this.monotonicMs) && this.fault !== 'no-suspend-guard') this.feed.suspended();
    return this.monotonicMs;
  }

  /** A request, as the recogniser treats it. */
  private ask(): void {
    const nowMs = this.tick();
    if (this.feed.standing(nowMs) !== 'fresh') return;
    const record = this.cache.findByKid(KID, nowMs);
    if (record !== null) {
      this.remembered += 1;
      this.check(
        'memory',
        versionsOf(record, this.cache.findGrants(record, nowMs)),
        this.appliedSeq,
        this.realMs - OPTIONS.freshMs,
      );
      return;
    }
    const appliedAtStart = this.appliedSeq;
    const epochAtStart = this.cache.currentEpoch;
    const startedMs = this.realMs;
    const want = { name: KID, kid: KID };
    this.loader.load(want).then(
      (loaded) =>
        this.checkLoaded(
          loaded,
          recordIn(loaded, want),
          epochAtStart === this.cache.currentEpoch ? appliedAtStart : 0n,
          startedMs,
        ),
      () => undefined,
    );
  }

  private checkLoaded(loaded: LookupResult, record: KeyRecord | null, applied: bigint, startedMs: number): void {
    if (record === null) return;
    this.loaded += 1;
    this.check('load', versionsOf(record, loaded.grantsOf(record)), applied, startedMs - OPTIONS.freshMs);
  }

  /**
   * No version may be older than the last change applied here, in the history that is followed here; and every version
   * must have been the true one at some instant since `sinceMs`.
   */
  private check(
    source: string,
    used: Partial<Record<(typeof PARTS)[number], number>>,
    applied: bigint,
    sinceMs: number,
  ): void {
    const history = this.histories.get(this.cache.currentEpoch) ?? this.history;
    const follows = history.states.slice(Math.max(0, Number(applied) - history.firstSeq));
    const lately = this.moments.filter(
      (_, index) => (this.moments[index + 1]?.atMs ?? Number.POSITIVE_INFINITY) >= sinceMs,
    );
    for (const part of PARTS) {
      const version = used[part];
      if (version === undefined) continue;
      const say = (what: string) => this.violations.push(`${source} answered by ${part} version ${version}: ${what}`);
      if (!follows.some((state) => state[part] === version)) say(`resurrected, change ${applied} is applied here`);
      if (!lately.some(({ state }) => state[part] === version)) say(`not the truth since ${sinceMs}`);
    }
    if (follows.find((state) => state.key === used.key)?.isRevoked) this.revoked += 1;
  }

  private get appliedSeq(): bigint {
    return this.feed.appliedSeq ?? 0n;
  }

  /** A statement takes its snapshot, or its answer arrives, or is lost. */
  private advanceStatement(): void {
    if (this.statements.length === 0) return;
    const index = this.random.integer(this.statements.length);
    const statement = this.statements[index]!;
    if (statement.rows === null) {
      statement.rows = this.rows();
      return;
    }
    this.statements.splice(index, 1);
    if (this.random.integer(20) === 0) statement.reject(new Error('lost'));
    else statement.resolve(statement.rows);
  }

  private advancePoll(): void {
    const { poll } = this;
    if (poll === null) {
      const nowMs = this.tick();
      // What a sign of life is for, this simulation of one replica does not ask: it is always given in time.
      this.feed.announced(nowMs);
      this.poll = { ticket: this.feed.beginPoll(nowMs), from: this.feed.appliedSeq, poll: null };
    } else if (poll.poll === null) {
      poll.poll = this.snapshot(poll.from);
    } else {
      this.poll = null;
      if (this.random.integer(20) === 0) this.feed.failed(poll.ticket);
      else this.receive(poll.ticket, poll.poll);
    }
  }

  private receive(ticket: PollTicket, poll: Poll): void {
    if (this.fault === 'no-epoch')
      poll = { ...poll, epoch: 'same', timeline: 'same', headSeq: maxOf(poll.headSeq, this.appliedSeq) };
    if (this.fault === 'fresh-from-answer') ticket = { ...ticket, sentAtMs: this.monotonicMs };
    const outcome = this.feed.polled(ticket, poll);
    if (this.fault === 'fresh-before-head' && outcome === 'more')
      (this.feed as unknown as { freshAtMs: number }).freshAtMs = ticket.sentAtMs;
  }

  /** A change, or a row of the trail that changes nothing. */
  private commit(): void {
    const { states, rows, firstSeq } = this.history;
    const state = states.at(-1)!;
    const version = (this.versions += 1);
    const seq = BigInt(firstSeq + states.length);
    const row = {
      seq,
      id: `${this.history.epoch}-${seq}`,
      atMs: this.realMs,
      outcome: 'success',
      hasChanges: true,
      endings: null,
    };
    switch (this.random.integer(7)) {
      case 0:
        states.push({ ...state, key: version, isRevoked: true });
        rows.push({ ...row, action: 'api-keys:revoke', resourceType: 'api-key', resourceId: KEY });
        break;
      case 1:
        states.push({ ...state, key: version });
        rows.push({ ...row, action: 'api-keys:update', resourceType: 'api-key', resourceId: KEY });
        break;
      case 2:
        states.push({ ...state, owner: version });
        rows.push({ ...row, action: 'users:update', resourceType: 'user', resourceId: OWNER });
        break;
      case 3:
        states.push({ ...state, role: version });
        rows.push({ ...row, action: 'roles:update', resourceType: 'role', resourceId: ROLE });
        break;
      case 4:
        states.push({ ...state, project: version });
        rows.push({ ...row, ...this.projectChanged() });
        break;
      case 5:
        states.push({ ...state, installation: version });
        rows.push({ ...row, ...this.installationChanged() });
        break;
      default:
        states.push(state);
        rows.push({ ...row, action: 'api-keys:revoke', resourceType: 'api-key', resourceId: KEY, outcome: 'refused' });
    }
    this.moments.push({ atMs: this.realMs, state: states.at(-1)! });
  }

  private projectChanged() {
    return this.random.integer(2) === 0
      ? { action: 'projects:update', resourceType: 'project', resourceId: PROJECT }
      : { ...LIMIT_CHANGED, target: { kind: 'project' as const, id: PROJECT } };
  }

  /** Of a limit whose row is gone it is not known what it was of. */
  private installationChanged() {
    return this.random.integer(2) === 0
      ? LIMIT_CHANGED
      : { ...LIMIT_CHANGED, target: { kind: 'installation' as const, id: null } };
  }

  /** The database goes back to an earlier state, under another epoch or, as after a failover, only another timeline. */
  private restore(): void {
    const { states, firstSeq, timeline } = this.history;
    const kept = this.random.integer(states.length);
    this.history = this.begin(firstSeq + kept, states[kept]!, String(Number(timeline) + 1));
  }

  private begin(firstSeq: number, state: State, timeline: string): History {
    const history: History = { epoch: `epoch-${timeline}`, timeline, firstSeq, states: [state], rows: [] };
    this.histories.set(history.epoch, history);
    this.moments.push({ atMs: this.realMs, state });
    return history;
  }

  private snapshot(from: bigint | null): Poll {
    const { states, rows, firstSeq, epoch, timeline } = this.history;
    const wanted = from === null ? [] : rows.filter(({ seq }) => seq > from).slice(0, MAX_ROWS);
    const server = {
      flushedLsn: 0n,
      replayedLsn: null,
      isSynchronous: false,
      fullBudgets: [],
      databaseNowMs: this.realMs,
    };
    return { ...server, rows: wanted, headSeq: BigInt(firstSeq + states.length - 1), epoch, timeline };
  }

  private rows(): LoadedRows {
    const { states, firstSeq, epoch } = this.history;
    const state = states.at(-1)!;
    const instants = { revokedAtMs: null, expiresAtMs: null, lastUsedAtMs: null };
    return {
      seq: BigInt(firstSeq + states.length - 1),
      epoch: this.fault === 'no-epoch' ? 'same' : epoch,
      secrets: [
        {
          ...instants,
          kid: KID,
          keyId: KEY,
          kind: 'own',
          mac: Buffer.alloc(32),
          pepperVersion: '1',
          binding: null,
          createdAtMs: 0,
        },
      ],
      keys: [{ ...KEY_FACTS, revokedAtMs: state.isRevoked ? 1 : null, name: String(state.key) }],
      // The name of a role of its own tells the owner's version.
      owners: [{ id: OWNER, isActive: true, roles: ['all', `version-${state.owner}`], limits: [] }],
      roles: [
        { name: ROLE, isActive: true, permissions: [`role:${state.role}`] },
        { name: 'all', isActive: true, permissions: ['role:*'] },
        { name: `version-${state.owner}`, isActive: true, permissions: [] },
      ],
      projects: [{ id: PROJECT, isActive: true, limits: [limitNamed('project', state.project)] }],
      installation: [limitNamed('installation', state.installation)],
    };
  }
}

function versionsOf({ key, owner, limits }: KeyRecord, grants: readonly string[] | null) {
  const role = grants?.[0];
  return {
    key: Number(key.name),
    owner: Number(owner.roles[1]!.replace('version-', '')),
    project: Number(limits.limits[0]!.facts.name),
    installation: Number(limits.limits[1]!.facts.name),
    ...(role === undefined ? {} : { role: Number(role.replace('role:', '')) }),
  };
}

function maxOf(left: bigint, right: bigint): bigint {
  return left > right ? left : right;
}

/** Until every promise that could go on has. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 8; turn += 1) await Promise.resolve();
}

/** Runs seeds from `first` on; gives the first seed with a violation, or null. */
export async function findViolation(
  fault: Fault,
  seeds: { readonly first: number; readonly count: number; readonly steps: number },
): Promise<{ seed: number; violation: string } | null> {
  for (let seed = seeds.first; seed < seeds.first + seeds.count; seed += 1) {
    const { violations } = await new RecordCacheSimulation(seed, fault).run(seeds.steps);
    if (violations.length > 0) return { seed, violation: violations[0]! };
  }
  return null;
}
