import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { type AuditRecord, link } from './chain.js';
import {
  ChainCheck,
  type ChainBreak,
  type ChainHead,
  GENESIS,
  type SignedAnchor,
  type StoredLink,
} from './chain-check.js';
import type { KeySegment } from './key-segments.js';

const KEY = randomBytes(32);
const LENGTH = 12;

/** Rows as PostgreSQL would give them for a chain recorded with `key`. */
function chain(length: number, key = KEY): StoredLink[] {
  let previous = GENESIS;
  return Array.from({ length }, (_, index) => {
    const record = recordOf(index + 1);
    const next = link(key, previous, record);
    previous = next.hash;
    return rowOf(record, next.body, next.hash);
  });
}

function recordOf(seq: number): AuditRecord {
  return {
    seq: String(seq),
    id: `019a8b5e-1c7a-7cc3-b4a1-${String(seq).padStart(12, '0')}`,
    at: `2026-03-01T12:00:${String(seq % 60).padStart(2, '0')}.250Z`,
    actor: { kind: 'user', id: 'ada', ownerId: '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55' },
    action: 'api-keys:update',
    resourceType: 'api-key',
    resourceId: `key-${seq}`,
    outcome: 'success',
    ip: '192.0.2.7',
    requestId: `request-${seq}`,
    changes: [{ field: 'budgetLimitCents', before: null, after: seq + 0.5 }],
    details: { kid: `kid "${seq}" 1.0`, tiny: 1e-7, huge: 1e21 },
  };
}

function rowOf(record: AuditRecord, body: string, hash: Buffer): StoredLink {
  return {
    seq: record.seq,
    id: record.id,
    at: record.at.replace('Z', '000Z'),
    actorKind: record.actor.kind,
    actorId: record.actor.id,
    actorOwnerId: record.actor.ownerId,
    action: record.action,
    resourceType: record.resourceType,
    resourceId: record.resourceId,
    outcome: record.outcome,
    ip: record.ip,
    requestId: record.requestId,
    changes: JSON.stringify(record.changes),
    details: JSON.stringify(record.details).replace('1e-7', '0.0000001').replace('1e+21', '1000000000000000000000'),
    body,
    hash,
  };
}

const headOf = (rows: readonly StoredLink[]): ChainHead => {
  const last = rows.at(-1);
  return {
    seq: last?.seq ?? '0',
    hash: last?.hash ?? GENESIS,
    maxSeq: last?.seq ?? '0',
    auditKeyVersion: '1',
    keyChanges: [],
  };
};

const anchorOf = (row: StoredLink, signedBy = ['1']): SignedAnchor => ({
  seq: row.seq,
  hash: row.hash,
  at: '2026-03-01T13:00:00.000Z',
  signedBy,
});

function firstBreak(
  rows: readonly StoredLink[],
  head: ChainHead,
  anchors: readonly SignedAnchor[] = [],
  segments: readonly KeySegment[] = [{ version: '1', key: KEY, end: null }],
): ChainBreak | null {
  const check = new ChainCheck(segments, anchors);
  for (const row of rows) {
    const broken = check.next(row);
    if (broken) return broken;
  }
  return check.end(head);
}

const COLUMNS: Partial<Record<keyof StoredLink, string>> = {
  id: '019a8b5e-1c7a-7cc3-b4a1-ffffffffffff',
  at: '2026-03-01T12:00:05.250001Z',
  actorKind: 'key',
  actorId: 'eve',
  actorOwnerId: '019a8b5e-1c7a-7cc3-b4a1-ffffffffffff',
  action: 'api-keys:read',
  resourceType: 'user',
  resourceId: 'key-99',
  outcome: 'refused',
  ip: '192.0.2.8',
  requestId: 'request-99',
  changes: '[]',
  details: '{}',
};

