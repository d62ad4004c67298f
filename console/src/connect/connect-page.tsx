import { Alert, Button, Checkbox, Group, Paper, Radio, Stack, Stepper, Text, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useRef, useState } from 'react';
import {
  type CreatedKey,
  Problem,
  type Schemas,
  type User,
  api,
  dataOf,
  newIdempotencyKey,
  unreachable,
} from '../api/client';
import { cidrProblem } from '../../../packages/contract/src/address';
import { LEAVE_SECRET } from '../keys/secret-dialog';
import { NewUser } from '../people/new-user';
import { UserPicker } from '../people/user-picker';
import { useSession } from '../session/session';
import { settings } from '../settings';
import { fieldErrors, isSaidByFields, useAct, useFormAct } from '../ui/act';
import { Empty, NoPermission, Page, ProblemAlert } from '../ui/states';
import { useUnsaved } from '../ui/unsaved';
import { Snippet } from '../ui/values';
import { verdictInWords } from '../ui/words';
import { clientSnippet } from './client-snippet';
import { nginxSnippet } from './nginx-snippet';

/** The role that lets a key ask about other keys. */
const GATEWAY = 'gateway';
const FIELDS = ['name', 'allowedIps', 'roles'];

/** From nothing to a service that asks Latchkey, with a call that is tried before one leaves. */
export function ConnectPage() {
  const { can } = useSession();
  const [step, setStep] = useState(0);
  const [owner, setOwner] = useState<User | null>(null);
  const [created, setCreated] = useState<CreatedKey | null>(null);
  if (!can('platform:api-keys:create')) return <NoPermission permission="platform:api-keys:create" />;
  return (
    <Page
      title="Connect a service"
      lead="A service asks Latchkey whether a key may do something. It needs a key of its own for that."
    >
      <Stepper active={step} size="sm" maw={860} allowNextStepsSelect={false} wrap={false}>
        <Stepper.Step label="Owner" description={<Hint>who is responsible</Hint>}>
          <Owner
            onNext={(user) => {
              setOwner(user);
              setStep(1);
            }}
          />
        </Stepper.Step>
        <Stepper.Step label="Key" description={<Hint>of the service itself</Hint>}>
          <ServiceKey
            owner={owner}
            onBack={() => setStep(0)}
            onNext={(answer) => {
              setCreated(answer);
              setStep(2);
            }}
          />
        </Stepper.Step>
        <Stepper.Step label="Connect" description={<Hint>copy, and try</Hint>}>
          {created && <Try created={created} />}
        </Stepper.Step>
      </Stepper>
    </Page>
  );
}

/** What there is room for on a wide page alone. */
function Hint({ children }: { children: string }) {
  return <span className="only-wide">{children}</span>;
}

function Owner({ onNext }: { onNext: (user: User | null) => void }) {
  const { can, user: me } = useSession();
  const mayAssign = can('platform:api-keys:assign') && can('platform:users:read');
  const [choice, setChoice] = useState<'me' | 'service'>(mayAssign ? 'service' : 'me');
  const [ownerId, setOwnerId] = useState<string | null>(null);
  const [isAdding, setAdding] = useState(false);
  const owner = useQuery({
    queryKey: ['users', ownerId],
    enabled: ownerId !== null,
    queryFn: () => dataOf(api.GET('/api/v1/users/{id}', { params: { path: { id: ownerId! } } })),
  });
  const lacksRole =
    choice === 'service' && owner.data && !owner.data.roles.includes(GATEWAY) && !owner.data.roles.includes('admin');
  return (
    <Stack gap="sm" mt="md">
      <Text size="sm">A service account stays when people leave, and so do its keys.</Text>
      <Radio.Group value={choice} onChange={(value) => setChoice(value as typeof choice)} aria-label="Owner of the key">
        <Stack gap={6}>
          <Radio
            value="service"
            label="A service account"
            disabled={!mayAssign}
            description={mayAssign ? undefined : 'You may not create keys for others.'}
          />
          <Radio value="me" label={`Myself (${me.name})`} />
        </Stack>
      </Radio.Group>
      {choice === 'service' && mayAssign && (
        <Group align="flex-end" gap="xs">
          <div style={{ flex: 1, minWidth: 220 }}>
            <UserPicker label="Service account" kind="service" value={ownerId} onChange={setOwnerId} />
          </div>
          {can('platform:users:create') && (
            <Button variant="default" onClick={() => setAdding(true)}>
              New service account
            </Button>
          )}
        </Group>
      )}
      {lacksRole && (
        <Alert color="yellow" variant="outline" p="xs">
          {owner.data?.name} does not have the role {GATEWAY}. A key may do only what its owner may:{' '}
          <Link className="plain-link" to="/people/$userId" params={{ userId: owner.data!.id }}>
            give it the role first
          </Link>
          .
        </Alert>
      )}
      <Group>
        <Button
          disabled={choice === 'service' && !owner.data}
          onClick={() => onNext(choice === 'me' ? null : (owner.data ?? null))}
        >
          Next
        </Button>
      </Group>
      {isAdding && (
        <NewUser kind="service" onClose={() => setAdding(false)} onCreated={(user) => setOwnerId(user.id)} />
      )}
    </Stack>
  );
}

