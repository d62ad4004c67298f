import { Alert, Button, Group, List, Text } from '@mantine/core';
import type { Schemas } from '../api/client';
import { api } from '../api/client';
import { useAct } from '../ui/act';
import { count } from '../ui/format';
import { Instant } from '../ui/values';
import { useSession } from './session';

/** What happened to the account since its person was here last; it stays until it is acknowledged. */
export function Notices() {
  const { notices } = useSession();
  const acknowledge = useAct({
    run: (marker: string) => api.POST('/api/v1/auth/notices/acknowledge', { body: { marker } }),
  });
  if (notices === null) return null;
  return (
    <Alert color="yellow" variant="outline" mb="md" maw={960} role="status" title="What happened to your account">
      <List size="sm" spacing={4} mb="sm">
        {notices.failedSignIns && <FailedSignIns {...notices.failedSignIns} />}
        {notices.changes.map(({ seq, sentence, at }) => (
          <List.Item key={seq}>
            {sentence}{' '}
            <Text span size="sm" c="dimmed">
              <Instant at={at} relative />
            </Text>
          </List.Item>
        ))}
        {notices.isCapped && <List.Item>There is more; an auditor finds it in the audit trail.</List.Item>}
      </List>
      <Group gap="sm">
        <Button
          size="xs"
          variant="default"
          loading={acknowledge.isPending}
          onClick={() => acknowledge.go(notices.marker)}
        >
          I have read this
        </Button>
        <Text size="xs" c="dimmed">
          Do you not recognise this? Change your password, and tell an administrator.
        </Text>
      </Group>
    </Alert>
  );
}

function FailedSignIns({ count: failures, lastAt, lastIp }: Schemas['FailedSignInsView']) {
  return (
    <List.Item>
      {failures === 1 ? 'A sign-in to your account failed' : `${count(failures)} sign-ins to your account failed`}
      {lastIp === null ? '' : `, ${failures === 1 ? '' : 'the last one '}from ${lastIp}`}.{' '}
      <Text span size="sm" c="dimmed">
        <Instant at={lastAt} relative />
      </Text>
    </List.Item>
  );
}
