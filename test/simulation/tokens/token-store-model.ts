import { type AcquireRequest, type GiveBack, type Hold, NO_LEASE } from '../../../src/quotas/quota-store.js';
import type { PermitClose, WindowAsk, WindowGrant } from '../../../src/quotas/quota-store.js';
import { aheadSlice, permitSlice } from '../../../src/quotas/grant-size.js';
import { PERMIT_MS, RING_SHAPES, rowClockMs, SHORT_PERMIT_MS } from '../../../src/quotas/rate-ring.js';
import { isOfTokens, readMark } from '../../../src/quotas/token-windows.js';
import { QuotaStoreModel } from '../quota-store-model.js';
import type { TokenReachFault, TokenStoreFault } from './token-fault.js';

const { bucketMs: SIZE_MS, lengthMs: LENGTH_MS } = RING_SHAPES.minute;
const REACH = LENGTH_MS / SIZE_MS;
/** More than any amount. A bucket that counts so much keeps it until it leaves. */
const MOST = 2_000_000_000;

/** What one window of tokens counts, by absolute numbers of buckets. */
export interface TokenRow {
  at: number;
  epoch: string;
  /** In which life of the store its epoch began. */
  start: number;
  cells: Map<number, number>;
}

/** How a reservation ends. */
export interface TokenEnd {
  readonly kind: 'settle' | 'release';
  readonly reservationId: string;
  readonly reserved: number;
  /** Null: the report says no tokens. */
  readonly tokens: number | null;
  readonly holds: readonly Hold[];
}

/** Whether an end was the first, came after a release, or was refused. */
export type EndOutcome = 'first' | 'late' | 'repeated';

/** Windows of tokens in memory, one method one transaction: what the SQL is to do. */
export class TokenStoreModel {
  rows = new Map<string, TokenRow>();
  /** Windows of requests, of keys. */
  readonly ofKeys: QuotaStoreModel;
  /** By account. */
  readonly amounts = new Map<string, number>();
  readonly ends = new Map<string, 'settle' | 'release'>();
  /** How often a bucket held less than was to be taken out of it. */
  clamped = 0;
  start = 0;
  private flushed = new Map<string, TokenRow>();
  private epochs = 0;

  constructor(
    private readonly clock: () => number,
    private readonly fault: TokenStoreFault | TokenReachFault | null = null,
  ) {
    this.ofKeys = new QuotaStoreModel(clock);
  }

  acquire(request: AcquireRequest): WindowGrant[] {
    return request.windows.map((ask) =>
      isOfTokens(ask)
        ? this.grant(ask, request.liveReplicas)
        : this.ofKeys.acquire({ ...request, budgets: [], windows: [ask] }).windows[0]!,
    );
  }

  giveBack({ windows }: GiveBack): void {
    for (const one of windows) {
      if (!isOfTokens(one)) this.ofKeys.giveBack({ leases: [], windows: [one] });
      else if (this.rows.has(one.id)) this.close(this.rowOf(one.id), one);
    }
  }

  /** The first end of a reservation, and what it does to windows, are one transaction. */
  end({ kind, reservationId, reserved, tokens, holds }: TokenEnd): EndOutcome {
    const before = this.ends.get(reservationId);
    const charged = tokens ?? (this.fault === 'no-tokens-count-as-none' ? 0 : reserved);
    if (before === 'settle' || (before === 'release' && kind === 'release')) {
      if (this.fault === 'second-end-refunds') for (const hold of holds) this.refund(hold, reserved - charged);
      return 'repeated';
    }
    this.ends.set(reservationId, kind);
    for (const hold of holds) this.endIn(hold, kind, before !== undefined, reserved, charged);
    this.flush();
    return before === undefined ? 'first' : 'late';
  }

  /** The statement of an end that fails: nothing of it is applied. */
  fail({ kind, reserved, tokens, holds }: TokenEnd): void {
    if (this.fault !== 'refund-outside-the-transaction') return;
    for (const hold of holds) this.refund(hold, kind === 'release' ? reserved : reserved - (tokens ?? reserved));
  }

  private endIn(hold: Hold, kind: TokenEnd['kind'], isReleased: boolean, reserved: number, charged: number): void {
    const isHeld = hold.leaseId !== NO_LEASE;
    if (kind === 'release') {
      if (isHeld && this.fault !== 'release-keeps-all') this.refund(hold, reserved);
      return;
    }
    if (isReleased) {
      if (this.fault === 'settle-after-release-refunds') this.refund(hold, reserved - charged);
      if (this.fault !== 'settle-after-release-is-free') this.add(hold.accountId, charged);
      return;
    }
    const held = isHeld ? reserved : 0;
    if (charged < held && this.fault !== 'settle-keeps-the-rest') this.refund(hold, held - charged);
    if (charged > held && this.fault !== 'excess-is-free') this.add(hold.accountId, charged - held);
  }

  /** What a call used that reserved nothing, or beyond what it reserved. */
  private add(id: string, tokens: number): void {
    if (tokens === 0) return;
    const row = this.rowOf(id);
    this.count(row, Math.floor(row.at / SIZE_MS), tokens);
  }

  private refund({ accountId, leaseId }: Hold, tokens: number): void {
    if (tokens <= 0 || !this.rows.has(accountId)) return;
    const row = this.rowOf(accountId);
    const { epoch, bucket } = readMark(leaseId);
    const head = Math.floor(row.at / SIZE_MS);
    if (this.fault === 'refund-from-the-present-bucket') return this.count(row, head, -tokens);
    if (epoch !== row.epoch) return;
    if (bucket >= head - REACH) this.takeOut(row, bucket, tokens);
    else if (this.fault === 'refund-of-a-bucket-that-left') this.takeOut(row, Math.min(...row.cells.keys()), tokens);
  }