describe('ChainCheck', () => {
  it('finds nothing wrong with an untouched chain', () => {
    const rows = chain(LENGTH);
    expect(firstBreak(rows, headOf(rows), [anchorOf(rows[3]!), anchorOf(rows[11]!)])).toBeNull();
    expect(firstBreak([], headOf([]))).toBeNull();
  });

  it.each(Object.entries(COLUMNS))('finds an edit of the column %s', (column, value) => {
    const rows = chain(LENGTH);
    const tampered = rows.with(4, { ...rows[4]!, [column]: value });
    expect(firstBreak(tampered, headOf(rows))).toEqual({ seq: '5', reason: expect.stringContaining('column') });
  });

  it.each(['5.50000000000000000001', '5.50', '5.5000000000000001'])('finds a number edited to %s', (number) => {
    const rows = chain(LENGTH);
    const tampered = rows.with(4, { ...rows[4]!, changes: rows[4]!.changes.replace('5.5', number) });
    expect(firstBreak(tampered, headOf(rows))).toMatchObject({ seq: '5' });
  });

  it('finds an edit of the body', () => {
    const rows = chain(LENGTH);
    const tampered = rows.with(4, { ...rows[4]!, body: rows[4]!.body.replace('192.0.2.7', '192.0.2.8') });
    expect(firstBreak(tampered, headOf(rows))).toEqual({ seq: '5', reason: expect.stringContaining('hash') });
  });

  it('finds a chain calculated with another key', () => {
    const rows = chain(LENGTH, randomBytes(32));
    expect(firstBreak(rows, headOf(rows))).toMatchObject({ seq: '1' });
  });

  it('finds a chain calculated anew with the key behind a checkpoint', () => {
    const rows = chain(LENGTH);
    const anchor = { ...anchorOf(rows[6]!), hash: randomBytes(32) };
    expect(firstBreak(rows, headOf(rows), [anchor])).toEqual({
      seq: '7',
      reason: expect.stringContaining('checkpoint'),
    });
  });

  it('finds a deleted row', () => {
    const rows = chain(LENGTH);
    fc.assert(
      fc.property(fc.nat(LENGTH - 1), (index) => {
        const broken = firstBreak(rows.toSpliced(index, 1), {
          ...headOf(rows),
          maxSeq: index === LENGTH - 1 ? '11' : '12',
        });
        expect(broken).toEqual({ seq: String(index + 1), reason: 'This entry is missing.' });
      }),
    );
  });

  it('finds two swapped rows, whether or not their seq is swapped too', () => {
    const rows = chain(LENGTH);
    const [third, fourth] = [rows[2]!, rows[3]!];
    expect(
      firstBreak(rows.with(2, { ...fourth, seq: '3' }).with(3, { ...third, seq: '4' }), headOf(rows)),
    ).toMatchObject({ seq: '3' });
  });

  it('finds rows before the first and behind the head', () => {
    const rows = chain(LENGTH);
    expect(firstBreak([{ ...rows[0]!, seq: '0' }, ...rows], headOf(rows))).toMatchObject({ seq: '0' });
    expect(firstBreak(rows, { ...headOf(rows), maxSeq: '13' })).toMatchObject({ seq: '13' });
  });

  it('finds a cut tail by the head', () => {
    const rows = chain(LENGTH);
    expect(firstBreak(rows.slice(0, 8), { ...headOf(rows), maxSeq: '8' })).toEqual({
      seq: '9',
      reason: 'This entry is missing.',
    });
  });

  it('finds a tail that was cut together with the head by a checkpoint only', () => {
    const rows = chain(LENGTH);
    const cut = rows.slice(0, 8);
    expect(firstBreak(cut, headOf(cut))).toBeNull();
    expect(firstBreak(cut, headOf(cut), [anchorOf(rows[2]!), anchorOf(rows[9]!)])).toEqual({
      seq: '9',
      reason: expect.stringContaining('cut off'),
    });
  });

  it('finds a head that is not the last hash', () => {
    const rows = chain(LENGTH);
    expect(firstBreak(rows, { ...headOf(rows), hash: randomBytes(32) })).toMatchObject({ seq: '12' });
  });

  describe('with a change of key after entry 6', () => {
    const OTHER = randomBytes(32);
    const rows = changedChain(6);
    const end = { seq: '6', hash: rows[5]!.hash, at: '2026-03-01T12:30:00.000Z', from: '1', to: '2' };
    const segments: KeySegment[] = [
      { version: '1', key: KEY, end },
      { version: '2', key: OTHER, end: null },
    ];

    function changedChain(last: number): StoredLink[] {
      const first = chain(last);
      let previous = first.at(-1)!.hash;
      const rest = Array.from({ length: LENGTH - last }, (_, index) => {
        const record = recordOf(last + index + 1);
        const next = link(OTHER, previous, record);
        previous = next.hash;
        return rowOf(record, next.body, next.hash);
      });
      return [...first, ...rest];
    }

    it('finds nothing wrong with either part, nor with checkpoints of the key that signed there', () => {
      expect(
        firstBreak(
          rows,
          headOf(rows),
          [anchorOf(rows[2]!), anchorOf(rows[5]!, ['1', '2']), anchorOf(rows[5]!, ['2']), anchorOf(rows[9]!, ['2'])],
          segments,
        ),
      ).toBeNull();
    });

    it.each([5, 7])('finds a key that changed at another entry: %i', (seq) => {
      const [first, last] = segments as [KeySegment, KeySegment];
      const moved = [{ ...first, end: { ...end, seq: String(seq), hash: rows[seq - 1]!.hash } }, last];
      expect(firstBreak(rows, headOf(rows), [], moved)).toEqual({
        seq: String(Math.min(seq, 6) + 1),
        reason: expect.stringContaining('hash'),
      });
    });

    it('finds an old part that was calculated anew with the old key', () => {
      const forged = [...chain(5), ...rows.slice(5)];
      forged[4] = (() => {
        const record = { ...recordOf(5), actor: { kind: 'user' as const, id: 'eve', ownerId: null } };
        const next = link(KEY, forged[3]!.hash, record);
        return rowOf(record, next.body, next.hash);
      })();
      expect(firstBreak(forged, headOf(rows), [], segments)).toMatchObject({ seq: '6' });
    });

    it.each([
      ['the old key behind its end', 9, ['1']],
      ['the new key before its beginning', 3, ['2']],
      ['both keys where no change is known', 8, ['1', '2']],
    ] as const)('finds a checkpoint of %s', (_, seq, signedBy) => {
      expect(firstBreak(rows, headOf(rows), [anchorOf(rows[seq - 1]!, [...signedBy])], segments)).toEqual({
        seq: String(seq),
        reason: expect.stringContaining('of AUDIT_KEY'),
      });
    });
  });
});
