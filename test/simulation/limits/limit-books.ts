import type { Admission, ReservationParts } from '../../../src/quotas/admission.js';
import type { AcquireAnswer, AcquireRequest, GiveBack, NeedVerdict } from '../../../src/quotas/quota-store.js';
import { NO_LEASE, type SettleResult } from '../../../src/quotas/quota-store.js';
import { Violation } from '../books.js';
import type { KeyRow, LimitRow, Rules } from './limit-rows.js';
import { SWEPT_AFTER_MS } from './limit-store-model.js';
import type { LimitStoreModel } from './limit-store-model.js';
import type { Report } from './limit-store-rows.js';
import { dateOf, startOfDate } from './zone-periods.js';

interface Period {
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
}

/** What a call takes, by unit. */
interface Taken {
  readonly keyId: string;
  readonly model: string | null;
  readonly subject: string | null;
  readonly reserve: bigint;
  readonly tokens: bigint;
  readonly cost: bigint;
}

/** Of a limit of requests: what admitted calls came to, and what its leases say. */
interface Counts {
  /** Of calls that were told they may pass. */
  admitted: bigint;
  /** Of calls that were undone after their lease had gone back. */
  undoneLate: bigint;
  /** What was not handed back of leases that were. */
  used: bigint;
  /** What was open in leases that were never handed back. */
  lost: bigint;
}

interface LeaseFacts {
  readonly account: string;
  readonly isCounted: boolean;
  readonly slice: bigint;
  /** The UTC month and the period in which it was granted. */
  readonly month: string;
  readonly period: Period;
  outstanding: bigint;
  drawn: bigint;
  /** What well-behaved callers may still settle. */
  open: bigint;
  returns: number;
}

const DAY_MS = 86_400_000;
const ENDLESS: Period = { name: 'total', startMs: -Infinity, endMs: Infinity };

/**
 * Second books of limits: what was granted, drawn, returned and settled, and which accounts it concerned, in the
 * plainest way. They read the rules that an administrator has set, and nothing that the store has computed.
 */
export class LimitBooks {
  private readonly leases = new Map<string, LeaseFacts>();
  private readonly spent = new Map<string, bigint>();
  private readonly leased = new Map<string, bigint>();
  private readonly allowance = new Map<string, bigint>();
  private readonly periods = new Map<string, Period>();
  private readonly touched = new Set<string>();
  private readonly touchedLeases = new Set<string>();
  private turn = 0;
  private readonly counts = new Map<string, Counts>();
  private readonly ends = new Map<string, { kind: 'settle' | 'release'; by: string }>();

  constructor(
    private readonly store: LimitStoreModel,
    private readonly rules: Rules,
    /** All callers reserve an upper bound and report in time. */
    private readonly isStrict: boolean,
  ) {}

  // ---- which accounts, and what they may hold

  /** All accounts of a call or a report by these rules, sorted. Without a subject it has no account of one. */
  accountsFor(rules: Rules, { keyId, model, subject }: Pick<Taken, 'keyId' | 'model' | 'subject'>): string[] {
    const key = rules.keys.get(keyId) as KeyRow;
    const ids: string[] = key.budget === null ? [] : [key.id];
    for (const limit of rules.limits.values()) {
      if (!binds(limit, key, model) || (limit.each === 'subject' && subject === null)) continue;
      ids.push(accountOf(limit, key, subject));
    }
    return ids.sort();
  }

  /** No call without a subject passes a limit that has an account for each and is enforced. */
  private checkSubject(rules: Rules, { keyId, model, subject }: Taken): void {
    if (subject !== null) return;
    const key = rules.keys.get(keyId) as KeyRow;
    for (const limit of rules.limits.values())
      if (limit.each === 'subject' && limit.mode === 'enforce')
        must(!binds(limit, key, model), `a call without a subject passed ${limit.id}`);
  }

  private limitOf(accountId: string): LimitRow | undefined {
    return this.rules.limits.get(accountId.split('/')[0] as string);
  }