  private grant(ask: WindowAsk, live: number): WindowGrant {
    const row = this.rowOf(ask.id);
    if (ask.previous !== null) this.close(row, ask.previous);
    const limit = this.amounts.get(ask.id) ?? 0;
    const room = Math.max(0, limit - sumOf(row));
    let left = room;
    const verdicts = ask.needs.map((need) => {
      if (need === 0) return left > 0 || this.fault === 'nothing-reserved-passes-a-full-window' ? 'uncounted' : false;
      if (need > left) return false;
      left -= need;
      return true;
    });
    const need = room - left;
    const permits =
      ask.needs.length === 0 ? aheadSlice(ask.want, room, limit, live) : permitSlice(need, ask.want, room, limit, live);
    const isLong = this.fault === 'leases-live-for-15-seconds' && permits * 8 <= limit;
    const validForMs = isLong ? PERMIT_MS : SHORT_PERMIT_MS;
    const bucket = Math.floor((row.at + validForMs) / SIZE_MS);
    if (permits > 0) this.count(row, bucket, permits);
    return {
      ...{ verdicts, permits, bucket, validForMs, epoch: row.epoch },
      free: Math.max(0, limit - sumOf(row)),
      resetMs: row.cells.size === 0 ? 0 : (Math.max(...row.cells.keys()) + REACH + 1) * SIZE_MS - this.clock(),
      retryMs: verdicts.includes(false) ? 1_000 : 0,
      inForce: { amount: limit, least: limit },
    };
  }

  private close(row: TokenRow, { bucket, granted, used, epoch }: PermitClose): void {
    const head = Math.floor(row.at / SIZE_MS);
    if (epoch !== row.epoch || bucket < head - REACH) return;
    if (this.fault === 'close-keeps-what-was-not-used') return;
    if (this.fault === 'close-takes-all-that-was-granted') return this.takeOut(row, bucket, granted);
    if (this.fault === 'close-moves-what-was-used') {
      this.takeOut(row, bucket, granted);
      return this.count(row, Math.min(head, bucket), used);
    }
    this.takeOut(row, bucket, granted - used);
  }

  private takeOut(row: TokenRow, bucket: number, tokens: number): void {
    const held = row.cells.get(bucket) ?? 0;
    if (held < tokens) this.clamped++;
    if (held < MOST) row.cells.set(bucket, Math.max(0, held - tokens));
  }

  private count(row: TokenRow, bucket: number, tokens: number): void {
    const sum = (row.cells.get(bucket) ?? 0) + tokens;
    row.cells.set(bucket, this.fault === 'counts-wrap' ? sum | 0 : Math.min(sum, MOST));
  }

  /** The row, brought up to date; it is made when it is first needed. */
  private rowOf(id: string): TokenRow {
    const now = this.clock();
    const known = this.rows.get(id);
    const row = known ?? { at: now, epoch: this.newEpoch(), start: this.start, cells: new Map<number, number>() };
    this.rows.set(id, row);
    const at = rowClockMs(row.at, now);
    if (at < row.at) this.pullBack(row, at);
    row.at = at;
    if (row.start !== this.start && this.fault !== 'epoch-survives-a-crash') {
      row.start = this.start;
      row.epoch = this.newEpoch();
    }
    for (const bucket of row.cells.keys()) if (bucket < Math.floor(at / SIZE_MS) - REACH) row.cells.delete(bucket);
    return row;
  }

  /** The clock was ahead when the row was written: what lies too far ahead now counts as granted now. */
  private pullBack(row: TokenRow, now: number): void {
    const last = Math.floor((now + SHORT_PERMIT_MS) / SIZE_MS);
    const cells = [...row.cells];
    row.cells = new Map();
    for (const [bucket, count] of cells) this.count(row, Math.min(bucket, last), count);
    if (this.fault !== 'epoch-survives-the-clock') row.epoch = this.newEpoch();
  }

  private newEpoch(): string {
    return (++this.epochs).toString(16).padStart(16, '0');
  }

  /** What is written now survives a crash. */
  flush(): void {
    this.flushed = new Map([...this.rows].map(([id, row]) => [id, { ...row, cells: new Map(row.cells) }]));
  }

  /** What was not flushed is lost. @param isRestart false: PostgreSQL goes on as the same server */
  crash(isRestart: boolean): void {
    this.rows = this.flushed;
    this.flush();
    if (isRestart || this.fault !== 'epoch-is-the-start-of-the-server') this.start++;
  }

  /** Removes rows of which nothing counts any more. Gives how many. */
  sweep(): number {
    let swept = 0;
    for (const id of [...this.rows.keys()])
      if (sumOf(this.rowOf(id)) === 0) {
        this.rows.delete(id);
        swept++;
      }
    return swept;
  }
}

/** What a window counts. */
export function sumOf({ cells }: TokenRow): number {
  let sum = 0;
  for (const count of cells.values()) sum += count;
  return sum;
}

/** The bucket in which something that is reported now is counted. */
export function presentBucket({ at }: TokenRow): number {
  return Math.floor(at / SIZE_MS);
}

/** Whether a bucket counts. */
export function counts(row: TokenRow, bucket: number): boolean {
  return bucket >= presentBucket(row) - REACH;
}
