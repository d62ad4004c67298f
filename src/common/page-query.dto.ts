import { Transform } from 'class-transformer';
import { whole } from '../../packages/contract/src/grammar.js';
import { validationFailed } from './domain-error.js';
import { Field, optional } from './field.js';
import { MAX_PAGED_ROWS } from './page.js';

/** A query parameter is text: digits become a number, anything else stays and is refused by the rule beside it. */
export const AsWholeNumber = () =>
  Transform(({ value }: { value: unknown }) =>
    typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value,
  );

/** As `AsWholeNumber`, for `true` and `false`. */
export const AsFlag = () =>
  Transform(({ value }: { value: unknown }) => (value === 'true' ? true : value === 'false' ? false : value));

/** Which page of a list. */
export class PageQueryDto {
  /**
   * From 1; page × size is at most 10 000, past that a filter serves better.
   * @example 1
   */
  @AsWholeNumber()
  @Field(optional(whole(1, MAX_PAGED_ROWS)))
  page?: number = 1;

  /**
   * Entries a page, 1 to 100.
   * @example 10
   */
  @AsWholeNumber()
  @Field(optional(whole(1, 100)))
  size?: number = 10;
}

/** Where a page begins. @throws DomainError 400 past what a list can be paged through */
export function pageOf(query: PageQueryDto): { page: number; size: number; offset: number } {
  const { page = 1, size = 10 } = query;
  if (page * size > MAX_PAGED_ROWS) {
    throw validationFailed([{ path: 'page', message: `page × size must be at most ${MAX_PAGED_ROWS}` }]);
  }
  return { page, size, offset: (page - 1) * size };
}
