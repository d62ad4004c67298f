import {
  ActionIcon,
  Group,
  type MantineColorScheme,
  Menu,
  Tooltip,
  useComputedColorScheme,
  useMantineColorScheme,
} from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { Icon, type IconName } from '../ui/icons';
import { useSession, useSignOut } from './session';

/** The account, the colours and the sign-out, in the header of every page. */
export function UserBar() {
  const { user } = useSession();
  const signOut = useSignOut();
  return (
    <Group gap={6} wrap="nowrap" style={{ minWidth: 0 }}>
      <Link
        to="/account"
        className="plain-link"
        style={{ overflow: 'hidden', textOverflow: 'ellipsis', whiteSpace: 'nowrap', fontSize: '0.875rem' }}
        title="Your account"
      >
        {user.name}
      </Link>
      <Colours />
      <Tooltip label="Sign out">
        <ActionIcon
          variant="subtle"
          color="gray"
          onClick={() => signOut.go()}
          loading={signOut.isPending}
          aria-label="Sign out"
        >
          <Icon name="out" />
        </ActionIcon>
      </Tooltip>
    </Group>
  );
}

const SCHEMES: readonly { value: MantineColorScheme; label: string; icon: IconName }[] = [
  { value: 'light', label: 'Light', icon: 'sun' },
  { value: 'dark', label: 'Dark', icon: 'moon' },
  { value: 'auto', label: 'As the system', icon: 'system' },
];

function Colours() {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const shown = useComputedColorScheme('light');
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" aria-label="Colours">
          <Icon name={shown === 'dark' ? 'moon' : 'sun'} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {SCHEMES.map(({ value, label, icon }) => (
          <Menu.Item
            key={value}
            leftSection={<Icon name={icon} size={15} />}
            rightSection={colorScheme === value ? <Icon name="check" size={15} /> : null}
            aria-current={colorScheme === value ? 'true' : undefined}
            onClick={() => setColorScheme(value)}
          >
            {label}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