  private periodOf(accountId: string, ms: number): Period {
    const limit = this.limitOf(accountId);
    const key = this.rules.keys.get(accountId);
    if (limit === undefined) return key?.type === 'monthly' ? calendarPeriod('month', 'UTC', ms) : ENDLESS;
    return limit.per === 'total' ? ENDLESS : calendarPeriod(limit.per, limit.timeZone, ms);
  }

  /** The most that may be spent and leased together; null: no bound. */
  private mostOf(accountId: string, ms: number): bigint | null {
    const limit = this.limitOf(accountId);
    if (limit === undefined) return this.rules.keys.get(accountId)?.budget ?? null;
    if (limit.isDeleted || limit.mode === 'observe') return null;
    const override = limit.overrides.get(accountId.split('/')[1] ?? '');
    if (override !== undefined && (override.untilMs === null || override.untilMs > ms)) return override.amount;
    return limit.amount;
  }

  /** What may still be taken from an account, or null where nothing bounds it. */
  leftOf(accountId: string, ms: number): bigint | null {
    const most = this.mostOf(accountId, ms);
    const name = `${accountId}|${this.periodOf(accountId, ms).name}`;
    return most === null ? null : most - get(this.spent, name) - get(this.leased, name);
  }

  // ---- what replicas and callers see

  /** A call was admitted: every limit of requests that binds it counts its cost. Gives how many there are. */
  counted(record: Rules, call: Taken): number {
    this.checkSubject(record, call);
    const ids = this.accountsFor(record, call).filter((id) => this.unitOf(id) === 'requests');
    for (const id of ids) this.countsOf(id).admitted += call.cost;
    return ids.length;
  }

  /** A call that has waited may be decided again: it has to say what it was counted as. */
  canBeUndone(record: Rules, call: Taken, verdict: Admission): void {
    if (!verdict.admitted) return;
    const ids = this.accountsFor(record, call).filter((id) => this.unitOf(id) === 'requests');
    // Limits that only observe, or that are deleted meanwhile, lease nothing.
    const leased = ids.filter((id) => this.mostOf(id, -Infinity) !== null).length;
    const told = verdict.counted?.length ?? 0;
    must(told >= leased, `a call that waited tells of ${told} draws, ${leased} limits of requests counted it`);
  }

  /** A call was undone when it was too late for some of its leases. */
  mayBeCounted(record: Rules, call: Taken): void {
    const ids = this.accountsFor(record, call).filter((id) => this.unitOf(id) === 'requests');
    for (const id of ids) this.countsOf(id).undoneLate += call.cost;
  }

  /** Once no lease is open: each call that passed was counted, and no other, but for what went with a replica. */
  checkCounts(): void {
    for (const [id, { admitted, undoneLate, used, lost }] of this.counts) {
      must(used <= admitted + undoneLate, `${id}: ${used} requests were used, calls came to ${admitted}`);
      must(admitted <= used + lost, `${id}: calls came to ${admitted}, ${used} were used and ${lost} lost`);
    }
  }

  private unitOf(accountId: string): LimitRow['unit'] {
    return this.limitOf(accountId)?.unit ?? 'cents';
  }

  private countsOf(accountId: string): Counts {
    const counts = this.counts.get(accountId) ?? { admitted: 0n, undoneLate: 0n, used: 0n, lost: 0n };
    this.counts.set(accountId, counts);
    return counts;
  }

