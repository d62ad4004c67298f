import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { VERDICT_CODES, type VerdictCode } from '../checks.js';
import { REFUSED_VIA, type RefusedVia } from './refused-calls.js';
import type { StoredRefusedCall } from './refused-calls.repository.js';
import type { RefusedCallsMode } from './refused-call-row.js';

/** Who asked about a call. */
export class RefusedCallAskerView {
  /**
   * A service's key, or a person who was signed in.
   * @example "key"
   */
  @ApiProperty({ enum: ['key', 'user'] })
  kind: 'key' | 'user';

  /** @example "019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55" */
  id: string;

  /**
   * As it is called now; null: it was deleted.
   * @example "chat gateway"
   */
  name: string | null;
}

/** One call that was refused. */
export class RefusedCallView {
  /**
   * Its place among the refused calls of the key; digits.
   * @example "1790000000001"
   */
  id: string;

  /** By the clock of the database. */
  at: Date;

  @ApiProperty({ enum: VERDICT_CODES, example: 'IP_NOT_ALLOWED' })
  code: VerdictCode;

  /**
   * The sentence of the verdict; null: it was not kept.
   * @example "The address is not in the key’s list."
   */
  detail: string | null;

  /**
   * By what the key was asked about.
   * @example "verify"
   */
  @ApiProperty({ enum: REFUSED_VIA })
  via: RefusedVia;

  /**
   * The address that the service named; with `masked` its network. Null: none, or text that was no address.
   * @example "203.0.113.7"
   */
  ip: string | null;

  /** The environment that the call was for; null: any. */
  @ApiProperty({ enum: ['live', 'test'], nullable: true })
  environment: 'live' | 'test' | null;

  /**
   * Null: none was named, or the mode is `masked`.
   * @example "gpt-4o-mini"
   */
  model: string | null;

  /** Null: none was named, or the mode is `masked`. */
  chatbot: string | null;

  /**
   * Scopes that the call needed, at most 20; empty with `masked`.
   * @example ["chat:write"]
   */
  scopes: string[];

  /** Further scopes that were not kept. */
  scopesLeftOut: number;

  /** How many requests it counted as; null: one. */
  cost: number | null;

  /** Cents that it asked to reserve; null: none. */
  reserveCents: number | null;

  /** Our id of the request that asked: it is in the log and in the answer's `X-Request-Id`. */
  requestId: string | null;

  /** The id that the service gave that request. Null: it gave none, or the mode is `masked`. */
  clientRequestId: string | null;

  /** Who asked; absent for callers without `platform:api-keys:read`; null: a gateway without a key of its own. */
  @ApiPropertyOptional({ type: RefusedCallAskerView, nullable: true })
  askedBy?: RefusedCallAskerView | null;

  static from(call: StoredRefusedCall, showsAsker: boolean): RefusedCallView {
    const view: RefusedCallView = {
      id: call.seq,
      at: call.at,
      code: call.code,
      detail: call.detail,
      via: call.via,
      ip: call.ip,
      environment: call.environment,
      model: call.model,
      chatbot: call.chatbot,
      scopes: call.scopes,
      scopesLeftOut: call.scopes_left_out,
      cost: call.cost,
      reserveCents: call.reserve_cents,
      requestId: call.request_id,
      clientRequestId: call.client_request_id,
    };
    if (showsAsker) view.askedBy = askerOf(call);
    return view;
  }
}

/** What a list of refused calls has, and what it lacks. */
export class RefusedCallsMetaView {
  /** Asks for the calls before these, as `cursor`; null: there are none. */
  nextCursor: string | null;

  /**
   * Asks for what is refused after the first call of this answer, as `after`; the `after` of the request where nothing
   * was refused since. Null: there is none, so leave `after` out.
   */
  newest: string | null;

  /**
   * What `REFUSED_CALLS` says now: `off` keeps nothing, `masked` networks instead of addresses and no text of callers.
   * @example "full"
   */
  @ApiProperty({ enum: ['full', 'masked', 'off'] })
  recording: RefusedCallsMode;

  /**
   * Hours for which a refused call is shown.
   * @example 48
   */
  keptHours: number;

  /**
   * Refused verifies of the key in that time, of this code if one is asked for.
   * @example 4312
   */
  counted: number;

  /**
   * Of them, those in this list, over all of its pages. The others were beyond a bound, or could not be written.
   * @example 100
   */
  kept: number;
}

/** Calls of a key that were refused, newest first. */
export class RefusedCallsView {
  data: RefusedCallView[];

  meta: RefusedCallsMetaView;
}

function askerOf({ asked_by_kind: kind, asked_by: id, asked_by_name: name }: StoredRefusedCall) {
  return kind === null || id === null ? null : { kind, id, name };
}
