import { Field, required } from '../common/field.js';

const MARKER = {
  type: 'string',
  pattern: '^\\d{1,18}\\.\\d{1,15}$',
  sentence: 'must be the marker of notices, as GET /auth/me gives it',
} as const;

/** What was told, and is acknowledged. */
export class AcknowledgeNoticesDto {
  /**
   * The `marker` of the notices that were shown.
   * @example "4711.3"
   */
  @Field(required(MARKER))
  marker: string;
}
