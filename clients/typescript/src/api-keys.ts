import { randomUUID } from 'node:crypto';
import type { Api, ApiBody, ApiResult, ApiQuery, CallOptions } from './api.js';
import type { ApiKey, ApiKeyChange, ApiKeyFilter, ApiKeyPage, CreatedApiKey, NewApiKey } from './contract.js';

/** For what narrows: also wait until every replica has applied it. */
export interface NarrowingOptions extends CallOptions {
  wait?: boolean;
}

/** For what makes a secret: the same act under the same key happens once, for ten minutes. Drawn where absent. */
export interface OnceOptions extends CallOptions {
  idempotencyKey?: string;
}

type Page = NonNullable<ApiKeyFilter['page']>;

/**
 * Keys, as their owners and admins manage them. Reads, and what makes secrets, are repeated when the connection
 * breaks; other changes only when the server never got them. Every call throws `LatchkeyProblem` where the server
 * says no.
 */
export class ApiKeys {
  readonly #api: Api;

  constructor(api: Api) {
    this.#api = api;
  }

  /** Creates a key. Its secret is in this answer and nowhere else. */
  create(
    key: Omit<NewApiKey, 'handOver'> = {},
    { idempotencyKey = randomUUID(), ...options }: OnceOptions = {},
  ): Promise<CreatedApiKey> {
    // Without `handOver` there is always a secret.
    return this.#api.call('post', '/api-keys', { ...options, body: key, idempotencyKey }) as Promise<CreatedApiKey>;
  }

  /** Creates a key whose owner draws the first secret within 24 hours. For the caller's own key the answer has it. */
  createForOwner(
    key: Omit<NewApiKey, 'handOver'> & { ownerId: string },
    { idempotencyKey = randomUUID(), ...options }: OnceOptions = {},
  ): Promise<ApiResult<'/api-keys', 'post'>> {
    return this.#api.call('post', '/api-keys', { ...options, body: { ...key, handOver: true }, idempotencyKey });
  }

