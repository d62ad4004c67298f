import { IsIn } from 'class-validator';
import { IfPresent } from '../common/validators.js';

/** Which sessions stay. */
export class EndSessionsQueryDto {
  /** Keep the session of this request; for your own sessions alone. */
  @IfPresent()
  @IsIn(['current'])
  except?: 'current';
}
