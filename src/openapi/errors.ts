import type { OpenAPIObject } from '@nestjs/swagger';
import { STATUS_CODES } from 'node:http';
import { type DocumentedOperation, type ResponseObject, operationsOf } from './operations.js';

/** What an operation is, beyond what the document says about it. */
export type ChangesState = (method: string, path: string) => boolean;

/** The usual reason of each status, with the code and the sentence of its example. */
const ERRORS: Record<number, { when: string; code: string; detail: string }> = {
  400: {
    when: 'The request itself is wrong; `errors` names every field.',
    code: 'VALIDATION_FAILED',
    detail: 'name: must be 1 to 100 characters that are not blank',
  },
  401: {
    when: 'No credentials, or bad ones.',
    code: 'UNAUTHENTICATED',
    detail: 'Sign in, or present a bearer token or an API key.',
  },
  403: {
    when: 'The caller may not do this.',
    code: 'PERMISSION_DENIED',
    detail: 'This needs the permission platform:api-keys:update.',
  },
  404: {
    when: 'There is no such thing, or it is not for this caller to know.',
    code: 'API_KEY_NOT_FOUND',
    detail: 'There is no such API key.',
  },
  409: { when: 'The state of the thing forbids it.', code: 'ALREADY_REVOKED', detail: 'The key is revoked already.' },
  413: {
    when: 'The body is larger than this route takes.',
    code: 'BODY_TOO_LARGE',
    detail: 'The body is larger than this route takes.',
  },
  415: {
    when: 'The body is not `application/json`.',
    code: 'UNSUPPORTED_MEDIA_TYPE',
    detail: 'Send the body as application/json.',
  },
  429: {
    when: 'Too many requests, or the cap is reached. See `Retry-After`.',
    code: 'TOO_MANY_REQUESTS',
    detail: 'Too many requests: try again in 30 seconds.',
  },
  500: {
    when: 'A fault of ours. Quote the `requestId`.',
    code: 'INTERNAL_ERROR',
    detail: 'Something went wrong on our side. Quote the requestId when you report it.',
  },
  503: {
    when: 'A dependency is away; the same request may succeed in a moment. See `Retry-After`.',
    code: 'UNAVAILABLE',
    detail: 'A dependency is not available at the moment.',
  },
};

/**
 * Gives every operation the errors it can meet, as `application/problem+json`: what a controller declares keeps its
 * words, the rest refers to shared responses.
 */
export function addErrors(document: OpenAPIObject, changesState: ChangesState): void {
  const shared: Record<string, ResponseObject> = {};
  for (const operation of operationsOf(document)) {
    const responses = operation.operation.responses;
    for (const [status, response] of Object.entries(responses)) {
      const { description, headers } = response as ResponseObject;
      if (Number(status) >= 400)
        responses[status] = { ...problem(Number(status), description), ...(headers ? { headers } : {}) };
      else if ((response as ResponseObject).description === '')
        (response as ResponseObject).description = STATUS_CODES[Number(status)] ?? status;
    }
    for (const status of statusesOf(operation, changesState)) {
      if (responses[status] !== undefined) continue;
      shared[`Problem${status}`] = problem(status);
      responses[status] = { $ref: `#/components/responses/Problem${status}` };
    }
  }
  document.components!.responses = { ...document.components!.responses, ...shared };
}

function statusesOf({ method, path, operation }: DocumentedOperation, changesState: ChangesState): number[] {
  const isHealth = path.startsWith('/health');
  return [
    ...(operation.requestBody || operation.parameters?.length ? [400] : []),
    ...(path.includes('{') ? [404] : []),
    ...(changesState(method, path) ? [409] : []),
    ...(operation.requestBody ? [413, 415] : []),
    ...(isHealth ? [] : [429, 503]),
    500,
  ];
}

function problem(status: number, description?: string): ResponseObject {
  const title = STATUS_CODES[status] ?? 'Error';
  const { when, code, detail } = ERRORS[status] ?? {
    when: title,
    code: title.toUpperCase().replace(/[^A-Z]+/g, '_'),
    detail: `${title}.`,
  };
  return {
    description: description || when,
    content: {
      'application/problem+json': {
        schema: { $ref: '#/components/schemas/ProblemView' },
        example: {
          type: 'about:blank',
          title,
          status,
          detail,
          code,
          requestId: '0d8e5c7a-3b1f-4f0e-9a54-6c2d7e8f9a10',
        },
      },
    },
  };
}
