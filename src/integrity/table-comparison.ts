import type { DataSource } from 'typeorm';
import { auditedRole } from '../access/roles.service.js';
import { auditedKey } from '../api-keys/changes/audited-key.js';
import type { ApiKey } from '../api-keys/api-key.entity.js';
import type { FieldChange } from '../audit/audit-event.entity.js';
import { diff } from '../audit/diff.js';
import type { Config } from '../config/config.js';
import { hasBoundAll } from '../installation/bindings/bind-action.js';
import { auditedUser } from '../users/audited-user.js';
import type { User } from '../users/user.entity.js';
import { isPasswordBound, secretProblems } from './compared-credentials.js';
import {
  type ComparedRow,
  ComparedRowsRepository,
  type ComparedType,
  type LiveSecret,
  type Slice,
} from './compared-rows.repository.js';
import { ACCEPT_ACTION, type ToldState, toldBy } from './told-state.js';

/** A row that is not what the trail says of it. */
export interface RowDifference {
  readonly type: ComparedType;
  readonly id: string;
  /** Fields that differ: `before` is what the trail says, `after` what the row says. */
  readonly changes: readonly FieldChange[];
  /** What else is wrong, a sentence each. */
  readonly problems: readonly string[];
  /** There is no row, and the trail knows of no deletion. */
  readonly isGone: boolean;
}

const TYPES: readonly ComparedType[] = ['role', 'user', 'api-key'];

const UNKNOWN = 'The trail does not know this row.';
const DELETED = 'The trail says that it was deleted.';
const GONE = 'The trail knows of no deletion, and there is no such row.';

/**
 * Compares every audited field of roles, users and keys, their links and credentials with what the trail says of them.
 * Gives what one slice found, and how many rows it compared; the caller decides about the pace.
 */
export async function* compareTables(
  config: Config,
  dataSource: DataSource,
): AsyncGenerator<{ compared: number; differences: RowDifference[] }, void> {
  const repository = new ComparedRowsRepository(dataSource.manager);
  const isClosed = await hasBoundAll(dataSource.manager);
  const passes = [
    {
      find: (type: ComparedType, after: string | null) => repository.findRows(type, after),
      compare: (type: ComparedType, row: ComparedRow) => compareRow(config, isClosed, type, row),
    },
    {
      find: (type: ComparedType, after: string | null) => repository.findMissing(type, after),
      compare: (type: ComparedType, row: ComparedRow) => compareMissing(config, type, row),
    },
  ];
  for (const { find, compare } of passes) {
    for (const type of TYPES) {
      for (let after: string | null = null, isLast = false; !isLast;) {
        const slice: Slice<ComparedRow> = await find(type, after);
        yield { compared: slice.rows.length, differences: slice.rows.flatMap((row) => compare(type, row) ?? []) };
        after = slice.next;
        isLast = after === null;
      }
    }
  }
}

/** One line about a difference, for the doctor and the log; no values, which may be of any kind. */
export function describeDifference({ type, id, changes, problems }: RowDifference): string {
  const fields =
    changes.length === 0 || problems.includes(UNKNOWN) || problems.includes(DELETED)
      ? []
      : [`differs from the audit trail in ${changes.map(({ field }) => field).join(', ')}.`];
  return `${type} ${id}: ${[...fields, ...problems].join(' ')}`;
}

function compareRow(
  config: Config,
  isClosed: boolean,
  type: ComparedType,
  { id, row, entries }: ComparedRow,
): RowDifference | null {
  const told = toldBy(config.auditKeys, entries);
  const problems = forgedProblems(told);
  const { changes, problems: found, isGone = false } = COMPARED[type](row, told, { config, isClosed });
  if (!told.isKnown) return { type, id, changes, problems: [...problems, UNKNOWN], isGone };
  if (changes.length + found.length + problems.length === 0) return null;
  return { type, id, changes, problems: [...problems, ...found], isGone };
}

