import {
  Alert,
  Button,
  NumberInput,
  Paper,
  Select,
  SimpleGrid,
  Stack,
  Table,
  TagsInput,
  Text,
  TextInput,
} from '@mantine/core';
import { useState } from 'react';
import { type ApiKey, type Schemas, api, dataOf } from '../api/client';
import { LimitFinding } from '../limits/bound-limits';
import { settings } from '../settings';
import { fieldErrors, submitting, useFormAct } from '../ui/act';
import { localWithSeconds, sentence } from '../ui/format';
import { Icon } from '../ui/icons';
import { ProblemAlert } from '../ui/states';
import { useKept } from '../ui/unsaved';
import { checkInWords, verdictInWords } from '../ui/words';
import { MAX_MONEY, centsOf } from './key-draft';
import type { RefusedCall } from './refused-calls';

const FIELDS = ['environment', 'ip', 'model', 'chatbot', 'subject', 'scopes', 'cost', 'reserveCents', 'reserveTokens'];
const OUTCOMES = {
  passed: ['check', '#2f9e44', 'passed'],
  failed: ['close', '#e03131', 'failed'],
  skipped: ['minus', '#868e96', 'not checked'],
} as const;

/** A call that is described and not made: every check in its order, and nothing consumed. */
export function ExplainPanel({ apiKey, refused: call = null }: { apiKey: ApiKey; refused?: RefusedCall | null }) {
  const [input, set] = useInput(call);
  const { refused, ...act } = useFormAct({
    run: () =>
      dataOf(
        api.POST('/api/v1/api-keys/{id}/explain', {
          params: { path: { id: apiKey.id } },
          body: {
            ...(input.environment === null ? {} : { environment: input.environment }),
            ...(input.ip === '' ? {} : { ip: input.ip.trim() }),
            ...(input.model === '' ? {} : { model: input.model }),
            ...(input.chatbot === '' ? {} : { chatbot: input.chatbot }),
            ...(input.subject === '' ? {} : { subject: input.subject.trim() }),
            ...(input.scopes.length === 0 ? {} : { scopes: input.scopes }),
            cost: input.cost === '' ? 1 : input.cost,
            ...(input.reserve === '' ? {} : { reserveCents: centsOf(input.reserve) }),
            ...(input.reserveTokens === '' ? {} : { reserveTokens: input.reserveTokens }),
          },
        }),
      ),
  });
  const errors = refused ? fieldErrors(refused, FIELDS) : {};
  return (
    <SimpleGrid cols={{ base: 1, md: 2 }} spacing="md">
      <form onSubmit={submitting(act.go)} noValidate>
        <Stack gap="sm">
          <Text size="sm" c="dimmed">
            Describe a call to see whether it would be allowed, check by check. The secret is not needed, and nothing is
            counted or spent.
          </Text>
          {call && <FilledIn call={call} />}
          <TextInput
            label="Caller’s address"
            placeholder="203.0.113.7"
            value={input.ip}
            error={errors['ip']}
            onChange={(event) => set({ ip: event.currentTarget.value })}
          />
          <TextInput
            label="Model"
            placeholder={apiKey.allowedModels[0] ?? 'gpt-4o-mini'}
            value={input.model}
            error={errors['model']}
            onChange={(event) => set({ model: event.currentTarget.value })}
          />
          <EndUserFields input={input} errors={errors} set={set} />
          <TagsInput
            label="Scopes, all of them needed"
            data={apiKey.scopes}
            value={input.scopes}
            error={errors['scopes']}
            onChange={(scopes) => set({ scopes })}
          />
          <Select
            label="Environment"
            placeholder="any"
            clearable
            data={['live', 'test']}
            value={input.environment}
            error={errors['environment']}
            onChange={(environment) => set({ environment: environment as 'live' | 'test' | null })}
          />
          <AmountFields input={input} errors={errors} set={set} />
          {refused && Object.keys(errors).length === 0 && <ProblemAlert error={refused} />}
          <div>
            <Button type="submit" loading={act.isPending}>
              Test the call
            </Button>
          </div>
        </Stack>
      </form>
      <div aria-live="polite">{act.data && <Verdict verdict={act.data} />}</div>
    </SimpleGrid>
  );
}

interface FieldsProps {
  input: Input;
  errors: Readonly<Record<string, string>>;
  set: (changes: Partial<Input>) => void;
}

