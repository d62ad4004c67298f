import { Injectable } from '@nestjs/common';
import { type SerializeOptions, stringifySetCookie } from 'cookie';
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { Clock } from '../common/clock.js';
import { uuidv7 } from '../common/uuid.js';
import { Config, type VersionedKey } from '../config/config.js';
import { Installation } from '../installation/installation.js';
import { cookieName, cookieValue, isSecure } from './cookies.js';

/** A browser is known this long after its last sign-in. */
const LIFETIME_SECONDS = 180 * 86_400;
/** Accounts that one browser is known to; the one that was used longest ago makes room. */
const MAX_ACCOUNTS = 5;

const UUID_BYTES = 16;
const SECONDS_BYTES = 4;
const MAC_BYTES = 16;
const BODY_BYTES = 2 * UUID_BYTES + SECONDS_BYTES;
const MAX_COOKIE_CHARACTERS = 1_024;

/** One browser as one account knows it. */
interface Device {
  readonly userId: string;
  readonly deviceId: string;
  readonly text: string;
}

/** By which accounts a browser is known: account → id of the browser. */
export type KnownDevices = ReadonlyMap<string, string>;

/** A caller that brought no cookie. */
export const NO_DEVICES: KnownDevices = new Map();

/**
 * Marks browsers that have signed in: such a browser is not slowed when others guess the password. The cookie is no
 * credential. It names accounts and browsers, signed with a key that is derived from `JWT_SECRET`, and nothing is
 * stored.
 *
 * @see https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies
 */
@Injectable()
export class DeviceCookie {
  private readonly keys: readonly Buffer[];
  private readonly options: SerializeOptions;

  constructor(
    private readonly config: Config,
    private readonly installation: Installation,
    private readonly clock: Clock,
  ) {
    this.keys = config.jwtSecrets.map(deviceKey);
    const secure = isSecure(config.publicUrl);
    this.options = { path: '/', httpOnly: true, sameSite: 'strict', secure, maxAge: LIFETIME_SECONDS };
  }

  private get name(): string {
    return cookieName('device', this.config.publicUrl, this.installation.shortId);
  }

  /** The accounts that know the browser of a request; whatever is not of ours, or is too old, is none. */
  known(request: FastifyRequest): KnownDevices {
    const devices = this.devicesOf(request);
    return devices.length === 0 ? NO_DEVICES : new Map(devices.map(({ userId, deviceId }) => [userId, deviceId]));
  }

  /** The `Set-Cookie` for a browser that has just signed in. It stays the one that the account knows already. */
  signedIn(request: FastifyRequest, userId: string): string {
    const devices = this.devicesOf(request);
    const deviceId = devices.find((device) => device.userId === userId)?.deviceId ?? uuidv7();
    const others = devices.filter((device) => device.userId !== userId).map(({ text }) => text);
    return stringifySetCookie(
      this.name,
      [this.seal(userId, deviceId), ...others].slice(0, MAX_ACCOUNTS).join('.'),
      this.options,
    );
  }

  private devicesOf(request: FastifyRequest): Device[] {
    const text = cookieValue(request, this.name);
    if (text === null || text.length > MAX_COOKIE_CHARACTERS) return [];
    return text
      .split('.')
      .slice(0, MAX_ACCOUNTS)
      .flatMap((one) => this.open(one) ?? []);
  }

  private seal(userId: string, deviceId: string): string {
    const body = Buffer.alloc(BODY_BYTES);
    bytesOf(userId).copy(body);
    bytesOf(deviceId).copy(body, UUID_BYTES);
    body.writeUInt32BE(this.nowSeconds, 2 * UUID_BYTES);
    return Buffer.concat([body, macOf(this.keys[0]!, body)]).toString('base64url');
  }

  private open(text: string): Device | null {
    const bytes = Buffer.from(text, 'base64url');
    if (bytes.length !== BODY_BYTES + MAC_BYTES) return null;
    const [body, mac] = [bytes.subarray(0, BODY_BYTES), bytes.subarray(BODY_BYTES)];
    if (!this.keys.some((key) => timingSafeEqual(macOf(key, body), mac))) return null;
    const ageSeconds = this.nowSeconds - body.readUInt32BE(2 * UUID_BYTES);
    if (ageSeconds > LIFETIME_SECONDS) return null;
    return {
      userId: uuidOf(body.subarray(0, UUID_BYTES)),
      deviceId: uuidOf(body.subarray(UUID_BYTES, 2 * UUID_BYTES)),
      text,
    };
  }

  private get nowSeconds(): number {
    return Math.floor(this.clock.now().getTime() / 1000);
  }
}

function deviceKey({ key }: VersionedKey): Buffer {
  return Buffer.from(hkdfSync('sha256', key, '', 'latchkey device cookie', 32));
}

function macOf(key: Buffer, body: Buffer): Buffer {
  return createHmac('sha256', key).update(body).digest().subarray(0, MAC_BYTES);
}

function bytesOf(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll('-', ''), 'hex');
}

function uuidOf(bytes: Buffer): string {
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
