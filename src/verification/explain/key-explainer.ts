import { Injectable } from '@nestjs/common';
import type { KnownCaller } from '../../access/caller.js';
import { apiKeyNotFound, noSecretYet } from '../../api-keys/api-key.errors.js';
import type { ApiKeyView } from '../../api-keys/api-key.view.js';
import { ApiKeysService } from '../../api-keys/api-keys.service.js';
import { type CheckOutcome, type Question, decide, detailOf, explainChecks } from '../checks.js';
import { type SentencePart, inParts } from '../../../packages/contract/src/sentence.js';
import type { ExplainQuestion } from './explain.dto.js';
import type { ExplanationView } from './explanation.view.js';
import { FeedService } from '../../key-cache/feed/feed.service.js';
import { LimitViewers } from '../../limits/limit-viewers.js';
import { KeyRecordsReader } from '../../key-cache/records/key-records.reader.js';
import { QuotaGate } from '../quota-gate.js';

/** The checks that only a presented secret can pass. */
const SECRET_CHECK: CheckOutcome = {
  check: 'secret',
  outcome: 'skipped',
  detail: 'The key is explained by its id: no secret was presented, so its shape, tag and MAC were not checked.',
};

/** What a check that passed looked at: the sentence that an operator needs when the answer is not as expected. */
const PASSED: Readonly<Record<string, (key: ApiKeyView, question: Question) => string | SentencePart[]>> = {
  revoked: () => 'Neither the key nor its newest secret is revoked.',
  active: () => 'The key is active.',
  expiry: ({ expiresAt }) =>
    expiresAt === null ? 'The key never ends.' : inParts`The key ends at ${{ at: expiresAt.toISOString() }}.`,
  owner: ({ ownerName }) => `The owner, ${ownerName}, is active.`,
  project: ({ projectId }) => (projectId === null ? 'The key is in no project.' : 'The project of the key is active.'),
  environment: ({ environment }) => `The key is of the environment ${environment}, which may be asked for here.`,
  address: ({ allowedIps }, { ip }) =>
    allowedIps.length === 0 ? 'The key may be used from any address.' : `${ip} lies in the key’s list of addresses.`,
  model: ({ allowedModels }, { model }) =>
    allowedModels.length === 0 ? 'The key may be used with any model.' : `${model} matches the key’s list of models.`,
  chatbot: ({ allowedChatbots }, { chatbot }) =>
    allowedChatbots.length === 0
      ? 'The key may be used for any chatbot.'
      : `${chatbot} is in the key’s list of chatbots.`,
  scopes: (_, { scopes = [] }) => (scopes.length === 0 ? 'No scope is asked for.' : `The key has ${scopes.join(' ')}.`),
};

/**
 * Says of a key, without its secret, what a verify would come to. Reads only: nothing is consumed, remembered or
 * counted.
 */
@Injectable()
export class KeyExplainer {
  constructor(
    private readonly keys: ApiKeysService,
    private readonly records: KeyRecordsReader,
    private readonly feed: FeedService,
    private readonly gate: QuotaGate,
    private readonly viewers: LimitViewers,
  ) {}

  /** @throws DomainError 404 for keys that do not exist or are not for this caller to know; 409 NO_SECRET */
  async explain(caller: KnownCaller, keyId: string, question: ExplainQuestion): Promise<ExplanationView> {
    const key = await this.keys.get(caller, keyId);
    const record = await this.records.findByKeyId(keyId);
    if (record === null) throw key.keyPrefix === '' ? noSecretYet() : apiKeyNotFound();
    const nowMs = this.feed.databaseNowMs(this.feed.tick());
    const verifies = caller.principal.verifiesEnvironment;
    const viewer = await this.viewers.of(caller.principal, key);
    const snapshot = await this.gate.snapshot(record, question, { viewer, nowMs, isBlind: true });
    const refusal = decide(record, question, nowMs, verifies) ?? snapshot.refusal;
    const outcomes = explainChecks(record, question, nowMs, verifies);
    return {
      keyId,
      valid: refusal === null,
      code: refusal?.code ?? 'VALID',
      ...(refusal === null ? {} : { detail: refusal.detail }),
      checks: [SECRET_CHECK, ...outcomes.map((outcome) => withInput(outcome, key, question)), ...snapshot.checks],
      rateLimits: snapshot.rateLimits,
      budget: snapshot.budget,
      tightest: snapshot.tightest,
      limits: snapshot.limits,
    };
  }
}

function withInput(outcome: CheckOutcome, key: ApiKeyView, question: Question): CheckOutcome {
  const said = outcome.outcome === 'passed' ? PASSED[outcome.check]?.(key, question) : undefined;
  if (said === undefined) return outcome;
  return { ...outcome, ...(typeof said === 'string' ? { detail: said } : detailOf(said)) };
}
