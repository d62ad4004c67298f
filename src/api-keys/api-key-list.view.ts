import { PageMetaView } from '../common/page.view.js';
import { ApiKeyView } from './api-key.view.js';

/** A page of keys. */
export class ApiKeyPageView {
  data: ApiKeyView[];

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

/** How many keys have one value of a few, counted over the whole list. */
export class CountedFacetView extends FacetView {
  /**
   * Whether there are more than `count` says; counting ends at 10 000.
   * @example false
   */
  countIsCapped: boolean;
}

/** An owner and how many of the keys are his. */
export class OwnerFacetView extends FacetView {
  /**
   * The owner's name.
   * @example "Ada Lovelace"
   */
  name: string;
}

/** How the keys of a list fall into groups. */
export class ApiKeyFacetsView {
  /**
   * Keys in the whole list, exact up to 10 000.
   * @example 42
   */
  total: number;

  totalIsCapped: boolean;

  /** Every status, with how many of the keys have it. */
  status: CountedFacetView[];

  /** Every environment, with how many of the keys belong to it. */
  environment: CountedFacetView[];

  /** The owners with most of the keys, at most 20; where `totalIsCapped`, among the 10 000 newest keys of the list. */
  owners: OwnerFacetView[];

  /** The most frequent tags, at most 20; where `totalIsCapped`, among the 10 000 newest keys of the list. */
  tags: FacetView[];

  /** The most frequent scopes, at most 20; where `totalIsCapped`, among the 10 000 newest keys of the list. */
  scopes: FacetView[];
}
