import { createHmac, timingSafeEqual } from 'node:crypto';
import { missingVersion } from '../common/missing-version.js';
import { PLAIN_VERSION } from '../config/versioned-secrets.js';
import { type Hold, type Period, SLOT, WINDOW } from './quota-store.js';

/** What a reservation promises; everything needed to settle it anywhere. Ids are lower-case UUIDs. */
export interface Reservation {
  readonly keyId: string;
  readonly reservationId: string;
  /** The owner of the credential that verified: no other may settle it. */
  readonly callerId: string;
  readonly amount: bigint;
  /** What it holds in accounts of limits of tokens; 0 where it names none. */
  readonly tokens: bigint;
  readonly month: Period;
  /** Milliseconds of the store's clock, whole seconds. */
  readonly expiresAtMs: number;
  /** A hold that `DEFAULT_RESERVATION_CENTS` placed, not the caller. */
  readonly isDefaultHold: boolean;
  /** At most `MAX_HOLDS`; none for a key that neither a budget nor a limit binds. */
  readonly holds: readonly Hold[];
}

/** Most accounts that one reservation may draw from: the key's own, and those of limits. */
export const MAX_HOLDS = 16;
/** So many, and of periods that are months, fit the forms that every build knows. */
const MAX_OWN_HOLDS = 8;

/** Names no version of RESERVATION_KEY: its first one, as builds before versions know it. */
const PLAIN_FORMAT = 1;
/** Ends with the version of RESERVATION_KEY and its length. */
const VERSIONED_FORMAT = 2;
/** Ends as form 2, whatever the version; its holds are of any accounts, and their periods any dates. */
const LIMITS_FORMAT = 3;
/** As form 3, and the tokens that are held follow the holds. */
const TOKENS_FORMAT = 4;
const HEAD = 68;
const HOLD = 34;
const HOLD_OF_LIMIT = 36;
const TOKENS = 8;
const MAC = 16;
/** That of `MAX_HOLDS` holds, tokens and the longest name of a version has 914. */
const MAX_CHARACTERS = 1024;
const DAY_MS = 86_400_000;
const SLOT_DATE = 0xffff_ffff;
const WINDOW_DATE = 0xffff_fffe;
const VERSION_SHAPE = /^[A-Za-z0-9]{1,16}$/;
/** A reservation ends within 30 minutes, and late reports of it may come for a while. */
const MAX_LATE_MS = 24 * 3_600_000;
const MAX_AHEAD_MS = 24 * 3_600_000;

/**
 * Signs and opens reservations: base64url of a compact record and a truncated HMAC-SHA-256 (128 bits), at most 1 024
 * characters. Any replica with the same key settles what another signed; nobody else can make or change one. The first
 * key signs, all open. Other versions than `1` are named in the text, so that a replica which lacks one can say so.
 */
export class ReservationSigner {
  /** What follows the holds of each reservation: nothing for a plain value. */
  private readonly suffix: Buffer;
  private readonly format: number;
  private readonly suffixOfLimits: Buffer;

  /** @param keys at least one, the signing one first */
  constructor(private readonly keys: readonly ReservationKey[]) {
    if (keys.length === 0 || keys.some(({ key }) => key.length < 16))
      throw new RangeError('A reservation key has at least 16 bytes.');
    const { version } = keys[0]!;
    this.format = version === PLAIN_VERSION ? PLAIN_FORMAT : VERSIONED_FORMAT;
    this.suffixOfLimits = Buffer.from([...Buffer.from(version, 'latin1'), version.length]);
    this.suffix = version === PLAIN_VERSION ? Buffer.alloc(0) : this.suffixOfLimits;
  }

