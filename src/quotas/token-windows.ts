import { type AdmitRequest, isReserving } from './admission.js';
import { PermitLease } from './lease.js';
import { type AccountOfLimit, type Hold, NO_LEASE, type PermitClose, WINDOW } from './quota-store.js';
import type { WindowEntry } from './window-entry.js';

/**
 * Windows of limits of tokens: a call weighs as many permits as it reserves tokens, and what it does not use goes back
 * into the bucket that it was taken from (docs/adr/0056).
 */
export function isOfTokens({ of }: { readonly of?: AccountOfLimit | undefined }): boolean {
  return of?.unit === 'tokens';
}

/** More than any limit allows: a call that reserves more weighs no more. The store counts to it. */
const MOST_WEIGHT = 2_000_000_000;

/** How many permits of a window a call takes; 0: it only asks whether anything is left. */
export function weightIn(
  { cost, reserveTokens }: Pick<AdmitRequest, 'cost' | 'reserveTokens'>,
  window: { readonly of?: AccountOfLimit | undefined },
): number {
  return isOfTokens(window) ? Math.min(Number(reserveTokens ?? 0n), MOST_WEIGHT) : cost;
}

/** Whether the reservation of a call names a window, so that its report is charged there. */
export function namesWindows(request: AdmitRequest): boolean {
  return isReserving(request) && request.windows.some(isOfTokens);
}

/**
 * Permits of a window of tokens. What was used of them stays in their bucket, where reservations give back what they do
 * not use: closing it takes out what was not used, and moves nothing.
 */
export class TokenLease extends PermitLease {
  constructor(
    /** Of the store when they were granted: what one of another epoch gives back is ignored. */
    readonly epoch: string,
    ...of: ConstructorParameters<typeof PermitLease>
  ) {
    super(...of);
  }

  override closeAll(nowMs: number): PermitClose | null {
    const close = super.closeAll(nowMs);
    return close === null || close.granted === close.used ? null : { ...close, epoch: this.epoch };
  }

  override closeUsed(): null {
    return null;
  }
}

/** What a reservation says of a window of tokens. @param entry null: the call passed it without permits */
export function holdOfWindow(accountId: string, entry: WindowEntry | null, weight: number): Hold {
  const lease = entry?.lease;
  const isHeld = weight > 0 && lease instanceof TokenLease;
  return { accountId, period: WINDOW, leaseId: isHeld ? markOf(lease.epoch, lease.bucket) : NO_LEASE };
}

/** An epoch and a bucket in place of the id of a lease. @param epoch 16 hexadecimal digits */
export function markOf(epoch: string, bucket: number): string {
  const text = epoch + bucket.toString(16).padStart(16, '0');
  return [text.slice(0, 8), text.slice(8, 12), text.slice(12, 16), text.slice(16, 20), text.slice(20)].join('-');
}

/** The epoch and the bucket of a hold of a window. */
export function readMark(mark: string): { readonly epoch: string; readonly bucket: number } {
  const text = mark.replaceAll('-', '');
  return { epoch: text.slice(0, 16), bucket: Number.parseInt(text.slice(16), 16) };
}
