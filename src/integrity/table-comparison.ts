import { setImmediate as nextTurn } from 'node:timers/promises';
import { API_KEY_FIELDS } from '../../packages/contract/src/api-key-fields.js';
import { type DataSource, type EntityManager, QueryFailedError } from 'typeorm';
import { auditedRole } from '../roles/audited-role.js';
import { auditedKey } from '../api-keys/change/audited-key.js';
import type { ApiKey } from '../api-keys/api-key.entity.js';
import type { FieldChange } from '../audit/audit-event.entity.js';
import { diff } from '../audit/diff.js';
import { type Openings, ERASED_NAME, openedValue } from '../audit/personal-values.js';
import { auditedProject, PROJECT_DEFAULTS, type ProjectState } from '../projects/audited-project.js';
import type { Config } from '../config/config.js';
import { isConnectionLost, isUnfitData } from '../common/database-errors.js';
import { hasBoundAll } from '../installation/bindings/bind-action.js';
import { auditedUser } from '../users/audited-user.js';
import type { User } from '../users/user.entity.js';
import { type StoredOverride, compareLimit } from './compared-limits.js';
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
  /** The newest entry of the trail about it that was read; null: there is none. */
  readonly newestSeq: string | null;
  /** It could not be compared, so that nobody can take it for right either. */
  readonly isUnreadable?: boolean;
}

/** What a step of a comparison found. */
export interface ComparedStep {
  /** Rows that are done. */
  readonly compared: number;
  readonly differences: readonly RowDifference[];
}

/** A replica compares beside the calls that it answers: these wait for no more rows than this. */
const ROWS_OF_A_TURN = 10;

const TYPES: readonly ComparedType[] = ['role', 'user', 'project', 'limit', 'api-key'];

const UNKNOWN = 'The trail does not know this row.';
const DELETED = 'The trail says that it was deleted.';
const UNREADABLE =
  'It could not be compared: the row, or an entry of the trail about it, is not of the form that Latchkey writes.';
const ERASED = 'The trail says that this person was erased.';
const NOT_ERASED = 'The trail does not know that this person was erased.';
const GONE = 'The trail knows of no deletion, and there is no such row.';

/**
 * Compares every audited field of roles, users, projects, limits and keys, their links and credentials with what the
 * trail says of them. Gives what each statement found; the caller decides about the pace. One thing that cannot be
 * compared stops no other.
 */
export async function* compareTables(config: Config, dataSource: DataSource): AsyncGenerator<ComparedStep, void> {
  for (const pass of await passesOf(config, dataSource.manager)) {
    for (const type of TYPES) {
      for (let after: string | null = null, isLast = false; !isLast;) {
        const { ids, next }: Slice = await pass.findIds(type, after);
        yield* compareThings(pass, type, ids);
        after = next;
        isLast = after === null;
      }
    }
  }
}

/** What differs of one thing by now; null: nothing. */
export async function compareThing(
  config: Config,
  manager: EntityManager,
  { type, id }: Pick<RowDifference, 'type' | 'id'>,
): Promise<RowDifference | null> {
  for (const pass of await passesOf(config, manager)) {
    for await (const { differences } of compareThings(pass, type, [id])) if (differences[0]) return differences[0];
  }
  return null;
}

/** Rows, or things that have none. */
interface Pass {
  readonly findIds: (type: ComparedType, after: string | null) => Promise<Slice>;
  readonly find: (type: ComparedType, ids: readonly string[]) => Promise<ComparedRow[]>;
  readonly readOn: (type: ComparedType, row: ComparedRow) => Promise<ComparedRow>;
  readonly compare: (type: ComparedType, row: ComparedRow) => RowDifference | null;
}

async function passesOf(config: Config, manager: EntityManager): Promise<Pass[]> {
  const repository = new ComparedRowsRepository(manager);
  const isClosed = await hasBoundAll(manager);
  const readOn: Pass['readOn'] = (type, row) => repository.readOn(type, row);
  return [
    {
      findIds: (type, after) => repository.findIds(type, after),
      find: (type, ids) => repository.findRows(type, ids),
      compare: (type, row) => compareRow(config, isClosed, type, row),
      readOn,
    },
    {
      findIds: (type, after) => repository.findMissingIds(type, after),
      find: (type, ids) => repository.findMissing(type, ids),
      compare: (type, row) => compareMissing(config, type, row),
      readOn,
    },
  ];
}

/** One by one, where they cannot be read together. */
async function* compareThings(
  pass: Pass,
  type: ComparedType,
  ids: readonly string[],
): AsyncGenerator<ComparedStep, void> {
  let rows: ComparedRow[] | null = null;
  try {
    rows = ids.length === 0 ? [] : await pass.find(type, ids);
  } catch (error) {
    if (isConnectionLost(error) || (ids.length === 1 && !isOfContent(error))) throw error;
  }
  if (rows === null) {
    if (ids.length === 1) yield { compared: 1, differences: [unreadable(type, ids[0]!)] };
    else for (const id of ids) yield* compareThings(pass, type, [id]);
    return;
  }
  const differences: RowDifference[] = [];
  let begun = 0;
  for (let row of rows) {
    if (begun++ % ROWS_OF_A_TURN === 0) await nextTurn();
    try {
      while (row.trail.before !== null) {
        row = await pass.readOn(type, row);
        yield { compared: 0, differences: [] };
      }
      const difference = pass.compare(type, row);
      if (difference) differences.push(difference);
    } catch (error) {
      if (!isOfContent(error)) throw error;
      differences.push(unreadable(type, row.id));
    }
  }
  yield { compared: rows.length, differences };
}