  /** Offers the next secret to the key's owner for 24 hours. The overlap begins when it is drawn. */
  offerSecret(
    id: string,
    { wait, overlapSeconds = 0, ...options }: NarrowingOptions & { overlapSeconds?: number } = {},
  ): Promise<ApiKey> {
    return this.#api.call('post', '/api-keys/{id}/hand-over', {
      ...options,
      path: { id },
      query: waiting(wait),
      body: { overlapSeconds },
    });
  }

  /** Takes the offer back; the owner declines it so. */
  withdrawSecret(id: string, { wait, ...options }: NarrowingOptions = {}): Promise<ApiKey> {
    return this.#api.call('delete', '/api-keys/{id}/hand-over', { ...options, path: { id }, query: waiting(wait) });
  }

  /** Draws the secret that is offered to the signed-in owner. It is in this answer and nowhere else. */
  drawSecret(
    id: string,
    { idempotencyKey = randomUUID(), wait, ...options }: OnceOptions & NarrowingOptions = {},
  ): Promise<ApiResult<'/api-keys/{id}/draw', 'post'>> {
    return this.#api.call('post', '/api-keys/{id}/draw', {
      ...options,
      path: { id },
      query: waiting(wait),
      idempotencyKey,
    });
  }

  get(id: string, options: CallOptions = {}): Promise<ApiKey> {
    return this.#api.call('get', '/api-keys/{id}', { ...options, path: { id } });
  }

  /** One page. */
  list(filter: ApiKeyFilter = {}, options: CallOptions = {}): Promise<ApiKeyPage> {
    return this.#api.call('get', '/api-keys', { ...options, query: filter });
  }

  /** All keys that match, page after page, up to the 10 000 that the server lists. */
  async *listAll(
    filter: Omit<ApiKeyFilter, 'page' | 'size'> = {},
    options: CallOptions = {},
  ): AsyncGenerator<ApiKey, void, undefined> {
    const size = 100;
    for (let page: Page = 1; page * size <= 10_000; page += 1) {
      const { data, meta } = await this.list({ ...filter, page, size }, options);
      yield* data;
      if (page * size >= meta.total && !meta.totalIsCapped) return;
    }
  }

  /** Changes what is given; `null` clears. */
  update(id: string, change: ApiKeyChange, { wait, ...options }: NarrowingOptions = {}): Promise<ApiKey> {
    return this.#api.call('patch', '/api-keys/{id}', { ...options, path: { id }, query: waiting(wait), body: change });
  }

  /** Makes the key of this alias, with its secret, or renews the one there is, without. */
  upsertByAlias(
    alias: string,
    key: ApiBody<'/api-keys/by-alias/{alias}', 'put'>,
    { idempotencyKey = randomUUID(), ownerId, ...options }: OnceOptions & { ownerId?: string } = {},
  ): Promise<ApiResult<'/api-keys/by-alias/{alias}', 'put'>> {
    const query = ownerId === undefined ? {} : { ownerId };
    return this.#api.call('put', '/api-keys/by-alias/{alias}', {
      ...options,
      path: { alias },
      query,
      body: key,
      idempotencyKey,
    });
  }

  /** A new secret for the same key; with `overlapSeconds` the old one works on for so long. */
  regenerate(
    id: string,
    {
      idempotencyKey = randomUUID(),
      wait,
      overlapSeconds = 0,
      ...options
    }: OnceOptions & NarrowingOptions & { overlapSeconds?: number } = {},
  ): Promise<ApiResult<'/api-keys/{id}/regenerate', 'post'>> {
    return this.#api.call('post', '/api-keys/{id}/regenerate', {
      ...options,
      path: { id },
      query: waiting(wait),
      body: { overlapSeconds },
      idempotencyKey,
    });
  }

  /** Ends an overlap: the secret of this kid works no longer. */
  endSecret(id: string, kid: string, { wait, ...options }: NarrowingOptions = {}): Promise<ApiKey> {
    return this.#api.call('delete', '/api-keys/{id}/secrets/{kid}', {
      ...options,
      path: { id, kid },
      query: waiting(wait),
    });
  }

  /** Starts the validity anew, or sets its end. */
  renew(id: string, renewal: ApiBody<'/api-keys/{id}/renew', 'post'> = {}, options: CallOptions = {}): Promise<ApiKey> {
    return this.#api.call('post', '/api-keys/{id}/renew', { ...options, path: { id }, body: renewal });
  }

  activate(id: string, options: CallOptions = {}): Promise<ApiKey> {
    return this.#api.call('post', '/api-keys/{id}/activate', { ...options, path: { id } });
  }

  deactivate(id: string, { wait, ...options }: NarrowingOptions = {}): Promise<ApiKey> {
    return this.#api.call('post', '/api-keys/{id}/deactivate', { ...options, path: { id }, query: waiting(wait) });
  }

  /** Final. A second time throws `ALREADY_REVOKED`. */
  revoke(
    id: string,
    { wait, reason, ...options }: NarrowingOptions & { reason?: string } = {},
  ): Promise<ApiResult<'/api-keys/{id}/revoke', 'post'>> {
    const body = reason === undefined ? {} : { reason };
    return this.#api.call('post', '/api-keys/{id}/revoke', { ...options, path: { id }, query: waiting(wait), body });
  }

  /** Deletes the key; its usage and trail stay. */
  async deletePermanently(id: string, { wait, ...options }: NarrowingOptions = {}): Promise<void> {
    await this.#api.call('delete', '/api-keys/{id}/permanent', { ...options, path: { id }, query: waiting(wait) });
  }

  transfer(id: string, ownerId: string, { wait, ...options }: NarrowingOptions = {}): Promise<ApiKey> {
    return this.#api.call('post', '/api-keys/{id}/transfer', {
      ...options,
      path: { id },
      query: waiting(wait),
      body: { ownerId },
    });
  }

  /**
   * Takes over keys of another system by hash; each entry has its own outcome. `raiseOwnerLimits`: for callers who may.
   */
  import(
    keys: ApiBody<'/api-keys/import', 'post'>['keys'],
    { raiseOwnerLimits, ...options }: CallOptions & { raiseOwnerLimits?: boolean } = {},
  ): Promise<ApiResult<'/api-keys/import', 'post'>> {
    const body = { keys, ...(raiseOwnerLimits === undefined ? {} : { raiseOwnerLimits }) };
    return this.#api.call('post', '/api-keys/import', { ...options, body });
  }

  /** One act on up to 500 keys; each has its own outcome. */
  bulk(
    change: ApiBody<'/api-keys/bulk', 'post'>,
    { wait, ...options }: NarrowingOptions = {},
  ): Promise<ApiResult<'/api-keys/bulk', 'post'>> {
    return this.#api.call('post', '/api-keys/bulk', { ...options, query: waiting(wait), body: change });
  }

  /** Every check that a call would meet, without the secret, consuming nothing. */
  explain(
    id: string,
    call: ApiBody<'/api-keys/{id}/explain', 'post'> = {},
    options: CallOptions = {},
  ): Promise<ApiResult<'/api-keys/{id}/explain', 'post'>> {
    return this.#api.call('post', '/api-keys/{id}/explain', { ...options, path: { id }, body: call });
  }

  /** The last refused calls of a key, newest first; with `after` what was refused since an earlier answer. */
  refusals(
    id: string,
    query: ApiQuery<'/api-keys/{id}/refusals', 'get'> = {},
    options: CallOptions = {},
  ): Promise<ApiResult<'/api-keys/{id}/refusals', 'get'>> {
    return this.#api.call('get', '/api-keys/{id}/refusals', { ...options, path: { id }, query });
  }

  /** Totals, today, this hour, windows and budget. */
  usage(id: string, options: CallOptions = {}): Promise<ApiResult<'/api-keys/{id}/usage', 'get'>> {
    return this.#api.call('get', '/api-keys/{id}/usage', { ...options, path: { id } });
  }

  /** Usage by hour or day. */
  usageSeries(
    id: string,
    query: ApiQuery<'/api-keys/{id}/usage/series', 'get'> = {},
    options: CallOptions = {},
  ): Promise<ApiResult<'/api-keys/{id}/usage/series', 'get'>> {
    return this.#api.call('get', '/api-keys/{id}/usage/series', { ...options, path: { id }, query });
  }

  /** Single events of a key, newest first: all, or the one that was reported under `requestId`. */
  usageEvents(
    id: string,
    query: Omit<NonNullable<ApiQuery<'/usage/events', 'get'>>, 'keyId'> = {},
    options: CallOptions = {},
  ): Promise<ApiResult<'/usage/events', 'get'>> {
    return this.#api.call('get', '/usage/events', { ...options, query: { ...query, keyId: id } });
  }
}

function waiting(wait: boolean | undefined): { wait?: 'true' | 'false' } {
  return wait === undefined ? {} : { wait: wait ? 'true' : 'false' };
}