  /** A call was admitted: it draws from exactly the accounts that bind it, all in their period and in one month. */
  admitted(parts: ReservationParts, record: Rules, call: Taken, clockMs: number): void {
    const all = this.accountsFor(record, call);
    const expected = all.filter((id) => this.unitOf(id) !== 'requests');
    const held = parts.holds.map(({ accountId }) => accountId).sort();
    must(held.join() === expected.join(), `holds of ${held.join()}, should be of ${expected.join()}`);
    for (const hold of parts.holds) {
      const amount = this.unitOf(hold.accountId) === 'tokens' ? call.tokens : call.reserve;
      if (amount === 0n) {
        must(hold.leaseId === NO_LEASE, `nothing was asked of ${hold.accountId}, and a lease is named`);
        continue;
      }
      const lease = this.leases.get(hold.leaseId);
      must(lease !== undefined, `admitted from lease ${hold.leaseId}, which was not granted`);
      must(lease.account === `${hold.accountId}|${hold.period}`, `a hold of ${lease.account} names ${hold.period}`);
      lease.drawn += amount;
      must(lease.drawn <= lease.slice, `lease ${hold.leaseId} gave ${lease.drawn} of ${lease.slice}`);
      must(lease.month === parts.month, `one call in ${parts.month} and ${lease.month}`);
      const { startMs, endMs, name } = lease.period;
      must(startMs <= clockMs && clockMs < endMs, `admitted in ${lease.account} outside of period ${name}`);
      if (this.isStrict) lease.open += amount;
    }
    const month = calendarPeriod('month', 'UTC', clockMs).name;
    must(parts.holds.length === 0 || parts.month === month, `reserved in ${parts.month} during ${month}`);
  }

  /** The caller will not settle any more. */
  abandoned(parts: ReservationParts): void {
    for (const { accountId, leaseId } of parts.holds)
      this.closeHold(leaseId, this.unitOf(accountId) === 'tokens' ? parts.tokens : parts.amount);
  }

  private closeHold(leaseId: string, amount: bigint): void {
    const lease = this.leases.get(leaseId);
    if (lease !== undefined && lease.open >= amount) lease.open -= amount;
  }

  // ---- what the store does

  /** Each need is granted if it fits what the rules of this instant allow, and refused if it does not. */
  acquired(request: AcquireRequest, answer: AcquireAnswer, clockMs: number): void {
    const lefts = request.budgets.map(({ account }) => this.leftOf(account.id, clockMs));
    const joint = jointVerdicts(request, lefts);
    request.budgets.forEach((ask, index) => {
      const grant = answer.budgets[index];
      if (grant === undefined) throw new Violation('an ask without an answer');
      const period = this.periodOf(ask.account.id, clockMs);
      const name = `${ask.account.id}|${period.name}`;
      must(grant.period === period.name, `${name}: granted in ${grant.period}`);
      this.periods.set(name, period);
      let left = lefts[index] ?? null;
      let pooled = 0n;
      ask.needs.forEach(({ amount, own, joint: call }, need) => {
        if (call !== undefined) {
          const expected = joint.get(`${call} ${index}`);
          must(grant.verdicts[need] === expected, `${name}: ${amount} of a call: ${grant.verdicts[need]}`);
          if (expected === true && own !== null) this.grant(own.leaseId, name, period, amount, clockMs);
          return;
        }
        const fits = left === null || (amount === 0n ? left > 0n : amount <= left);
        must(grant.verdicts[need] === fits, `${name}: ${amount} of ${left} left was ${fits ? 'refused' : 'granted'}`);
        if (!fits) return;
        if (left !== null) left -= amount;
        if (own === null) pooled += amount;
        else if (amount > 0n) this.grant(own.leaseId, name, period, amount, clockMs);
      });
      must(
        left === null || grant.slice === 0n || grant.slice <= left + pooled,
        `${name}: a slice of ${grant.slice} of ${left} left`,
      );
      if (grant.slice > 0n) this.grant(ask.leaseId, name, period, grant.slice, clockMs);
    });
    this.compare();
  }

  private grant(id: string, account: string, period: Period, slice: bigint, clockMs: number): void {
    const month = calendarPeriod('month', 'UTC', clockMs).name;
    this.touchedLeases.add(id);
    const isCounted = this.unitOf(account.split('|')[0] as string) === 'requests';
    this.leases.set(id, {
      account, isCounted, slice, month, period, outstanding: slice, drawn: 0n, open: 0n, returns: 0,
    }); // prettier-ignore
    this.add(this.leased, account, slice);
  }

