import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { MAX_HOLDS, ReservationSigner } from './reservation.js';
import type { Reservation, ReservationKey } from './reservation.js';

const id = fc.uuid();
const month = fc
  .record({ year: fc.integer({ min: 1970, max: 2200 }), of: fc.integer({ min: 1, max: 12 }) })
  .map(({ year, of }) => `${year}-${String(of).padStart(2, '0')}-01`);
const day = fc
  .date({ min: new Date('1970-01-01'), max: new Date('2200-01-01'), noInvalidDate: true })
  .map((at) => at.toISOString().slice(0, 10));
const holdsOf = (accountId: fc.Arbitrary<string>, period: fc.Arbitrary<string>, maxLength: number) =>
  fc.array(fc.record({ accountId, period: fc.oneof(fc.constant('total'), period), leaseId: id }), { maxLength });
const withoutHolds = fc.record({
  keyId: id,
  reservationId: id,
  callerId: id,
  amount: fc.bigInt({ min: 0n, max: 10n ** 15n }),
  tokens: fc.constant(0n),
  month,
  expiresAtMs: fc.integer({ min: 0, max: 7_000_000_000 }).map((seconds) => seconds * 1000),
  isDefaultHold: fc.boolean(),
});
/** Of a key that no limit binds. */
const ofKey: fc.Arbitrary<Reservation> = withoutHolds.chain((one) =>
  holdsOf(fc.constant(one.keyId), month, 8).map((holds) => ({ ...one, holds })),
);
const ofLimits: fc.Arbitrary<Reservation> = withoutHolds.chain((one) =>
  holdsOf(id, fc.oneof(day, fc.constantFrom('slot', 'window')), MAX_HOLDS).map((holds) => ({ ...one, holds })),
);
const ofTokens: fc.Arbitrary<Reservation> = fc
  .tuple(ofLimits, fc.bigInt({ min: 1n, max: 10n ** 12n }))
  .map(([one, tokens]) => ({ ...one, tokens }));
const reservation = fc.oneof(ofKey, ofLimits, ofTokens);
const signer = new ReservationSigner([{ version: '1', key: Buffer.alloc(32, 1) }]);

describe('a signed reservation', () => {
  it('opens to what was signed and stays within 1 024 characters, 512 where no limit binds the key', () => {
    fc.assert(
      fc.property(reservation, (one) => {
        const text = signer.sign(one);
        const isOwn =
          one.tokens === 0n && one.holds.length <= 8 && one.holds.every(({ accountId }) => accountId === one.keyId);
        expect(text.length).toBeLessThanOrEqual(isOwn ? 512 : 1_024);
        expect(signer.open(text)).toEqual(one);
      }),
    );
  });

  it('does not open after any change of a character, cut, or addition', () => {
    fc.assert(
      fc.property(reservation, fc.nat(), fc.constantFrom(...'AQgw-_09'), (one, place, character) => {
        const text = signer.sign(one);
        const at = place % text.length;
        const changed = text.slice(0, at) + character + text.slice(at + 1);
        expect(signer.open(changed)).toEqual(changed === text ? one : null);
        expect(signer.open(text.slice(0, at))).toBeNull();
        expect(signer.open(text + character)).toBeNull();
      }),
    );
  });

  it('does not open under another key', () => {
    fc.assert(
      fc.property(reservation, (one) =>
        expect(new ReservationSigner([{ version: '1', key: Buffer.alloc(32, 2) }]).open(signer.sign(one))).toBeNull(),
      ),
    );
  });

  it.each(['', ' ', 'é', 'a'.repeat(1_025), 'a'.repeat(200), '=='])('does not open %p', (text) =>
    expect(signer.open(text)).toBeNull(),
  );

  it('takes no more holds than fit', () => {
    const [one] = fc.sample(reservation, 1) as [Reservation];
    const hold = { accountId: one.keyId, period: 'total', leaseId: one.keyId };
    expect(() => signer.sign({ ...one, holds: Array.from({ length: MAX_HOLDS + 1 }, () => hold) })).toThrow(RangeError);
  });

  describe('of several versions of RESERVATION_KEY', () => {
    const [first, second, named] = ['1', '2', 'a1B2c3D4e5F6g7H8'].map((version, index) => ({
      version,
      key: Buffer.alloc(32, index + 1),
    })) as unknown as [ReservationKey, ReservationKey, ReservationKey];

    it('opens with any of them, whatever the order, and stays within 1 024 characters', () => {
      fc.assert(
        fc.property(reservation, fc.shuffledSubarray([first, second, named], { minLength: 3 }), (one, keys) => {
          const text = new ReservationSigner(keys).sign(one);
          expect(text.length).toBeLessThanOrEqual(1_024);
          expect(new ReservationSigner([first, second, named]).open(text)).toEqual(one);
        }),
      );
    });

    it('reads and gives what builds before versions read and give, while version 1 signs', () => {
      const [one] = fc.sample(ofKey, 1) as [Reservation];
      const text = new ReservationSigner([first, second]).sign(one);
      expect(Buffer.from(text, 'base64url').readUInt8(0)).toBe(1);
      expect(new ReservationSigner([second, first]).open(text)).toEqual(one);
    });

    it('says that a version is missing for what may be open, and refuses what is older', () => {
      const [sample] = fc.sample(reservation, 1) as [Reservation];
      const nowMs = 1_800_000_000_000;
      const expiring = (expiresAtMs: number, keys: ReservationKey[]) =>
        new ReservationSigner(keys).sign({ ...sample, expiresAtMs });
      const without = new ReservationSigner([first]);
      expect(() => without.open(expiring(nowMs + 60_000, [second]), nowMs)).toThrow(
        expect.objectContaining({
          kind: 'unavailable',
          cause: expect.objectContaining({ message: expect.stringContaining('RESERVATION_KEY has no version 2') }),
        }),
      );
      expect(() => new ReservationSigner([second]).open(expiring(nowMs + 60_000, [first]), nowMs)).toThrow(
        expect.objectContaining({ kind: 'unavailable' }),
      );
      expect(without.open(expiring(nowMs - 25 * 3_600_000, [second]), nowMs)).toBeNull();
      expect(without.open(expiring(nowMs + 25 * 3_600_000, [second]), nowMs)).toBeNull();
      expect(without.open(expiring(nowMs + 60_000, [{ ...first, key: second.key }]), nowMs)).toBeNull();
    });

    it('does not open after any change of the version', () => {
      const [one] = fc.sample(reservation, 1) as [Reservation];
      const bytes = Buffer.from(new ReservationSigner([second]).sign(one), 'base64url');
      bytes.writeUInt8(0x33, bytes.length - 18);
      expect(
        new ReservationSigner([first, second, { version: '3', key: second.key }]).open(bytes.toString('base64url')),
      ).toBeNull();
    });
  });

  it('refuses a short key', () =>
    expect(() => new ReservationSigner([{ version: '1', key: Buffer.alloc(15) }])).toThrow(RangeError));
});
