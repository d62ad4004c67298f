import { Transform } from 'class-transformer';
import { whole } from '../../packages/contract/src/grammar.js';
import type { Schema } from '../../packages/contract/src/schema.js';
import { validationFailed } from './domain-error.js';
import { Field, optional } from './field.js';
import { MAX_CURSOR_CHARACTERS } from './list-cursors.js';
import { MAX_COUNTED_ROWS, MAX_PAGED_ROWS } from './page.js';
import type { PageMetaView } from './page.view.js';

/** A query parameter is text: digits become a number, anything else stays and is refused by the rule beside it. */
export const AsWholeNumber = () =>
  Transform(({ value }: { value: unknown }) =>
    typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value,
  );

/** As `AsWholeNumber`, for `true` and `false`. */
export const AsFlag = () =>
  Transform(({ value }: { value: unknown }) => (value === 'true' ? true : value === 'false' ? false : value));

/** A cursor, as far as its form tells. */
export const CURSOR = {
  type: 'string',
  maxLength: MAX_CURSOR_CHARACTERS,
  pattern: '^[A-Za-z0-9_-]+$',
  sentence: 'must be meta.nextCursor of another page',
} as const satisfies Schema;

/** Which page of a list. */
export class PageQueryDto {
  /**
   * From 1; page × size is at most 10 000: `cursor` goes further. Absent: 1.
   * @example 1
   */
  @AsWholeNumber()
  @Field(optional(whole(1, MAX_PAGED_ROWS)))
  page?: number;

  /**
   * Entries a page, 1 to 100. Absent: 10.
   * @example 10
   */
  @AsWholeNumber()
  @Field(optional(whole(1, 100)))
  size?: number;

  /**
   * `meta.nextCursor` of the page before, instead of `page`: no entry is given twice or missed, whatever is added or
   * deleted meanwhile. Filters and order must be those of the page before.
   */
  @Field(optional(CURSOR))
  cursor?: string;
}

/** Where a page of a list begins. */
export interface PageStart {
  /** null: by a cursor. */
  readonly page: number | null;
  readonly size: number;
  readonly offset: number;
  readonly cursor: string | null;
}

/** @throws DomainError 400 past what a list can be paged through, and for a page beside a cursor */
export function pageOf({ page, size = 10, cursor }: Pick<PageQueryDto, 'page' | 'size' | 'cursor'>): PageStart {
  if (cursor !== undefined) {
    if (page !== undefined) throw validationFailed([{ path: 'page', message: 'contradicts cursor' }]);
    return { page: null, size, offset: 0, cursor };
  }
  const number = page ?? 1;
  if (number * size > MAX_PAGED_ROWS) {
    throw validationFailed([
      { path: 'page', message: `page × size must be at most ${MAX_PAGED_ROWS}: go on by meta.nextCursor instead` },
    ]);
  }
  return { page: number, size, offset: (number - 1) * size, cursor: null };
}

/** A page of a list whose total is counted up to `MAX_COUNTED_ROWS` and one. */
export function pageMeta({ page, size }: PageStart, count: number, nextCursor: string | null): PageMetaView {
  const total = Math.min(count, MAX_COUNTED_ROWS);
  return { total, page, size, totalIsCapped: count > total, nextCursor };
}
