import { type Hold, NO_LEASE } from '../../../src/quotas/quota-store.js';
import { readMark } from '../../../src/quotas/token-windows.js';
import { Violation } from '../books.js';
import { counts, presentBucket, sumOf, type TokenRow, type TokenStoreModel } from './token-store-model.js';

const MINUTE_MS = 60_000;
/** A change reaches a replica within 0.9 s. */
const LAG_MS = 1_000;
/** What is reported beyond a reservation stops calls once leases of that moment are over. */
const EXTRA_AFTER_MS = 1_500;

/** A call that was let in with what it reserved; `tokens` is what it counts as, by what is known of it. */
export interface TokenCall {
  readonly at: number;
  readonly reservationId: string;
  readonly reserved: number;
  readonly holds: readonly Hold[];
  tokens: number;
  /** Its grant was lost with a crash of the store. */
  isLost: boolean;
}

interface Extra {
  readonly at: number;
  readonly tokens: number;
  readonly epoch: string;
  readonly bucket: number;
}

/** What calls have used, in the plainest way: every call and every late report of every account, with its instant. */
export class TokenBooks {
  private readonly calls = new Map<string, TokenCall[]>();
  private readonly extras = new Map<string, Extra[]>();
  /** What buckets count at least: by account, the mark of a hold and the tokens. */
  private readonly expected = new Map<string, Map<string, number>>();
  private readonly amounts = new Map<string, { readonly from: number; readonly amount: number }[]>();
  /** When what a life of the store has lost begins, by the world's time. */
  private readonly lostFrom = new Map<string, number>();

  constructor(private readonly store: TokenStoreModel) {}

  changed(accountId: string, amount: number, now: number): void {
    listOf(this.amounts, accountId).push({ from: now, amount });
  }

  /** A call was let in. With it, no more than is allowed may have been within a minute. Instants never go back. */
  admitted(call: TokenCall, now: number): void {
    for (const { leaseId } of call.holds)
      call.isLost ||= leaseId !== NO_LEASE && now >= (this.lostFrom.get(readMark(leaseId).epoch) ?? Infinity);
    if (!call.isLost) this.expect(call, call.tokens);
    for (const { accountId, leaseId } of call.holds) {
      const calls = listOf(this.calls, accountId);
      calls.push(call);
      if (leaseId === NO_LEASE || call.isLost) continue;
      let sum = 0;
      for (let index = calls.length - 1; index >= 0 && calls[index]!.at > now - MINUTE_MS; index--)
        if (!calls[index]!.isLost) sum += calls[index]!.tokens;
      for (const { at, tokens } of listOf(this.extras, accountId))
        if (at > now - MINUTE_MS && at <= now - EXTRA_AFTER_MS) sum += tokens;
      const most = this.mostOf(accountId, now);
      if (sum > most) throw new Violation(`${sum} tokens in one minute of ${accountId}, at most ${most} are allowed`);
    }
  }

  /** A report has come. @param extra what it counts as by the time of the report */
  reported(call: TokenCall, tokens: number, extra: number, now: number): void {
    if (!call.isLost) this.expect(call, tokens - call.tokens);
    call.tokens = tokens;
    if (extra === 0) return;
    for (const { accountId } of call.holds) {
      const row = this.store.rows.get(accountId);
      if (row === undefined) throw new Violation(`a report was charged to ${accountId}, which has no row`);
      listOf(this.extras, accountId).push({ at: now, tokens: extra, epoch: row.epoch, bucket: presentBucket(row) });
    }
  }

  /** Grants since then are lost: more calls than are allowed may have been let in by them. */
  lost(since: number): void {
    for (const { epoch } of this.store.rows.values())
      this.lostFrom.set(epoch, Math.min(since, this.lostFrom.get(epoch) ?? Infinity));
    for (const calls of this.calls.values())
      for (const call of calls) {
        if (call.at < since || call.isLost) continue;
        this.expect(call, -call.tokens);
        call.isLost = true;
      }
  }

  /** Each bucket counts at least what was let in by it. Call after the store has done something. */
  covers(): void {
    for (const [id, row] of this.store.rows)
      for (const [bucket, expected] of this.expectedOf(id, row)) {
        const held = row.cells.get(bucket) ?? 0;
        if (held < expected)
          throw new Violation(`${id} counts ${held} tokens in bucket ${bucket}, in which ${expected} were used`);
      }
  }

  /** Where nothing went wrong and nothing is leased: each window counts what was used, and no more. */
  isExact(): void {
    for (const [id, row] of this.store.rows) {
      let expected = 0;
      for (const tokens of this.expectedOf(id, row).values()) expected += tokens;
      for (const { tokens, bucket, epoch } of listOf(this.extras, id))
        if (epoch === row.epoch && counts(row, bucket)) expected += tokens;
      if (sumOf(row) !== Math.min(expected, 2_000_000_000))
        throw new Violation(`${id} counts ${sumOf(row)} tokens, ${expected} were used`);
    }
    if (this.store.clamped > 0) throw new Violation('a bucket held less than was to be taken out of it');
  }

  private expect(call: TokenCall, tokens: number): void {
    for (const { accountId, leaseId } of call.holds) {
      if (leaseId === NO_LEASE) continue;
      const marks = this.expected.get(accountId) ?? new Map<string, number>();
      this.expected.set(accountId, marks);
      marks.set(leaseId, (marks.get(leaseId) ?? 0) + tokens);
    }
  }

  /** By buckets that count. */
  private expectedOf(id: string, row: TokenRow): Map<number, number> {
    const expected = new Map<number, number>();
    for (const [mark, tokens] of this.expected.get(id) ?? []) {
      const { epoch, bucket } = readMark(mark);
      if (epoch === row.epoch && counts(row, bucket)) expected.set(bucket, tokens);
      // Whose epoch or minute is over.
      else if (bucket < presentBucket(row)) this.expected.get(id)!.delete(mark);
    }
    return expected;
  }

  /** The most that was in force at any instant of the last second. */
  private mostOf(accountId: string, now: number): number {
    const amounts = listOf(this.amounts, accountId);
    const since = amounts.findLast(({ from }) => from <= now - LAG_MS)?.amount ?? 0;
    return Math.max(since, ...amounts.filter(({ from }) => from > now - LAG_MS).map(({ amount }) => amount));
  }
}

function listOf<T>(lists: Map<string, T[]>, id: string): T[] {
  const list = lists.get(id) ?? [];
  lists.set(id, list);
  return list;
}
