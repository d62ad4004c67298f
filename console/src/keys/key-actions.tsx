import { Menu } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import type { ApiKey } from '../api/client';
import { useSession } from '../session/session';

/** Back to a list of keys that one may see. */
export function ToKeys() {
  const { can } = useSession();
  return can('platform:api-keys:read') ? (
    <Link className="text-link" to="/keys">
      All keys
    </Link>
  ) : (
    <Link className="text-link" to="/my-keys">
      My keys
    </Link>
  );
}

/** What can be done to one key. */
export type KeyAction =
  | 'draw'
  | 'offer'
  | 'withdraw'
  | 'regenerate'
  | 'renew'
  | 'raise'
  | 'end-raise'
  | 'activate'
  | 'deactivate'
  | 'transfer'
  | 'move'
  | 'revoke'
  | 'delete';

/**
 * Whether a key is shown to the signed-in user as its owner or as a manager of its owner: without the right to see all,
 * what is not shown for a project is so.
 */
function isOwnersView(apiKey: ApiKey, { can, projects }: ReturnType<typeof useSession>): boolean {
  return !can('platform:api-keys:read') && !projects.some(({ id }) => id === apiKey.projectId);
}

function isAdminOf(projectId: string | null, { projects }: ReturnType<typeof useSession>): boolean {
  return projects.some(({ id, role }) => id === projectId && role === 'admin');
}

/** Whether the signed-in user may put the key into a project: into which ones, the dialog asks. */
function mayMove(apiKey: ApiKey, session: ReturnType<typeof useSession>): boolean {
  const { can, user, projects } = session;
  if (can('platform:api-keys:assign')) return true;
  if (apiKey.projectId !== null) return isAdminOf(apiKey.projectId, session);
  return apiKey.ownerId === user.id && projects.some(({ role }) => role === 'admin');
}

/** Whether the signed-in user may draw the secrets of a key that are offered to its owner. */
export function useDrawer(apiKey: ApiKey): boolean {
  const session = useSession();
  if (apiKey.handOver !== null) return apiKey.handOver.mayDraw;
  return apiKey.ownerId === session.user.id || isOwnersView(apiKey, session);
}

/** What the signed-in user may do to a key, as far as the console can tell; the server decides again. */
export function useOffered(apiKey: ApiKey): {
  mayEdit: boolean;
  actions: { action: KeyAction; label: string; isFinal: boolean }[];
} {
  const session = useSession();
  const { can, user } = session;
  const isOwn = apiKey.ownerId === user.id;
  const mayDraw = useDrawer(apiKey);
  const isRevoked = apiKey.status === 'revoked';
  // An owner has no first secret but the offered one.
  const isUndrawn = apiKey.status === 'pending' && !can('platform:api-keys:update');
  const actsAsOwner = isOwn || isAdminOf(apiKey.projectId, session) || isOwnersView(apiKey, session);
  const mayChange = can('platform:api-keys:update') || actsAsOwner;
  const mayEnd = can('platform:api-keys:delete') || actsAsOwner;
  const mayDelete = can('platform:api-keys:delete') || (mayEnd && (isRevoked || apiKey.status === 'expired'));
  const all: [KeyAction, string, boolean, boolean?][] = [
    ['draw', 'Draw the secret', mayDraw && apiKey.handOver !== null],
    ['regenerate', 'Regenerate the secret', mayChange && !isRevoked && !isUndrawn],
    ['offer', 'Let the owner draw a secret', can('platform:api-keys:assign') && !isOwn && !isRevoked],
    [
      'withdraw',
      mayDraw ? 'Decline the secret' : 'Take back the offer',
      (mayDraw || can('platform:api-keys:assign')) && apiKey.handOver !== null,
    ],
    ['renew', 'Renew', mayChange && !isRevoked],
    [
      'raise',
      'Raise the budget for a while',
      can('platform:api-keys:update') && !isRevoked && apiKey.budgetLimitCents !== null,
    ],
    ['end-raise', 'Take back the raise', mayChange && !isRevoked && apiKey.budgetRaise !== null],
    ['activate', 'Activate', mayChange && !isRevoked && !apiKey.isActive],
    ['deactivate', 'Deactivate', mayChange && !isRevoked && apiKey.isActive],
    [
      'transfer',
      'Transfer to another owner',
      can('platform:api-keys:assign') && can('platform:users:read') && !isRevoked,
    ],
    ['move', 'Move to a project', mayMove(apiKey, session) && !isRevoked],
    ['revoke', 'Revoke', mayEnd && !isRevoked, true],
    ['delete', 'Delete permanently', mayDelete, true],
  ];
  return {
    mayEdit: mayChange && !isRevoked,
    actions: all.filter(([, , may]) => may).map(([action, label, , isFinal = false]) => ({ action, label, isFinal })),
  };
}

/** A button that opens to what can be done to the key. */
export function KeyMenu({
  apiKey,
  onAction,
  withEdit = false,
  children,
  ...shown
}: {
  apiKey: ApiKey;
  /** With `onChange`: whether it is open is decided elsewhere. */
  opened?: boolean;
  onChange?: (opened: boolean) => void;
  onAction: (action: KeyAction) => void;
  withEdit?: boolean;
  children: ReactNode;
}) {
  const { mayEdit, actions } = useOffered(apiKey);
  if (actions.length === 0) return null;
  return (
    <Menu position="bottom-end" {...shown}>
      <Menu.Target>{children}</Menu.Target>
      <Menu.Dropdown>
        {withEdit && mayEdit && (
          <Menu.Item renderRoot={(props) => <Link {...props} to="/keys/$keyId/edit" params={{ keyId: apiKey.id }} />}>
            Edit
          </Menu.Item>
        )}
        {actions.map(({ action, label, isFinal }) => (
          <Menu.Item
            key={action}
            c={isFinal ? 'var(--mantine-color-error)' : undefined}
            onClick={() => onAction(action)}
          >
            {label}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
