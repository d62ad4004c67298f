import type { DataSource } from 'typeorm';
import { systemCaller } from '../access/caller.js';
import { narrowKeys } from '../api-keys/change/key-narrowing.js';
import { HAND_OVER_BATCH, endHandOvers } from '../api-keys/hand-over/hand-over-endings.js';
import type { RecordedChange } from '../audit/change-line.js';
import { Changes } from '../audit/changes.js';
import { checkpointPublicKeys } from '../audit/checkpoint.js';
import { readHead } from '../audit/head.js';
import { RESTORE_ACTION } from '../audit/restores.js';
import type { Config } from '../config/config.js';
import { narrowProjects } from '../projects/project-endings.js';
import { narrowUsers } from '../users/user-narrowing.js';
import { type FoundHistory, findLostHistory, type LostHistory } from './lost-history.js';
import { findMissingReads } from './missing-reads.js';
import { narrowingsOf } from './narrowings.js';

/** Keys, users or projects changed in one transaction: it holds the change head, and others wait for it. */
const BATCH = 100;
const REASON = 'Revoked before a restore lost that, and again after it.';

/** What was done on a restored database. */
export interface AfterRestore extends FoundHistory {
  /** Where the restored trail ended. */
  readonly restoredSeq: string;
  /** When its last entry was made; null: it has none. */
  readonly restoredUpTo: string | null;
  readonly files: readonly string[];
  readonly keys: number;
  readonly users: number;
  readonly projects: number;
  readonly sessions: number;
}

/**
 * Makes a restored database fit to serve: takes away again what was taken away after the backup, as far as the
 * checkpoint files know; ends all sessions and all offers of secrets to owners, which may have been taken back or drawn
 * since; and gives the database new epochs, by which every replica that runs drops what it remembers, and windows of
 * tokens ignore what earlier grants give back. All of it is in the trail. It may be repeated, at the end of what was
 * interrupted too: the entry that lets servers start is written last.
 *
 * @throws StartRefusal when a checkpoint file cannot be read
 */
export async function afterRestore(
  config: Config,
  dataSource: DataSource,
  files: readonly string[],
): Promise<AfterRestore> {
  const { manager } = dataSource;
  const changes = new Changes(dataSource, config);
  const publicKeys = checkpointPublicKeys(config.auditKeys);
  const found = await findLostHistory(manager, files, publicKeys);
  const lostReads = await findMissingReads(manager, files, publicKeys);
  const { seq: restoredSeq } = await readHead(manager);
  const [last] = await manager.query<{ at: Date }[]>('SELECT at FROM audit_event WHERE seq = $1', [restoredSeq]);
  const narrowings = narrowingsOf(found.lost?.changes ?? []);
  // Users first: a key is locked after its owner, everywhere.
  const users = await inBatches(narrowings.users, (batch) =>
    changes.transaction(systemCaller('users:update'), (change) => narrowUsers(change, batch)),
  );
  const projects = await inBatches(narrowings.projects, (batch) =>
    changes.transaction(systemCaller('projects:update'), (change) => narrowProjects(change, batch)),
  );
  const keys = await inBatches(narrowings.keys, (batch) =>
    changes.transaction(systemCaller('api-keys:revoke'), (change) => narrowKeys(change, batch, REASON)),
  );
  await endAllHandOvers(changes);
  const sessions = await changes.transaction(systemCaller(RESTORE_ACTION), async ({ tx, record }) => {
    const [, ended] = await tx.query<[unknown[], number]>('DELETE FROM session');
    await tx.query('UPDATE change_head SET epoch = gen_random_uuid()');
    // Grants of tokens that were made after the backup count nowhere: what they give back is ignored.
    await tx.query('DELETE FROM quota_epoch');
    record({
      resourceType: 'system',
      resourceId: null,
      details: { restoredSeq, lost: lostFor(found.lost), lostReads, keys, users, projects, sessions: ended },
    });
    return ended;
  });
  return {
    ...found,
    restoredSeq,
    restoredUpTo: last?.at.toISOString() ?? null,
    files,
    keys,
    users,
    projects,
    sessions,
  };
}

async function endAllHandOvers(changes: Changes): Promise<void> {
  let ended: number;
  do {
    ended = await changes.transaction(systemCaller('hand-overs:end'), (change) =>
      endHandOvers(change, { kind: 'all' }, 'restore'),
    );
  } while (ended === HAND_OVER_BATCH);
}