  /** Call before the store acts, while it is known which leases are open. */
  returning(back: GiveBack): void {
    for (const one of back.leases) {
      const lease = this.leases.get(one.leaseId);
      if (lease === undefined || !this.store.leases.has(one.leaseId) || lease.returns >= one.number) continue;
      lease.returns = one.number;
      this.touchedLeases.add(one.leaseId);
      const amount = one.amount ?? lease.outstanding;
      if (lease.isCounted) {
        this.spendUsed(lease, lease.slice - amount);
        continue;
      }
      must(amount + lease.drawn === lease.slice, `returned ${amount} of ${lease.slice}, ${lease.drawn} were drawn`);
      lease.outstanding -= amount;
      this.add(this.leased, lease.account, -amount);
    }
  }

  /** A lease of requests ends: what was used of it is spent. */
  private spendUsed(lease: LeaseFacts, used: bigint, isLost = false): void {
    this.add(this.leased, lease.account, -lease.outstanding);
    lease.outstanding = 0n;
    this.add(this.spent, lease.account, used);
    this.countsOf(lease.account.split('|')[0] as string)[isLost ? 'lost' : 'used'] += used;
  }

  /** Call before the store acts; gives the check of its answer. */
  settling(one: Report, clockMs: number): (result: SettleResult, isGood: boolean) => void {
    const before = one.reservationId === null ? undefined : this.ends.get(one.reservationId);
    const expected = outcomeOf(one, before);
    if (expected !== 'settled' && expected !== 'released')
      return ({ outcome }) => must(outcome === expected, `${outcome} instead of ${expected}`);
    if (one.reservationId !== null) this.ends.set(one.reservationId, { kind: one.kind, by: one.settledBy });
    let late = before !== undefined;
    for (const account of this.chargedTo(one, clockMs)) {
      const isOfTokens = this.unitOf(account.split('|')[0] as string) === 'tokens';
      const amount = isOfTokens ? (one.tokens ?? 0n) : one.amount;
      const reserved = isOfTokens ? (one.reservedTokens ?? 0n) : one.reserved;
      const hold = one.holds.find(({ accountId, period }) => `${accountId}|${period}` === account);
      const isOpen = hold !== undefined && before === undefined && this.store.leases.has(hold.leaseId);
      if (hold !== undefined && hold.leaseId !== NO_LEASE && !isOpen) late = true;
      if (hold !== undefined && isOpen) this.settleHold(hold.leaseId, reserved);
      this.add(this.spent, account, amount);
      const covered = isOpen ? reserved : 0n;
      if (amount > covered) this.add(this.allowance, account, amount - covered);
    }
    return (result, isGood) => {
      must(result.outcome === expected, `${result.outcome} instead of ${expected}`);
      must(result.late === late, `late ${result.late} instead of ${late}`);
      must(!(isGood && late), 'a caller who kept all times was called late');
    };
  }

  /** A reservation: what it names. Otherwise: what binds the key and the model of the report, as of now. */
  private chargedTo(one: Report, clockMs: number): Set<string> {
    const month = one.month ?? calendarPeriod('month', 'UTC', clockMs).name;
    const names = new Set([`${one.keyId}|total`, `${one.keyId}|${month}`]);
    for (const { accountId, period } of one.holds) names.add(`${accountId}|${period}`);
    if (one.reservationId !== null) return names;
    for (const id of this.accountsFor(this.rules, one)) {
      if (this.limitOf(id) === undefined || this.unitOf(id) === 'requests') continue;
      const period = this.periodOf(id, clockMs);
      names.add(`${id}|${period.name}`);
      this.periods.set(`${id}|${period.name}`, period);
    }
    return names;
  }

