import { Injectable } from '@nestjs/common';
import { permissionDenied } from '../../access/access.errors.js';
import type { KnownCaller } from '../../access/caller.js';
import { Clock } from '../../common/clock.js';
import { ListCursors } from '../../common/list-cursors.js';
import { MAX_COUNTED_ROWS } from '../../common/page.js';
import { pageOf } from '../../common/page-query.dto.js';
import type { Environment } from '../api-key.entity.js';
import type { ApiKeyFacetsView, ApiKeyPageView, FacetView, ListedApiKeyView } from './api-key-list.view.js';
import { ApiKeyListsRepository } from './api-key-lists.repository.js';
import { ApiKeyView } from '../api-key.view.js';
import type { ApiKeyFacetsDto, ApiKeyFilterDto, ExportApiKeysDto, ListApiKeysDto } from './api-keys-query.dto.js';
import { ApiKeysRepository } from '../api-keys.repository.js';
import { type VisibleKeys, conditionOf } from './key-conditions.js';
import { DEFAULT_KEY_SORT, orderOf } from './key-sort.js';
import { ProjectMembers } from '../../projects/project-members.service.js';
import { API_KEY_STATUSES } from '../status.js';

/** Keys read at once while a list is walked: what bounds the memory of an export. */
const BATCH_KEYS = 500;

const ENVIRONMENTS: readonly Environment[] = ['live', 'test'];

/**
 * Lists of keys. A caller with `platform:api-keys:read` sees all; a signed-in user their own, those of the service
 * accounts they manage, and those in projects of which they are a member; a key itself. Every list, count and export
 * goes through the one condition that says so.
 */
@Injectable()
export class ApiKeyListingService {
  constructor(
    private readonly lists: ApiKeyListsRepository,
    private readonly keys: ApiKeysRepository,
    private readonly members: ProjectMembers,
    private readonly clock: Clock,
    private readonly cursors: ListCursors,
  ) {}

  /**
   * One page. A key that is deleted while the page is read is left out.
   *
   * @throws DomainError 400 past the last page that may be asked for, or for a cursor of another list; 403 for
   * another's
   *   `ownerId`
   */
  async page(
    caller: KnownCaller,
    { page, size, cursor, sort = DEFAULT_KEY_SORT, ...filter }: ListApiKeysDto,
  ): Promise<ApiKeyPageView> {
    const start = pageOf({ page, size, cursor });
    const list = { list: 'api-keys', sort, ...filter };
    const behind = start.cursor === null ? null : this.cursors.read(list, start.cursor);
    const now = this.clock.now();
    const condition = conditionOf(filter, await this.visibleTo(caller, filter), now);
    const { ids, total, totalIsCapped, next } = await (behind === null
      ? this.lists.slice(condition, orderOf(sort), start.size, start.offset)
      : this.lists.sliceBehind(condition, orderOf(sort), start.size, { value: behind[0]!, id: behind[1]! }));
    const nextCursor = this.cursors.give(list, next && [next.value, next.id]);
    const [views, spent] = await Promise.all([this.viewsOf(caller, ids, now), this.lists.budgetsSpent(ids, now)]);
    const data: ListedApiKeyView[] = views.map((view) => ({ ...view, budgetSpentCents: spent.get(view.id) ?? null }));
    return {
      data,
      meta: { total, page: start.page, size: start.size, totalIsCapped, nextCursor },
    };
  }

  /**
   * How the keys of a list fall into groups; those of a list longer than 10 000 are told of its 10 000 newest keys.
   *
   * @throws DomainError 403 for another's `ownerId`
   */
  async facets(caller: KnownCaller, { matching, ...filter }: ApiKeyFacetsDto): Promise<ApiKeyFacetsView> {
    const now = this.clock.now();
    const condition = conditionOf(filter, await this.visibleTo(caller, filter), now);
    const total = await this.lists.count(condition);
    const totalIsCapped = total > MAX_COUNTED_ROWS;
    const groups = await this.lists.groups(condition, totalIsCapped, now, matching);
    const complete = (found: readonly FacetView[], values: readonly string[]): FacetView[] =>
      values.map((value) => found.find((group) => group.value === value) ?? { value, count: 0 });
    return {
      total: Math.min(total, MAX_COUNTED_ROWS),
      totalIsCapped,
      ...groups,
      status: complete(groups.status, API_KEY_STATUSES),
      environment: complete(groups.environment, ENVIRONMENTS),
    };
  }

  /**
   * All keys of a list, batch after batch, so that memory is bounded. Keys that are deleted meanwhile are left out;
   * those that change their place in the order may be missed or be given twice, by the default order none does.
   *
   * @throws DomainError 403 for another's `ownerId`, with the first batch
   */
  async *walk(
    caller: KnownCaller,
    { sort = DEFAULT_KEY_SORT, ...filter }: ExportApiKeysDto,
  ): AsyncGenerator<ApiKeyView[]> {
    const now = this.clock.now();
    const condition = conditionOf(filter, await this.visibleTo(caller, filter), now);
    for await (const ids of this.lists.walk(condition, orderOf(sort), BATCH_KEYS))
      yield await this.viewsOf(caller, ids, now);
  }

  /** @throws DomainError 403 where the filter asks for an owner whose keys are not for this caller to see */
  private async visibleTo({ principal }: KnownCaller, { ownerId }: ApiKeyFilterDto): Promise<VisibleKeys> {
    if (principal.may('platform:api-keys:read')) return { kind: 'all' };
    const userId = principal.signedInUserId;
    const ownerIds = userId === null ? [principal.ownerId] : [userId, ...(await this.lists.managedBy(userId))];
    const projectIds = userId === null ? [] : (await this.members.membershipsOf(userId)).map(({ id }) => id);
    // Whether there is such an owner is not for this caller to know either: no look, one answer. Who is a member of a
    // project may ask for any owner, and finds keys in it alone.
    if (ownerId !== undefined && projectIds.length === 0 && !ownerIds.includes(ownerId.toLowerCase()))
      throw permissionDenied('platform:api-keys:read');
    return userId === null ? { kind: 'key', id: principal.id } : { kind: 'owners', ownerIds, projectIds };
  }

  private async viewsOf({ principal }: KnownCaller, ids: readonly string[], now: Date): Promise<ApiKeyView[]> {
    const details = await this.keys.detailsOf(await this.lists.findAll(ids), principal.signedInUserId);
    return details.map((each) => ApiKeyView.from(each, principal, now));
  }
}
