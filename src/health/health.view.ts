import { ApiProperty } from '@nestjs/swagger';

/** The process runs. */
export class LiveView {
  /** @example "ok" */
  status: 'ok';
}

/** Traffic may be sent here. */
export class ReadyView {
  /**
   * `degraded`: the database does not answer at the moment, or this replica knows of acknowledged changes that a
   * failover has lost (`details.history`).
   * @example "ok"
   */
  status: 'ok' | 'degraded';

  /** What was asked, and how it is. */
  @ApiProperty({ type: 'object', additionalProperties: { type: 'object', additionalProperties: true }, example: { database: { status: 'up' } } })
  details: Record<string, unknown>;
}
