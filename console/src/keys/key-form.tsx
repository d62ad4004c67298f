import { Alert, Button, Group, Paper, Stack, Text } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { type ReactNode, useRef, useState } from 'react';
import type { KeyPolicy } from '../../../src/access/key-policy.js';
import { type ApiKey, type Schemas, api, dataOf, newIdempotencyKey } from '../api/client';
import { useSession } from '../session/session';
import { fieldErrors, isSaidByFields, useFormAct } from '../ui/act';
import { type ReadVersion, SaveRefused, useReadVersion } from '../ui/changed-meanwhile';
import { LoadedPage, NoPermission, Page } from '../ui/states';
import { useUnsaved } from '../ui/unsaved';
import { ToKeys } from './key-actions';
import { type KeyDraft, FIELDS, bodyOf, changesOf, draftOf, emptyDraft, inWords, problemsOf } from './key-draft';
import { Access, Budget, Identity, Lifetime, Limits, Restrictions } from './key-fieldsets';
import { MetadataFieldset } from './metadata-fieldset';
import { MoreFieldset } from './more-fields';
import { policyInWords } from './policy-in-words';
import { SecretDialog } from './secret-dialog';

type Created = Schemas['CreatedApiKeyView'];

/** A new key, from nothing or from what the policy of one's roles gives. */
export function NewKey() {
  const { can, keyPolicy, user } = useSession();
  const { ownerId, projectId } = useSearch({ from: '/shell/keys/new' });
  const navigate = useNavigate();
  const [created, setCreated] = useState<Created | null>(null);
  // One per form: sending it again after a lost answer makes no second key.
  const attempt = useRef(newIdempotencyKey());
  // The policy binds those who may not change keys anyway.
  const bounds = can('platform:api-keys:update') ? null : keyPolicy;
  const undrawn = useRef<ApiKey | null>(null);
  if (!can('platform:api-keys:create')) return <NoPermission permission="platform:api-keys:create" />;
  /** A key just made whose secret its owner draws: there is nothing to show but its page. */
  const toKey = ({ id }: ApiKey) =>
    void navigate({ to: '/keys/$keyId', params: { keyId: id }, search: { tab: undefined } });
  const create = async (draft: KeyDraft) => {
    const { ownerId: owner, ...fields } = bodyOf(draft);
    const body = { ...fields, ...(draft.projectId === null ? {} : { projectId: draft.projectId }) };
    const answer = await dataOf(
      api.POST('/api/v1/api-keys', {
        params: { header: { 'Idempotency-Key': attempt.current } },
        body: owner === undefined || owner === user.id ? body : { ...body, ownerId: owner, handOver: draft.handOver },
      }),
    );
    setCreated(answer);
    undrawn.current = answer.secretKey === undefined ? answer.apiKey : null;
  };
  return (
    <Page title="New key" lead="Its secret is shown once: to you when it is created, or to its owner, who draws it.">
      <KeyForm
        initial={{ ...emptyDraft(bounds), ownerId: ownerId ?? user.id, projectId: projectId ?? null }}
        policy={bounds}
        isNew
        submit={create}
        onRefused={() => {
          attempt.current = newIdempotencyKey();
        }}
        onDone={() => undrawn.current && toKey(undrawn.current)}
        action="Create key"
        isDone={created !== null}
      />
      {created?.secretKey && (
        <SecretDialog
          title="Key created"
          secret={created.secretKey}
          apiKey={created.apiKey}
          onClose={() => toKey(created.apiKey)}
        />
      )}
    </Page>
  );
}

/** Changes of a key that there is; only what differs is sent. */
export function EditKey() {
  const { keyId } = useParams({ from: '/shell/keys/$keyId/edit' });
  const key = useQuery({
    queryKey: ['keys', keyId],
    queryFn: () => dataOf(api.GET('/api/v1/api-keys/{id}', { params: { path: { id: keyId } } })),
  });
  return (
    <LoadedPage query={key} rows={10} back={<ToKeys />}>
      {(data) => <EditForm key={data.id} apiKey={data} />}
    </LoadedPage>
  );
}

