import { createHash, randomBytes } from 'node:crypto';
import type { EntityManager } from 'typeorm';
import { canonicalJson } from '../common/canonical-json.js';
import type { FieldChange } from './audit-event.entity.js';
import type { AuditRecord } from './chain.js';

/** The name of a person whose personal values were erased. */
export const ERASED_NAME = 'Erased person';

/** What stands in an entry for a personal value: SHA-256 over a salt and the value in canonical JSON; hexadecimal. */
export interface Commitment {
  readonly commitment: string;
}

/** What opens a commitment. It lies beside the trail, and goes when the person is erased. */
export interface Opening {
  readonly salt: Buffer;
  readonly value: unknown;
}

/** An opening as it is stored. */
export interface PersonalValue extends Opening {
  readonly commitment: string;
  readonly userId: string;
}

/** Openings by their commitments. */
export type Openings = ReadonlyMap<string, Opening>;

/** Fields of users, and members of details, that say who a person is. */
const PERSONAL_FIELDS: ReadonlySet<string> = new Set(['email', 'name']);
const PERSONAL_DETAILS: ReadonlySet<string> = new Set(['subject']);
const SALT_BYTES = 32;

/** An entry with commitments in place of the personal values of a user, and what opens them. */
export function withCommitments(record: AuditRecord): { record: AuditRecord; values: PersonalValue[] } {
  const { resourceType, resourceId: userId } = record;
  const values: PersonalValue[] = [];
  if (resourceType !== 'user' || userId === null) return { record, values };
  const commit = (value: unknown): unknown => {
    if (typeof value !== 'string') return value;
    const salt = randomBytes(SALT_BYTES);
    const commitment = commitmentOf(salt, value);
    values.push({ commitment, userId, salt, value });
    return { commitment } satisfies Commitment;
  };
  const changes = record.changes.map((change) => (isPersonal(change) ? committed(change, commit) : change));
  const details = Object.fromEntries(
    Object.entries(record.details).map(([name, value]) => [name, PERSONAL_DETAILS.has(name) ? commit(value) : value]),
  );
  return { record: { ...record, changes, details }, values };
}

/** The value behind what an entry has; undefined: it was erased, or what is stored does not open the commitment. */
export function openedValue(value: unknown, openings: Openings): unknown {
  if (!isCommitment(value)) return value;
  const opening = openings.get(value.commitment);
  return opening !== undefined && opens(value.commitment, opening) ? opening.value : undefined;
}

/** The commitments that an entry has. */
export function commitmentsIn({ changes, details }: Pick<AuditRecord, 'changes' | 'details'>): string[] {
  const values = [...changes.flatMap(({ before, after }) => [before, after]), ...Object.values(details)];
  return values.filter(isCommitment).map(({ commitment }) => commitment);
}

/**
 * What opens these commitments; those of erased persons are absent, and rows that do not open theirs: nobody is told a
 * value that was put there later.
 */
export async function findOpenings(manager: EntityManager, commitments: readonly string[]): Promise<Openings> {
  if (commitments.length === 0) return new Map();
  const rows = await manager.query<{ commitment: string; salt: Buffer; value: unknown }[]>(
    `SELECT encode(commitment, 'hex') AS commitment, salt, value FROM personal_value
      WHERE commitment = ANY(SELECT decode(unnest($1::text[]), 'hex'))`,
    [commitments],
  );
  return new Map(
    rows
      .filter(({ commitment, ...opening }) => opens(commitment, opening))
      .map(({ commitment, salt, value }) => [commitment, { salt, value }]),
  );
}

/** Whether a value of an entry is a commitment. */
export function isCommitment(value: unknown): value is Commitment {
  if (typeof value !== 'object' || value === null || Object.keys(value).length !== 1) return false;
  const { commitment } = value as { commitment?: unknown };
  return typeof commitment === 'string' && /^[0-9a-f]{64}$/.test(commitment);
}

/** The one check of every reader. */
function opens(commitment: string, { salt, value }: Opening): boolean {
  return commitmentOf(salt, value) === commitment;
}

function commitmentOf(salt: Buffer, value: unknown): string {
  return createHash('sha256').update(salt).update(canonicalJson(value), 'utf8').digest('hex');
}

function isPersonal({ field }: FieldChange): boolean {
  return PERSONAL_FIELDS.has(field);
}

function committed({ field, before, after }: FieldChange, commit: (value: unknown) => unknown): FieldChange {
  return { field, before: commit(before), after: commit(after) };
}
