import { PageMetaView } from '../../common/page.view.js';
import { ApiKeyView } from '../api-key.view.js';

/** A key of a list, with what its budget's period has cost. */
export class ListedApiKeyView extends ApiKeyView {
  /**
   * Spent of the budget in its period, in cents: in this month of UTC, or in total. null: the key has no budget.
   * @example 125.5
   */
  budgetSpentCents: number | null;
}

/** A page of keys. */
export class ApiKeyPageView {
  data: ListedApiKeyView[];

  meta: PageMetaView;
}

/** How many keys have one value. */
export class FacetView {
  /** @example "team:billing" */
  value: string;

  /**
   * Keys with this value.
   * @example 12
   */
  count: number;
}

/** An owner, and how many of the keys the owner has. */
export class OwnerFacetView extends FacetView {
  /**
   * The owner's name.
   * @example "Ada Lovelace"
   */
  name: string;
}

/**
 * How the keys of a list fall into groups. The groups of a list longer than 10 000 keys (`totalIsCapped`) are those of
 * its 10 000 newest; how many keys of the whole list have one value, a list filtered by it tells as `meta.total`.
 */
export class ApiKeyFacetsView {
  /**
   * Keys in the whole list, exact up to 10 000.
   * @example 42
   */
  total: number;

  totalIsCapped: boolean;

  /** Every status, with how many of the keys have it. */
  status: FacetView[];

  /** Every environment, with how many of the keys belong to it. */
  environment: FacetView[];

  /** The owners with most of the keys, at most 20; with `matching` among those whose name contains it. */
  owners: OwnerFacetView[];

  /** The most frequent tags, at most 20; with `matching` among those that contain it. */
  tags: FacetView[];

  /** The most frequent scopes, at most 20; with `matching` among those that contain it. */
  scopes: FacetView[];
}
