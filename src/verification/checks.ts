import type { Environment, VerifiesEnvironment } from '../api-keys/api-key.entity.js';
import { type SentencePart, written } from '../../packages/contract/src/sentence.js';
import { addressIn, matches } from '../../packages/contract/src/address.js';
import { matchesAny } from '../common/model-pattern.js';
import type { KeyRecord } from '../key-cache/records/key-record.js';

/** The closed set of answers to "may this key do this, now?". */
export const VERDICT_CODES = [
  'VALID',
  'MALFORMED',
  'NOT_FOUND',
  'DISABLED',
  'REVOKED',
  'EXPIRED',
  'OWNER_INACTIVE',
  'PROJECT_INACTIVE',
  'WRONG_ENVIRONMENT',
  'IP_NOT_ALLOWED',
  'MODEL_NOT_ALLOWED',
  'CHATBOT_NOT_ALLOWED',
  'INSUFFICIENT_SCOPE',
  'RATE_LIMITED',
  'BUDGET_EXCEEDED',
  'CONCURRENCY_LIMITED',
  'SUBJECT_REQUIRED',
  'TOO_MANY_SUBJECTS',
  'UNAVAILABLE',
  'VALIDATION_FAILED',
] as const;

/** One answer of the closed set. */
export type VerdictCode = (typeof VERDICT_CODES)[number];

/** What a service asks about a key whose secret is proven. */
export interface Question {
  /** Absent: any. */
  readonly environment?: Environment | undefined;
  readonly ip?: string | undefined;
  readonly model?: string | undefined;
  readonly chatbot?: string | undefined;
  readonly scopes?: readonly string[] | undefined;
}

/** One check, for `explain`. */
export interface CheckOutcome {
  readonly check: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  readonly detail: string;
  /** `detail` in parts, where it names an amount or an instant. */
  readonly detailParts?: readonly SentencePart[];
}

/** A sentence as the detail of a check: with its parts where it names an amount or an instant. */
export function detailOf(sentence: readonly SentencePart[]): Pick<CheckOutcome, 'detail' | 'detailParts'> {
  const detail = written(sentence);
  return sentence.every(({ text }) => text !== undefined) ? { detail } : { detail, detailParts: sentence };
}

/** What the checks without counters come to. */
export interface StaticDecision {
  readonly code: VerdictCode;
  readonly detail: string;
}

interface Check {
  readonly name: string;
  /** null: passed. `nowMs` is Unix time by the database's clock. */
  readonly refuse: (
    record: KeyRecord,
    question: Question,
    nowMs: number,
    verifies: VerifiesEnvironment,
  ) => StaticDecision | null;
}

const refused = (code: VerdictCode, detail: string): StaticDecision => ({ code, detail });

const REVOKED = refused('REVOKED', 'The key has been revoked.');
/** Of a key that the emergency list names. */
export const DENIED = REVOKED;
const SECRET_ENDED = refused('REVOKED', 'This secret was replaced or ended; the key may have a newer one.');
const DISABLED = refused('DISABLED', 'The key is inactive.');
const EXPIRED = refused('EXPIRED', 'The key has expired.');
const SECRET_EXPIRED = refused('EXPIRED', 'This secret was replaced by a newer one, and its overlap is over.');
const OWNER_INACTIVE = refused('OWNER_INACTIVE', 'The owner of the key is inactive.');
const PROJECT_INACTIVE = refused('PROJECT_INACTIVE', 'The project of the key is inactive.');
const OTHER_ENVIRONMENT = refused('WRONG_ENVIRONMENT', 'The key is not of the environment that the call asks for.');
const NOT_VERIFIED_HERE = refused(
  'WRONG_ENVIRONMENT',
  'The key is of an environment whose keys the asking service does not verify.',
);
const NO_IP = refused(
  'IP_NOT_ALLOWED',
  'The key is restricted by address, and the address of the caller is unknown: no ip was given.',
);
const NOT_AN_IP = refused(
  'IP_NOT_ALLOWED',
  'The key is restricted by address, and the ip that was given is no address.',
);
const OTHER_IP = refused('IP_NOT_ALLOWED', 'The address is not in the key’s list.');
const NO_MODEL = refused('MODEL_NOT_ALLOWED', 'The key is restricted by model, and no model was given.');
const OTHER_MODEL = refused('MODEL_NOT_ALLOWED', 'The model is not in the key’s list.');
const NO_CHATBOT = refused('CHATBOT_NOT_ALLOWED', 'The key is restricted by chatbot, and no chatbot was given.');
const OTHER_CHATBOT = refused('CHATBOT_NOT_ALLOWED', 'The chatbot is not in the key’s list.');

