import { Alert, Button, Group, Paper, Stack, Text, Textarea } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type FormEvent, type ReactNode, useState } from 'react';
import { api, dataOf } from '../api/client';
import { LonePage } from '../session/lone-page';
import { useSession } from '../session/session';
import { settings } from '../settings';
import { useFormAct } from '../ui/act';
import { count } from '../ui/format';
import { Page, ProblemAlert } from '../ui/states';
import { useKept } from '../ui/unsaved';
import { StatusMark } from '../ui/values';
import { plural } from '../ui/words';
import { type FoundSecret, findSecrets } from './secret-finder';

const LEAD = 'Anyone who finds a key where it should not be can revoke it: the key itself is all it takes.';

/** For people who are signed in. */
export function FoundKeyPage() {
  const { can } = useSession();
  const which = can('platform:api-keys:read') ? (found: FoundSecret) => <WhichKey {...found} /> : undefined;
  return (
    <Page title="Revoke a found key" lead={LEAD}>
      <Paper withBorder p="md" maw={560}>
        <FoundKeyForm which={which} />
      </Paper>
    </Page>
  );
}

/** Open to everyone: no account is needed to stop a leak. */
export function FoundKey() {
  return (
    <LonePage title="Revoke a found key" heading="Revoke a found key" lead={LEAD} width={440}>
      <Paper withBorder p="lg" radius="md">
        <FoundKeyForm>
          <Text size="sm">
            <Link className="text-link" to="/sign-in" search={{ redirect: undefined, ended: undefined }}>
              Sign in
            </Link>
          </Text>
        </FoundKeyForm>
      </Paper>
    </LonePage>
  );
}

interface FormProps {
  /** Says which key a secret belongs to. */
  which?: (found: FoundSecret) => ReactNode;
  children?: ReactNode;
}

/** Finds the keys in what is pasted, presents them, and says what the server says: the same whatever was presented. */
function FoundKeyForm({ which, children }: FormProps) {
  const [text, setText] = useState('');
  const [sent, setSent] = useState<readonly FoundSecret[]>([]);
  useKept(text !== '');
  const found = findSecrets(text, settings.keyPrefix);
  const whole = found.filter(({ secret }) => secret !== null);
  const { refused, ...act } = useFormAct({
    run: async () => {
      for (const { secret } of whole) await api.POST('/api/v1/api-keys/self-revoke', { body: { key: secret! } });
    },
    onDone: () => {
      setSent(whole.map(({ keyPrefix }) => ({ keyPrefix, secret: null })));
      setText('');
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (whole.length > 0) act.go();
  };
  return (
    <form onSubmit={submit}>
      <Stack gap="sm">
        {sent.length > 0 && text === '' && <Sent sent={sent} which={which} />}
        <Textarea
          label="The key, or the text that contains it"
          description={`Such as ${settings.keyPrefix}_live_…, a header, a line of a log or a file. Only the keys in it are sent, to this server alone.`}
          required
          withAsterisk={false}
          autosize
          minRows={2}
          maxRows={8}
          autoComplete="off"
          spellCheck={false}
          className="mono-input"
          value={text}
          error={text.trim() !== '' && whole.length === 0 ? missing(found) : null}
          onChange={(event) => setText(event.currentTarget.value)}
        />
        {whole.length > 0 && <Found found={whole} which={which} />}
        {refused && <ProblemAlert error={refused} />}
        <Group justify="space-between">
          <Button type="submit" color="red.8" loading={act.isPending} disabled={whole.length === 0}>
            {whole.length > 1 ? `Revoke all ${count(whole.length)}` : 'Revoke the key'}
          </Button>
          {children}
        </Group>
      </Stack>
    </form>
  );
}

function missing(found: readonly FoundSecret[]): string {
  if (found.length > 0)
    return `This is a part of ${found[0]!.keyPrefix}…: revoking needs the whole key. An administrator can revoke it without.`;
  return `There is no key in this. Keys of this server start with ${settings.keyPrefix}_live_ or ${settings.keyPrefix}_test_; paste an imported key alone.`;
}

interface FoundProps {
  found: readonly FoundSecret[];
  which?: FormProps['which'];
}

function Found({ found, which }: FoundProps) {
  return (
    <div role="status">
      <Text size="sm">
        {count(found.length)} {plural(found.length, 'key')} found:
      </Text>
      {found.map((one) => (
        <div key={one.keyPrefix}>
          <span className="mono">{one.keyPrefix}…</span> {which?.(one)}
        </div>
      ))}
    </div>
  );
}

function Sent({ sent, which }: { sent: readonly FoundSecret[]; which?: FormProps['which'] }) {
  return (
    <Alert color="teal" variant="outline" p="xs" role="status" title="Done">
      If this was the secret of a key here, it has ended, and with its last secret the key.
      {which ? <Found found={sent} which={which} /> : ' The answer is the same for anything else.'}
    </Alert>
  );
}

/** The key of a public start, with the way to it. */
function WhichKey({ keyPrefix }: FoundSecret) {
  const keys = useQuery({
    queryKey: ['keys', 'found', keyPrefix],
    queryFn: () => dataOf(api.GET('/api/v1/api-keys', { params: { query: { search: keyPrefix, size: 2 } } })),
  });
  const key = keys.data?.data[0];
  if (keys.isPending) return null;
  if (key === undefined) return <>not a key of this server</>;
  return (
    <>
      <Link className="text-link" to="/keys/$keyId" params={{ keyId: key.id }} search={{ tab: undefined }}>
        {key.name}
      </Link>{' '}
      of {key.ownerName}, <StatusMark status={key.status} />
    </>
  );
}
