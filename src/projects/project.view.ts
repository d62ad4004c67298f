import { ApiProperty } from '@nestjs/swagger';
import { PageMetaView } from '../common/page.view.js';
import { projectVersion } from './audited-project.js';
import type { Project } from './project.entity.js';
import { PROJECT_ROLES, type ProjectRole } from './project-role.js';

/** A member of a project, with the name of the user. */
export interface ProjectMember {
  readonly userId: string;
  readonly name: string;
  readonly role: ProjectRole;
  readonly addedAt: Date;
}

/** A project with its members. */
export interface LockedProject {
  readonly project: Project;
  /** In order of name. */
  readonly members: readonly ProjectMember[];
}

/** A project with its members, and how many keys are in it. */
export interface FoundProject extends LockedProject {
  /** Keys that are not revoked. */
  readonly keys: number;
}

/** A person who belongs to a project. */
export class ProjectMemberView {
  /** @example "019a8b5e-0000-7cc3-b4a1-3a7c2f1d9e55" */
  userId: string;

  /** @example "Ada Lovelace" */
  name: string;

  @ApiProperty({ enum: PROJECT_ROLES, example: 'member' })
  role: ProjectRole;

  addedAt: Date;
}

/** Keys that belong together, of any owners. */
export class ListedProjectView {
  /** @example "019a8b5e-2222-7cc3-b4a1-3a7c2f1d9e55" */
  id: string;

  /**
   * Version of the project, to be sent as `If-Match: "<version>"` with a change. Its members are part of it.
   * @example "p3yQyJkYbQ7mUq0c"
   */
  version: string;

  /** @example "Search" */
  name: string;

  /** @example "search" */
  @ApiProperty({ type: String, nullable: true, example: 'search' })
  alias: string | null;

  /** @example "Search on the web site and in the apps" */
  description: string;

  /** Whether keys in it work. */
  isActive: boolean;

  /**
   * Keys in it that are not revoked.
   * @example 12
   */
  keyCount: number;

  /** @example 3 */
  memberCount: number;

  /** What you are in it; null: no member. */
  @ApiProperty({ enum: PROJECT_ROLES, nullable: true, example: 'admin' })
  yourRole: ProjectRole | null;

  createdAt: Date;

  updatedAt: Date;

  /** Lists the fields that may leave. `userId`: who asks, if they are signed in. */
  static of({ project, members, keys }: FoundProject, userId: string | null): ListedProjectView {
    return {
      id: project.id,
      version: projectVersion({ project, members }),
      name: project.name,
      alias: project.alias,
      description: project.description,
      isActive: project.isActive,
      keyCount: keys,
      memberCount: members.length,
      yourRole: members.find((member) => member.userId === userId)?.role ?? null,
      createdAt: project.createdAt,
      updatedAt: project.updatedAt,
    };
  }
}

/** A project with its members. */
export class ProjectView extends ListedProjectView {
  /** In order of name. */
  members: ProjectMemberView[];

  /** Lists the fields that may leave. */
  static from(found: FoundProject, userId: string | null): ProjectView {
    const members = found.members.map(({ userId: id, name, role, addedAt }) => ({ userId: id, name, role, addedAt }));
    return { ...ListedProjectView.of(found, userId), members };
  }
}

/** A page of projects, in order of name. */
export class ProjectsPageView {
  data: ListedProjectView[];
  meta: PageMetaView;
}

/** A project after a member was removed. */
export class RemovedProjectMemberView {
  /** The project without this member. */
  project: ProjectView;

  /**
   * Keys of this owner that are not revoked and stay in the project.
   * @example 2
   */
  keysLeft: number;
}
