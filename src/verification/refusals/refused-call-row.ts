import { addressIn, formatAddress } from '../../../packages/contract/src/address.js';
import { networksOf } from '../../common/address-networks.js';
import { hideSecrets } from '../../common/secret-shape.js';
import type { Config } from '../../config/config.js';
import type { RefusedCall } from './refused-calls.js';

/** How much of a refused call is kept. `masked`: the network of the address, and no text that the caller chose. */
export type RefusedCallsMode = Config['refusedCalls'];

/** Scopes of one call that are kept: a call may name a hundred of 128 characters. */
const MAX_SCOPES = 20;
/** Characters of a sentence that are kept; those that name scopes can be longer. */
const MAX_DETAIL_CHARACTERS = 300;
/** Its sentence names scopes, which the caller chose. */
const NAMES_SCOPES = 'INSUFFICIENT_SCOPE';

/** A refused call as the database takes it; absent is null. @see src/database/functions/refused_calls_note.sql */
export function refusedCallRow(call: RefusedCall, mode: RefusedCallsMode): Record<string, unknown> {
  const isMasked = mode === 'masked';
  const scopes = isMasked ? [] : (call.scopes ?? []);
  return {
    key_id: call.keyId,
    at_ms: call.atMs,
    code: call.code,
    detail: isMasked && call.code === NAMES_SCOPES ? null : kept(call.detail, MAX_DETAIL_CHARACTERS),
    via: call.via,
    ip: addressText(call.ip, isMasked),
    environment: call.environment,
    ...(isMasked ? {} : { model: kept(call.model), chatbot: kept(call.chatbot) }),
    scopes: scopes.slice(0, MAX_SCOPES).map((scope) => kept(scope)),
    scopes_left_out: Math.max(0, scopes.length - MAX_SCOPES),
    cost: call.cost,
    reserve_cents: call.reserveCents,
    request_id: call.requestId,
    client_request_id: isMasked ? null : call.clientRequestId,
    asked_by_kind: call.askedByKind,
    asked_by: call.askedBy,
  };
}

/** Text that was no address is not kept: it may be anything. */
function addressText(ip: string | null | undefined, isMasked: boolean): string | null {
  const address = typeof ip !== 'string' ? null : addressIn(ip);
  if (address === null) return null;
  const text = formatAddress(address);
  return isMasked ? networksOf(text).at(-1)!.network : text;
}

/**
 * Without what is shaped like a secret, and without the halves of characters, which JSON of PostgreSQL refuses. It is
 * cut in between: a part of a secret has no shape, and a cut makes halves.
 */
function kept(text: string | undefined, maxCharacters?: number): string | undefined {
  return text === undefined
    ? undefined
    : hideSecrets(text)
        .slice(0, maxCharacters)
        .replace(/\p{Surrogate}/gu, '\uFFFD');
}
