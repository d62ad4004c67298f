import { createHmac, timingSafeEqual } from 'node:crypto';
import { missingVersion } from '../common/missing-version.js';
import { PLAIN_VERSION } from '../config/versioned-secrets.js';
import type { Hold, Period } from './quota-store.js';

/** What a reservation promises; everything needed to settle it anywhere. Ids are lower-case UUIDs. */
export interface Reservation {
  readonly keyId: string;
  readonly reservationId: string;
  /** The owner of the credential that verified: only he may settle it. */
  readonly callerId: string;
  readonly amount: bigint;
  readonly month: Period;
  /** Milliseconds of the store's clock, whole seconds. */
  readonly expiresAtMs: number;
  /** A hold that `DEFAULT_RESERVATION_CENTS` placed, not the caller. */
  readonly isDefaultHold: boolean;
  /** At most 8; none for a key without a budget. */
  readonly holds: readonly Hold[];
}

/** Most accounts that one reservation may draw from: what fits 512 characters. */
export const MAX_HOLDS = 8;

/** Names no version of RESERVATION_KEY: its first one, as builds before versions know it. */
const PLAIN_FORMAT = 1;
/** Ends with the version of RESERVATION_KEY and its length. */
const VERSIONED_FORMAT = 2;
const HEAD = 68;
const HOLD = 34;
const MAC = 16;
const MAX_CHARACTERS = 512;
const VERSION_SHAPE = /^[A-Za-z0-9]{1,16}$/;
/** A reservation ends within 30 minutes, and late reports of it may come for a while. */
const MAX_LATE_MS = 24 * 3_600_000;
const MAX_AHEAD_MS = 24 * 3_600_000;

/**
 * Signs and opens reservations: base64url of a compact record and a truncated HMAC-SHA-256 (128 bits), at most 512
 * characters. Any replica with the same key settles what another signed; nobody else can make or change one. The first
 * key signs, all open. Other versions than `1` are named in the text, so that a replica which lacks one can say so.
 */
export class ReservationSigner {
  /** What follows the holds of each reservation: nothing for a plain value. */
  private readonly suffix: Buffer;
  private readonly format: number;

  /** @param keys at least one, the signing one first */
  constructor(private readonly keys: readonly ReservationKey[]) {
    if (keys.length === 0 || keys.some(({ key }) => key.length < 16))
      throw new RangeError('A reservation key has at least 16 bytes.');
    const { version } = keys[0]!;
    this.format = version === PLAIN_VERSION ? PLAIN_FORMAT : VERSIONED_FORMAT;
    this.suffix =
      version === PLAIN_VERSION ? Buffer.alloc(0) : Buffer.from([...Buffer.from(version, 'latin1'), version.length]);
  }

  /** @throws RangeError if there are more than `MAX_HOLDS` holds or a value does not fit its field. */
  sign(reservation: Reservation): string {
    if (reservation.holds.length > MAX_HOLDS) throw new RangeError('A reservation has too many holds.');
    const body = Buffer.allocUnsafe(HEAD + HOLD * reservation.holds.length);
    body.writeUInt8(this.format, 0);
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
    const signed = this.suffix.length === 0 ? body : Buffer.concat([body, this.suffix]);
    return Buffer.concat([signed, macOf(this.keys[0]!.key, signed)]).toString('base64url');
  }

  /**
   * Gives null for anything that these keys did not sign.
   *
   * @param nowMs the clock's time; absent: a version that is missing gives null too
   * @throws DomainError 503 for what claims to be signed with a version that is missing here, and is of these days
   */
  open(text: string, nowMs?: number): Reservation | null {
    if (text.length > MAX_CHARACTERS || !/^[A-Za-z0-9_-]+$/.test(text)) return null;
    const bytes = Buffer.from(text, 'base64url');
    // One text per reservation: a second spelling of the same bytes is not the one we gave.
    if (bytes.length < HEAD + MAC || bytes.toString('base64url') !== text) return null;
    const signed = bytes.subarray(0, bytes.length - MAC);
    const version = versionIn(signed);
    if (version === null) return null;
    const mac = bytes.subarray(bytes.length - MAC);
    if (!this.keys.some(({ key }) => timingSafeEqual(mac, macOf(key, signed)))) {
      if (nowMs !== undefined && this.isMissing(version) && isOfTheseDays(signed, nowMs))
        throw missingVersion('RESERVATION_KEY', version);
      return null;
    }
    return read(signed.subarray(0, HEAD + HOLD * signed.readUInt16BE(66)));
  }

  private isMissing(version: string): boolean {
    return this.keys.every((key) => key.version !== version);
  }
}

/** One version of RESERVATION_KEY. */
export interface ReservationKey {
  readonly version: string;
  readonly key: Uint8Array;
}

function macOf(key: Uint8Array, signed: Uint8Array): Buffer {
  return createHmac('sha256', key).update(signed).digest().subarray(0, MAC);
}

/** The version that signed, by what the text says; null for what has not the form of a reservation. */
function versionIn(signed: Buffer): string | null {
  const bodyLength = HEAD + HOLD * signed.readUInt16BE(66);
  const suffix = signed.subarray(bodyLength);
  if (signed.readUInt8(0) === PLAIN_FORMAT) return signed.length === bodyLength ? PLAIN_VERSION : null;
  if (signed.readUInt8(0) !== VERSIONED_FORMAT || suffix.length === 0 || suffix.at(-1) !== suffix.length - 1)
    return null;
  const version = suffix.toString('latin1', 0, suffix.length - 1);
  return VERSION_SHAPE.test(version) ? version : null;
}

/** Whether it could still be settled: older ones are refused as before, so that no report is sent again for ever. */
function isOfTheseDays(signed: Buffer, nowMs: number): boolean {
  const expiresAtMs = signed.readUIntBE(58, 6) * 1000;
  return expiresAtMs > nowMs - MAX_LATE_MS && expiresAtMs < nowMs + MAX_AHEAD_MS;
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
