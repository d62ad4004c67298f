import { Type } from 'class-transformer';
import { ArrayMaxSize, ArrayMinSize, IsArray, IsObject, Matches, ValidateNested } from 'class-validator';
import { CreateApiKeyDto } from '../api-key.dto.js';

/** A key of another system: what its clients present is known by its hash alone. */
export class ImportApiKeyDto extends CreateApiKeyDto {
  /**
   * SHA-256 of the whole string that clients present, in UTF-8: 64 hexadecimal digits. A string of 16 to 512 visible
   * ASCII characters can be verified.
   * @example "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
   */
  @Matches(/^[0-9a-fA-F]{64}$/, { message: 'must be 64 hexadecimal digits' })
  sha256: string;

  /**
   * Public start of the string, shown and searched as the key's prefix: 1 to 32 visible ASCII characters.
   * @example "sk-proj-8Fk2"
   */
  @Matches(/^[\x21-\x7e]{1,32}$/, { message: 'must be 1 to 32 visible ASCII characters' })
  prefix: string;
}

/** Keys of another system, to go on working here with the secrets their clients have. */
export class ImportApiKeysDto {
  /** 1 to 500 keys. */
  @IsArray()
  @ArrayMinSize(1)
  @ArrayMaxSize(500)
  @IsObject({ each: true })
  @ValidateNested({ each: true })
  @Type(() => ImportApiKeyDto)
  keys: ImportApiKeyDto[];
}
