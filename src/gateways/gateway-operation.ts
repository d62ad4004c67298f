import { applyDecorators, UseFilters } from '@nestjs/common';
import {
  ApiBadRequestResponse,
  ApiExtension,
  ApiForbiddenResponse,
  ApiOkResponse,
  ApiQuery,
  ApiServiceUnavailableResponse,
  ApiTooManyRequestsResponse,
  ApiUnauthorizedResponse,
} from '@nestjs/swagger';
import { GatewayOnly } from '../access/decorators.js';
import { ProblemView } from '../common/problem.view.js';
import { GatewayProblemFilter } from './gateway-problem.filter.js';

const text = (description: string, example: string) => ({ description, schema: { type: 'string' as const }, example });

const RATE_LIMIT_HEADERS = {
  'RateLimit-Policy': text('The key’s rate limits.', '"minute";q=60;w=60'),
  RateLimit: text('What is left of them.', '"minute";r=41;t=37'),
};

const ALLOW_HEADERS = {
  'X-Latchkey-Key-Id': text('The key. Always there.', '019a8b5e-1c7a-7cc3-b4a1-3a7c2f1d9e55'),
  'X-Latchkey-Owner-Id': text('Its owner. Always there.', '019a8b5e-0a1b-7c2d-8e3f-9a0b1c2d3e4f'),
  'X-Latchkey-Environment': text('Its environment. Always there.', 'live'),
  'X-Latchkey-Scopes': text(
    'Its scopes, separated by spaces, as many as 1024 characters hold. Always there; may be empty.',
    'chat:read chat:write',
  ),
  'X-Latchkey-Tags': text('Its tags, in the same way. Always there; may be empty.', 'team:billing'),
  'X-Latchkey-Reservation-Id': text(
    'Where the request holds something, by `reserveCents`, by `reserveTokens` or unasked: the reservation to settle. Always there; may be empty.',
    '',
  ),
  ...RATE_LIMIT_HEADERS,
};

const REFUSE_HEADERS = {
  'X-Latchkey-Code': text('Why, by name.', 'EXPIRED'),
};

/**
 * What the doors of gateways have in common: any method, no look at the body, the code of a refusal in a header.
 */
export const GatewayOperation = () =>
  applyDecorators(
    GatewayOnly('platform:api-keys:verify'),
    UseFilters(GatewayProblemFilter),
    ApiExtension('x-any-method', true),
    ApiOkResponse({
      description: 'The request may pass. There is no body; who the client is stands in headers.',
      headers: ALLOW_HEADERS,
    }),
    ApiBadRequestResponse({
      description: 'The gateway asks for something that is none, or its client has a key in the URL.',
      type: ProblemView,
      headers: REFUSE_HEADERS,
    }),
    ApiUnauthorizedResponse({
      description:
        'No key, several, or one that is no good (any more): `UNAUTHENTICATED`, `MALFORMED`, `NOT_FOUND`, `DISABLED`, `REVOKED`, `EXPIRED`, `OWNER_INACTIVE`, `PROJECT_INACTIVE`. `GATEWAY_UNAUTHENTICATED`: the gateway itself is not known.',
      type: ProblemView,
      headers: {
        ...REFUSE_HEADERS,
        'WWW-Authenticate': text('RFC 6750.', 'Bearer realm="latchkey", error="invalid_token"'),
      },
    }),
    ApiForbiddenResponse({
      description:
        'A good key that may not do this: `WRONG_ENVIRONMENT`, `IP_NOT_ALLOWED`, `MODEL_NOT_ALLOWED`, `CHATBOT_NOT_ALLOWED`, `INSUFFICIENT_SCOPE`, `BUDGET_EXCEEDED`; with `mode=nginx` also `RATE_LIMITED`. `PERMISSION_DENIED`: the gateway’s key lacks `platform:api-keys:verify`.',
      type: ProblemView,
      headers: REFUSE_HEADERS,
    }),
    ApiTooManyRequestsResponse({
      description: '`RATE_LIMITED`: see `Retry-After`.',
      type: ProblemView,
      headers: { ...REFUSE_HEADERS, ...RATE_LIMIT_HEADERS, 'Retry-After': text('Seconds.', '37') },
    }),
    ApiServiceUnavailableResponse({
      description: 'Nothing could be decided: the request must not pass.',
      type: ProblemView,
      headers: REFUSE_HEADERS,
    }),
  );

const CHATBOT_QUERY = ApiQuery({
  name: 'chatbot',
  required: false,
  schema: { type: 'string', minLength: 1, maxLength: 128, example: 'support-bot' },
  description: 'The chatbot the request is for. A key restricted by chatbot is refused without it.',
});
const SUBJECT_QUERY = ApiQuery({
  name: 'subject',
  required: false,
  schema: { type: 'string', minLength: 1, maxLength: 128, example: 'user-4711' },
  description: 'The end user the request is for. A limit that has an account for each refuses without it.',
});

/** The settings of a gateway whose query is its own. */
export const AskedByQuery = () =>
  applyDecorators(
    ApiQuery({
      name: 'mode',
      required: false,
      schema: { type: 'string', enum: ['nginx'], example: 'nginx' },
      description: 'nginx: refusals are 401 or 403 only.',
    }),
    ApiQuery({
      name: 'scope',
      required: false,
      schema: { type: 'array', maxItems: 100, items: { type: 'string', maxLength: 128 }, example: ['chat:write'] },
      description: 'A scope the key must have; may repeat: all of them.',
    }),
    ApiQuery({
      name: 'environment',
      required: false,
      schema: { type: 'string', enum: ['live', 'test'], example: 'live' },
      description: 'The environment the key must be of; absent: any.',
    }),
    ApiQuery({
      name: 'model',
      required: false,
      schema: { type: 'string', minLength: 1, maxLength: 128, example: 'gpt-4o-mini' },
      description: 'The model the request is for. A key restricted by model is refused without it.',
    }),
    CHATBOT_QUERY,
    SUBJECT_QUERY,
    ApiQuery({
      name: 'cost',
      required: false,
      schema: { type: 'integer', minimum: 1, maximum: 1000, default: 1, example: 1 },
      description: 'How many requests of the rate limits it counts as.',
    }),
    ApiQuery({
      name: 'reserveCents',
      required: false,
      schema: { type: 'number', minimum: 0, maximum: 1_000_000_000, example: 1.5 },
      description: 'Cents to hold until the service behind reports what the request cost; needs a gateway with a key.',
    }),
    ApiQuery({
      name: 'reserveTokens',
      required: false,
      schema: { type: 'integer', minimum: 0, maximum: 1_000_000_000_000, example: 4000 },
      description:
        'Tokens to hold in limits of tokens until the service behind reports what the request took; needs a gateway with a key. Absent: the `defaultReserveTokens` of the key.',
    }),
    ApiQuery({
      name: 'reservationTtlSeconds',
      required: false,
      schema: { type: 'integer', minimum: 1, maximum: 1800, default: 60, example: 60 },
      description: 'How long they are held.',
    }),
  );
