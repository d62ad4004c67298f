import type { FieldChange } from '../audit/audit-event.entity.js';
import type { AccountEvent } from './account-notices.repository.js';

/** What a notice is about. */
export const NOTICE_KINDS = ['password', 'credential', 'roles', 'sessions', 'state', 'managers', 'other'] as const;
export type NoticeKind = (typeof NOTICE_KINDS)[number];

/** What an entry of the trail is about, for the account of `userId`. */
export function kindOf({ action, changes, details, resourceId }: AccountEvent, userId: string): NoticeKind {
  if (resourceId !== userId) return 'managers';
  if (details['credential'] === 'password') return 'password';
  if (details['credential'] !== undefined) return 'credential';
  if (action.startsWith('sessions:')) return 'sessions';
  if (changeOf(changes, 'roles')) return 'roles';
  if (changeOf(changes, 'isActive')) return 'state';
  return 'other';
}

/** An entry of the trail as a sentence for the person of the account. */
export function sentenceOf(event: AccountEvent, userId: string): string {
  return `${actorOf(event)} ${DEEDS[kindOf(event, userId)](event, userId)}.`;
}

const DEEDS: Record<NoticeKind, (event: AccountEvent, userId: string) => string> = {
  password: () => 'set a new password for your account',
  credential: ({ details, action }) =>
    `changed how you sign in (${typeof details['credential'] === 'string' ? details['credential'] : action})`,
  sessions: () => 'ended sessions of yours',
  roles: ({ changes }) => {
    const { before, after } = changeOf(changes, 'roles')!;
    const [had, has] = [namesIn(before), namesIn(after)];
    const parts = [
      listed(
        'gave you',
        has.filter((name) => !had.includes(name)),
      ),
      listed(
        'took',
        had.filter((name) => !has.includes(name)),
        ' from you',
      ),
    ];
    return `changed your roles: ${parts.filter((part) => part !== null).join(', ')}`;
  },
  state: ({ changes }) =>
    changeOf(changes, 'isActive')!.after === true ? 'activated your account' : 'deactivated your account',
  managers: ({ changes, resourceName }, userId) => {
    const isManager = namesIn(changeOf(changes, 'managerIds')?.after).includes(userId);
    const account = `the service account ${resourceName ?? 'that is gone now'}`;
    return isManager ? `made you a manager of ${account}` : `ended your being a manager of ${account}`;
  },
  other: ({ changes, action }) =>
    changes.length === 0
      ? `changed your account (${action})`
      : `changed your account: ${changes.map(({ field }) => field).join(', ')}`,
};

/** Whether an entry changes whom a service account has as managers, for the account of `userId`. */
export function concernsManager({ changes, resourceId }: AccountEvent, userId: string): boolean {
  if (resourceId === userId) return true;
  const managers = changeOf(changes, 'managerIds');
  return namesIn(managers?.before).includes(userId) !== namesIn(managers?.after).includes(userId);
}

function actorOf({ actorKind, actorName, details }: AccountEvent): string {
  if (details['by'] === 'identity-provider') return 'The identity provider';
  if (actorKind === 'system') return 'The server’s operator';
  if (actorKind === 'key') return 'An API key';
  return actorName ?? 'A user who is gone now';
}

function changeOf(changes: readonly FieldChange[], field: string): FieldChange | undefined {
  return changes.find((change) => change.field === field);
}

function namesIn(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function listed(verb: string, names: readonly string[], end = ''): string | null {
  return names.length === 0 ? null : `${verb} ${names.join(', ')}${end}`;
}