  /** @throws RangeError if there are more than `MAX_HOLDS` holds or a value does not fit its field. */
  sign(reservation: Reservation): string {
    if (reservation.holds.length > MAX_HOLDS) throw new RangeError('A reservation has too many holds.');
    const ofLimits = isOfLimits(reservation);
    const size = ofLimits ? HOLD_OF_LIMIT : HOLD;
    const end = HEAD + size * reservation.holds.length;
    const body = Buffer.allocUnsafe(end + (reservation.tokens > 0n ? TOKENS : 0));
    const format = reservation.tokens > 0n ? TOKENS_FORMAT : ofLimits ? LIMITS_FORMAT : this.format;
    body.writeUInt8(format, 0);
    if (reservation.tokens > 0n) body.writeBigUInt64BE(reservation.tokens, end);
    body.writeUInt8(reservation.isDefaultHold ? 1 : 0, 1);
    writeId(body, reservation.keyId, 2);
    writeId(body, reservation.reservationId, 18);
    writeId(body, reservation.callerId, 34);
    body.writeBigUInt64BE(reservation.amount, 50);
    body.writeUIntBE(Math.floor(reservation.expiresAtMs / 1000), 58, 6);
    writePeriod(body, reservation.month, 64);
    body.writeUInt16BE(reservation.holds.length, 66);
    reservation.holds.forEach((hold, index) => {
      const at = HEAD + size * index;
      writeId(body, hold.accountId, at);
      if (ofLimits) writeDate(body, hold.period, at + 16);
      else writePeriod(body, hold.period, at + 16);
      writeId(body, hold.leaseId, at + size - 16);
    });
    const suffix = ofLimits ? this.suffixOfLimits : this.suffix;
    const signed = suffix.length === 0 ? body : Buffer.concat([body, suffix]);
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
    return read(signed.subarray(0, bodyLengthOf(signed)));
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
  const format = signed.readUInt8(0);
  const bodyLength = bodyLengthOf(signed);
  const suffix = signed.subarray(bodyLength);
  if (format === PLAIN_FORMAT) return signed.length === bodyLength ? PLAIN_VERSION : null;
  const isNamed = format === VERSIONED_FORMAT || format === LIMITS_FORMAT || format === TOKENS_FORMAT;
  if (!isNamed || suffix.length === 0 || suffix.at(-1) !== suffix.length - 1) return null;
  const version = suffix.toString('latin1', 0, suffix.length - 1);
  return VERSION_SHAPE.test(version) ? version : null;
}

/** Whether it could still be settled: older ones are refused as before, so that no report is sent again for ever. */
function isOfTheseDays(signed: Buffer, nowMs: number): boolean {
  const expiresAtMs = signed.readUIntBE(58, 6) * 1000;
  return expiresAtMs > nowMs - MAX_LATE_MS && expiresAtMs < nowMs + MAX_AHEAD_MS;
}

/** Whether it needs the form of limits: a key that none binds gets one that every build knows. */
function isOfLimits({ keyId, tokens, holds }: Reservation): boolean {
  return tokens > 0n || holds.length > MAX_OWN_HOLDS || holds.some(({ accountId }) => accountId !== keyId);
}

function holdSizeOf(body: Buffer): number {
  return body.readUInt8(0) === LIMITS_FORMAT || hasTokens(body) ? HOLD_OF_LIMIT : HOLD;
}

function hasTokens(body: Buffer): boolean {
  return body.readUInt8(0) === TOKENS_FORMAT;
}

function bodyLengthOf(signed: Buffer): number {
  return tokensAt(signed) + (hasTokens(signed) ? TOKENS : 0);
}

/** Where the tokens are, or would be: after the holds. */
function tokensAt(body: Buffer): number {
  return HEAD + holdSizeOf(body) * body.readUInt16BE(66);
}

function read(body: Buffer): Reservation {
  const holds: Hold[] = [];
  const size = holdSizeOf(body);
  for (let at = HEAD; at < tokensAt(body); at += size) {
    const period = size === HOLD ? readPeriod(body, at + 16) : readDate(body, at + 16);
    holds.push({ accountId: readId(body, at), period, leaseId: readId(body, at + size - 16) });
  }
  return {
    keyId: readId(body, 2),
    reservationId: readId(body, 18),
    callerId: readId(body, 34),
    amount: body.readBigUInt64BE(50),
    tokens: hasTokens(body) ? body.readBigUInt64BE(tokensAt(body)) : 0n,
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

/** Days since 1970, plus one; 0 = `total`, `SLOT_DATE` a slot, and `WINDOW_DATE` a window of tokens. */
function writeDate(body: Buffer, period: Period, at: number): void {
  if (period === SLOT || period === WINDOW) body.writeUInt32BE(period === SLOT ? SLOT_DATE : WINDOW_DATE, at);
  else body.writeUInt32BE(period === 'total' ? 0 : Date.parse(`${period}T00:00:00Z`) / DAY_MS + 1, at);
}

function readDate(body: Buffer, at: number): Period {
  const day = body.readUInt32BE(at);
  if (day === SLOT_DATE || day === WINDOW_DATE) return day === SLOT_DATE ? SLOT : WINDOW;
  return day === 0 ? 'total' : new Date((day - 1) * DAY_MS).toISOString().slice(0, 10);
}