  private settleHold(leaseId: string, reserved: bigint): void {
    const lease = this.leases.get(leaseId);
    if (lease === undefined) return;
    lease.outstanding -= reserved;
    this.touchedLeases.add(leaseId);
    this.add(this.leased, lease.account, -reserved);
    this.closeHold(leaseId, reserved);
  }

  /** Call after the store has swept: what may be gone is forgotten here too. */
  swept(clockMs: number): void {
    this.turn = 0;
    for (const [name, { endMs }] of this.periods) {
      if (endMs + SWEPT_AFTER_MS >= clockMs || get(this.leased, name) > 0n || !name.includes('limit')) continue;
      must(!this.store.accounts.has(name), `${name} was not swept`);
      this.spent.delete(name);
      this.allowance.delete(name);
    }
    this.compare();
  }

  // ---- comparisons

  /** Compares what was touched with the store's rows; everything, where leases are gone and now and then. */
  compare(): void {
    const isComplete = this.store.leases.size !== this.leases.size || this.turn++ % 16 === 0;
    for (const id of isComplete ? this.leases.keys() : this.touchedLeases) this.compareLease(id);
    must(this.store.leases.size === this.leases.size, 'a lease appeared that was not asked for');
    const all = (): Set<string> =>
      new Set([...this.spent.keys(), ...this.leased.keys(), ...this.store.accounts.keys()]);
    for (const name of isComplete ? all() : this.touched) this.compareAccount(name);
    this.touchedLeases.clear();
    this.touched.clear();
  }

  private compareLease(id: string): void {
    const lease = this.leases.get(id);
    const row = this.store.leases.get(id);
    if (lease === undefined) return;
    if (row === undefined) {
      this.leases.delete(id);
      if (lease.isCounted) return this.spendUsed(lease, lease.outstanding, true);
      this.add(this.leased, lease.account, -lease.outstanding);
      must(lease.open === 0n, `lease ${id} was closed, callers may settle ${lease.open}`);
      return;
    }
    const open = row.granted - row.settled;
    must(open === lease.outstanding, `lease ${id} holds ${open}, should hold ${lease.outstanding}`);
    must(open >= lease.open, `lease ${id} holds ${open}, callers may settle ${lease.open}`);
  }

  private add(sums: Map<string, bigint>, account: string, amount: bigint): void {
    add(sums, account, amount);
    this.touched.add(account);
  }

  private compareAccount(name: string): void {
    const row = this.store.accounts.get(name);
    const [spent, leased] = [get(this.spent, name), get(this.leased, name)];
    must((row?.spent ?? 0n) === spent, `${name}: spent ${row?.spent}, should be ${spent}`);
    must((row?.leased ?? 0n) === leased, `${name}: leased ${row?.leased}, should be ${leased}`);
    const [overdraft, allowance] = [row?.overdraft ?? 0n, get(this.allowance, name)];
    must(overdraft <= allowance, `${name}: overdraft ${overdraft}, excess and late were ${allowance}`);
  }

  /** Recomputes every account from the events that name it, as the doctor does. */
  recompute(): void {
    const sums = new Map<string, bigint>();
    const unitOf = (name: string): LimitRow['unit'] => this.unitOf(name.split('|')[0] as string);
    for (const { amount, tokens, charged } of this.store.events)
      for (const name of charged) add(sums, name, unitOf(name) === 'tokens' ? tokens : amount);
    for (const [name, { spent }] of this.store.accounts)
      if (unitOf(name) !== 'requests')
        must(spent === get(sums, name), `${name}: spent ${spent}, its events are ${get(sums, name)}`);
  }
}

/**
 * What becomes of needs that several accounts decide together, by call and ask: true in all of its accounts or in none.
 * `lefts` shrinks by what is granted.
 */