function lostFor(lost: LostHistory | null) {
  if (lost === null) return null;
  const { afterSeq, lostUpToSeq, lostUntil, changes } = lost;
  return { afterSeq, lostUpToSeq, lostUntil, changes: changes.length };
}

async function inBatches<T>(all: readonly T[], work: (batch: readonly T[]) => Promise<number>): Promise<number> {
  let done = 0;
  for (let from = 0; from < all.length; from += BATCH) done += await work(all.slice(from, from + BATCH));
  return done;
}

/** What an operator has to know, a line each. */
export function describeAfterRestore(done: AfterRestore): string[] {
  const { restoredSeq, restoredUpTo, files, lost, forgedLines, keys, users, projects, sessions } = done;
  return [
    `The database ends with entry ${restoredSeq} of the audit trail${restoredUpTo === null ? '' : `, of ${restoredUpTo}`}.`,
    ...(files.length === 0
      ? [NO_FILE]
      : lost === null
        ? ['The checkpoint file knows of nothing that is missing.']
        : describeLost(lost, restoredUpTo)),
    ...(forgedLines === 0
      ? []
      : [`${forgedLines} lines of the checkpoint file are not signed with this AUDIT_KEY and were not counted.`]),
    ...describeFactors(lost),
    `Taken away again: access of ${keys} keys and ${users} users${projects === 0 ? '' : `, and within ${projects} projects`}. Ended: ${sessions} sessions; all users sign in again.`,
    'Usage, reservations and verdicts since the backup are gone: what was spent since then can be spent again. A client that still has the events can report them again: their ids are not known here.',
  ];
}

const NO_FILE =
  'There is no checkpoint file, so nothing tells what was changed after that. Keys that were revoked since work again: revoke them. (AUDIT_CHECKPOINT_FILE, or --checkpoints <file>)';

function describeLost(
  { afterSeq, lostUpToSeq, lostUntil, changes, unknown }: LostHistory,
  since: string | null,
): string[] {
  const first = BigInt(afterSeq) + 1n;
  return [
    `MISSING: entries ${first} to ${lostUpToSeq} (${BigInt(lostUpToSeq) - BigInt(afterSeq)}), of the time from ${since ?? 'the beginning'} to ${lostUntil}.`,
    ...unknown.map(
      ({ from, upTo }) =>
        `Of entries ${from} to ${upTo} nothing is known but that there were any: look for revocations among them elsewhere.`,
    ),
    ...(changes.length === 0
      ? []
      : [`Changes among them (${changes.length}); what took access away was done again, everything else is lost:`]),
    ...changes.map(describeChange),
  ];
}

/** What became of second factors whose change was lost: a secret is in no file. */
function describeFactors(lost: LostHistory | null): string[] {
  const told = (lost?.changes ?? []).filter(({ action }) => action.startsWith('second-factors:'));
  const newest = new Map(told.filter(({ action }) => SWITCHES.has(action)).map(({ id, action }) => [id, action]));
  const line = (sentence: string, ids: readonly (string | null)[]) =>
    ids.length === 0 ? [] : [`${sentence}: ${[...new Set(ids)].join(', ')}.`];
  const idsOf = (wanted: string) => told.filter(({ action }) => action === wanted).map(({ id }) => id);
  return [
    ...line('Second factors that were removed or reset since, and work no more', idsOf('second-factors:delete')),
    ...line(
      'Second factors that were set up since, and are lost; the password alone signs in until these users set one up again',
      [...newest].filter(([, action]) => action === 'second-factors:activate').map(([id]) => id),
    ),
    ...line(
      'Recovery codes that were drawn anew since, and are lost with those of before; these users draw new ones',
      idsOf('second-factors:regenerate'),
    ),
  ];
}

const SWITCHES: ReadonlySet<string> = new Set(['second-factors:activate', 'second-factors:delete']);

function describeChange({ seq, at, action, type, id, state, ended }: RecordedChange): string {
  const told = [
    ...Object.entries(state ?? {}).map(([field, value]) => `${field} ${JSON.stringify(value)}`),
    ...Object.keys(ended ?? {}).map((kid) => `secret ${kid} ended`),
  ];
  return `  ${seq}  ${at}  ${action} ${type} ${id ?? ''}${told.length === 0 ? '' : `  (${told.join(', ')})`}`;
}
