import { SUBJECT } from '../../../packages/contract/src/grammar.js';
import { Field, required } from '../../common/field.js';

/** The subject whose text is to be removed. In a body, because URLs are kept by proxies. */
export class EraseSubjectDto {
  /**
   * As services named it.
   * @example "user-4711"
   */
  @Field(required(SUBJECT))
  subject: string;
}