function jointVerdicts({ budgets }: AcquireRequest, lefts: (bigint | null)[]): Map<string, NeedVerdict> {
  const verdicts = new Map<string, NeedVerdict>();
  const calls = [...new Set(budgets.flatMap(({ needs }) => needs.flatMap(({ joint }) => joint ?? [])))];
  for (const call of calls.sort((one, other) => one - other)) {
    const parts = budgets.flatMap(({ needs }, ask) => {
      const need = needs.find(({ joint }) => joint === call);
      return need === undefined ? [] : [{ ask, amount: need.amount }];
    });
    const short = parts.filter(({ ask, amount }) => (lefts[ask] ?? amount) < amount).map(({ ask }) => ask);
    for (const { ask, amount } of parts) {
      const left = lefts[ask] ?? null;
      if (short.length === 0 && left !== null) lefts[ask] = left - amount;
      verdicts.set(`${call} ${ask}`, short.length === 0 ? true : short.includes(ask) ? false : null);
    }
  }
  return verdicts;
}

function binds(limit: LimitRow, key: KeyRow, model: string | null): boolean {
  if (limit.isDeleted) return false;
  if (limit.models.length > 0 && model !== null && !limit.models.includes(model)) return false;
  if (limit.target.kind === 'key') return limit.target.id === key.id;
  if (limit.target.kind === 'owner') return limit.target.id === key.ownerId;
  if (limit.target.kind === 'project') return limit.target.id === key.projectId;
  return true;
}

function accountOf(limit: LimitRow, key: KeyRow, subject: string | null): string {
  if (limit.each === 'subject') return `${limit.id}/${subject}`;
  if (limit.each === 'key') return `${limit.id}/${key.id}`;
  if (limit.each === 'owner') return `${limit.id}/${key.ownerId}`;
  return limit.id;
}

const found = new Map<string, Period[]>();

/** A period of those found before, or the one that a search finds. */
function calendarPeriod(per: 'day' | 'week' | 'month', zone: string, ms: number): Period {
  const known = found.get(`${per} ${zone}`) ?? [];
  const old = known.find(({ startMs, endMs }) => startMs <= ms && ms < endMs);
  if (old !== undefined) return old;
  const period = searchPeriod(per, zone, ms);
  found.set(`${per} ${zone}`, [...known, period]);
  return period;
}

/** The last start that is not after the instant, found by looking at every date around it. */
function searchPeriod(per: 'day' | 'week' | 'month', zone: string, ms: number): Period {
  const starts: { name: string; startMs: number }[] = [];
  for (let at = ms - 35 * DAY_MS; at <= ms + 35 * DAY_MS; at += DAY_MS) {
    const date = new Date(at);
    const isFirst =
      per === 'day' || (per === 'week' && date.getUTCDay() === 1) || (per === 'month' && date.getUTCDate() === 1);
    const near = per === 'day' && Math.abs(at - ms) > 3 * DAY_MS;
    if (isFirst && !near) starts.push({ name: dateOf(at), startMs: startOfDate(dateOf(at), zone) });
  }
  const index = starts.findLastIndex(({ startMs }) => startMs <= ms);
  const [first, next] = [starts[index], starts[index + 1]];
  if (first === undefined || next === undefined) throw new Error(`no ${per} of ${zone} around ${ms}`);
  return { ...first, endMs: next.startMs };
}

function outcomeOf(
  one: Report,
  before: { kind: 'settle' | 'release'; by: string } | undefined,
): SettleResult['outcome'] {
  if (before === undefined) return one.kind === 'settle' ? 'settled' : 'released';
  if (one.kind === 'release') return before.kind === 'release' ? 'already-released' : 'already-settled';
  if (before.kind === 'release') return 'settled';
  return before.by === one.settledBy ? 'duplicate' : 'already-settled';
}

function get(sums: Map<string, bigint>, name: string): bigint {
  return sums.get(name) ?? 0n;
}

function add(sums: Map<string, bigint>, name: string, amount: bigint): void {
  sums.set(name, get(sums, name) + amount);
}

function must(holds: boolean, message: string): asserts holds {
  if (!holds) throw new Violation(message);
}
