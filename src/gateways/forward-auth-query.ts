import { SENTENCES } from '../../packages/contract/src/schema.js';
import { BodySchema, checkedBody } from '../common/body-schema.js';
import { type FieldError, validationFailed } from '../common/domain-error.js';
import { QUESTION_FIELDS } from '../verification/verify.dto.js';

/** How refusals are answered: by their own status, or as nginx' `auth_request` understands them. */
export type GatewayMode = 'plain' | 'nginx';

/** What a gateway is configured to ask about every request of its clients. */
@BodySchema({
  type: 'object',
  additionalProperties: false,
  properties: {
    environment: QUESTION_FIELDS.environment,
    scopes: QUESTION_FIELDS.scopes,
    model: QUESTION_FIELDS.model,
    chatbot: QUESTION_FIELDS.chatbot,
    subject: QUESTION_FIELDS.subject,
    cost: QUESTION_FIELDS.cost,
    reserveCents: QUESTION_FIELDS.reserveCents,
    reserveTokens: QUESTION_FIELDS.reserveTokens,
    reservationTtlSeconds: QUESTION_FIELDS.reservationTtlSeconds,
  },
})
export class ForwardAuthQuery {
  environment?: 'live' | 'test';
  scopes?: string[];
  model?: string;
  chatbot?: string;
  subject?: string;
  cost?: number;
  reserveCents?: number;
  reserveTokens?: number;
  reservationTtlSeconds?: number;
}

/** Parameters as a query has them: one that repeats is a list. */
export type Parameters = Readonly<Record<string, string | string[] | undefined>>;

const WHOLE = /^(0|[1-9]\d{0,14})$/;
const CENTS = /^(0|[1-9]\d{0,14})(\.\d{1,40})?$/;

/** How the text of each parameter becomes its value; other text stays text, so that the schema refuses it by name. */
const READERS: Readonly<Record<string, (text: string) => unknown>> = {
  environment: (text) => text,
  model: (text) => text,
  chatbot: (text) => text,
  subject: (text) => text,
  cost: (text) => (WHOLE.test(text) ? Number(text) : text),
  reserveCents: (text) => (CENTS.test(text) ? Number(text) : text),
  reserveTokens: (text) => (WHOLE.test(text) ? Number(text) : text),
  reservationTtlSeconds: (text) => (WHOLE.test(text) ? Number(text) : text),
};

/**
 * What the parameters ask. `scope` may repeat, also with the same value; nothing else may: a client that could add a
 * second one (through a proxy that copies what it was sent) would decide which counts.
 *
 * @throws DomainError 400 with every parameter that is wrong or unknown
 */
export function askOf(parameters: Parameters): ForwardAuthQuery {
  const ask: Record<string, unknown> = {};
  const errors: FieldError[] = [];
  for (const [name, value] of Object.entries(parameters)) {
    const read = Object.hasOwn(READERS, name) ? READERS[name] : undefined;
    if (name === 'scope') ask['scopes'] = [...new Set([value].flat())];
    else if (read === undefined)
      errors.push({ path: name.slice(0, 100), message: 'is not a parameter of this request' });
    else if (typeof value !== 'string') errors.push({ path: name, message: SENTENCES.repeated });
    else ask[name] = read(value);
  }
  if (errors.length > 0) throw validationFailed(errors);
  return checkedBody(ForwardAuthQuery, ask) as ForwardAuthQuery;
}

/** @throws DomainError 400 for a mode there is none of */
export function modeOf(mode: string | string[] | undefined): GatewayMode {
  if (mode === undefined) return 'plain';
  if (mode === 'nginx') return 'nginx';
  throw validationFailed([{ path: 'mode', message: 'must be nginx, or absent' }]);
}
