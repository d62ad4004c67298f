import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { refusedCallRow } from './refused-call-row.js';
import type { RefusedCall } from './refused-calls.js';

const CALL: RefusedCall = {
  ...{ keyId: '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55', atMs: 1, code: 'IP_NOT_ALLOWED', via: 'verify' },
  ...{ detail: 'The address is not in the key’s list.', ip: '[203.0.113.7]:443', environment: 'live' },
  ...{ model: 'gpt-4o', chatbot: 'support', scopes: ['chat:write'], cost: 2, reserveCents: 1.5 },
  ...{ requestId: 'ours', clientRequestId: 'theirs', askedByKind: 'key', askedBy: 'gateway' },
};

describe('a refused call as it is kept', () => {
  it('has what was asked in full', () => {
    expect(refusedCallRow({ ...CALL, ip: '203.0.113.7:54321' }, 'full')).toEqual({
      ...{ key_id: CALL.keyId, at_ms: 1, code: 'IP_NOT_ALLOWED', detail: CALL.detail, via: 'verify' },
      ...{ ip: '203.0.113.7', environment: 'live', model: 'gpt-4o', chatbot: 'support', scopes: ['chat:write'] },
      ...{ scopes_left_out: 0, cost: 2, reserve_cents: 1.5, request_id: 'ours', client_request_id: 'theirs' },
      ...{ asked_by_kind: 'key', asked_by: 'gateway' },
    });
  });

  it.each([
    ['203.0.113.7', '203.0.113.0/24'],
    ['2001:db8:1:2:3::4', '2001:db8:1::/48'],
    ['no address', null],
    [undefined, null],
  ])('has of %s the network %s where it is masked, and no text of the caller', (ip, network) => {
    const row = refusedCallRow({ ...CALL, ip, code: 'INSUFFICIENT_SCOPE', detail: 'lacks chat:write.' }, 'masked');
    expect(row).toMatchObject({
      ip: network,
      detail: null,
      scopes: [],
      code: 'INSUFFICIENT_SCOPE',
      environment: 'live',
    });
    expect(JSON.stringify(row)).not.toMatch(/gpt-4o|support|chat:write|theirs|203\.0\.113\.7|2:3/);
  });

  it('keeps of an address nothing but an address', () => {
    for (const ip of ['lk_live_secret', 'x'.repeat(512), '', '10.0.0.0/8', '1.2.3'])
      expect(refusedCallRow({ ...CALL, ip }, 'full')['ip']).toBeNull();
  });

  it('hides what is shaped like a secret in any text', () => {
    const secret = `lk_live_${'a1B2'.repeat(16)}`;
    const texts = { model: `m ${secret}`, chatbot: secret, scopes: [`read:${secret}`], detail: `lacks ${secret}.` };
    expect(JSON.stringify(refusedCallRow({ ...CALL, ...texts }, 'full'))).not.toContain('a1B2a1B2');
  });

  it('hides a secret that the bound of a sentence would cut, and leaves no half of a character there', () => {
    const secret = `lk_live_${'a1B2'.repeat(16)}`;
    for (let place = 220; place <= 300; place += 1) {
      const { detail } = refusedCallRow({ ...CALL, detail: `${'x'.repeat(place)}${secret}` }, 'full');
      expect(detail).not.toContain('a1B2');
    }
    const { detail } = refusedCallRow({ ...CALL, detail: `${'x'.repeat(299)}\u{1F511}` }, 'full');
    expect(detail).toBe(`${'x'.repeat(299)}\uFFFD`);
  });

  it('is bounded, and says how many scopes were left out', () => {
    const scopes = Array.from({ length: 100 }, (_, index) => String(index).padEnd(128, 'x'));
    const row = refusedCallRow({ ...CALL, scopes, detail: scopes.join(' ') }, 'full');
    expect([row['scopes'], row['scopes_left_out']]).toEqual([scopes.slice(0, 20), 80]);
    expect(JSON.stringify(row).length).toBeLessThan(5_000);
  });

  it('is text that PostgreSQL takes, whatever a model is called', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 64 }),
        fc.constantFrom('\ud800', '\udfff', ''),
        (text, half) => {
          const { model } = refusedCallRow({ ...CALL, model: `${half}${text}${half}` }, 'full') as { model: string };
          expect(model.isWellFormed()).toBe(true);
        },
      ),
    );
  });
});
