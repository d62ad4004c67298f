import { limitAccountId } from '../../../src/quotas/limits/account-id.js';
import type { AcquireRequest, GiveBack } from '../../../src/quotas/quota-store.js';
import { RING_SHAPES } from '../../../src/quotas/rate-ring.js';
import { Violation } from '../books.js';
import { amountInForce, bindingRules, type SlidingKey, type SlidingRule, type SlidingRules } from './sliding-rules.js';

/** A change reaches a replica within 0.9 s. */
const LAG_MS = 1_000;

interface Account {
  readonly calls: { readonly at: number; readonly cost: number }[];
  /** What was in force from when on; null: nothing was refused. */
  amounts: { readonly from: number; readonly amount: number | null }[];
}

/** A call that asks to be let in. */
export interface SlidingCall {
  readonly keyId: string;
  readonly model: string | undefined;
  readonly cost: number;
  readonly replica: string;
}

/** What was let in, in the plainest way: every call of every account, with its instant. */
export class SlidingBooks {
  private readonly accounts = new Map<string, Account>();
  /** What replicas have let in of an account and not yet told as used. */
  private readonly untold = new Map<string, number>();

  constructor(
    private readonly store: SlidingRules,
    /** Owners that keys may have. */
    private readonly owners: readonly string[],
  ) {}

  /** Which accounts a call of a key is counted in, by the rules that its replica knew. */
  accountsOf(
    rules: SlidingRules,
    key: SlidingKey,
    model: string | undefined,
  ): { id: string; rule: SlidingRule; member: string | null }[] {
    return bindingRules(rules, key)
      .filter(({ models }) => models.length === 0 || model === undefined || models.includes(model))
      .map((rule) => {
        const member = rule.each === null ? null : rule.each === 'key' ? key.id : key.ownerId;
        return { id: limitAccountId(rule.id, member), rule, member };
      });
  }

  /**
   * A call was let in: with it, no more than is allowed may have been within the time of the limit. Gives how many
   * limits count it.
   */
  admitted(rules: SlidingRules, { keyId, model, cost, replica }: SlidingCall, now: number): number {
    const accounts = this.accountsOf(rules, rules.keys.get(keyId)!, model);
    for (const { id, rule, member } of accounts) {
      const { calls } = this.account(id);
      calls.push({ at: now, cost });
      const name = `${replica}|${id}`;
      this.untold.set(name, (this.untold.get(name) ?? 0) + cost);
      const since = now - RING_SHAPES[rule.per].lengthMs;
      let sum = 0;
      for (let index = calls.length - 1; index >= 0 && calls[index]!.at > since; index--) sum += calls[index]!.cost;
      const most = this.mostOf(rule.id, member, now);
      if (most !== null && sum > most)
        throw new Violation(`${sum} calls in one ${rule.per} of limit ${rule.id}, at most ${most} are allowed`);
    }
    return accounts.length;
  }

  /** A call that waited was undone: the store may have been told of it before. */
  mayBeTold(rules: SlidingRules, { keyId, model, cost, replica }: SlidingCall): void {
    for (const { id } of this.accountsOf(rules, rules.keys.get(keyId)!, model)) {
      const name = `${replica}|${id}`;
      this.untold.set(name, (this.untold.get(name) ?? 0) + cost);
    }
  }

  /** How many calls all limits of a key allow at once, when nothing counts: at most what one call may count as. */
  roomOf(rules: SlidingRules, key: SlidingKey, now: number): number {
    let room = Math.min(1_000, key.perMinute ?? Infinity);
    for (const { rule, member } of this.accountsOf(rules, key, undefined))
      room = Math.min(room, amountInForce(rule, member, now) ?? Infinity);
    return room;
  }

  /** A call was refused by a limit, which by then had not only observed. */
  refused(limitId: string, member: string | null, now: number): void {
    const amounts = this.amountsOf(limitId, member, now);
    if (amounts.every((amount) => amount === null)) throw new Violation(`limit ${limitId} only observes, and refused`);
  }

  /** The store is told what was used: no more than was let in. */
  told(replica: string, windows: AcquireRequest['windows'] | GiveBack['windows']): void {
    for (const one of windows) {
      if (this.store.keys.has(one.id)) continue;
      const used = 'used' in one ? one.used : (one.previous?.used ?? 0);
      const name = `${replica}|${one.id}`;
      const left = (this.untold.get(name) ?? 0) - used;
      this.untold.set(name, left);
      if (left < 0) throw new Violation(`${replica} tells ${-left} calls of ${one.id} that were not let in`);
    }
  }

  /** The rules have changed. */
  changed(now: number): void {
    for (const rule of this.store.limits.values())
      for (const member of this.membersOf(rule)) {
        const account = this.account(limitAccountId(rule.id, member));
        account.amounts = account.amounts.filter(({ from }) => from <= now);
        account.amounts.push({ from: now, amount: amountInForce(rule, member, now) });
        const untilMs = rule.overrides.get(member ?? '')?.untilMs ?? null;
        // Overrides end by the clock.
        if (untilMs !== null && untilMs > now)
          account.amounts.push({ from: untilMs, amount: amountInForce(rule, member, untilMs) });
      }
  }

  private membersOf({ each }: SlidingRule): (string | null)[] {
    if (each === null) return [null];
    const keys = [...this.store.keys.values()];
    return each === 'key' ? keys.map(({ id }) => id) : [...this.owners];
  }

  private mostOf(limitId: string, member: string | null, now: number): number | null {
    let most = 0;
    for (const amount of this.amountsOf(limitId, member, now)) {
      if (amount === null) return null;
      most = Math.max(most, amount);
    }
    return most;
  }

  /** What was in force at any instant of the last second. */
  private amountsOf(limitId: string, member: string | null, now: number): (number | null)[] {
    const { amounts } = this.account(limitAccountId(limitId, member));
    const at = (ms: number): number | null => amounts.findLast(({ from }) => from <= ms)?.amount ?? null;
    const instants = amounts.map(({ from }) => from).filter((from) => from > now - LAG_MS && from <= now);
    return [now - LAG_MS, ...instants, now].map(at);
  }

  private account(id: string): Account {
    const known = this.accounts.get(id);
    if (known !== undefined) return known;
    const account: Account = { calls: [], amounts: [] };
    this.accounts.set(id, account);
    return account;
  }
}
