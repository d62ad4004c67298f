import { Matches } from 'class-validator';

/** What was told, and is acknowledged. */
export class AcknowledgeNoticesDto {
  /**
   * The `marker` of the notices that were shown.
   * @example "4711.3"
   */
  @Matches(/^\d{1,18}\.\d{1,15}$/, { message: 'marker: must be the marker of notices, as GET /auth/me gives it' })
  marker: string;
}
