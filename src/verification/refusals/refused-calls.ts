import type { Environment } from '../../api-keys/api-key.entity.js';

/** Where a call was refused: by a verify, by an introspection, or for a gateway. */
export const REFUSED_VIA = ['verify', 'introspect', 'gateway'] as const;

/** One of them. */
export type RefusedVia = (typeof REFUSED_VIA)[number];

/** A call that was refused, as it was asked about. Only for keys whose secret was proven. */
export interface RefusedCall {
  readonly keyId: string;
  /** Unix milliseconds by the database's clock. */
  readonly atMs: number;
  readonly code: string;
  readonly detail: string;
  readonly via: RefusedVia;
  /** Whatever the service said, which may be no address. */
  readonly ip: string | undefined;
  readonly environment: Environment | undefined;
  readonly model: string | undefined;
  readonly chatbot: string | undefined;
  readonly scopes: readonly string[] | undefined;
  readonly cost: number | undefined;
  readonly reserveCents: number | undefined;
  readonly requestId: string | null;
  readonly clientRequestId: string | null;
  /** Null: a gateway without a credential of its own. */
  readonly askedByKind: 'key' | 'user' | null;
  readonly askedBy: string | null;
}

/** Why a refused call is not kept. */
export const LOSSES = ['minute', 'rate', 'memory', 'database', 'displaced'] as const;

/** One of them. */
export type Loss = (typeof LOSSES)[number];

/** Bounds of what is kept. */
export const REFUSED_CALL_LIMITS = {
  /** Of one key: the newest. */
  perKey: 100,
  /** Of one key in a minute: the first. */
  perKeyAndMinute: 20,
  /** Of all replicas in a second; each has an equal share. */
  perSecond: 1_000,
  /** Of all keys: the newest. */
  inAll: 1_000_000,
  /** After this they are not shown any more, and their partition is dropped. */
  keptHours: 48,
} as const;

/** Refused calls that wait for the database, beyond those that are under way to it: two seconds of the highest rate. */
const MAX_PENDING = 2_000;
const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;

/**
 * Collects refused calls in memory until they are taken to the database, and decides at once which are too many. What
 * it holds is bounded; what is not kept is counted. Noting is synchronous and never fails, and a call that is too many
 * costs a look into a map.
 */
export class RefusedCalls {
  private pending: RefusedCall[] = [];
  private second = 0;
  private inSecond = 0;
  private minute = 0;
  /** Calls of each key in `minute`. As many keys as the rate lets through in a minute, at most. */
  private readonly inMinute = new Map<string, number>();
  private readonly losses = new Map<Loss, number>();

  /**
   * @param isOn whether anything is to be kept
   * @param replicas how many share the rate
   */
  constructor(
    readonly isOn: boolean,
    private readonly replicas: () => number,
  ) {}

  /** Refused calls that wait for the database. */
  get queued(): number {
    return this.pending.length;
  }

  /** Whether another call of this key is kept now; to be asked before a call is put together for `add`. */
  admits(keyId: string, nowMs: number): boolean {
    if (!this.isOn) return false;
    this.turn(nowMs);
    const ofKey = this.inMinute.get(keyId) ?? 0;
    if (ofKey >= REFUSED_CALL_LIMITS.perKeyAndMinute) return this.refuse('minute');
    if (this.inSecond >= this.share()) return this.refuse('rate');
    if (this.pending.length >= MAX_PENDING) return this.refuse('memory');
    this.inMinute.set(keyId, ofKey + 1);
    this.inSecond += 1;
    return true;
  }

  /** Keeps a call that was admitted. */
  add(call: RefusedCall): void {
    this.pending.push(call);
  }

  /** Hands out what waits; it is forgotten here. */
  take(): readonly RefusedCall[] {
    const taken = this.pending;
    this.pending = [];
    return taken;
  }

  /** Counts calls that are not kept. */
  lose(loss: Loss, count: number): void {
    if (count > 0) this.losses.set(loss, this.lost(loss) + count);
  }

  /** Calls that were not kept for this reason since the start. */
  lost(loss: Loss): number {
    return this.losses.get(loss) ?? 0;
  }

  private refuse(loss: Loss): false {
    this.lose(loss, 1);
    return false;
  }

  private share(): number {
    return Math.max(1, Math.floor(REFUSED_CALL_LIMITS.perSecond / Math.max(1, this.replicas())));
  }

  private turn(nowMs: number): void {
    const second = Math.floor(nowMs / SECOND_MS);
    if (second === this.second) return;
    this.second = second;
    this.inSecond = 0;
    const minute = Math.floor(nowMs / MINUTE_MS);
    if (minute === this.minute) return;
    this.minute = minute;
    this.inMinute.clear();
  }
}
