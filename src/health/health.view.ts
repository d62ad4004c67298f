import { ApiProperty } from '@nestjs/swagger';

/** The process runs. */
export class LiveView {
  /** @example "ok" */
  status: 'ok';
}

/** How one function of a replica is. */
export class ConditionView {
  /** @example "up" */
  status: 'up' | 'degraded';

  /** What does not work; absent while it works. */
  reason?: string;
}

/** How a replica is. */
export class HealthView {
  /**
   * `degraded`: a function does not work at the moment.
   * @example "ok"
   */
  status: 'ok' | 'degraded';

  /** Every function of this replica that may be broken while the others work, by name. */
  @ApiProperty({
    type: 'object',
    additionalProperties: { $ref: '#/components/schemas/ConditionView' },
    example: { feed: { status: 'up' }, metering: { status: 'up' }, management: { status: 'up' } },
  })
  details: Record<string, ConditionView>;
}