function EditForm({ apiKey }: { apiKey: ApiKey }) {
  const { can, keyPolicy } = useSession();
  const navigate = useNavigate();
  const [initial] = useState(() => draftOf(apiKey));
  const version = useReadVersion(apiKey.version);
  const [isDone, setDone] = useState(false);
  const mayLoosen = can('platform:api-keys:update');
  const save = async (draft: KeyDraft) => {
    const body = changesOf(initial, draft);
    if (Object.keys(body).length > 0)
      await api.PATCH('/api/v1/api-keys/{id}', {
        params: { path: { id: apiKey.id }, header: version.header() },
        body,
      });
    setDone(true);
  };
  return (
    <Page title={`Edit ${apiKey.name}`} lead={<span className="mono">{apiKey.keyPrefix}</span>}>
      {!mayLoosen && (
        <Alert color="indigo" variant="outline" p="xs">
          Name, description, tags and alias are yours to choose. Everything else you can narrow, not widen: lower
          limits, shorter lists, an earlier end.
        </Alert>
      )}
      <KeyForm
        initial={initial}
        policy={mayLoosen ? null : keyPolicy}
        submit={save}
        version={version}
        action="Save"
        isDone={isDone}
        onDone={() => void navigate({ to: '/keys/$keyId', params: { keyId: apiKey.id }, search: { tab: 'settings' } })}
        cancel={
          <Button
            variant="default"
            renderRoot={(props) => (
              <Link {...props} to="/keys/$keyId" params={{ keyId: apiKey.id }} search={{ tab: undefined }} />
            )}
          >
            Cancel
          </Button>
        }
      />
    </Page>
  );
}

interface FormProps {
  initial: KeyDraft;
  policy: KeyPolicy | null;
  isNew?: boolean;
  submit: (draft: KeyDraft) => Promise<void>;
  version?: ReadVersion;
  onRefused?: () => void;
  onDone?: () => void;
  action: string;
  isDone: boolean;
  cancel?: ReactNode;
}

function KeyForm({
  initial,
  policy,
  isNew = false,
  submit,
  version,
  onRefused,
  onDone,
  action,
  isDone,
  cancel,
}: FormProps) {
  const form = useForm<KeyDraft>({
    initialValues: initial,
    validate: problemsOf,
    validateInputOnChange: [
      'allowedIps',
      'allowedModels',
      'scopes',
      'tags',
      'alias',
      'rateLimitPerMinute',
      'rateLimitPerHour',
      'rateLimitPerDay',
    ],
  });
  const draft = form.getValues();
  const release = useUnsaved(form.isDirty() && !isDone, 'Leave without saving?');
  const { refused, ...act } = useFormAct({
    run: submit,
    done: isNew ? (null as never) : 'Saved.',
    onDone: () => {
      release();
      onDone?.();
    },
    onRefused: (problem) => {
      onRefused?.();
      const errors = fieldErrors(problem, FIELDS);
      if (errors['isUnlimited'] && !errors['budgetLimitCents']) errors['budgetLimitCents'] = errors['isUnlimited'];
      form.setErrors(errors);
      focusFirstError();
    },
  });
  return (
    <form noValidate onSubmit={form.onSubmit((values) => act.go(values), focusFirstError)}>
      <Stack gap="md" maw={860}>
        {policy && (
          <Alert color="indigo" variant="outline" p="xs" title="Bounds of your roles">
            {policyInWords(policy)}
          </Alert>
        )}
        <Identity form={form} isNew={isNew} />
        <Access form={form} policy={policy} />
        <Restrictions form={form} policy={policy} />
        <Limits form={form} policy={policy} />
        <Budget form={form} policy={policy} />
        <Lifetime form={form} policy={policy} />
        <MetadataFieldset form={form} />
        <MoreFieldset
          values={draft.more}
          isNew={isNew}
          errors={form.errors}
          onChange={(name, value) => form.setFieldValue(`more.${name}`, value)}
        />
        {refused && !isSaidByFields(refused, form.errors as Record<string, string>, FIELDS) && (
          <SaveRefused problem={refused} version={version} onKeep={() => act.go(form.getValues())} onDrop={release} />
        )}
        <Paper withBorder p="sm" className="form-bar">
          <Group justify="space-between" gap="sm">
            <Text size="sm" className="grow" miw={240} data-testid="summary">
              {inWords(draft)}
            </Text>
            <Group gap="xs">
              {cancel}
              <Button type="submit" loading={act.isPending} disabled={isDone}>
                {action}
              </Button>
            </Group>
          </Group>
        </Paper>
      </Stack>
    </form>
  );
}

/** The focus goes to the first field with an error, once it is marked. */
function focusFirstError(): void {
  requestAnimationFrame(() => document.querySelector<HTMLElement>('form [aria-invalid="true"]')?.focus());
}
