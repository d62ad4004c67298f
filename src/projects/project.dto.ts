import { ALIAS, FLAG, NAME, UUID, oneOf, setOf, textOf } from '../../packages/contract/src/grammar.js';
import { Field, clearable, optional, required } from '../common/field.js';
import { PageQueryDto } from '../common/page-query.dto.js';
import { ListText } from '../common/query-text.js';
import { PROJECT_ROLES, type ProjectRole } from './project-role.js';

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
   * What tools call the project, unique; 1 to 100 of `A-Z a-z 0-9 . _ -`. Absent or null: none.
   * @example "search"
   */
  @Field(clearable(ALIAS))
  alias?: string | null;

  /**
   * What the project is for; at most 500 characters.
   * @example "Search on the web site and in the apps"
   */
  @Field(optional(textOf(500)))
  description?: string;

  /** Whether keys in the project work. Absent: true. */
  @Field(optional(FLAG))
  isActive?: boolean;
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
   * What tools call the project, unique; 1 to 100 of `A-Z a-z 0-9 . _ -`. null: none.
   * @example "search"
   */
  @Field(clearable(ALIAS))
  alias?: string | null;

  /**
   * What the project is for; at most 500 characters.
   * @example "Search on the web site and in the apps"
   */
  @Field(optional(textOf(500)))
  description?: string;

  /** Whether keys in the project work. false: every key in it is refused as `PROJECT_INACTIVE`. */
  @Field(optional(FLAG))
  isActive?: boolean;
}

/** What the project of an alias is to be: absent fields of one that exists stay. */
export class UpsertProjectDto {
  /**
   * What people call the project; 1 to 100 characters, trimmed.
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

  /** Whether keys in the project work. */
  @Field(optional(FLAG))
  isActive?: boolean;
}

/** What a member may do in a project. */
export class SetProjectMemberDto {
  /**
   * `member`: sees the keys of the project and their usage, and may create keys in it. `admin`: also acts on its keys
   * as their owners may, and manages its members.
   * @example "member"
   */
  @Field(required(oneOf(PROJECT_ROLES)))
  role: ProjectRole;
}

/** Which projects to list. */
export class ListProjectsDto extends PageQueryDto {
  /**
   * Projects with these ids, at most 100; repeat it for several. Ids of deleted projects, and of those that you may not
   * see, are left out.
   * @example ["019a8b5e-0004-7cb7-98e5-7eb06351d299"]
   */
  @ListText()
  @Field(optional(setOf(100, UUID)))
  id?: string[];

  /**
   * Projects of which this user is a member; another than yourself needs `platform:projects:read`. Absent: all that you
   * may see.
   * @example "019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55"
   */
  @Field(optional(UUID))
  memberId?: string;

  /**
   * Part of the name, 1 to 100 characters; `%` and `_` stand for themselves.
   * @example "search"
   */
  @Field(optional(NAME))
  search?: string;
}