function ServiceKey({
  owner,
  onBack,
  onNext,
}: {
  owner: User | null;
  onBack: () => void;
  onNext: (created: CreatedKey) => void;
}) {
  const [name, setName] = useState(owner ? `${owner.name} gateway` : 'Gateway');
  const [addresses, setAddresses] = useState('');
  const attempt = useRef(newIdempotencyKey());
  const { refused, ...create } = useFormAct({
    run: () =>
      dataOf(
        api.POST('/api/v1/api-keys', {
          params: { header: { 'Idempotency-Key': attempt.current } },
          body: {
            name,
            description: 'A service that verifies keys and reports their usage.',
            roles: [GATEWAY],
            // A service of production does not take keys of tests, unless its key is told to.
            environment: 'live',
            verifiesEnvironment: 'live',
            allowedIps: addresses.split(/[\s,]+/).filter((one) => one !== ''),
            ...(owner ? { ownerId: owner.id } : {}),
          },
        }),
      ),
    // Made without `handOver`, it comes with its secret.
    onDone: (created) => onNext(created as CreatedKey),
    onRefused: () => {
      attempt.current = newIdempotencyKey();
    },
  });
  const errors = refused ? fieldErrors(refused, FIELDS) : {};
  const wrong = addresses
    .split(/[\s,]+/)
    .filter((one) => one !== '')
    .map((one) => [one, cidrProblem(one)] as const)
    .find(([, problem]) => problem !== null);
  return (
    <Stack gap="sm" mt="md" maw={560}>
      <Text size="sm">
        The key carries the role <span className="mono">{GATEWAY}</span>: it may verify keys and report usage, and
        nothing else.
      </Text>
      <TextInput
        label="Name"
        required
        maxLength={100}
        value={name}
        error={errors['name']}
        onChange={(event) => setName(event.currentTarget.value)}
      />
      <TextInput
        label="Addresses the service calls from"
        description="Addresses or networks, separated by spaces; empty: any. A stolen key is then of no use elsewhere."
        placeholder="10.0.0.0/8"
        value={addresses}
        error={wrong ? `${wrong[0]} ${wrong[1]}` : errors['allowedIps']}
        onChange={(event) => setAddresses(event.currentTarget.value)}
      />
      {refused && !isSaidByFields(refused, errors, FIELDS) && <ProblemAlert error={refused} />}
      <Group>
        <Button variant="default" onClick={onBack}>
          Back
        </Button>
        <Button
          onClick={() => create.go()}
          loading={create.isPending}
          disabled={name.trim() === '' || wrong !== undefined}
        >
          Create the key
        </Button>
      </Group>
    </Stack>
  );
}

