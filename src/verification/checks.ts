import { addressIn, matches } from '../common/address.js';
import { matchesAny } from '../common/model-pattern.js';
import type { KeyRecord } from './records/key-record.js';

/** The closed set of answers to "may this key do this, now?". */
export const VERDICT_CODES = [
  'VALID',
  'MALFORMED',
  'NOT_FOUND',
  'DISABLED',
  'REVOKED',
  'EXPIRED',
  'OWNER_INACTIVE',
  'IP_NOT_ALLOWED',
  'MODEL_NOT_ALLOWED',
  'CHATBOT_NOT_ALLOWED',
  'INSUFFICIENT_SCOPE',
  'RATE_LIMITED',
  'BUDGET_EXCEEDED',
  'UNAVAILABLE',
  'VALIDATION_FAILED',
] as const;

/** One answer of the closed set. */
export type VerdictCode = (typeof VERDICT_CODES)[number];

/** What a service asks about a key whose secret is proven. */
export interface Question {
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
}

/** What the checks without counters come to. */
export interface StaticDecision {
  readonly code: VerdictCode;
  readonly detail: string;
}

interface Check {
  readonly name: string;
  /** null: passed. `nowMs` is Unix time by the database's clock. */
  readonly refuse: (record: KeyRecord, question: Question, nowMs: number) => StaticDecision | null;
}

const refused = (code: VerdictCode, detail: string): StaticDecision => ({ code, detail });

const REVOKED = refused('REVOKED', 'The key has been revoked.');
const DISABLED = refused('DISABLED', 'The key is deactivated.');
const EXPIRED = refused('EXPIRED', 'The key has expired.');
const OWNER_INACTIVE = refused('OWNER_INACTIVE', 'The owner of the key is disabled.');
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

/** Whether the key is good at all, whoever asks for whatever. */
const STATE_CHECKS: readonly Check[] = [
  {
    name: 'revoked',
    refuse: ({ key, secret }) => (key.revokedAtMs !== null || secret.revokedAtMs !== null ? REVOKED : null),
  },
  { name: 'active', refuse: ({ key }) => (key.isActive ? null : DISABLED) },
  {
    name: 'expiry',
    refuse: ({ key, secret }, _, nowMs) =>
      hasPassed(key.expiresAtMs, nowMs) || hasPassed(secret.expiresAtMs, nowMs) ? EXPIRED : null,
  },
  { name: 'owner', refuse: ({ owner }) => (owner.isActive ? null : OWNER_INACTIVE) },
];

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
const CHECKS: readonly Check[] = [...STATE_CHECKS, ADDRESS_CHECK, ...USE_CHECKS];

/** The checks of a key as a credential for calling us: what it may be used for elsewhere does not matter. */
const CALLER_CHECKS: readonly Check[] = [...STATE_CHECKS, ADDRESS_CHECK];

/** The first check that refuses, or null when all pass. `nowMs`: Unix time by the database's clock. */
export function decide(record: KeyRecord, question: Question, nowMs: number): StaticDecision | null {
  return firstRefusal(CHECKS, record, question, nowMs);
}

/** As `decide`, for a key with which a service calls us from `ip`. */
export function decideOnCaller(record: KeyRecord, ip: string, nowMs: number): StaticDecision | null {
  return firstRefusal(CALLER_CHECKS, record, { ip }, nowMs);
}

/** As `decide`, for a key about which nothing is asked but whether it works at all. */
export function decideOnState(record: KeyRecord, nowMs: number): StaticDecision | null {
  return firstRefusal(STATE_CHECKS, record, {}, nowMs);
}

/** Every check with its own outcome, whether or not an earlier one failed. `nowMs` as for `decide`. */
export function explainChecks(record: KeyRecord, question: Question, nowMs: number): CheckOutcome[] {
  return CHECKS.map(({ name, refuse }) => {
    const refusal = refuse(record, question, nowMs);
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
): StaticDecision | null {
  for (const check of checks) {
    const refusal = check.refuse(record, question, nowMs);
    if (refusal !== null) return refusal;
  }
  return null;
}

function hasPassed(instantMs: number | null, nowMs: number): boolean {
  return instantMs !== null && instantMs <= nowMs;
}
