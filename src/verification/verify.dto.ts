import { ArrayMaxSize, IsArray, IsBoolean, IsIP, IsInt, IsString, Length, Matches, Max, MaxLength, Min } from 'class-validator';
import { IfPresent } from '../common/validators.js';

/** May this key do this, now? */
export class VerifyDto {
  /**
   * What the client presented, as it came.
   * @example "lk_live_4fT9aZq01LmXyB0kq3v9Jd8sWn2cYp5rTgHbMxLzQf7uEoAiKjDhVt1x6Rw"
   */
  @IsString()
  @Length(1, 512)
  key: string;

  /**
   * The end user's address, as your service knows it. A key restricted by address is refused without it.
   * @example "203.0.113.7"
   */
  @IfPresent()
  @IsIP()
  ip?: string;

  /**
   * The model the call is for. A key restricted by model is refused without it.
   * @example "gpt-4o-mini"
   */
  @IfPresent()
  @IsString()
  @MaxLength(128)
  model?: string;

  /**
   * The chatbot the call is for. A key restricted by chatbot is refused without it.
   * @example "support-bot"
   */
  @IfPresent()
  @IsString()
  @MaxLength(128)
  chatbot?: string;

  /**
   * Scopes the call needs, all of them.
   * @example ["chat:write"]
   */
  @IfPresent()
  @IsArray()
  @ArrayMaxSize(100)
  @IsString({ each: true })
  @Matches(/^[\x21\x23-\x5b\x5d-\x7e]{1,128}$/, { each: true, message: 'each entry must be a scope' })
  scopes?: string[];

  /**
   * How many requests of the rate limits the call counts as, 1 to 1000.
   * @example 1
   */
  @IfPresent()
  @IsInt()
  @Min(1)
  @Max(1000)
  cost?: number;

  /** Decide, but consume nothing. */
  @IfPresent()
  @IsBoolean()
  dryRun?: boolean;

  /** List every check with its outcome. */
  @IfPresent()
  @IsBoolean()
  explain?: boolean;
}
