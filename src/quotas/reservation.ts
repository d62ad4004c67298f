import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Hold, Period } from './authority.js';

/** What a reservation promises; everything needed to settle it anywhere. Ids are lower-case UUIDs. */
export interface Reservation {
  readonly keyId: string;
  readonly reservationId: string;
  /** The owner of the credential that verified: only he may settle it. */
  readonly callerId: string;
  readonly amount: bigint;
  readonly month: Period;
  /** Milliseconds of the authority's clock, whole seconds. */
  readonly expiresAtMs: number;
  /** A hold that `DEFAULT_HOLD_CENTS` placed, not the caller. */
  readonly isDefaultHold: boolean;
  /** At most 8; none for a key without a budget. */
  readonly holds: readonly Hold[];
}

/** Most accounts that one reservation may draw from: what fits 512 characters. */
export const MAX_HOLDS = 8;

const VERSION = 1;
const HEAD = 68;
const HOLD = 34;
const MAC = 16;
const MAX_CHARACTERS = 512;

/**
 * Signs and opens reservations: base64url of a compact record and a truncated HMAC-SHA-256 (128 bits), at most 512
 * characters. Any replica with the same key settles what another signed; nobody else can make or change one.
 */
export class ReservationSigner {
  constructor(private readonly key: Uint8Array) {
    if (key.length < 16) throw new RangeError('A reservation key has at least 16 bytes.');
  }

  /** @throws RangeError if there are more than `MAX_HOLDS` holds or a value does not fit its field. */
  sign(reservation: Reservation): string {
    if (reservation.holds.length > MAX_HOLDS) throw new RangeError('A reservation has too many holds.');
    const body = Buffer.allocUnsafe(HEAD + HOLD * reservation.holds.length);
    body.writeUInt8(VERSION, 0);
    body.writeUInt8(reservation.isDefaultHold ? 1 : 0, 1);
    writeId(body, reservation.keyId, 2);
    writeId(body, reservation.reservationId, 18);
    writeId(body, reservation.callerId, 34);
    body.writeBigUInt64BE(reservation.amount, 50);
    body.writeUIntBE(Math.floor(reservation.expiresAtMs / 1000), 58, 6);
    writePeriod(body, reservation.month, 64);
    body.writeUInt16BE(reservation.holds.length, 66);
    reservation.holds.forEach((hold, index) => {
      const at = HEAD + HOLD * index;
      writeId(body, hold.accountId, at);
      writePeriod(body, hold.period, at + 16);
      writeId(body, hold.leaseId, at + 18);
    });
    return Buffer.concat([body, this.mac(body)]).toString('base64url');
  }

  /** Gives null for anything that this key did not sign; never throws. */
  open(text: string): Reservation | null {
    if (text.length > MAX_CHARACTERS || !/^[A-Za-z0-9_-]+$/.test(text)) return null;
    const bytes = Buffer.from(text, 'base64url');
    // One text per reservation: a second spelling of the same bytes is not the one we gave.
    if (bytes.length < HEAD + MAC || bytes.toString('base64url') !== text) return null;
    const body = bytes.subarray(0, bytes.length - MAC);
    if (!timingSafeEqual(bytes.subarray(bytes.length - MAC), this.mac(body))) return null;
    if (body.readUInt8(0) !== VERSION || body.length !== HEAD + HOLD * body.readUInt16BE(66)) return null;
    return read(body);
  }

  private mac(body: Uint8Array): Buffer {
    return createHmac('sha256', this.key).update(body).digest().subarray(0, MAC);
  }
}

function read(body: Buffer): Reservation {
  const holds: Hold[] = [];
  for (let at = HEAD; at < body.length; at += HOLD) {
    holds.push({ accountId: readId(body, at), period: readPeriod(body, at + 16), leaseId: readId(body, at + 18) });
  }
  return {
    keyId: readId(body, 2),
    reservationId: readId(body, 18),
    callerId: readId(body, 34),
    amount: body.readBigUInt64BE(50),
    month: readPeriod(body, 64),
    expiresAtMs: body.readUIntBE(58, 6) * 1000,
    isDefaultHold: body.readUInt8(1) === 1,
    holds,
  };
}

function writeId(body: Buffer, id: string, at: number): void {
  const hex = id.replaceAll('-', '');
  if (!/^[0-9a-f]{32}$/.test(hex)) throw new RangeError('A reservation names things by lower-case UUIDs.');
  body.write(hex, at, 'hex');
}

function readId(body: Buffer, at: number): string {
  const hex = body.toString('hex', at, at + 16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Months since 1970, plus one; 0 = `total`. */
function writePeriod(body: Buffer, period: Period, at: number): void {
  const month = period === 'total' ? 0 : (Number(period.slice(0, 4)) - 1970) * 12 + Number(period.slice(5, 7));
  body.writeUInt16BE(month, at);
}

function readPeriod(body: Buffer, at: number): Period {
  const month = body.readUInt16BE(at);
  if (month === 0) return 'total';
  const year = 1970 + Math.floor((month - 1) / 12);
  return `${year}-${String(((month - 1) % 12) + 1).padStart(2, '0')}-01`;
}
