import { describe, expect, it } from '@jest/globals';
import { canonicalJson } from '../../common/canonical-json.js';
import type { AuditRecord } from '../chain.js';
import { eventOfLine } from '../copies/copied-event.js';
import { syslogMessage } from './syslog-message.js';

const record: AuditRecord = {
  seq: '4711',
  id: '019a8b5e-0000-7000-8000-000000000001',
  at: '2026-03-01T12:00:00.123Z',
  actor: { kind: 'user', id: '019a8b5e-0000-7000-8000-000000000002', ownerId: null },
  action: 'api-keys:create',
  resourceType: 'api-key',
  resourceId: null,
  outcome: 'success',
  ip: null,
  requestId: null,
  changes: [{ field: 'name', before: null, after: 'Größe "a]\\b"\n\u2028 \u007f 😀' }],
  details: {},
};
const hash = Buffer.alloc(32, 7);
const messageOf = (changed: Partial<AuditRecord>) =>
  syslogMessage({ record: { ...record, ...changed }, hash, isUnreadable: false }).toString('utf8');

describe('A syslog message', () => {
  it('is RFC 5424 behind its length in octets, with the place in the chain as structured data', () => {
    const message = messageOf({});
    const [length] = message.split(' ', 1);
    expect(Number(length)).toBe(Buffer.byteLength(message) - length!.length - 1);
    expect(message.slice(length!.length + 1)).toMatch(
      new RegExp(
        `^<110>1 2026-03-01T12:00:00\\.123Z [!-~]+ latchkey ${process.pid} api-keys:create \\[latchkey@32473 chain="changes" seq="4711" hash="(07){32}"\\] \\{`,
      ),
    );
    expect(messageOf({ outcome: 'refused' })).toMatch(/^\d+ <109>1 /);
  });

  it('has a text in printable ASCII that is the event to the letter', () => {
    const message = messageOf({});
    expect(message).toMatch(/^[\x20-\x7e]+$/);
    const event = eventOfLine(message.slice(message.indexOf('{')))!;
    expect(event.link.body).toBe(canonicalJson(record));
    expect(event.link.hash).toEqual(hash);
  });

  it('keeps its form whatever a forged entry says of itself', () => {
    const message = messageOf({ action: `a b\n<0>"]${'x'.repeat(200)}`, at: 'yesterday' });
    expect(message).toMatch(/^\d+ <110>1 - [!-~]+ latchkey \d+ a_b_<0>"\]x{22,24} \[latchkey@32473 /);
    expect(message).toMatch(/^[\x20-\x7e]+$/);
  });
});
