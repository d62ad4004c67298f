import type { Account, Period } from '../quota-store.js';

/** A slot that a call needs, and the id that its lease gets. */
export interface SlotNeed {
  readonly account: Account;
  readonly leaseId: string;
}

/** A call that needs one slot in each of several accounts: it gets all of them or none. */
export interface SlotCall {
  /** From the narrowest limit to the widest. */
  readonly needs: readonly SlotNeed[];
  readonly ttlSeconds: number;
}

/** The calls of one replica that ask, in the order in which they wait. */
export interface SlotRequest {
  readonly replicaId: string;
  readonly calls: readonly SlotCall[];
}

/** Granted; or the place of the first need that was refused, or whose account does not exist. */
export type SlotVerdict =
  | { readonly granted: true }
  | {
      readonly granted: false;
      readonly refusedBy: number;
      readonly found: boolean;
      /** Not found, because the limit has as many subjects as it may have. */
      readonly isFull?: boolean;
    };

/** The answer to a request; a verdict for each call, in order. */
export interface SlotAnswer {
  readonly calls: readonly SlotVerdict[];
  /** The month of the grant, to which a settle of the call is charged. */
  readonly month: Period;
  readonly clockMs: number;
  /** How long after `clockMs` the call may be admitted. */
  readonly admitForMs: number;
}

/** A reservation to be held for longer. */
export interface Renewal {
  readonly keyId: string;
  readonly reservationId: string;
  /** 1…1800, from now. */
  readonly ttlSeconds: number;
  /** Leases that have to be open, and its own: those of slots, or all of them where it has no slot. */
  readonly leaseIds: readonly string[];
  /** Those of amounts that are held beside slots: they are renewed where they are its own. Absent: none. */
  readonly besideIds?: readonly string[];
}

/**
 * What became of a renewal. `ended`: the reservation was settled, released or has expired. `pooled`: it has no
 * slot, draws from a lease that other reservations share, and ends with it.
 */
export type RenewalResult =
  { readonly outcome: 'renewed'; readonly untilMs: number } | { readonly outcome: 'ended' | 'pooled' };

/** Where calls in flight are counted. Every method is one transaction. */
export interface SlotStore {
  /** @throws whatever makes the outcome unknown; the asker must then admit nothing on it. */
  take(request: SlotRequest): Promise<SlotAnswer>;
  /** Frees slots by their leases; those that are free already are left alone. */
  free(leaseIds: readonly string[]): Promise<void>;
}
