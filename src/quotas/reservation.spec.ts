import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { MAX_HOLDS, ReservationSigner } from './reservation.js';
import type { Reservation } from './reservation.js';

const id = fc.uuid();
const month = fc
  .record({ year: fc.integer({ min: 1970, max: 2200 }), of: fc.integer({ min: 1, max: 12 }) })
  .map(({ year, of }) => `${year}-${String(of).padStart(2, '0')}-01`);
const reservation: fc.Arbitrary<Reservation> = fc.record({
  keyId: id,
  reservationId: id,
  callerId: id,
  amount: fc.bigInt({ min: 0n, max: 10n ** 15n }),
  month,
  expiresAtMs: fc.integer({ min: 0, max: 7_000_000_000 }).map((seconds) => seconds * 1000),
  isDefaultHold: fc.boolean(),
  holds: fc.array(fc.record({ accountId: id, period: fc.oneof(fc.constant('total'), month), leaseId: id }), {
    maxLength: MAX_HOLDS,
  }),
});
const signer = new ReservationSigner([{ version: '1', key: Buffer.alloc(32, 1) }]);

describe('a signed reservation', () => {
  it('opens to what was signed and stays within 512 characters', () => {
    fc.assert(
      fc.property(reservation, (one) => {
        const text = signer.sign(one);
        expect(text.length).toBeLessThanOrEqual(512);
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

  it.each(['', ' ', 'é', 'a'.repeat(513), 'a'.repeat(200), '=='])('does not open %p', (text) =>
    expect(signer.open(text)).toBeNull(),
  );

  it('takes no more holds than fit', () => {
    const [one] = fc.sample(reservation, 1) as [Reservation];
    const hold = { accountId: one.keyId, period: 'total', leaseId: one.keyId };
    expect(() => signer.sign({ ...one, holds: Array.from({ length: MAX_HOLDS + 1 }, () => hold) })).toThrow(RangeError);
  });

  it('refuses a short key', () => expect(() => new ReservationSigner([{ version: '1', key: Buffer.alloc(15) }])).toThrow(RangeError));
});
