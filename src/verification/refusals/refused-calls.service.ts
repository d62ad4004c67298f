import { Injectable } from '@nestjs/common';
import type { KnownCaller } from '../../access/caller.js';
import { ApiKeysService } from '../../api-keys/api-keys.service.js';
import type { FieldError } from '../../common/domain-error.js';
import { ListCursors } from '../../common/list-cursors.js';
import { Config } from '../../config/config.js';
import { REFUSED_CALL_LIMITS } from './refused-calls.js';
import type { RefusedCallsQuery } from './refused-calls.dto.js';
import { RefusedCallsRepository, type StoredRefusedCall } from './refused-calls.repository.js';
import { RefusedCallView, type RefusedCallsView } from './refused-calls.view.js';

const DEFAULT_LIMIT = 50;
const NOT_NEWEST: FieldError = { path: 'after', message: 'must be meta.newest of a list of the same key' };

/** Answers "why was this call refused?", for those who may read the key. */
@Injectable()
export class RefusedCallsService {
  constructor(
    private readonly keys: ApiKeysService,
    private readonly calls: RefusedCallsRepository,
    private readonly cursors: ListCursors,
    private readonly config: Config,
  ) {}

  /** @throws DomainError 404 for keys that are not for this caller to know; 400 for a cursor of another list */
  async list(caller: KnownCaller, id: string, query: RefusedCallsQuery): Promise<RefusedCallsView> {
    const { id: keyId } = await this.keys.get(caller, id);
    const code = query.code ?? null;
    // A place is that of a call of the key, whatever the code: a client may change it and go on.
    const list = { list: 'refused-calls', keyId };
    const placeOf = (cursor: string | undefined, fault?: FieldError) =>
      cursor === undefined ? null : this.cursors.read(list, cursor, fault)[0]!;
    const cursorAt = (call: StoredRefusedCall) => this.cursors.give(list, [call.seq]);
    const search = { keyId, code, below: placeOf(query.cursor), above: placeOf(query.after, NOT_NEWEST) };
    const limit = Number(query.limit ?? DEFAULT_LIMIT);
    const found = await this.calls.find(search, limit + 1);
    const { counted, kept } = await this.calls.count(keyId, code);
    const showsAsker = caller.principal.may('platform:api-keys:read');
    return {
      data: found.slice(0, limit).map((call) => RefusedCallView.from(call, showsAsker)),
      meta: {
        nextCursor: found.length > limit ? cursorAt(found[limit - 1]!) : null,
        newest: found.length > 0 ? cursorAt(found[0]!) : (query.after ?? null),
        recording: this.config.refusedCalls,
        keptHours: REFUSED_CALL_LIMITS.keptHours,
        counted,
        kept,
      },
    };
  }
}
