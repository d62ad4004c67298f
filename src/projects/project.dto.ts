import { NAME, textOf } from '../../packages/contract/src/grammar.js';
import { Field, optional, required } from '../common/field.js';

/** A new project. */
export class CreateProjectDto {
  /**
   * What people call the project; 1 to 100 characters, trimmed. No two projects have one name, whatever the case of its
   * letters.
   * @example "Search"
   */
  @Field(required(NAME))
  name: string;

  /**
   * What the project is for; at most 500 characters.
   * @example "Search on the web site and in the apps"
   */
  @Field(optional(textOf(500)))
  description?: string;
}

/** A change of a project: fields that are absent stay. */
export class UpdateProjectDto {
  /**
   * What people call the project; 1 to 100 characters, trimmed.
   * @example "Search and discovery"
   */
  @Field(optional(NAME))
  name?: string;

  /**
   * What the project is for; at most 500 characters.
   * @example "Search on the web site and in the apps"
   */
  @Field(optional(textOf(500)))
  description?: string;
}
