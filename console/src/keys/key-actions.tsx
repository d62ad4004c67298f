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

type KeyAct = ApiKey['allowedActs'][number];

/** What can be done to one key in a dialog. */
export type KeyAction = Exclude<KeyAct, 'update' | 'end-secret'>;

/** Whether the server lets the signed-in user do this to the key as it is. */
export function isAllowed({ allowedActs }: Pick<ApiKey, 'allowedActs'>, act: KeyAct): boolean {
  // A server of the release before, beside this one during an upgrade, does not say.
  return ((allowedActs as KeyAct[] | undefined) ?? []).includes(act);
}

const LABELS: readonly { action: KeyAction; label: string; isFinal?: boolean }[] = [
  { action: 'draw-secret', label: 'Draw the secret' },
  { action: 'regenerate', label: 'Regenerate the secret' },
  { action: 'offer-secret', label: 'Let the owner draw a secret' },
  { action: 'end-offer', label: 'Take back the offer' },
  { action: 'renew', label: 'Renew' },
  { action: 'raise-budget', label: 'Raise the budget for a while' },
  { action: 'end-budget-raise', label: 'Take back the raise' },
  { action: 'activate', label: 'Activate' },
  { action: 'deactivate', label: 'Deactivate' },
  { action: 'transfer', label: 'Transfer to another owner' },
  { action: 'move', label: 'Move to a project' },
  { action: 'revoke', label: 'Revoke', isFinal: true },
  { action: 'delete', label: 'Delete permanently', isFinal: true },
];

/** What the signed-in user can do to a key in a dialog, in the order of the menu. */
export function useOffered(apiKey: ApiKey): { action: KeyAction; label: string; isFinal: boolean }[] {
  const { can, projects } = useSession();
  // What a dialog offers to choose from: users, and projects.
  const canChoose = (action: KeyAction) =>
    (action !== 'transfer' || can('platform:users:read')) &&
    (action !== 'move' || can('platform:api-keys:assign') || projects.some(({ role }) => role === 'admin'));
  return LABELS.filter(({ action }) => isAllowed(apiKey, action) && canChoose(action)).map(
    ({ action, label, isFinal = false }) => ({
      action,
      label: action === 'end-offer' && isAllowed(apiKey, 'draw-secret') ? 'Decline the secret' : label,
      isFinal,
    }),
  );
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
  const actions = useOffered(apiKey);
  if (actions.length === 0) return null;
  return (
    <Menu position="bottom-end" {...shown}>
      <Menu.Target>{children}</Menu.Target>
      <Menu.Dropdown>
        {withEdit && isAllowed(apiKey, 'update') && (
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