function compareMissing({ auditKeys }: Config, type: ComparedType, { id, entries }: ComparedRow): RowDifference | null {
  const told = toldBy(auditKeys, entries);
  const problems = forgedProblems(told);
  // A refusal names things that never were; a sign-in changes no field.
  const wasThere = Object.keys(told.fields).length > 0 && !told.isDeleted;
  if (!wasThere && problems.length === 0) return null;
  return { type, id, changes: [], problems: wasThere ? [...problems, GONE] : problems, isGone: wasThere };
}

function forgedProblems({ forged }: ToldState): string[] {
  return forged.map((seq) => `Entry ${seq} of the trail about it was not made with AUDIT_KEY.`);
}

interface Found {
  readonly changes: FieldChange[];
  readonly problems: string[];
  /** The row is that of something deleted. */
  readonly isGone?: boolean;
}

interface Basis {
  readonly config: Config;
  readonly isClosed: boolean;
}

type Compare = (row: Readonly<Record<string, unknown>>, told: ToldState, basis: Basis) => Found;

const COMPARED: Record<ComparedType, Compare> = {
  role: (row, { fields }) => ({
    changes: diff(known(fields, auditedRole(row as never)), auditedRole(row as never)),
    problems: [],
  }),
  user: (row, told, { config, isClosed }) => compareUser(row, told, isClosed ? config.peppers : null),
  'api-key': (row, told, { config, isClosed }) => {
    const state = auditedKey(row as never);
    const isRevoked = (row as never as ApiKey).revokedAt !== null;
    const secrets = row['secrets'] as readonly LiveSecret[];
    const problems = [
      ...(told.isDeleted ? [DELETED] : []),
      ...(isRevoked
        ? []
        : secretProblems(String(row['comparedId']), secrets, told.records, isClosed ? config.peppers : null)),
    ];
    return { changes: diff(known(told.fields, state), state), problems };
  },
};

function compareUser(
  row: Readonly<Record<string, unknown>>,
  { fields, isDeleted, records }: ToldState,
  peppers: Config['peppers'] | null,
): Found {
  const user = row as never as User;
  const roles = [...(row['roleNames'] as string[])].sort();
  const managerIds = [...(row['managers'] as string[])].sort();
  const state = auditedUser({ user, roles, managerIds });
  const told = known(fields, state);
  const changes = diff({ ...told, roles: sorted(told['roles']), managerIds: sorted(told['managerIds']) }, state);
  const isEmpty =
    user.deletedAt !== null && !user.isActive && user.passwordHash === null && roles.length + managerIds.length === 0;
  // Of a user who was deleted the row keeps name and address, and nothing hangs on it.
  if (isDeleted) return isEmpty ? { changes: [], problems: [] } : { changes, problems: [DELETED] };
  const problems = [
    ...(user.deletedAt === null ? [] : ['The trail knows of no deletion.']),
    ...(hasIdentityOf(user, records)
      ? []
      : ['Another identity of the provider than the trail says may sign in as this user.']),
    ...(peppers === null || isPasswordBound(peppers, user)
      ? []
      : ['Nothing of this installation has bound the password to this user.']),
  ];
  return { changes, problems, isGone: user.deletedAt !== null };
}

/** A local account has none; that of an identity is named by the entry that made the user. */
function hasIdentityOf({ oidcIssuer, oidcSubject }: User, records: ToldState['records']): boolean {
  const details =
    records.findLast(({ action }) => action === 'users:create' || action === ACCEPT_ACTION)?.details ?? {};
  return (details['issuer'] ?? null) === oidcIssuer && (details['subject'] ?? null) === oidcSubject;
}

/** Fields that an earlier build recorded and this one does not are not compared. */
function known(
  told: Readonly<Record<string, unknown>>,
  state: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return Object.fromEntries(Object.keys(state).map((field) => [field, told[field] ?? null]));
}

/** Links are a set; the trail has them in the order of the database's collation. */
function sorted(value: unknown): unknown {
  return Array.isArray(value) ? [...(value as unknown[])].sort() : [];
}