/** What the call counts as, and what it reserves. */
function AmountFields({ input, errors, set }: FieldsProps) {
  return (
    <>
      <NumberInput
        label="Requests"
        min={1}
        max={1000}
        allowDecimal={false}
        value={input.cost}
        error={errors['cost']}
        onChange={(value) => set({ cost: value === '' ? '' : Number(value) })}
      />
      <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
        <NumberInput
          label={`Cost to reserve in ${settings.currency}`}
          min={0}
          max={MAX_MONEY}
          decimalScale={8}
          value={input.reserve}
          error={errors['reserveCents']}
          onChange={(value) => set({ reserve: value === '' ? '' : Number(value) })}
        />
        <NumberInput
          label="Tokens to reserve"
          min={0}
          allowDecimal={false}
          thousandSeparator=","
          value={input.reserveTokens}
          error={errors['reserveTokens']}
          onChange={(value) => set({ reserveTokens: value === '' ? '' : Number(value) })}
        />
      </SimpleGrid>
    </>
  );
}

/** On whose behalf the call is. */
function EndUserFields({ input, errors, set }: FieldsProps) {
  return (
    <>
      <TextInput
        label="Chatbot"
        value={input.chatbot}
        error={errors['chatbot']}
        onChange={(event) => set({ chatbot: event.currentTarget.value })}
      />
      <TextInput
        label="Subject, the end user as the service names it"
        value={input.subject}
        error={errors['subject']}
        onChange={(event) => set({ subject: event.currentTarget.value })}
      />
    </>
  );
}

interface Input {
  environment: 'live' | 'test' | null;
  ip: string;
  model: string;
  chatbot: string;
  subject: string;
  scopes: string[];
  cost: number | '';
  reserve: number | '';
  reserveTokens: number | '';
}

/** What the form has in it, which a session that ends does not take away. */
function useInput(call: RefusedCall | null) {
  const [initial] = useState(() => inputOf(call));
  const [input, setInput] = useState(initial);
  useKept(input !== initial);
  return [input, (changes: Partial<Input>) => setInput({ ...input, ...changes })] as const;
}

/** An empty form, or what a refused call asked for as far as it was kept; a network is no address to test. */
function inputOf(call: RefusedCall | null): Input {
  return {
    environment: call?.environment ?? null,
    ip: call?.ip === undefined || call.ip === null || call.ip.includes('/') ? '' : call.ip,
    model: call?.model ?? '',
    chatbot: call?.chatbot ?? '',
    // No refused call keeps its subject.
    subject: '',
    scopes: call?.scopes ?? [],
    cost: call?.cost ?? 1,
    reserve: call?.reserveCents == null ? '' : call.reserveCents / 100,
    // Nor the tokens that it would have reserved.
    reserveTokens: '',
  };
}

/** Where what is in the form comes from. */
function FilledIn({ call }: { call: RefusedCall }) {
  return (
    <Alert color="gray" variant="outline" p="xs">
      Filled in from the call that was refused at {localWithSeconds(call.at)}: {verdictInWords(call.code).toLowerCase()}
      . It is tested against the key as it is now.
    </Alert>
  );
}

function Verdict({ verdict }: { verdict: Schemas['ExplanationView'] }) {
  return (
    <Paper withBorder p="sm">
      <Alert
        color={verdict.valid ? 'teal' : 'red'}
        variant="outline"
        p="xs"
        title={
          verdict.valid
            ? 'The call would be allowed'
            : `The call would be refused: ${verdictInWords(verdict.code).toLowerCase()}`
        }
      >
        {verdict.detail}
        {!verdict.valid && (
          <Text size="xs" c="dimmed">
            Services get the code <span className="mono">{verdict.code}</span>.
          </Text>
        )}
      </Alert>
      <Table mt="xs" highlightOnHover={false} aria-label="Checks in their order">
        <Table.Tbody>
          {verdict.checks.map(({ check, outcome, detail, detailParts }, index) => {
            const [icon, color, word] = OUTCOMES[outcome];
            const text = sentence(detail, detailParts);
            return (
              // Several limits are checks of the same name.
              <Table.Tr key={index}>
                <Table.Td w={28} style={{ color }}>
                  <Icon name={icon} size={16} />
                </Table.Td>
                <Table.Td>
                  <Text size="sm" fw={600} title={check}>
                    {checkInWords(check)}
                  </Text>
                  <Text size="sm" className="breakable">
                    <span
                      style={{ position: 'absolute', clip: 'rect(0 0 0 0)', width: 1, height: 1, overflow: 'hidden' }}
                    >
                      {word}:{' '}
                    </span>
                    {check === 'limit' ? <LimitFinding keyId={verdict.keyId} detail={text} /> : text}
                  </Text>
                </Table.Td>
              </Table.Tr>
            );
          })}
        </Table.Tbody>
      </Table>
    </Paper>
  );
}
