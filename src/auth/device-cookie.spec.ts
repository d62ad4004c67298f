import { describe, expect, it } from '@jest/globals';
import type { FastifyRequest } from 'fastify';
import { Clock } from '../common/clock.js';
import { uuidv7 } from '../common/uuid.js';
import type { Config } from '../config/config.js';
import type { Installation } from '../installation/installation.js';
import { DeviceCookie } from './device-cookie.js';

const KEY = { version: '1', key: Buffer.from('one secret of thirty-two characters') };
const NEXT_KEY = { version: '2', key: Buffer.from('two secret of thirty-two characters') };
const DAY_MS = 86_400_000;

class StillClock extends Clock {
  offsetDays = 0;
  override now(): Date {
    return new Date(Date.UTC(2026, 0, 1) + this.offsetDays * DAY_MS);
  }
}

const cookies = (publicUrl = 'http://127.0.0.1:3000', jwtSecrets = [KEY], clock: Clock = new StillClock()) =>
  new DeviceCookie({ publicUrl, jwtSecrets } as unknown as Config, { shortId: '01234567' } as Installation, clock);
const asking = (cookie?: string) => ({ headers: cookie === undefined ? {} : { cookie } }) as unknown as FastifyRequest;
/** What a browser sends back of a `Set-Cookie`. */
const sentBack = (setCookie: string) => setCookie.split(';')[0]!;

describe('DeviceCookie', () => {
  it('knows a browser that has signed in, for the account that signed in, and for no other', () => {
    const [ada, grace] = [uuidv7(), uuidv7()];
    const cookie = sentBack(cookies().signedIn(asking(), ada));
    const known = cookies().known(asking(cookie));
    expect(known.get(ada)).toMatch(/^[0-9a-f-]{36}$/);
    expect(known.has(grace)).toBe(false);
    expect(cookies().known(asking()).size).toBe(0);
  });

  it('keeps the id of a browser when it signs in again, and gives others another', () => {
    const ada = uuidv7();
    const first = sentBack(cookies().signedIn(asking(), ada));
    const again = sentBack(cookies().signedIn(asking(first), ada));
    const other = sentBack(cookies().signedIn(asking(), ada));
    const idOf = (cookie: string) => cookies().known(asking(cookie)).get(ada);
    expect(idOf(again)).toBe(idOf(first));
    expect(idOf(other)).not.toBe(idOf(first));
  });

  it('remembers five accounts of one browser, the last ones', () => {
    const users = Array.from({ length: 7 }, () => uuidv7());
    const cookie = users.reduce<string | undefined>(
      (sent, user) => sentBack(cookies().signedIn(asking(sent), user)),
      undefined,
    );
    expect([...cookies().known(asking(cookie)).keys()]).toEqual(users.slice(2).reverse());
  });

  it('takes what an earlier version of the secret has signed, and nothing that was changed or signed by another', () => {
    const ada = uuidv7();
    const cookie = sentBack(cookies().signedIn(asking(), ada));
    expect(cookies(undefined, [NEXT_KEY, KEY]).known(asking(cookie)).has(ada)).toBe(true);
    expect(cookies(undefined, [NEXT_KEY]).known(asking(cookie)).size).toBe(0);
    const [name, text] = cookie.split('=') as [string, string];
    const bytes = Buffer.from(text, 'base64url');
    for (let index = 0; index < bytes.length; index += 1) {
      const changed = Buffer.from(bytes);
      changed[index]! ^= 1;
      expect(cookies().known(asking(`${name}=${changed.toString('base64url')}`)).size).toBe(0);
    }
  });

  it.each(['', '.', 'a.b.c.d.e.f.g', 'x'.repeat(5_000), '\u0000', '%'])('knows nobody by %j', (text) => {
    const name = sentBack(cookies().signedIn(asking(), uuidv7())).split('=')[0]!;
    expect(cookies().known(asking(`${name}=${text}`)).size).toBe(0);
  });

  it('forgets a browser half a year after its last sign-in', () => {
    const clock = new StillClock();
    const ada = uuidv7();
    const cookie = sentBack(cookies(undefined, [KEY], clock).signedIn(asking(), ada));
    clock.offsetDays = 179;
    expect(cookies(undefined, [KEY], clock).known(asking(cookie)).has(ada)).toBe(true);
    clock.offsetDays = 181;
    expect(cookies(undefined, [KEY], clock).known(asking(cookie)).size).toBe(0);
  });

  it('is a cookie of this host alone with https, named for the installation, and no script reads it', () => {
    const [plain, secure] = ['http://127.0.0.1:3000', 'https://keys.example.com'].map((url) =>
      cookies(url).signedIn(asking(), uuidv7()),
    ) as [string, string];
    expect(plain).toMatch(/^latchkey_device=[^;]+; Max-Age=15552000; Path=\/; HttpOnly; SameSite=Strict$/);
    expect(secure).toMatch(
      /^__Host-latchkey_device_01234567=[^;]+; Max-Age=15552000; Path=\/; HttpOnly; Secure; SameSite=Strict$/,
    );
  });

  it('says nothing where it comes twice', () => {
    const ada = uuidv7();
    const cookie = sentBack(cookies().signedIn(asking(), ada));
    expect(cookies().known(asking(cookie)).size).toBe(1);
    expect(cookies().known(asking(`${cookie}; ${cookie}`)).size).toBe(0);
  });
});