/** Whether the key is good at all, whatever is asked and by which caller. */
const STATE_CHECKS: readonly Check[] = [
  {
    name: 'revoked',
    refuse: ({ key, secret }) => {
      if (key.revokedAtMs !== null) return REVOKED;
      return secret.revokedAtMs === null ? null : SECRET_ENDED;
    },
  },
  { name: 'active', refuse: ({ key }) => (key.isActive ? null : DISABLED) },
  {
    name: 'expiry',
    refuse: ({ key, secret }, _, nowMs) => {
      if (hasPassed(key.expiresAtMs, nowMs)) return EXPIRED;
      return hasPassed(secret.expiresAtMs, nowMs) ? SECRET_EXPIRED : null;
    },
  },
  { name: 'owner', refuse: ({ owner }) => (owner.isActive ? null : OWNER_INACTIVE) },
  { name: 'project', refuse: ({ project }) => (project === null || project.isActive ? null : PROJECT_INACTIVE) },
];

const ENVIRONMENT_CHECK: Check = {
  name: 'environment',
  refuse: ({ key }, { environment }, _, verifies) => {
    if (verifies !== 'any' && verifies !== key.environment) return NOT_VERIFIED_HERE;
    return environment === undefined || environment === key.environment ? null : OTHER_ENVIRONMENT;
  },
};

const ADDRESS_CHECK: Check = {
  name: 'address',
  refuse: ({ key: { allowedIps } }, { ip }) => {
    if (allowedIps.length === 0) return null;
    if (ip === undefined) return NO_IP;
    const address = addressIn(ip);
    if (address === null) return NOT_AN_IP;
    return matches(allowedIps, address) ? null : OTHER_IP;
  },
};

/** What the key may be used for on the platform. */
const USE_CHECKS: readonly Check[] = [
  {
    name: 'model',
    refuse: ({ key: { allowedModels } }, { model }) => {
      if (allowedModels.length === 0) return null;
      if (model === undefined) return NO_MODEL;
      return matchesAny(allowedModels, model) ? null : OTHER_MODEL;
    },
  },
  {
    name: 'chatbot',
    refuse: ({ key: { allowedChatbots } }, { chatbot }) => {
      if (allowedChatbots.length === 0) return null;
      if (chatbot === undefined) return NO_CHATBOT;
      return allowedChatbots.includes(chatbot) ? null : OTHER_CHATBOT;
    },
  },
  {
    name: 'scopes',
    refuse: ({ key }, { scopes }) => {
      if (scopes === undefined || scopes.every((scope) => key.scopes.includes(scope))) return null;
      const missing = scopes.filter((scope) => !key.scopes.includes(scope));
      return refused('INSUFFICIENT_SCOPE', `The key lacks the scope ${missing.join(' ')}.`);
    },
  },
];

/**
 * Every check after the MAC and before the counters, in the order they are made. Absence never opens: a
 * restricted list refuses a question that names nothing.
 *
 * @see docs/api/verify.md
 */
const CHECKS: readonly Check[] = [...STATE_CHECKS, ENVIRONMENT_CHECK, ADDRESS_CHECK, ...USE_CHECKS];

/** The checks of a key that is inspected and not used. */
const INSPECTION_CHECKS: readonly Check[] = [...STATE_CHECKS, ENVIRONMENT_CHECK];

/** The checks of a key as a credential for calling us: what it may be used for elsewhere does not matter. */
const CALLER_CHECKS: readonly Check[] = [...STATE_CHECKS, ADDRESS_CHECK];

/**
 * The first check that refuses, or null when all pass. `nowMs`: Unix time by the database's clock. `verifies`: the
 * environment whose keys the service that asks may verify.
 */
export function decide(
  record: KeyRecord,
  question: Question,
  nowMs: number,
  verifies: VerifiesEnvironment,
): StaticDecision | null {
  return firstRefusal(CHECKS, record, question, nowMs, verifies);
}

/** As `decide`, for a key with which a service calls us from `ip`. */
export function decideOnCaller(record: KeyRecord, ip: string, nowMs: number): StaticDecision | null {
  return firstRefusal(CALLER_CHECKS, record, { ip }, nowMs, 'any');
}

/** As `decide`, for a key about which nothing is asked but whether it works at all for the service that asks. */
export function decideOnState(record: KeyRecord, nowMs: number, verifies: VerifiesEnvironment): StaticDecision | null {
  return firstRefusal(INSPECTION_CHECKS, record, {}, nowMs, verifies);
}

/** Every check with its own outcome, whether or not an earlier one failed. `nowMs` as for `decide`. */
export function explainChecks(
  record: KeyRecord,
  question: Question,
  nowMs: number,
  verifies: VerifiesEnvironment,
): CheckOutcome[] {
  return CHECKS.map(({ name, refuse }) => {
    const refusal = refuse(record, question, nowMs, verifies);
    return {
      check: name,
      outcome: refusal === null ? ('passed' as const) : ('failed' as const),
      detail: refusal?.detail ?? 'Passed.',
    };
  });
}

function firstRefusal(
  checks: readonly Check[],
  record: KeyRecord,
  question: Question,
  nowMs: number,
  verifies: VerifiesEnvironment,
): StaticDecision | null {
  for (const check of checks) {
    const refusal = check.refuse(record, question, nowMs, verifies);
    if (refusal !== null) return refusal;
  }
  return null;
}

function hasPassed(instantMs: number | null, nowMs: number): boolean {
  return instantMs !== null && instantMs <= nowMs;
}