function Try({ created: { apiKey, secretKey } }: { created: CreatedKey }) {
  const [presented, setPresented] = useState('');
  const [stored, setStored] = useState(false);
  useUnsaved(!stored, LEAVE_SECRET);
  // Asked about itself, the key of the service must come from where it may.
  const ip = apiKey.allowedIps[0]?.split('/')[0] ?? '203.0.113.7';
  const verify = useAct({
    run: () => verifyAs(secretKey, presented.trim() === '' ? secretKey : presented.trim(), ip),
  });
  const curl = [
    `GATEWAY_KEY='${secretKey}'`,
    'KEY="$GATEWAY_KEY" # what a caller presented; to try it, the service\u2019s own',
    `IP=${ip} # where the caller came from`,
    `curl -s ${settings.publicUrl}/api/v1/verify \\`,
    `  -H "x-api-key: $GATEWAY_KEY" -H 'content-type: application/json' \\`,
    `  -d "{\\"key\\":\\"$KEY\\",\\"ip\\":\\"$IP\\"}"`,
  ].join('\n');
  return (
    <Stack gap="md" mt="md">
      <Alert color="yellow" variant="outline" p="xs">
        The secret of {apiKey.name} is in these snippets, and shown this once.
      </Alert>
      <Snippet label="Secret of the service" text={secretKey} />
      <Snippet label="Verify a key" text={curl} />
      <Snippet label="nginx, in front of a service" text={nginxSnippet(settings.publicUrl, secretKey)} />
      <Snippet label="TypeScript, with the client of Latchkey" text={clientSnippet(settings.publicUrl)} />
      {settings.apiReference !== null && (
        <Text size="sm">
          All routes are in the{' '}
          <a className="text-link" href={settings.apiReference} target="_blank" rel="noopener">
            API reference
          </a>
          ; other languages generate a client from{' '}
          <a className="text-link" href={`${settings.apiReference}-json`} target="_blank" rel="noopener">
            its OpenAPI document
          </a>
          .
        </Text>
      )}
      <Paper withBorder p="sm">
        <Stack gap="xs">
          <Text fw={600} size="sm">
            Try it from here
          </Text>
          <Text size="sm" c="dimmed">
            Asks as the service would, and counts nothing. Without a key it asks about the service’s own.
          </Text>
          <Group align="flex-end" gap="xs">
            <TextInput
              style={{ flex: 1, minWidth: 220 }}
              label="A key a caller might present"
              value={presented}
              onChange={(event) => setPresented(event.currentTarget.value)}
              autoComplete="off"
              spellCheck={false}
            />
            <Button onClick={() => verify.go()} loading={verify.isPending}>
              Verify
            </Button>
          </Group>
          {verify.data && (
            <Alert
              color={verify.data.valid ? 'teal' : 'yellow'}
              variant="outline"
              p="xs"
              role="status"
              title={
                verify.data.valid
                  ? 'It works: the key may be used'
                  : `It works, and the answer is no: ${verdictInWords(verify.data.code ?? '').toLowerCase()}`
              }
            >
              {verify.data.detail ?? (verify.data.valid ? `${verify.data.name ?? ''}` : '')}
            </Alert>
          )}
        </Stack>
      </Paper>
      <Checkbox
        label="I have stored the secret in a safe place"
        checked={stored}
        onChange={(event) => setStored(event.currentTarget.checked)}
      />
      {stored && (
        <Empty
          title="Connected"
          action={
            <Button
              size="xs"
              variant="default"
              mt="xs"
              renderRoot={(props) => (
                <Link {...props} to="/keys/$keyId" params={{ keyId: apiKey.id }} search={{ tab: undefined }} />
              )}
            >
              See the key of the service
            </Button>
          }
        >
          The service can verify keys and report what calls cost.
        </Empty>
      )}
    </Stack>
  );
}

/** As the service will: with its key, and without the cookie of this page. */
async function verifyAs(secretKey: string, key: string, ip: string): Promise<Partial<Schemas['VerdictView']>> {
  const response = await fetch('/api/v1/verify', {
    method: 'POST',
    credentials: 'omit',
    headers: { 'content-type': 'application/json', 'x-api-key': secretKey },
    body: JSON.stringify({ key, ip, dryRun: true }),
  }).catch(() => {
    throw unreachable();
  });
  const body = (await response.json().catch(() => ({}))) as Partial<Schemas['VerdictView']>;
  if (!response.ok)
    throw new Problem(response.status, 'UNKNOWN', body.detail ?? `The server answered with status ${response.status}.`);
  return body;
}
