import { matches, parseAddress } from '../common/address.js';
import { matchesAny } from '../common/model-pattern.js';
import type { KeyRecord } from './key-record.js';

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
  /** null: passed. */
  readonly refuse: (record: KeyRecord, question: Question, now: Date) => StaticDecision | null;
}

const refused = (code: VerdictCode, detail: string): StaticDecision => ({ code, detail });

/**
 * Every check after the MAC and before the counters, in the order they are made. Absence never opens: a
 * restricted list refuses a question that names nothing.
 *
 * @see docs/api-design.md, Verification
 */
const CHECKS: readonly Check[] = [
  {
    name: 'revoked',
    refuse: (key) => (key.revokedAt !== null || key.secretRevokedAt !== null ? refused('REVOKED', 'The key has been revoked.') : null),
  },
  { name: 'active', refuse: (key) => (key.isActive ? null : refused('DISABLED', 'The key is deactivated.')) },
  {
    name: 'expiry',
    refuse: (key, _, now) => (hasPassed(key.expiresAt, now) || hasPassed(key.secretExpiresAt, now) ? refused('EXPIRED', 'The key has expired.') : null),
  },
  { name: 'owner', refuse: (key) => (key.ownerIsActive ? null : refused('OWNER_INACTIVE', 'The owner of the key is disabled.')) },
  {
    name: 'address',
    refuse: (key, { ip }) =>
      key.allowedIps.length === 0 || isAllowedAddress(key, ip)
        ? null
        : refused('IP_NOT_ALLOWED', ip === undefined ? 'The key is restricted by address, and no ip was given.' : 'The address is not in the key’s list.'),
  },
  {
    name: 'model',
    refuse: (key, { model }) =>
      key.allowedModels.length === 0 || (model !== undefined && matchesAny(key.allowedModels, model))
        ? null
        : refused('MODEL_NOT_ALLOWED', model === undefined ? 'The key is restricted by model, and no model was given.' : 'The model is not in the key’s list.'),
  },
  {
    name: 'chatbot',
    refuse: (key, { chatbot }) =>
      key.allowedChatbots.length === 0 || (chatbot !== undefined && key.allowedChatbots.includes(chatbot))
        ? null
        : refused('CHATBOT_NOT_ALLOWED', chatbot === undefined ? 'The key is restricted by chatbot, and no chatbot was given.' : 'The chatbot is not in the key’s list.'),
  },
  {
    name: 'scopes',
    refuse: (key, { scopes }) => {
      const missing = (scopes ?? []).filter((scope) => !key.scopes.includes(scope));
      return missing.length === 0 ? null : refused('INSUFFICIENT_SCOPE', `The key lacks the scope ${missing.join(' ')}.`);
    },
  },
];

/** The first check that refuses, or null when all pass. */
export function decide(record: KeyRecord, question: Question, now: Date): StaticDecision | null {
  for (const check of CHECKS) {
    const refusal = check.refuse(record, question, now);
    if (refusal !== null) return refusal;
  }
  return null;
}

/** Every check with its own outcome, whether or not an earlier one failed. */
export function explainChecks(record: KeyRecord, question: Question, now: Date): CheckOutcome[] {
  return CHECKS.map(({ name, refuse }) => {
    const refusal = refuse(record, question, now);
    return { check: name, outcome: refusal === null ? ('passed' as const) : ('failed' as const), detail: refusal?.detail ?? 'Passed.' };
  });
}

function hasPassed(instant: Date | null, now: Date): boolean {
  return instant !== null && instant <= now;
}

function isAllowedAddress(key: KeyRecord, ip: string | undefined): boolean {
  const address = ip === undefined ? null : parseAddress(ip);
  return address !== null && matches(key.allowedIps, address);
}
