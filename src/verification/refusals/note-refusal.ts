import type { Recognised } from '../key-resolver.js';
import type { StaticDecision } from '../checks.js';
import type { VerifyingCaller } from '../verifier.js';
import type { VerifyQuestion } from '../verify.dto.js';
import type { RefusedCalls } from './refused-calls.js';

type AskedAbout = Partial<
  Pick<VerifyQuestion, 'ip' | 'environment' | 'model' | 'chatbot' | 'scopes' | 'cost' | 'reserveCents'>
>;

/** Keeps a refusal of a key whose secret is proven, unless it is one too many. Nothing of the secret is kept. */
export function noteRefusal(
  calls: RefusedCalls,
  { record, databaseNowMs }: Recognised,
  { ip, environment, model, chatbot, scopes, cost, reserveCents }: AskedAbout,
  { code, detail }: StaticDecision,
  { principal, requestId, clientRequestId, via }: VerifyingCaller,
): void {
  const keyId = record.key.id;
  if (!calls.admits(keyId, databaseNowMs)) return;
  calls.add({
    ...{ keyId, atMs: databaseNowMs, code, detail, via: via ?? 'verify' },
    ...{ ip, environment, model, chatbot, scopes, cost, reserveCents },
    ...{ requestId, clientRequestId: clientRequestId ?? null },
    askedByKind: principal.kind,
    askedBy: principal.kind === null ? null : principal.id,
  });
}