function unreadable(type: ComparedType, id: string): RowDifference {
  return { type, id, changes: [], problems: [UNREADABLE], isGone: false, newestSeq: null, isUnreadable: true };
}

/** Whether what is stored is at fault, and another attempt would fail, too. */
function isOfContent(error: unknown): boolean {
  if (error instanceof QueryFailedError) return isUnfitData(error);
  return error instanceof TypeError || error instanceof RangeError || error instanceof SyntaxError;
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
  { id, row, trail }: ComparedRow,
): RowDifference | null {
  const told = toldBy(config.auditKeys, trail.entries);
  const { newestSeq } = trail;
  const problems = forgedProblems(told);
  const { changes, problems: found, isGone = false } = COMPARED[type](row, told, { config, isClosed });
  if (!told.isKnown) return { type, id, changes, problems: [...problems, UNKNOWN], isGone, newestSeq };
  if (changes.length + found.length + problems.length === 0) return null;
  return { type, id, changes, problems: [...problems, ...found], isGone, newestSeq };
}

function compareMissing({ auditKeys }: Config, type: ComparedType, { id, trail }: ComparedRow): RowDifference | null {
  const told = toldBy(auditKeys, trail.entries);
  const { newestSeq } = trail;
  const problems = forgedProblems(told);
  // A refusal names things that never were; a sign-in changes no field.
  const wasThere = Object.keys(told.fields).length > 0 && !told.isDeleted;
  if (!wasThere && problems.length === 0) return null;
  return { type, id, changes: [], problems: wasThere ? [...problems, GONE] : problems, isGone: wasThere, newestSeq };
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
  project: (row, { fields, isDeleted }) => {
    const members = row['members'] as ProjectState['members'];
    const state = auditedProject({ project: row as never, members });
    const changes = diff(known({ ...PROJECT_DEFAULTS, ...fields }, state), state);
    return { changes, problems: isDeleted ? [DELETED] : [] };
  },
  limit: (row, told) => compareLimit(row as never, row['overrides'] as readonly StoredOverride[], told),
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
    return { changes: diff(known({ ...KEY_DEFAULTS, ...told.fields }, state), state), problems };
  },
};

function compareUser(
  row: Readonly<Record<string, unknown>>,
  { fields: written, isDeleted, records }: ToldState,
  peppers: Config['peppers'] | null,
): Found {
  const openings = openingsOf(row);
  const fields = Object.fromEntries(
    Object.entries(written).map(([field, value]) => [field, openedValue(value, openings)]),
  );
  const user = row as never as User;
  const roles = [...(row['roleNames'] as string[])].sort();
  const managerIds = [...(row['managers'] as string[])].sort();
  const state = auditedUser({ user, roles, managerIds });
  const told = known(fields, state);
  const changes = diff({ ...told, roles: sorted(told['roles']), managerIds: sorted(told['managerIds']) }, state);
  const isEmpty =
    user.deletedAt !== null && !user.isActive && user.passwordHash === null && roles.length + managerIds.length === 0;
  // Of a user who was deleted the row keeps name and address, and nothing hangs on it.
  const isErased = records.some(({ action }) => action === 'users:erase');
  const isAsErased = isErased ? user.erasedAt !== null && isNobody(user) : user.erasedAt === null;
  if (!isAsErased) return { changes: [], problems: [isErased ? ERASED : NOT_ERASED] };
  if (isDeleted) return isEmpty ? { changes: [], problems: [] } : { changes, problems: [DELETED] };
  const problems = [
    ...(user.deletedAt === null ? [] : ['The trail knows of no deletion.']),
    ...(hasIdentityOf(user, records, openings)
      ? []
      : ['Another identity of the provider than the trail says may sign in as this user.']),
    ...(peppers === null || isPasswordBound(peppers, user)
      ? []
      : ['Nothing of this installation has bound the password to this user.']),
  ];
  return { changes, problems, isGone: user.deletedAt !== null };
}

/** A local account has none; that of an identity is named by the entry that made the user. */
function hasIdentityOf({ oidcIssuer, oidcSubject }: User, records: ToldState['records'], openings: Openings): boolean {
  const details =
    records.findLast(({ action }) => action === 'users:create' || action === ACCEPT_ACTION)?.details ?? {};
  return (
    (details['issuer'] ?? null) === oidcIssuer && (openedValue(details['subject'], openings) ?? null) === oidcSubject
  );
}

/** Whether a row says nothing of a person any more. */
function isNobody({ name, email, oidcSubject }: User): boolean {
  return name === ERASED_NAME && email === null && oidcSubject === null;
}

/** What opens the commitments in entries about a user. */
function openingsOf(row: Readonly<Record<string, unknown>>): Openings {
  const stored = (row['personal'] ?? []) as readonly { commitment: string; salt: string; value: unknown }[];
  return new Map(stored.map(({ commitment, salt, value }) => [commitment, { salt: Buffer.from(salt, 'hex'), value }]));
}

/** What a key has in a field of which the trail does not tell: the field is younger than the last change of the key. */
const KEY_DEFAULTS = Object.fromEntries(Object.entries(API_KEY_FIELDS).map(([name, field]) => [name, field.default]));

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
